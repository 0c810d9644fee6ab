"""VEX documents: what somebody says of vulnerabilities in a product.

Formats: OpenVEX 0.2.0 (and 0.0.1's products as texts), CycloneDX 1.4 to 1.6 `vulnerabilities[].analysis` (ECMA-424).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, malformed, moment
from backend.evidence.purls import names_package
from backend.evidence.records import VexStatement
from backend.evidence.reports.common import About, digests_in
from backend.evidence.reports.cyclonedx import Bom, Metadata, Vulnerability, component_of

#: Predicate types of attested VEX, without `https://` in front; a version may follow.
OPENVEX_PREDICATE: Final = "openvex.dev/ns"

NOT_AFFECTED: Final = "not_affected"
AFFECTED: Final = "affected"
FIXED: Final = "fixed"
UNDER_INVESTIGATION: Final = "under_investigation"
_STATUSES: Final = frozenset({NOT_AFFECTED, AFFECTED, FIXED, UNDER_INVESTIGATION})
# CycloneDX's impact analysis states as OpenVEX's statuses.
_STATES: Final = {
    "not_affected": NOT_AFFECTED,
    "false_positive": NOT_AFFECTED,
    "resolved": FIXED,
    "resolved_with_pedigree": FIXED,
    "exploitable": AFFECTED,
    "in_triage": UNDER_INVESTIGATION,
}


class VexDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says of the image that was asked for; `at` is when, None: not told."""

    author: str
    at: datetime | None
    statements: tuple[VexStatement, ...]


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str | None = msgspec.field(name="@id", default=None)
    name: str | None = None
    aliases: list[str] | None = None


class _Component(msgspec.Struct, frozen=True):
    id: str | None = msgspec.field(name="@id", default=None)
    identifiers: dict[str, str] | None = None
    hashes: dict[str, str] | None = None

    @property
    def texts(self) -> list[str]:
        """All that names it, hashes as digests."""
        hashed = [f"sha256:{value}" for name, value in (self.hashes or {}).items() if name == "sha-256"]
        return [text for text in (self.id, *(self.identifiers or {}).values(), *hashed) if text]


class _Product(_Component, frozen=True):
    subcomponents: list[_Component] | None = None


class _Statement(msgspec.Struct, frozen=True):
    vulnerability: _Vulnerability | str
    status: str
    products: list[_Product | str] | None = None
    justification: str | None = None
    impact_statement: str | None = None
    action_statement: str | None = None
    timestamp: str | None = None


class _Document(msgspec.Struct, frozen=True):
    context: str = msgspec.field(name="@context")
    statements: list[_Statement]
    author: str | None = None
    timestamp: str | None = None
    last_updated: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Document)


def read_openvex(data: bytes, about: About) -> VexDocument:
    """Read an OpenVEX document, and of it what is about the image.

    A product that names a digest has to name the image's. One that names a package and no digest is about that package
    wherever it is, so about this image as far as it holds the package.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is no OpenVEX, has an unknown status, or names other digests only.
    """
    document = decode(data, _DECODER, about.what, REPORT_LIMIT)
    if "openvex.dev/ns" not in document.context:
        raise malformed(about.what, f"its context is {clean(document.context, 80)!r}, not OpenVEX's")
    check_count(len(document.statements), about.what, "statements")
    at = moment(document.last_updated) or moment(document.timestamp)
    statements = [each for told in document.statements for each in _of_statement(told, at, about)]
    if not statements and document.statements:
        others = digests_in(
            text for told in document.statements for each in told.products or () for text in _texts(each)
        )
        named = f"{', '.join(sorted(others)[:3])}, not about {about.digest}" if others else "no product that is known"
        raise malformed(about.what, f"it is about {named}")
    return VexDocument(author=clean(document.author, 200), at=at, statements=_latest(statements))


def _of_statement(told: _Statement, at: datetime | None, about: About) -> Iterator[VexStatement]:
    if told.status not in _STATUSES:
        raise malformed(about.what, f"it gives the status {clean(told.status, 40)!r}, which OpenVEX does not know")
    named = told.vulnerability
    names = [named] if isinstance(named, str) else [named.name or named.id or "", *(named.aliases or ())]
    applies, packages = _applied(told.products or (), about)
    if not applies or not names[0]:
        return
    yield VexStatement(
        vulnerability=clean(names[0].rpartition("/")[2], 200),
        aliases=tuple(clean(each, 200) for each in names[1:20]),
        status=told.status,
        justification=clean(told.justification, 100),
        detail=clean(told.impact_statement or told.action_statement, 500),
        at=moment(told.timestamp) or at,
        packages=packages,
    )


def _applied(products: Iterable[_Product | str], about: About) -> tuple[bool, tuple[str, ...]]:
    """Whether products mean the image, and which of its packages; none: all of them."""
    packages: list[str] = []
    whole = applies = False
    for product in products:
        texts = _texts(product)
        digests = digests_in(texts)
        inner = _packages_in(product.subcomponents or ()) if isinstance(product, _Product) else []
        own = [text for text in texts if names_package(text)]
        if digests:
            if about.digest not in digests and not digests & about.also:
                continue
        elif not own and not about.attested:
            continue
        applies = True
        packages += inner or ([] if digests else own)
        whole = whole or not (inner or (own and not digests))
    if about.attested and not applies and not products:
        return True, ()
    return applies, () if whole else tuple(dict.fromkeys(packages))


def _texts(product: _Product | str) -> list[str]:
    return [product] if isinstance(product, str) else product.texts


def _packages_in(components: Iterable[_Component]) -> list[str]:
    return [clean(text, 500) for each in components for text in each.texts if names_package(text)]


def _latest(statements: Iterable[VexStatement]) -> tuple[VexStatement, ...]:
    # A later statement on the same vulnerability and packages takes an earlier one's place (OpenVEX, "Inheritance").
    kept: dict[tuple[str, tuple[str, ...]], VexStatement] = {}
    for each in statements:
        known = kept.get((each.vulnerability, each.packages))
        if known is None or _time(each) >= _time(known):
            kept[each.vulnerability, each.packages] = each
    return tuple(kept.values())


def _time(statement: VexStatement) -> float:
    return statement.at.timestamp() if statement.at else 0.0


def of_bom(bom: Bom) -> VexDocument | None:
    """What the analyses of a CycloneDX document say; None: there are none. The caller checked what it is about."""
    metadata = bom.metadata or Metadata()
    at = moment(metadata.timestamp)
    known = bom.packages()
    statements = []
    for entry in bom.vulnerabilities or ():
        status = _STATES.get((entry.analysis.state or "") if entry.analysis else "")
        if status is None or entry.analysis is None or not entry.id:
            continue
        affected = [each.ref for each in entry.affects or ()]
        packages = [component.purl for ref in affected if (component := component_of(ref, known)) and component.purl]
        packages += [ref for ref in affected if ref not in known and names_package(ref)]
        statements.append(
            VexStatement(
                vulnerability=clean(entry.id, 200),
                aliases=_aliases(entry),
                status=status,
                justification=clean(entry.analysis.justification, 100),
                detail=clean(entry.analysis.detail, 500),
                at=moment(entry.updated) or at,
                packages=tuple(dict.fromkeys(clean(each, 500) for each in packages)),
            )
        )
    if not statements:
        return None
    authors = [each.name for each in (*(metadata.authors or ()), metadata.supplier) if each and each.name]
    return VexDocument(author=clean(", ".join(authors[:3]), 200), at=at, statements=_latest(statements))


def _aliases(entry: Vulnerability) -> tuple[str, ...]:
    return tuple(clean(each.id, 200) for each in (entry.references or ())[:20] if each.id)
