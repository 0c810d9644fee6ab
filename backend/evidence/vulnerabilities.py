"""Vulnerability reports: Trivy's JSON, and the cosign vulnerability attestation around it.

Formats: Trivy JSON report, schema version 2; "Cosign Vulnerability Scan Record Attestation" and in-toto's `vulns`.
A report is about a digest, never about a tag, and a report that looked at nothing is not a report of no findings.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from backend.core.references import is_digest
from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, is_given, malformed, moment
from backend.evidence.records import Finding, Severity, count_severities, severity_rank

#: Predicate types that wrap a scanner's report, without `https://` in front.
VULNERABILITY_PREDICATES: Final = frozenset(
    {
        "cosign.sigstore.dev/attestation/vuln/v1",
        "in-toto.io/attestation/vulns",
        "in-toto.io/attestation/vulns/v0.1",
        "in-toto.io/attestation/vulns/v0.2",
    }
)
_SEVERITIES: Final = frozenset(severity.value for severity in Severity)
_TRIVY_SCHEMA: Final = 2


class VulnerabilityReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a scanner found in one digest.

    Attributes:
        scanner: name and version, as far as told.
        created_at: when the scan ended; None: not told.
        database_at: how old the scanner's knowledge is; None: unknown.
        targets: how many package lists the scanner looked at. With none the report says nothing.
        findings: one a vulnerability and package, worst first.
    """

    digest: str
    scanner: str
    created_at: datetime | None
    database_at: datetime | None
    targets: int
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        return count_severities(self.findings)


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


class _TrivyReport(msgspec.Struct, frozen=True, rename="pascal"):
    schema_version: int
    artifact_name: str
    created_at: str | None = None
    metadata: _Metadata | None = None
    results: list[_Result] | None = None
    trivy: _Program | None = None


class _Database(msgspec.Struct, frozen=True, rename="camel"):
    last_update: str | None = None


class _Scanner(msgspec.Struct, frozen=True):
    uri: str | None = None
    version: str | None = None
    db: _Database | None = None
    result: msgspec.Raw = msgspec.Raw()


class _ScanMetadata(msgspec.Struct, frozen=True, rename="camel"):
    scan_finished_on: str | None = None


class _Predicate(msgspec.Struct, frozen=True):
    scanner: _Scanner | None = None
    scanners: list[_Scanner] | None = None
    metadata: _ScanMetadata | None = None


class _Shape(msgspec.Struct, frozen=True):
    """Enough of a document to tell which format it is."""

    schema_version: msgspec.Raw = msgspec.field(name="SchemaVersion", default=msgspec.Raw())
    scanner: msgspec.Raw = msgspec.Raw()
    scanners: msgspec.Raw = msgspec.Raw()


_TRIVY_DECODER: Final = msgspec.json.Decoder(_TrivyReport)
_PREDICATE_DECODER: Final = msgspec.json.Decoder(_Predicate)
_SHAPE_DECODER: Final = msgspec.json.Decoder(_Shape)


def read_report(
    data: bytes, *, digest: str, also: Iterable[str] = (), attested: bool = False, what: str = "vulnerability report"
) -> VulnerabilityReport:
    """Read a report on an image: Trivy's own, or a cosign vulnerability predicate around it.

    Args:
        data: JSON, at most 200 MiB.
        digest: of the image that it should be about.
        also: digests that count as this image, such as an index's children.
        attested: a statement around the report names the digest already, so that the report need not.
        what: what is read, for errors.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is neither format, or about another digest or none.
    """
    shape = decode(data, _SHAPE_DECODER, what, REPORT_LIMIT)
    if is_given(shape.schema_version):
        report = _read_trivy(data, digest=digest, also=frozenset(also), attested=attested, what=what)
    elif is_given(shape.scanner) or is_given(shape.scanners):
        report = _read_predicate(data, digest=digest, also=frozenset(also), attested=attested, what=what)
    else:
        raise malformed(what, "it is neither a Trivy report (schema version 2) nor a vulnerability attestation")
    return report


def _read_trivy(data: bytes, *, digest: str, also: frozenset[str], attested: bool, what: str) -> VulnerabilityReport:
    report = decode(data, _TRIVY_DECODER, what, REPORT_LIMIT)
    if report.schema_version != _TRIVY_SCHEMA:
        raise malformed(what, f"it has Trivy's schema version {report.schema_version}; {_TRIVY_SCHEMA} is read")
    _check_binding(report.metadata, digest=digest, also=also, attested=attested, what=what)
    results = [result for result in report.results or () if result.looked_at]
    check_count(sum(len(result.vulnerabilities or ()) for result in results), what, "findings")
    version = clean(report.trivy.version if report.trivy else None, 80)
    return VulnerabilityReport(
        digest=digest,
        scanner=f"Trivy {version}" if version else "Trivy, version not told",
        created_at=moment(report.created_at),
        database_at=None,
        targets=len(results),
        findings=_deduplicated(
            _finding(vulnerability) for result in results for vulnerability in result.vulnerabilities or ()
        ),
    )


def _read_predicate(
    data: bytes, *, digest: str, also: frozenset[str], attested: bool, what: str
) -> VulnerabilityReport:
    predicate = decode(data, _PREDICATE_DECODER, what, REPORT_LIMIT)
    scanners = [*(predicate.scanners or ()), *([predicate.scanner] if predicate.scanner else [])]
    reports = [
        _of_scanner(scanner, digest=digest, also=also, attested=attested, what=what)
        for scanner in scanners
        if is_given(scanner.result)
    ]
    if not reports:
        raise malformed(what, "no scanner in it gives a result")
    finished = moment(predicate.metadata.scan_finished_on if predicate.metadata else None)
    # The oldest time of several is the one that everything in the report is true at.
    created = min((report.created_at for report in reports if report.created_at), default=None)
    databases = [report.database_at for report in reports]
    findings = [finding for report in reports for finding in report.findings]
    check_count(len(findings), what, "findings")
    return VulnerabilityReport(
        digest=digest,
        scanner=" and ".join(report.scanner for report in reports),
        created_at=finished or created,
        database_at=None if None in databases else min(time for time in databases if time is not None),
        targets=sum(report.targets for report in reports),
        findings=_deduplicated(findings),
    )


def _of_scanner(
    scanner: _Scanner, *, digest: str, also: frozenset[str], attested: bool, what: str
) -> VulnerabilityReport:
    report = _read_trivy(bytes(scanner.result), digest=digest, also=also, attested=attested, what=f"result in {what}")
    told = clean(scanner.version, 80)
    return VulnerabilityReport(
        digest=digest,
        scanner=f"Trivy {told}" if told else report.scanner,
        created_at=report.created_at,
        database_at=moment(scanner.db.last_update if scanner.db else None),
        targets=report.targets,
        findings=report.findings,
    )


def _check_binding(metadata: _Metadata | None, *, digest: str, also: frozenset[str], attested: bool, what: str) -> None:
    named = [text.rpartition("@")[2] for text in (metadata.repo_digests if metadata else None) or ()]
    digests = {text for text in named if is_digest(text)}
    if not digests and attested:
        return
    if not digests:
        raise malformed(
            what, "it names no digest (Metadata.RepoDigests), so it is not known what it is about: scan by digest"
        )
    if digest not in digests and not digests & also:
        raise malformed(what, f"it is about {', '.join(sorted(digests)[:3])}, not about {digest}")


def _finding(vulnerability: _Vulnerability) -> Finding:
    severity = (vulnerability.severity or "").lower()
    return Finding(
        id=clean(vulnerability.vulnerability_id, 200),
        severity=severity if severity in _SEVERITIES else Severity.UNKNOWN.value,
        package=clean(vulnerability.pkg_name, 300),
        version=clean(vulnerability.installed_version, 200),
        fixed=clean(vulnerability.fixed_version, 300),
        title=clean(vulnerability.title, 500),
        purl=clean(vulnerability.pkg_identifier.purl if vulnerability.pkg_identifier else None, 500),
    )


def _deduplicated(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    worst: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        known = worst.get(finding.key)
        if known is None or severity_rank(finding.severity) < severity_rank(known.severity):
            worst[finding.key] = finding
    return tuple(
        sorted(worst.values(), key=lambda each: (severity_rank(each.severity), each.id, each.package, each.purl))
    )
