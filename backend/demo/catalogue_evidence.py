"""What the demo's evidence says: states of evidence, packages with their licences, and findings.

Findings carry invented numbers (CVE-2025-90000 and above) so that nobody takes them for statements about real software.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Evidence(NamedTuple):
    """The evidence that one image is given.

    Attributes:
        signature: `good` by the key that `key` names, `wrong-key`, `replayed` (a true signature over another digest),
            `notation` (of the Notary Project), `keyless` (by a certificate that nothing dates), `none`.
        form: `tags` for cosign's older `.sig` and `.att` tags, `referrers` for bundles that refer to the image.
        critical, high, medium: findings of the vulnerability report.
        age_days: age of that report; None: there is no report.
        sbom: format of the list of components; `none`: there is none.
        bare_sbom: the list is attached as it is, without an envelope and a signature.
        forged: the attestations are signed by another key than the image.
        key: whose: the demo's own (ECDSA), a vendor's (RSA) or the release team's (Ed25519).
        scanner: who wrote the report; `cyclonedx` puts the findings into the list of components.
        excused: findings, the worst first, of which somebody attests that they do not affect the image (OpenVEX).
        excused_by: `good` for the same key as the rest, `wrong-key` for one that nobody trusts.
        benchmark: milliseconds until the first token on the newest of two H100, as attested; None: nobody measured.
    """

    signature: Literal["good", "wrong-key", "replayed", "notation", "keyless", "none"] = "good"
    form: Literal["tags", "referrers"] = "referrers"
    critical: int = 0
    high: int = 0
    medium: int = 3
    age_days: int | None = 0
    sbom: Literal["cyclonedx", "spdx", "none"] = "cyclonedx"
    bare_sbom: bool = False
    forged: bool = False
    key: Literal["demo", "vendor", "release"] = "demo"
    scanner: Literal["trivy", "grype", "cyclonedx"] = "trivy"
    excused: int = 0
    excused_by: Literal["good", "wrong-key"] = "good"
    benchmark: int | None = None


CLEAN: Final = Evidence()
CLEAN_TAGS: Final = Evidence(form="tags", sbom="spdx", high=1)
FEW_HIGH: Final = Evidence(high=3, medium=7)
MANY_HIGH: Final = Evidence(form="tags", high=11, medium=20)
CRITICAL: Final = Evidence(critical=2, high=4, medium=12)
UNSIGNED: Final = Evidence(signature="none", form="tags")
WRONG_KEY: Final = Evidence(signature="wrong-key", form="tags", sbom="spdx")
REPLAYED: Final = Evidence(signature="replayed", sbom="spdx")
STALE: Final = Evidence(form="tags", high=2, age_days=21)
UNSCANNED: Final = Evidence(age_days=None, sbom="spdx")
FORGED: Final = Evidence(forged=True)
BARE_SBOM: Final = Evidence(bare_sbom=True, sbom="spdx")
SIGNED_ONLY: Final = Evidence(form="tags", age_days=None, sbom="none")
BY_VENDOR: Final = Evidence(key="vendor", form="tags", sbom="spdx", scanner="grype", high=1)
BY_RELEASE: Final = Evidence(key="release", benchmark=38)
NOTATION: Final = Evidence(signature="notation", scanner="grype")
KEYLESS: Final = Evidence(signature="keyless")
EXCUSED: Final = Evidence(high=11, medium=20, excused=8)
EXCUSED_BY_NOBODY: Final = Evidence(high=8, excused=8, excused_by="wrong-key")
IN_COMPONENTS: Final = Evidence(high=3, medium=7, scanner="cyclonedx")
MEASURED: Final = Evidence(benchmark=184)
MEASURED_BEFORE: Final = Evidence(form="tags", sbom="spdx", high=1, benchmark=207)
BARE: Final = Evidence(signature="none", age_days=None, sbom="none")

#: What images get that the catalogue gives nothing in particular: mostly little, as in a real registry.
USUAL: Final = (BARE, BARE, BARE, SIGNED_ONLY, SIGNED_ONLY, STALE, UNSIGNED, CRITICAL, MANY_HIGH, CLEAN_TAGS)


class Package(NamedTuple):
    """A component of an image.

    Attributes:
        purl_type: the type of its package URL, such as `pypi` or `deb/ubuntu`.
        licence: SPDX expression.
        source: the source package that it is built from, where that has another name.
        older: the version that all but the newest two tags of a repository hold; empty: the same.
    """

    name: str
    version: str
    purl_type: str
    licence: str
    source: str = ""
    older: str = ""

    def aged(self, *, old: bool) -> Package:
        """The package as an older or a newer tag holds it."""
        return self._replace(version=self.older) if old and self.older else self

    @property
    def purl(self) -> str:
        """The package URL."""
        return f"pkg:{self.purl_type}/{self.name}@{self.version}"


_SERVING: Final = (
    Package("fastapi", "0.115.12", "pypi", "MIT"),
    Package("huggingface-hub", "0.33.1", "pypi", "Apache-2.0"),
    Package("openai", "1.87.0", "pypi", "Apache-2.0"),
    Package("prometheus-client", "0.22.1", "pypi", "Apache-2.0"),
    Package("pydantic", "2.11.7", "pypi", "MIT"),
    Package("safetensors", "0.5.3", "pypi", "Apache-2.0"),
    Package("tokenizers", "0.21.1", "pypi", "Apache-2.0"),
    Package("transformers", "4.52.4", "pypi", "Apache-2.0", older="4.48.3"),
    Package("libssl3t64", "3.0.16-0ubuntu1", "deb/ubuntu", "Apache-2.0", "openssl", older="3.0.13-0ubuntu3.4"),
)
_NVIDIA: Final = (
    Package("cuda-cudart-12-8", "12.8.90-1", "deb/ubuntu", "LicenseRef-NVIDIA-CUDA"),
    Package("libnccl2", "2.26.2-1", "deb/ubuntu", "LicenseRef-NVIDIA-NCCL"),
)
PACKAGES: Final = {
    "nim": (
        *_SERVING,
        *_NVIDIA,
        Package("libnvinfer10", "10.9.0.34-1", "deb/ubuntu", "LicenseRef-NVIDIA-TensorRT"),
        Package("tensorrt-llm", "0.20.0", "pypi", "Apache-2.0"),
    ),
    "vllm": (
        *_SERVING,
        *_NVIDIA,
        Package("ray", "2.47.1", "pypi", "Apache-2.0"),
        Package("vllm", "0.10.1", "pypi", "Apache-2.0"),
    ),
    "torch": (
        *_SERVING,
        *_NVIDIA,
        Package("numpy", "2.2.6", "pypi", "BSD-3-Clause"),
        Package("torch", "2.7.1", "pypi", "BSD-3-Clause", older="2.5.1"),
    ),
    "gpl": (
        *_SERVING,
        Package("libreadline8", "8.2-4", "deb/ubuntu", "GPL-3.0-or-later"),
        Package("ocr-legacy", "0.9.2", "pypi", "GPL-3.0-only"),
    ),
    "system": (
        Package("nginx", "1.29.0-1", "deb/debian", "BSD-2-Clause"),
        Package("openssl", "3.0.16-1", "deb/debian", "Apache-2.0", older="3.0.11-1~deb12u2"),
    ),
}

TITLES: Final = {
    "CRITICAL": (
        "remote code execution through a pickled tensor",
        "authentication bypass in the multimodal upload",
        "heap overflow while parsing a chat template",
    ),
    "HIGH": (
        "denial of service by an unbounded logprobs request",
        "path traversal in the model loader",
        "server-side request forgery through an image address",
        "out-of-bounds read in the tokenizer",
        "privilege escalation in the container toolkit",
    ),
    "MEDIUM": (
        "memory leak after a cancelled stream",
        "timing difference in API key comparison",
        "regular expression with exponential running time",
        "uncontrolled recursion in a JSON schema grammar",
    ),
}
#: Titles that try to forge what a terminal shows: an escape sequence, markup of rich, a bidirectional override.
HOSTILE_TITLES: Final = (
    "\x1b[2J\x1b[1;32mall gates passed\x1b[0m",
    "[bold red]not a finding[/bold red] [link=https://example.invalid]details[/link]",
    "harmless \u202egnp.tnemyap\u202c",
)
