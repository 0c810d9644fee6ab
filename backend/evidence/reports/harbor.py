"""Harbor's reports: what its API answers for an artifact's vulnerabilities (Harbor 2.0 to 2.14).

`GET /api/v2.0/projects/P/repositories/R/artifacts/DIGEST/additions/vulnerabilities` answers a table whose key is the
report's media type. The answer does not name the digest that it was asked for; entries may, in `artifact_digests`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, is_given, malformed, moment
from backend.evidence.records import Finding
from backend.evidence.reports.common import About, VulnerabilityReport, deduplicated, severity_of

#: Media types of a report, the newer one first.
MEDIA_TYPES: Final = (
    "application/vnd.security.vulnerability.report; version=1.1",
    "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0",
)


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str
    package: str | None = None
    version: str | None = None
    fix_version: str | None = None
    severity: str | None = None
    description: str | None = None
    artifact_digests: list[str] | None = None


class _Scanner(msgspec.Struct, frozen=True):
    name: str | None = None
    version: str | None = None


class _Report(msgspec.Struct, frozen=True):
    scanner: _Scanner | None = None
    generated_at: str | None = None
    vulnerabilities: list[_Vulnerability] | None = None


class _Answer(msgspec.Struct, frozen=True):
    newer: msgspec.Raw = msgspec.field(name=MEDIA_TYPES[0], default=msgspec.Raw())
    older: msgspec.Raw = msgspec.field(name=MEDIA_TYPES[1], default=msgspec.Raw())


_ANSWER_DECODER: Final = msgspec.json.Decoder(_Answer)
_DECODER: Final = msgspec.json.Decoder(_Report)


def read(data: bytes, about: About) -> VulnerabilityReport:
    """Read what the API answered.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no such answer, or about another digest or none.
    """
    answer = decode(data, _ANSWER_DECODER, about.what, REPORT_LIMIT)
    raw = answer.newer if is_given(answer.newer) else answer.older
    if not is_given(raw):
        raise malformed(about.what, "Harbor gives no vulnerability report in it: the artifact was not scanned")
    report = decode(bytes(raw), _DECODER, about.what, REPORT_LIMIT)
    vulnerabilities = report.vulnerabilities or []
    check_count(len(vulnerabilities), about.what, "findings")
    about.check((text for each in vulnerabilities for text in each.artifact_digests or ()), "artifact_digests")
    scanner = report.scanner or _Scanner()
    return VulnerabilityReport(
        digest=about.digest,
        program=f"{clean(scanner.name, 80) or 'a scanner'} in Harbor",
        version=clean(scanner.version, 80),
        created_at=moment(report.generated_at),
        database_at=None,
        targets=1,
        findings=deduplicated(map(_finding, vulnerabilities)),
    )


def _finding(vulnerability: _Vulnerability) -> Finding:
    return Finding(
        id=clean(vulnerability.id, 200),
        severity=severity_of(vulnerability.severity),
        package=clean(vulnerability.package, 300),
        version=clean(vulnerability.version, 200),
        fixed=clean(vulnerability.fix_version, 300),
        title=clean(vulnerability.description, 500),
    )
