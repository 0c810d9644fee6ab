"""Trivy's own report: `trivy image --format json`, schema version 2 (Trivy 0.20 and later)."""

from __future__ import annotations

from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, malformed, moment
from backend.evidence.records import Finding
from backend.evidence.reports.common import About, VulnerabilityReport, deduplicated, severity_of

_SCHEMA: Final = 2


class _Identifier(msgspec.Struct, frozen=True):
    purl: str | None = msgspec.field(name="PURL", default=None)


class _Vulnerability(msgspec.Struct, frozen=True, rename="pascal"):
    vulnerability_id: str = msgspec.field(name="VulnerabilityID")
    pkg_name: str
    installed_version: str | None = None
    fixed_version: str | None = None
    severity: str | None = None
    title: str | None = None
    pkg_identifier: _Identifier | None = None


class _Result(msgspec.Struct, frozen=True, rename="pascal"):
    class_: str | None = msgspec.field(name="Class", default=None)
    vulnerabilities: list[_Vulnerability] | None = None

    @property
    def looked_at(self) -> bool:
        # Trivy lists secrets, misconfigurations and licence files as results too; their class says so.
        return bool(self.vulnerabilities) or not self.class_ or self.class_ in {"os-pkgs", "lang-pkgs"}


class _Metadata(msgspec.Struct, frozen=True, rename="pascal"):
    repo_digests: list[str] | None = None


class _Program(msgspec.Struct, frozen=True, rename="pascal"):
    version: str | None = None


class _Report(msgspec.Struct, frozen=True, rename="pascal"):
    schema_version: int
    artifact_name: str
    created_at: str | None = None
    metadata: _Metadata | None = None
    results: list[_Result] | None = None
    trivy: _Program | None = None


_DECODER: Final = msgspec.json.Decoder(_Report)


def read(data: bytes, about: About) -> VulnerabilityReport:
    """Read a report.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no such report, of another schema, or about another digest or none.
    """
    report = decode(data, _DECODER, about.what, REPORT_LIMIT)
    if report.schema_version != _SCHEMA:
        raise malformed(about.what, f"it has Trivy's schema version {report.schema_version}; {_SCHEMA} is read")
    digests = (report.metadata.repo_digests if report.metadata else None) or ()
    about.check((text.rpartition("@")[2] for text in digests), "Metadata.RepoDigests")
    results = [result for result in report.results or () if result.looked_at]
    check_count(sum(len(result.vulnerabilities or ()) for result in results), about.what, "findings")
    return VulnerabilityReport(
        digest=about.digest,
        program="Trivy",
        version=clean(report.trivy.version if report.trivy else None, 80),
        created_at=moment(report.created_at),
        # Trivy's own report does not tell it.
        database_at=None,
        targets=len(results),
        findings=deduplicated(
            _finding(vulnerability) for result in results for vulnerability in result.vulnerabilities or ()
        ),
    )


def _finding(vulnerability: _Vulnerability) -> Finding:
    return Finding(
        id=clean(vulnerability.vulnerability_id, 200),
        severity=severity_of(vulnerability.severity),
        package=clean(vulnerability.pkg_name, 300),
        version=clean(vulnerability.installed_version, 200),
        fixed=clean(vulnerability.fixed_version, 300),
        title=clean(vulnerability.title, 500),
        purl=clean(vulnerability.pkg_identifier.purl if vulnerability.pkg_identifier else None, 500),
    )
