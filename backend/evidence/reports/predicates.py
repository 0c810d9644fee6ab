"""Scan records in attestations: cosign's vulnerability predicate and in-toto's `vulns`.

Formats: "Cosign Vulnerability Scan Record Attestation" (`cosign attest --type vuln`, `trivy image --format
cosign-vuln`), with `scanner` or `scanners`; in-toto attestation "Vulnerability" v0.1 and v0.2, whose result is a list
of identifiers with scores and without packages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, is_given, malformed, moment
from backend.evidence.records import Finding, severity_rank
from backend.evidence.reports.common import (
    About,
    VulnerabilityReport,
    deduplicated,
    severity_of,
    severity_of_score,
)

#: Predicate types that wrap a scanner's report, without `https://` in front.
PREDICATES: Final = frozenset(
    {
        "cosign.sigstore.dev/attestation/vuln/v1",
        "in-toto.io/attestation/vulns",
        "in-toto.io/attestation/vulns/v0.1",
        "in-toto.io/attestation/vulns/v0.2",
    }
)


class _Database(msgspec.Struct, frozen=True, rename="camel"):
    last_update: str | None = None


class _Scanner(msgspec.Struct, frozen=True):
    uri: str | None = None
    version: str | None = None
    db: _Database | None = None
    result: msgspec.Raw = msgspec.Raw()


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    scan_finished_on: str | None = None


class _Predicate(msgspec.Struct, frozen=True):
    scanner: _Scanner | None = None
    scanners: list[_Scanner] | None = None
    metadata: _Metadata | None = None


class _Score(msgspec.Struct, frozen=True):
    method: str | None = None
    score: str | float | None = None


class _Listed(msgspec.Struct, frozen=True):
    id: str
    severity: list[_Score] | None = None


_DECODER: Final = msgspec.json.Decoder(_Predicate)
_LISTED_DECODER: Final = msgspec.json.Decoder(list[_Listed])

Reader = Callable[[bytes, About], VulnerabilityReport]


def read(data: bytes, about: About, nested: Reader) -> VulnerabilityReport:
    """Read a predicate.

    Args:
        nested: reads the scanner's own report within.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: no scanner in it gives a result that is read, or one about another digest or none.
    """
    predicate = decode(data, _DECODER, about.what, REPORT_LIMIT)
    scanners = [*(predicate.scanners or ()), *([predicate.scanner] if predicate.scanner else [])]
    reports = [_of_scanner(scanner, about, nested) for scanner in scanners if is_given(scanner.result)]
    if not reports:
        raise malformed(about.what, "no scanner in it gives a result")
    finished = moment(predicate.metadata.scan_finished_on if predicate.metadata else None)
    # The oldest time of several is the one that everything in the report is true at.
    created = min((report.created_at for report in reports if report.created_at), default=None)
    databases = [report.database_at for report in reports]
    findings = [finding for report in reports for finding in report.findings]
    check_count(len(findings), about.what, "findings")
    several = len(reports) > 1
    return VulnerabilityReport(
        digest=about.digest,
        program=" and ".join(report.scanner for report in reports) if several else reports[0].program,
        version="" if several else reports[0].version,
        created_at=finished or created,
        database_at=None if None in databases else min(time for time in databases if time is not None),
        targets=sum(report.targets for report in reports),
        findings=deduplicated(findings),
    )


def _of_scanner(scanner: _Scanner, about: About, nested: Reader) -> VulnerabilityReport:
    inner = msgspec.structs.replace(about, what=f"result in {about.what}")
    result = bytes(scanner.result)
    report = _listed(scanner, result, inner) if result[:1] == b"[" else nested(result, inner)
    told = clean(scanner.version, 80)
    database = moment(scanner.db.last_update if scanner.db else None)
    return msgspec.structs.replace(report, version=told or report.version, database_at=database or report.database_at)


def _listed(scanner: _Scanner, result: bytes, about: About) -> VulnerabilityReport:
    listed = decode(result, _LISTED_DECODER, about.what, REPORT_LIMIT)
    about.check((), "nothing: the format has no place for it")
    # `pkg:github/aquasecurity/trivy@0.66.0`: the name is all that tells which scanner it was.
    name = clean(scanner.uri, 200).rpartition("/")[2].partition("@")[0]
    return VulnerabilityReport(
        digest=about.digest,
        program=name.capitalize() or "a scanner",
        created_at=None,
        database_at=None,
        targets=1,
        findings=deduplicated(
            Finding(id=clean(each.id, 200), severity=_severity(each.severity or []), package="") for each in listed
        ),
    )


def _severity(scores: list[_Score]) -> str:
    found = []
    for each in scores:
        try:
            found.append(severity_of_score(float(each.score or "")))
        except ValueError:
            found.append(severity_of(str(each.score)))
    return min(found, key=severity_rank, default="unknown")
