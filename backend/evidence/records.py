"""A piece of evidence on a digest, as it is collected, stored and judged.

What gates find in `EvidenceRecord.payload`, by kind; a key that is not there was not told. Every kind has the states
`read`, `invalid` (about another digest, or broken), `unchecked` (could not be fetched or read; `summary` says why) and
`none` (looked for, not there), unless others are named. Times are RFC 3339.

- signature (verified, invalid, present, none, unchecked): `signatures` [{state, scheme, reason, key_name, key}],
  `failures` [text], `tried` [fingerprint of each key or keyless identity of policy that was tried].
- vulnerabilities: `counts` {severity: findings}, `fixable` {severity: findings that a newer version mends}, `targets`
  (package lists that were looked at; 0: it says nothing), `scanner` {name, version}, and, added when it is read from
  the database, `vex`: what overlays say of its findings, [{id, severity, count, said: [{by (vex record), key (empty:
  unsigned), status}]}]. `backend.evidence.vex.excused` counts those that need not be minded, waived ones left out.
- vex: `author`, `statuses` {status: statements}. The statements are kept apart and applied to reports.
- sbom: `packages` (how many), `format`, `ecosystems` {purl type: packages}.
- licence: `declared` and `packages` [{expression, tree, recognised, count}], `left_out`, `without`.
- weights (fixed, not fixed): `fixed_by` (image, modelpack, storage-uri, nim-profile or empty), `name` (what names them:
  `hf://org/model@revision`, a digest, a profile; or empty), `kind`, `framework`.
- benchmark: `metrics` {name: the newest result of it}, `results` [{name, value, unit, better (lower, higher or empty),
  hardware, accelerators, runtime, at}], newest first.
- compliance: `labels` and `annotations` {name: text}, `base` {name, digest, told_by}, `created`, `size` (bytes),
  `users` [user of each platform, empty: none is set, which is root], `root` (whether any runs as root), `ports`
  [`8000/tcp`], `platforms` [`linux/amd64`]. `users`, `root`, `ports` and `created` are absent where no configuration
  was read.
- provenance: `attestations` [{predicate_type, builder, build_type, source, at, key (empty: not verified), fixed (part
  of the image)}].
- model-card: `where` (how it is given), `link` (an annotation's) or `digest` (a layer's).
- review: `link`, `note`.

Who stands for a record: `key` (a key or keyless identity of policy verified it) or the origin `image` (the digest fixes
it). Records of origin `handed in` and `scanned` are asserted by who handed them in or ran the scanner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from backend.core.canonical import hash_of
from backend.core.ports import timestamp
from backend.core.views import EvidenceView, FindingView, PackageView


class EvidenceKind(StrEnum):
    """What a piece of evidence is about."""

    SIGNATURE = "signature"
    VULNERABILITIES = "vulnerabilities"
    SBOM = "sbom"
    LICENCE = "licence"
    WEIGHTS = "weights"
    VEX = "vex"
    BENCHMARK = "benchmark"
    COMPLIANCE = "compliance"
    PROVENANCE = "provenance"
    MODEL_CARD = "model-card"
    REVIEW = "review"


class Origin(StrEnum):
    """How evidence came in. `image` is what the digest itself fixes: nobody can have changed it since."""

    REGISTRY = "registry"
    HANDED_IN = "handed in"
    SCANNED = "scanned"
    IMAGE = "image"


class Severity(StrEnum):
    """How bad a vulnerability is, in its scanner's view, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


#: Of evidence that a report or document was read for.
READ: Final = "read"
#: Of evidence that is there and is not what it claims: about another digest, or a broken envelope.
INVALID: Final = "invalid"
#: Of evidence that could not be fetched or read; the summary says why. Never the same as `none`.
UNCHECKED: Final = "unchecked"
#: Of evidence that was looked for and is not there.
NONE: Final = "none"

_SEVERITY_RANK: Final = {severity.value: rank for rank, severity in enumerate(Severity)}


class Finding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A vulnerability of a package. Empty text: the report does not tell. `purl` by the package-url specification.

    `vex` is what overlays say of it; it is told when a report is read from the database, and no part of the report.
    """

    id: str
    severity: str
    package: str
    version: str = ""
    fixed: str = ""
    title: str = ""
    purl: str = ""
    vex: str = ""

    @property
    def told(self) -> tuple[str, ...]:
        """What the report itself says."""
        return self.id, self.severity, self.package, self.version, self.fixed, self.title, self.purl

    @property
    def key(self) -> tuple[str, str]:
        """What two reports of the same finding share: the identifier and the package."""
        return self.id, self.purl or f"{self.package}@{self.version}"


class Package(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A package of an SBOM; `licence` is an SPDX expression, or the text as found where it is none.

    `origin` is the source package that it was built from, where that has another name: openssl of libssl3.
    """

    name: str
    version: str = ""
    purl: str = ""
    licence: str = ""
    origin: str = ""

    @property
    def told(self) -> tuple[str, ...]:
        """What the SBOM says; without an origin as it was before origins were read."""
        told = (self.name, self.version, self.purl, self.licence)
        return (*told, self.origin) if self.origin else told


class VexStatement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a VEX document says of one vulnerability on this image.

    Attributes:
        vulnerability: its identifier; `aliases` are others of the same.
        status: not_affected, affected, fixed or under_investigation (OpenVEX's words).
        justification: why not affected, in the format's own word; `detail`: in free text.
        at: when it was said; None: not told.
        packages: package URLs that it is about; empty: all packages of the image.
    """

    vulnerability: str
    aliases: tuple[str, ...] = ()
    status: str
    justification: str = ""
    detail: str = ""
    at: datetime | None = None
    packages: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[Any, ...]:
        """All of it, as JSON can hold it."""
        at = timestamp(self.at) if self.at else None
        return (
            self.vulnerability, list(self.aliases), self.status, self.justification, self.detail, at,
            list(self.packages),
        )  # fmt: skip


class EvidenceRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A piece of evidence on one digest.

    Attributes:
        state: the kind's own word: for signatures verified, invalid, present, none or unchecked; for weights fixed or
            not fixed; else read, invalid, none or unchecked.
        summary: what it says, in a clause.
        source: who made it and how sure that is ("Trivy 0.65.0, attested, verified by key platform").
        asserted_by: the person who handed it in; empty when it came with the image.
        key: fingerprint of the configured key that signed it; empty when no signature was verified.
        measured_at: when it was true at its source; None: not told.
        collected_at: when we last saw it so.
        database_at: how old a scanner's knowledge is; None: unknown.
        payload: what gates need of it, JSON.
        findings, packages, statements: all of them; empty where only the summary was loaded.
    """

    id: str
    digest: str
    kind: EvidenceKind
    origin: Origin
    state: str
    summary: str
    source: str
    asserted_by: str = ""
    key: str = ""
    measured_at: datetime | None = None
    collected_at: datetime
    database_at: datetime | None = None
    payload: dict[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    packages: tuple[Package, ...] = ()
    statements: tuple[VexStatement, ...] = ()

    @property
    def vouched(self) -> bool:
        """Whether a configured key or the digest itself stands for it, and not only whoever could write it down."""
        return bool(self.key) or self.origin is Origin.IMAGE

    def view(self, waived: Mapping[str, str] = {}) -> EvidenceView:
        """The record as it is shown; `waived` tells for a finding's identifier who waived it until when."""
        return EvidenceView(
            id=self.id,
            digest=self.digest,
            kind=self.kind.value,
            state=self.state,
            summary=self.summary,
            source=self.source,
            asserted_by=self.asserted_by,
            measured_at=self.measured_at,
            collected_at=self.collected_at,
            database_at=self.database_at,
            findings=tuple(
                FindingView(
                    id=finding.id,
                    severity=finding.severity,
                    package=finding.package,
                    version=finding.version,
                    fixed=finding.fixed,
                    title=finding.title,
                    waived=waived.get(finding.id, ""),
                    vex=finding.vex,
                )
                for finding in self.findings
            ),
            packages=tuple(
                PackageView(name=each.name, version=each.version, purl=each.purl, licence=each.licence)
                for each in self.packages
            ),
            details=self.payload,
        )


def content_hash(record: EvidenceRecord) -> str:
    """Hash over what the record says; when and under which identifier we stored it is no part of it."""
    # What kinds of evidence had from the beginning is hashed as it was then, so that a newer program finds the same.
    later = {"statements": [list(each.told) for each in record.statements]} if record.statements else {}
    return hash_of(
        {
            **later,
            "digest": record.digest,
            "kind": record.kind.value,
            "origin": record.origin.value,
            "state": record.state,
            "summary": record.summary,
            "source": record.source,
            "asserted_by": record.asserted_by,
            "key": record.key,
            "measured_at": timestamp(record.measured_at) if record.measured_at else None,
            "database_at": timestamp(record.database_at) if record.database_at else None,
            "payload": record.payload,
            "findings": [list(finding.told) for finding in record.findings],
            "packages": [list(package.told) for package in record.packages],
        }
    )


def apart(kind: EvidenceKind, source: str) -> str:
    """What makes records of one kind stand beside each other instead of the newer taking the older's place.

    VEX of different authors and benchmarks on different hardware do; their source names these.
    """
    return source if kind in {EvidenceKind.VEX, EvidenceKind.BENCHMARK} else ""


def severity_rank(severity: str) -> int:
    """0 for critical; what is no known severity ranks with `unknown`."""
    return _SEVERITY_RANK.get(severity, len(_SEVERITY_RANK) - 1)


def count_severities(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each severity; all five are named, absent ones with 0."""
    counted = Counter(finding.severity for finding in findings)
    return {severity.value: counted.get(severity.value, 0) for severity in Severity}
