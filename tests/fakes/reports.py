"""Documents in the forms that the tools really write.

Grype 0.104 and 0.79 (JSON), Harbor 2.13 with its Trivy adapter (`additions/vulnerabilities`), Trivy 0.66 (CycloneDX 1.6
with vulnerabilities, SARIF), vexctl 0.3 (OpenVEX 0.2.0), in-toto attestation `vulns` v0.1, SLSA provenance v0.2 of
BuildKit 0.23 and v1 of GitHub's generator, Modelyard's own benchmark form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.curation import DIGEST, OTHER_DIGEST

REPOSITORY = "registry.example/nim/meta/llama"
OPENSSL = "pkg:deb/ubuntu/openssl@3.0.13-0ubuntu3.4?arch=amd64&distro=ubuntu-24.04"
TORCH = "pkg:pypi/torch@2.7.1"


def grype_match(
    id: str = "CVE-2026-1234",
    severity: str = "Critical",
    purl: str = OPENSSL,
    name: str = "openssl",
    version: str = "1",
) -> dict[str, Any]:
    """A match as Grype writes it."""
    return {
        "vulnerability": {
            "id": id,
            "dataSource": f"https://ubuntu.com/security/{id}",
            "namespace": "ubuntu:distro:ubuntu:24.04",
            "severity": severity,
            "urls": [],
            "description": "something that should not happen",
            "cvss": [],
            "epss": [{"cve": id, "epss": 0.00042, "percentile": 0.12, "date": "2026-11-18"}],
            "fix": {"versions": ["3.0.13-0ubuntu3.5"], "state": "fixed"},
            "advisories": [],
            "risk": 0.03,
        },
        "relatedVulnerabilities": [],
        "matchDetails": [{"type": "exact-indirect-match", "matcher": "dpkg-matcher"}],
        "artifact": {
            "id": "9b1c",
            "name": name,
            "version": version,
            "type": "deb",
            "locations": [{"path": "/var/lib/dpkg/status", "layerID": OTHER_DIGEST}],
            "language": "",
            "licenses": [],
            "cpes": [],
            "purl": purl,
            "upstreams": [{"name": "openssl"}],
        },
    }


def grype_report(*matches: Mapping[str, Any], digest: str = DIGEST, older: bool = False) -> dict[str, Any]:
    """A report as `grype -o json` 0.104 writes it; `older`: as 0.79 does."""
    status = {
        "schemaVersion": "v6.1.3",
        "from": "https://grype.anchore.io/databases/v6/vulnerability-db_v6.1.3.tar.zst",
        "built": "2026-11-18T06:26:54Z",
        "path": "/var/cache/grype/db/6/vulnerability.db",
        "valid": True,
    }
    database: dict[str, Any] = {"status": status, "providers": {}}
    if older:
        database = {
            "built": "2026-11-18T06:26:54Z",
            "schemaVersion": 5,
            "location": "/x",
            "checksum": "y",
            "error": None,
        }
    return {
        "matches": list(matches),
        "source": {
            "type": "image",
            "target": {
                "userInput": f"registry:{REPOSITORY}@{digest}",
                "imageID": f"sha256:{'1' * 64}",
                "manifestDigest": digest,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "tags": [],
                "imageSize": 9_000_000_000,
                "layers": [],
                "manifest": "e30=",
                "config": "e30=",
                "repoDigests": [f"{REPOSITORY}@{digest}"],
                "architecture": "amd64",
                "os": "linux",
            },
        },
        "distro": {"name": "ubuntu", "version": "24.04", "idLike": ["debian"]},
        "descriptor": {
            "name": "grype",
            "version": "0.79.1" if older else "0.104.0",
            "configuration": {},
            "db": database,
            "timestamp": "2026-11-19T10:00:00.123456789Z",
        },
    }


def harbor_answer(*vulnerabilities: Mapping[str, Any]) -> dict[str, Any]:
    """What Harbor 2.13 answers to `additions/vulnerabilities`."""
    return {
        "application/vnd.security.vulnerability.report; version=1.1": {
            "generated_at": "2026-11-19T10:00:00.123456Z",
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.61.0"},
            "severity": "Critical",
            "vulnerabilities": list(vulnerabilities) or None,
        }
    }


def harbor_vulnerability(digest: str | None = DIGEST, severity: str = "Critical") -> dict[str, Any]:
    """An entry of it."""
    return {
        "id": "CVE-2026-1234",
        "package": "openssl",
        "version": "3.0.13-0ubuntu3.4",
        "fix_version": "3.0.13-0ubuntu3.5",
        "severity": severity,
        "description": "something that should not happen",
        "links": ["https://avd.aquasec.com/nvd/cve-2026-1234"],
        "artifact_digests": [digest] if digest else None,
        "preferred_cvss": {"score_v3": 9.8},
        "cwe_ids": ["CWE-416"],
        "vendor_attributes": {},
    }


def cyclonedx_vulnerability(**changes: Any) -> dict[str, Any]:
    """An entry of `vulnerabilities` as Trivy 0.66 writes it."""
    return {
        "id": "CVE-2026-1234",
        "source": {"name": "ubuntu", "url": "https://git.launchpad.net/ubuntu-cve-tracker"},
        "ratings": [
            {
                "source": {"name": "nvd"},
                "score": 9.8,
                "severity": "critical",
                "method": "CVSSv31",
                "vector": "CVSS:3.1",
            },
            {"source": {"name": "ubuntu"}, "severity": "high"},
        ],
        "cwes": [416],
        "description": "something that should not happen",
        "recommendation": "Upgrade openssl to version 3.0.13-0ubuntu3.5",
        "advisories": [{"url": "https://avd.aquasec.com/nvd/cve-2026-1234"}],
        "published": "2026-05-28T14:15:00+00:00",
        "updated": "2026-11-01T10:00:00+00:00",
        "affects": [{"ref": OPENSSL, "versions": [{"version": "3.0.13-0ubuntu3.4", "status": "affected"}]}],
        **changes,
    }


def cyclonedx_report(
    *vulnerabilities: Mapping[str, Any], digest: str = DIGEST, components: bool = True
) -> dict[str, Any]:
    """A document as `trivy image --format cyclonedx --scanners vuln` 0.66 writes it."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:5c2b1a7e-7f0e-4f5e-9f50-3f1a3f0a8f11",
        "version": 1,
        "metadata": {
            "timestamp": "2026-11-19T10:00:00+00:00",
            "tools": {"components": [{"type": "application", "group": "aquasecurity", "name": "trivy",
                                      "version": "0.66.0"}]},
            "component": {
                "bom-ref": f"pkg:oci/llama@{digest.replace(':', '%3A')}?arch=amd64&repository_url=registry.example",
                "type": "container",
                "name": REPOSITORY,
                "purl": f"pkg:oci/llama@{digest.replace(':', '%3A')}?arch=amd64&repository_url=registry.example",
                "properties": [
                    {"name": "aquasecurity:trivy:ImageID", "value": OTHER_DIGEST[:-1] + "0"},
                    {"name": "aquasecurity:trivy:RepoDigest", "value": f"{REPOSITORY}@{digest}"},
                ],
            },
        },
        "components": [
            {
                "bom-ref": OPENSSL,
                "type": "library",
                "name": "openssl",
                "version": "3.0.13-0ubuntu3.4",
                "purl": OPENSSL,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        ] if components else [],
        "vulnerabilities": list(vulnerabilities),
    }  # fmt: skip


def sarif(digest: str = DIGEST) -> dict[str, Any]:
    """A log as `trivy image --format sarif` 0.66 writes it."""
    return {
        "version": "2.1.0",
        "$schema": "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "fullName": "Trivy Vulnerability Scanner",
                        "informationUri": "https://github.com/aquasecurity/trivy",
                        "name": "Trivy",
                        "version": "0.66.0",
                        "rules": [
                            {
                                "id": "CVE-2026-1234",
                                "name": "OsPackageVulnerability",
                                "shortDescription": {"text": "openssl: something that should not happen"},
                                "defaultConfiguration": {"level": "error"},
                                "properties": {
                                    "precision": "very-high",
                                    "security-severity": "9.8",
                                    "tags": ["CRITICAL"],
                                },
                            },
                            {"id": "X-1", "properties": {"security-severity": "5.0"}},
                        ],
                    }
                },
                "results": [
                    {
                        "ruleId": "CVE-2026-1234",
                        "ruleIndex": 0,
                        "level": "error",
                        "message": {
                            "text": "Package: openssl\nInstalled Version: 3.0.13-0ubuntu3.4\n"
                            "Vulnerability CVE-2026-1234\n"
                            "Severity: CRITICAL\nFixed Version: 3.0.13-0ubuntu3.5\nLink: [CVE-2026-1234](https://avd)"
                        },
                    },
                    {"ruleId": "X-1", "level": "warning", "message": {"text": "of another tool"}},
                    {"ruleId": "X-2", "level": "error"},
                ],
                "columnKind": "utf16CodeUnits",
                "properties": {"imageName": REPOSITORY, "repoDigests": [f"{REPOSITORY}@{digest}"], "repoTags": None},
            }
        ],
    }


def openvex_statement(
    status: str = "not_affected", *, vulnerability: str = "CVE-2026-1234", product: str = "",
    subcomponents: tuple[str, ...] = (), **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """A statement as vexctl 0.3 writes it."""
    product = product or f"pkg:oci/llama@{DIGEST.replace(':', '%3A')}?repository_url=registry.example%2Fnim%2Fmeta"
    named: dict[str, Any] = {"@id": product}
    if subcomponents:
        named["subcomponents"] = [{"@id": each} for each in subcomponents]
    return {
        "vulnerability": {"name": vulnerability},
        "timestamp": "2026-11-19T11:00:00.500000000+01:00",
        "products": [named],
        "status": status,
        **({"justification": "vulnerable_code_not_in_execute_path"} if status == "not_affected" else {}),
        **changes,
    }


def openvex(*statements: Mapping[str, Any], author: str = "Product Security") -> dict[str, Any]:
    """A document as vexctl 0.3 writes it."""
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://openvex.dev/docs/public/vex-7f0e",
        "author": author,
        "timestamp": "2026-11-19T10:00:00Z",
        "version": 1,
        "statements": list(statements) or [openvex_statement()],
    }


def intoto_vulns() -> dict[str, Any]:
    """A predicate `https://in-toto.io/attestation/vulns/v0.1`."""
    return {
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@244fd47e07d1004f0aed9c",
            "version": "0.66.0",
            "db": {"uri": "pkg:github/aquasecurity/trivy-db@x", "version": "2", "lastUpdate": "2026-11-18T06:00:00Z"},
            "result": [
                {"id": "CVE-2026-1234", "severity": [{"method": "nvd", "score": "MEDIUM"},
                                                     {"method": "CVSS_V3", "score": "9.8"}]},
                {"id": "CVE-2026-1", "severity": None},
            ],
        },
        "metadata": {"scanStartedOn": "2026-11-19T10:00:00Z", "scanFinishedOn": "2026-11-19T10:00:05Z"},
    }  # fmt: skip


def benchmark(*results: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Results in Modelyard's form."""
    return {
        "benchmark": 1,
        "image": f"{REPOSITORY}@{DIGEST}",
        "measured_at": "2026-11-19T10:00:00Z",
        "hardware": {"accelerator": "NVIDIA H100 80GB HBM3", "count": 2, "driver": "580.95.05"},
        "runtime": {"name": "vllm", "version": "0.10.1", "arguments": ["--tensor-parallel-size", "2"]},
        "tool": {"name": "vllm bench serve", "version": "0.10.1"},
        "results": list(results)
        or [
            {"name": "ttft_p95", "value": 0.412, "unit": "s", "better": "lower", "conditions": {"concurrency": 8}},
            {"name": "throughput", "value": 2410, "unit": "tokens/s", "better": "higher"},
        ],
        **changes,
    }


def slsa_v1() -> dict[str, Any]:
    """A predicate `https://slsa.dev/provenance/v1` as GitHub's generator writes it."""
    return {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"repository": "https://github.com/example/llama"}},
            "resolvedDependencies": [
                {"uri": "git+https://github.com/example/llama@refs/heads/main", "digest": {"gitCommit": "ab" * 20}}
            ],
        },
        "runDetails": {
            "builder": {"id": "https://github.com/example/llama/.github/workflows/release.yml@refs/heads/main"},
            "metadata": {"invocationId": "https://github.com/example/llama/actions/runs/1",
                         "finishedOn": "2026-11-19T09:00:00Z"},
        },
    }  # fmt: skip


def slsa_v02() -> dict[str, Any]:
    """A predicate `https://slsa.dev/provenance/v0.2` as BuildKit 0.23 writes it with `mode=min`."""
    return {
        "builder": {"id": ""},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": [{"uri": "pkg:docker/ubuntu@24.04?platform=linux%2Famd64", "digest": {"sha256": "ab" * 32}}],
        "invocation": {"configSource": {"entryPoint": "Dockerfile"}, "environment": {"platform": "linux/amd64"}},
        "metadata": {"buildStartedOn": "2026-11-19T08:50:00Z", "buildFinishedOn": "2026-11-19T09:00:00Z"},
    }
