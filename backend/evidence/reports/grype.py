"""Grype's own report: `grype -o json` (Grype 0.60 to 0.104; the database's state moved into `status` with 0.88)."""

from __future__ import annotations

from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, malformed, moment
from backend.evidence.records import Finding
from backend.evidence.reports.common import About, VulnerabilityReport, deduplicated, severity_of


class _Fix(msgspec.Struct, frozen=True):
    versions: list[str] | None = None
    state: str | None = None


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str
    severity: str | None = None
    description: str | None = None
    fix: _Fix | None = None


class _Artifact(msgspec.Struct, frozen=True):
    name: str
    version: str | None = None
    purl: str | None = None


class _Match(msgspec.Struct, frozen=True):
    vulnerability: _Vulnerability
    artifact: _Artifact


class _Target(msgspec.Struct, frozen=True, rename="camel"):
    manifest_digest: str | None = None
    repo_digests: list[str] | None = None


class _Source(msgspec.Struct, frozen=True):
    type: str | None = None
    # A folder that was scanned has its path as text here.
    target: _Target | str | None = None


class _DatabaseStatus(msgspec.Struct, frozen=True):
    built: str | None = None
    valid: bool | None = None
    error: str | None = None


class _Database(msgspec.Struct, frozen=True):
    status: _DatabaseStatus | None = None
    built: str | None = None
    error: str | None = None


class _Descriptor(msgspec.Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    timestamp: str | None = None
    db: _Database | None = None


class _Report(msgspec.Struct, frozen=True):
    matches: list[_Match] | None
    descriptor: _Descriptor
    source: _Source | None = None


_DECODER: Final = msgspec.json.Decoder(_Report)


def read(data: bytes, about: About) -> VulnerabilityReport:
    """Read a report.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no such report, was made with a broken database, or is about another digest or none.
    """
    report = decode(data, _DECODER, about.what, REPORT_LIMIT)
    target = report.source.target if report.source else None
    if isinstance(target, _Target):
        about.check([target.manifest_digest or "", *(target.repo_digests or ())], "source.target.repoDigests")
    else:
        about.check((), "source.target.repoDigests")
    matches = report.matches or []
    check_count(len(matches), about.what, "findings")
    database = report.descriptor.db or _Database()
    status = database.status or _DatabaseStatus(built=database.built, error=database.error)
    if status.error or status.valid is False:
        raise malformed(about.what, f"it was made with a broken database: {clean(status.error, 200) or 'not valid'}")
    return VulnerabilityReport(
        digest=about.digest,
        program="Grype",
        version=clean(report.descriptor.version, 80),
        created_at=moment(report.descriptor.timestamp),
        database_at=moment(status.built),
        # Grype does not tell what it looked at; without matches it may have found nothing to look at, or no faults.
        targets=1,
        findings=deduplicated(map(_finding, matches)),
    )


def _finding(match: _Match) -> Finding:
    fix = match.vulnerability.fix or _Fix()
    return Finding(
        id=clean(match.vulnerability.id, 200),
        severity=severity_of(match.vulnerability.severity),
        package=clean(match.artifact.name, 300),
        version=clean(match.artifact.version, 200),
        fixed=clean(", ".join((fix.versions or ())[:10]), 300),
        title=clean(match.vulnerability.description, 500),
        purl=clean(match.artifact.purl, 500),
    )
