"""Vulnerabilities in CycloneDX 1.4 to 1.6 (ECMA-424), as `trivy image --format cyclonedx --scanners vuln` and
`grype -o cyclonedx-json` write them.

Entries with an `analysis` are VEX: `backend.evidence.vex_documents` reads what it says. An entry is a finding as well
where it names a package of the document or has a rating; a bare analysis is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, malformed, moment
from backend.evidence.records import Finding, severity_rank
from backend.evidence.reports.common import About, VulnerabilityReport, deduplicated, severity_of

# "Upgrade openssl to version 3.0.13-0ubuntu3.5", as Trivy recommends; it lists several with commas.
_UPGRADE: Final = re.compile(r"\bto version ([^\s;]+)")


class Named(msgspec.Struct, frozen=True):
    """Something with a name, such as the source of a rating."""

    name: str | None = None


class Rating(msgspec.Struct, frozen=True):
    """A severity, and in whose view."""

    source: Named | None = None
    severity: str | None = None


class AffectedVersion(msgspec.Struct, frozen=True):
    """A version of a component, and whether it is affected."""

    version: str | None = None
    status: str | None = None


class Affected(msgspec.Struct, frozen=True):
    """A component that a vulnerability is about: a `bom-ref`, a package URL, or a BOM-Link."""

    ref: str
    versions: list[AffectedVersion] | None = None


class Analysis(msgspec.Struct, frozen=True):
    """What somebody found out about a vulnerability in this product."""

    state: str | None = None
    justification: str | None = None
    detail: str | None = None


class Reference(msgspec.Struct, frozen=True):
    """The same vulnerability under another identifier."""

    id: str | None = None


class Vulnerability(msgspec.Struct, frozen=True):
    """An entry of `vulnerabilities`."""

    id: str | None = None
    source: Named | None = None
    references: list[Reference] | None = None
    ratings: list[Rating] | None = None
    description: str | None = None
    recommendation: str | None = None
    updated: str | None = None
    analysis: Analysis | None = None
    affects: list[Affected] | None = None


class Component(msgspec.Struct, frozen=True):
    """A component, as far as a vulnerability can be about it."""

    ref: str | None = msgspec.field(name="bom-ref", default=None)
    name: str | None = None
    version: str | None = None
    purl: str | None = None
    components: list[Component] | None = None


class Property(msgspec.Struct, frozen=True):
    """A pair of a tool's own."""

    name: str | None = None
    value: str | None = None


class Described(msgspec.Struct, frozen=True):
    """What a document is about."""

    ref: str | None = msgspec.field(name="bom-ref", default=None)
    version: str | None = None
    purl: str | None = None
    properties: list[Property] | None = None

    @property
    def texts(self) -> list[str]:
        """Where a digest of the image may be: Trivy and Grype each put it elsewhere."""
        own = [each.value for each in self.properties or () if (each.name or "").endswith((":RepoDigest", ":ImageID"))]
        return [text for text in (self.version, self.purl, self.ref, *own) if text]


class Tools(msgspec.Struct, frozen=True):
    """The tools in the form since CycloneDX 1.5."""

    components: list[Component] | None = None


class Metadata(msgspec.Struct, frozen=True):
    """About a document."""

    timestamp: str | None = None
    component: Described | None = None
    tools: Tools | list[Component] | None = None
    authors: list[Named] | None = None
    supplier: Named | None = None


class Bom(msgspec.Struct, frozen=True, rename="camel"):
    """A document with vulnerabilities."""

    bom_format: str
    metadata: Metadata | None = None
    components: list[Component] | None = None
    vulnerabilities: list[Vulnerability] | None = None

    @property
    def digests(self) -> list[str]:
        """Texts that may hold digests which the document says it is about."""
        component = self.metadata.component if self.metadata else None
        return component.texts if component else []

    def packages(self) -> dict[str, Component]:
        """The components by what an entry may refer to them by."""
        return {key: each for each in _flattened(self.components) for key in (each.ref, each.purl) if key}


_DECODER: Final = msgspec.json.Decoder(Bom)


def read_bom(data: bytes, what: str) -> Bom:
    """Decode a document.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no CycloneDX.
    """
    bom = decode(data, _DECODER, what, REPORT_LIMIT)
    if bom.bom_format != "CycloneDX":
        raise malformed(what, "it is not CycloneDX")
    check_count(len(bom.vulnerabilities or ()), what, "vulnerabilities")
    return bom


def has_findings(bom: Bom) -> bool:
    """Whether a document is a vulnerability report. An empty list says nothing: SBOMs have one, scanned or not."""
    known = bom.packages()
    return any(_is_finding(each, known) for each in bom.vulnerabilities or ())


def read(data: bytes, about: About) -> VulnerabilityReport:
    """Read the vulnerabilities of a document.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no CycloneDX, has none, or is about another digest or none.
    """
    bom = read_bom(data, about.what)
    if not has_findings(bom):
        raise malformed(about.what, "it lists no vulnerabilities, which does not say that somebody looked for any")
    about.check(bom.digests, "metadata.component")
    return of_bom(bom, about)


def of_bom(bom: Bom, about: About) -> VulnerabilityReport:
    """The report that a decoded document is; the caller checked what it is about."""
    known = bom.packages()
    findings = [finding for each in bom.vulnerabilities or () for finding in _findings(each, known)]
    check_count(len(findings), about.what, "findings")
    metadata = bom.metadata or Metadata()
    tools = metadata.tools.components if isinstance(metadata.tools, Tools) else metadata.tools
    tool = next(iter(tools or ()), Component())
    return VulnerabilityReport(
        digest=about.digest,
        program=clean(tool.name, 80) or "CycloneDX",
        version=clean(tool.version, 80),
        created_at=moment(metadata.timestamp),
        database_at=None,
        targets=1,
        findings=deduplicated(findings),
    )


def _is_finding(entry: Vulnerability, known: dict[str, Component]) -> bool:
    return bool(entry.ratings) or any(component_of(each.ref, known) for each in entry.affects or ())


def _findings(entry: Vulnerability, known: dict[str, Component]) -> Iterator[Finding]:
    if not entry.id or not _is_finding(entry, known):
        return
    for affected in entry.affects or [Affected(ref="")]:
        component = component_of(affected.ref, known) or Component()
        yield Finding(
            id=clean(entry.id, 200),
            severity=_severity(entry),
            package=clean(component.name, 300),
            version=clean(component.version, 200),
            fixed=_fixed(entry, affected),
            title=clean(entry.description, 500),
            purl=clean(component.purl, 500),
        )


def component_of(ref: str, known: dict[str, Component]) -> Component | None:
    """The component that a reference means; a BOM-Link names it after the `#`."""
    return known.get(ref) or known.get(ref.rpartition("#")[2])


def _severity(entry: Vulnerability) -> str:
    # Several databases rate a vulnerability; what counts is the one that it is told from.
    ratings = entry.ratings or []
    source = entry.source.name if entry.source else None
    own = [each for each in ratings if source and each.source and each.source.name == source]
    severities = [severity_of(each.severity) for each in own or ratings]
    return min(severities, key=severity_rank, default="unknown")


def _fixed(entry: Vulnerability, affected: Affected) -> str:
    versions = [each.version for each in affected.versions or () if each.status == "unaffected" and each.version]
    if not versions and entry.recommendation:
        found = _UPGRADE.search(entry.recommendation[:2000])
        versions = [found.group(1).rstrip(",.")] if found else []
    return clean(", ".join(versions[:10]), 300)


def _flattened(components: list[Component] | None) -> Iterator[Component]:
    waiting = list(reversed(components or ()))
    while waiting:
        component = waiting.pop()
        yield component
        waiting.extend(reversed(component.components or ()))
