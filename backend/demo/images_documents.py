"""Further documents on the demo's images: Grype's report, findings in CycloneDX, OpenVEX, benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.demo.images_oci import Json
from backend.demo.images_reports import instant

OPENVEX: Final = "https://openvex.dev/ns/v0.2.0"
#: The predicate type under which Modelyard reads benchmarks.
BENCHMARK: Final = "https://modelyard.dev/attestation/benchmark/v1"

_GRYPE_VERSION: Final = "0.104.0"


def grype_predicate(name: str, digest: str, findings: Sequence[Json], scanned: datetime) -> Json:
    """Build cosign's vulnerability predicate around a report of Grype.

    Args:
        findings: as Trivy writes them.
    """
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": f"pkg:github/anchore/grype@v{_GRYPE_VERSION}",
            "version": _GRYPE_VERSION,
            "db": {"uri": "", "version": ""},
            "result": {
                "matches": [_match(finding) for finding in findings],
                "source": {
                    "type": "image",
                    "target": {"userInput": f"{name}@{digest}", "repoDigests": [f"{name}@{digest}"]},
                },
                "distro": {"name": "ubuntu", "version": "24.04", "idLike": ["debian"]},
                "descriptor": {
                    "name": "grype",
                    "version": _GRYPE_VERSION,
                    "timestamp": instant(scanned),
                    "db": {"status": {"schemaVersion": "v6.1.3", "built": instant(scanned - timedelta(hours=20)),
                                      "valid": True}},
                },
            },
        },
        "metadata": {"scanStartedOn": instant(scanned - timedelta(seconds=31)), "scanFinishedOn": instant(scanned)},
    }  # fmt: skip


def _match(finding: Json) -> Json:
    fixed = finding["FixedVersion"]
    return {
        "vulnerability": {
            "id": finding["VulnerabilityID"],
            "severity": str(finding["Severity"]).capitalize(),
            "description": finding["Title"],
            "fix": {"versions": [fixed] if fixed else [], "state": "fixed" if fixed else "not-fixed"},
        },
        "artifact": {
            "name": finding["PkgName"],
            "version": finding["InstalledVersion"],
            "purl": finding["PkgIdentifier"]["PURL"],
        },
    }


def cyclonedx_vulnerabilities(findings: Sequence[Json]) -> list[Json]:
    """Build the `vulnerabilities` of a CycloneDX document whose components are named by package URLs."""
    return [
        {
            "id": finding["VulnerabilityID"],
            "source": {"name": "ubuntu"},
            "ratings": [{"source": {"name": "ubuntu"}, "severity": str(finding["Severity"]).lower()}],
            "description": finding["Title"],
            "affects": [{"ref": finding["PkgIdentifier"]["PURL"]}],
        }
        for finding in findings
    ]


def openvex(name: str, digest: str, findings: Sequence[Json], made: datetime) -> Json:
    """Build an OpenVEX document by which findings do not affect an image."""
    product = f"pkg:oci/{name.rpartition('/')[2]}@{digest.replace(':', '%3A')}"
    return {
        "@context": OPENVEX,
        "@id": f"https://example.invalid/vex/{digest.removeprefix('sha256:')}",
        "author": "Product Security",
        "timestamp": instant(made),
        "version": 1,
        "statements": [
            {
                "vulnerability": {"name": finding["VulnerabilityID"]},
                "products": [{"@id": product, "subcomponents": [{"@id": finding["PkgIdentifier"]["PURL"]}]}],
                "status": "not_affected",
                "justification": "vulnerable_code_not_in_execute_path",
                "impact_statement": "The server never calls the function.",
            }
            for finding in findings
        ],
    }


def benchmark(name: str, digest: str, first_token: int, measured: datetime) -> Json:
    """Build the results of a benchmark.

    Args:
        first_token: milliseconds until the first token, 95 of 100 requests.
    """
    return {
        "benchmark": 1,
        "image": f"{name}@{digest}",
        "measured_at": instant(measured),
        "hardware": {"accelerator": "NVIDIA H100 80GB HBM3", "count": 2, "driver": "580.95.05", "host": "DGX H100"},
        "runtime": {"name": "vllm", "version": "0.10.1", "arguments": ["--tensor-parallel-size", "2"]},
        "tool": {"name": "vllm bench serve", "version": "0.10.1"},
        "results": [
            {
                "name": "ttft_p95",
                "value": first_token / 1000,
                "unit": "s",
                "better": "lower",
                "conditions": {"concurrency": 16, "input_tokens": 1024, "output_tokens": 256},
            },
            {"name": "throughput", "value": round(480_000 / first_token), "unit": "tokens/s", "better": "higher"},
        ],
    }
