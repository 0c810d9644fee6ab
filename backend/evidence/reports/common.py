"""What all readers of vulnerability reports share.

A report is about a digest, never about a tag, and a report that looked at nothing is not a report of no findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from urllib.parse import unquote

import msgspec

from backend.core.references import is_digest
from backend.evidence.decoding import malformed
from backend.evidence.records import Finding, Severity, count_severities, severity_rank

_DIGEST_IN_TEXT: Final = re.compile(r"sha256:[0-9a-f]{64}(?![0-9a-f])")
_SEVERITIES: Final = {
    **{severity.value: severity.value for severity in Severity},
    # Debian's and Harbor's words below low, and CVSS 3's, CycloneDX's and SARIF's for what has no weight.
    "negligible": Severity.LOW.value,
    "info": Severity.LOW.value,
    "none": Severity.LOW.value,
    # SARIF's levels; Red Hat's and GitHub's words.
    "error": Severity.HIGH.value,
    "important": Severity.HIGH.value,
    "moderate": Severity.MEDIUM.value,
    "warning": Severity.MEDIUM.value,
    "note": Severity.LOW.value,
}


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a report should be about.

    Attributes:
        digest: of the image.
        also: digests that count as this image, such as an index's children.
        attested: something around the report names the digest already (a signed statement, a registry that was asked
            for this digest), so that the report itself need not.
        what: what is read, for errors.
    """

    digest: str
    also: frozenset[str] = frozenset()
    attested: bool = False
    what: str = "vulnerability report"

    def check(self, named: Iterable[str], where: str) -> None:
        """Make sure that a report is about the image.

        Args:
            named: texts that may hold digests which the report says it is about.
            where: the report's field that should name it, for the error.

        Raises:
            MalformedDataError: it is about another digest, or about none and needs to be.
        """
        digests = digests_in(named)
        if not digests and self.attested:
            return
        if not digests:
            raise malformed(
                self.what, f"it names no digest ({where}), so it is not known what it is about: scan by digest"
            )
        if self.digest not in digests and not digests & self.also:
            raise malformed(self.what, f"it is about {', '.join(sorted(digests)[:3])}, not about {self.digest}")


class VulnerabilityReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a scanner found in one digest.

    Attributes:
        program, version: of the scanner, as far as told.
        created_at: when the scan ended; None: not told.
        database_at: how old the scanner's knowledge is; None: unknown.
        targets: how many package lists the scanner looked at. With none the report says nothing.
        findings: one a vulnerability and package, worst first.
    """

    digest: str
    program: str
    version: str = ""
    created_at: datetime | None
    database_at: datetime | None
    targets: int
    findings: tuple[Finding, ...]

    @property
    def scanner(self) -> str:
        """Name and version."""
        return f"{self.program} {self.version}" if self.version else f"{self.program}, version not told"

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        return count_severities(self.findings)

    @property
    def fixable(self) -> dict[str, int]:
        """How many of them a newer version of the package mends."""
        return count_severities(finding for finding in self.findings if finding.fixed)


def digests_in(texts: Iterable[str]) -> frozenset[str]:
    """The SHA-256 digests that occur in texts, percent-encoded as in package URLs or not."""
    found: set[str] = set()
    for text in texts:
        if is_digest(text):
            found.add(text)
        elif "sha256" in text:
            found.update(_DIGEST_IN_TEXT.findall(unquote(text[:4096])))
    return frozenset(found)


def severity_of(text: str | None) -> str:
    """A scanner's word for a severity as ours; `unknown` for what is none."""
    return _SEVERITIES.get((text or "").lower(), Severity.UNKNOWN.value)


def severity_of_score(score: float) -> str:
    """The severity of a CVSS score (CVSS 3.1, "Qualitative Severity Rating Scale")."""
    for least, severity in ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM)):
        if score >= least:
            return severity.value
    return Severity.LOW.value


def deduplicated(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each vulnerability of a package once, at its worst, worst first."""
    worst: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        known = worst.get(finding.key)
        if known is None or severity_rank(finding.severity) < severity_rank(known.severity):
            worst[finding.key] = finding
    return tuple(
        sorted(worst.values(), key=lambda each: (severity_rank(each.severity), each.id, each.package, each.purl))
    )
