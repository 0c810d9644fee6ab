"""Software bills of materials: CycloneDX and SPDX, in JSON.

Formats: CycloneDX 1.2 to 1.6 (ECMA-424), SPDX 2.2 and 2.3 (ISO/IEC 5962).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final
from urllib.parse import unquote

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, check_count, clean, decode, malformed, moment
from backend.evidence.licences import all_of, read_licence
from backend.evidence.records import Package

#: Predicate types of attested SBOMs, without `https://` in front; the version of SPDX may follow.
CYCLONEDX_PREDICATE: Final = "cyclonedx.org/bom"
SPDX_PREDICATE: Final = "spdx.dev/Document"


class Sbom(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is made of.

    Attributes:
        format: with its version, such as `CycloneDX 1.6`.
        tool: what wrote it, as far as told.
        declared: licences that the document gives for the image itself, as SPDX expressions.
        packages: each once, with its licence.
        about: texts that may hold digests of the image that it describes.
    """

    format: str
    created_at: datetime | None
    tool: str
    declared: tuple[str, ...]
    packages: tuple[Package, ...]
    about: tuple[str, ...] = ()

    @property
    def ecosystems(self) -> dict[str, int]:
        """How many packages there are of each type of package URL, most first; those without one are left out."""
        types = Counter(package.purl[4:].partition("/")[0] for package in self.packages if package.purl)
        return dict(types.most_common(20))

    @property
    def licence_counts(self) -> dict[str, int]:
        """How many packages are under each licence, most first; packages without one count under the empty text."""
        return dict(Counter(package.licence for package in self.packages).most_common())


class _LicenceName(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None


class _LicenceChoice(msgspec.Struct, frozen=True):
    license: _LicenceName | None = None
    expression: str | None = None


class _Property(msgspec.Struct, frozen=True):
    name: str | None = None
    value: str | None = None


class _Component(msgspec.Struct, frozen=True):
    name: str | None = None
    version: str | None = None
    purl: str | None = None
    type: str | None = None
    licenses: list[_LicenceChoice] | None = None
    components: list[_Component] | None = None
    ref: str | None = msgspec.field(name="bom-ref", default=None)
    properties: list[_Property] | None = None

    def told(self, suffix: str) -> str:
        """The property whose name ends so; Trivy writes `aquasecurity:trivy:SrcName` and the like."""
        return next((each.value or "" for each in self.properties or () if (each.name or "").endswith(suffix)), "")


class _Tool(msgspec.Struct, frozen=True):
    name: str | None = None
    version: str | None = None


class _Tools(msgspec.Struct, frozen=True):
    components: list[_Tool] | None = None


class _BomMetadata(msgspec.Struct, frozen=True):
    timestamp: str | None = None
    component: _Component | None = None
    tools: _Tools | list[_Tool] | None = None


class _Bom(msgspec.Struct, frozen=True, rename="camel"):
    bom_format: str
    spec_version: str
    metadata: _BomMetadata | None = None
    components: list[_Component] | None = None


class _Creation(msgspec.Struct, frozen=True):
    created: str | None = None
    creators: list[str] | None = None


class _Reference(msgspec.Struct, frozen=True, rename="camel"):
    reference_type: str | None = None
    reference_locator: str | None = None


class _SpdxPackage(msgspec.Struct, frozen=True, rename="camel"):
    spdxid: str | None = msgspec.field(name="SPDXID", default=None)
    name: str | None = None
    version_info: str | None = None
    license_concluded: str | None = None
    license_declared: str | None = None
    external_refs: list[_Reference] | None = None
    source_info: str | None = None
    attribution_texts: list[str] | None = None
    primary_package_purpose: str | None = None


class _Relationship(msgspec.Struct, frozen=True, rename="camel"):
    relationship_type: str | None = None
    spdx_element_id: str | None = None
    related_spdx_element: str | None = None


class _SpdxDocument(msgspec.Struct, frozen=True, rename="camel"):
    spdx_version: str
    creation_info: _Creation | None = None
    document_describes: list[str] | None = None
    packages: list[_SpdxPackage] | None = None
    relationships: list[_Relationship] | None = None


class _Shape(msgspec.Struct, frozen=True, rename="camel"):
    bom_format: str | None = None
    spdx_version: str | None = None


_BOM_DECODER: Final = msgspec.json.Decoder(_Bom)
_SPDX_DECODER: Final = msgspec.json.Decoder(_SpdxDocument)
_SHAPE_DECODER: Final = msgspec.json.Decoder(_Shape)


def read(data: bytes, what: str = "SBOM") -> Sbom:
    """Read an SBOM.

    Args:
        data: JSON, at most 200 MiB.
        what: what is read, for errors.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is neither CycloneDX nor SPDX 2.
    """
    shape = decode(data, _SHAPE_DECODER, what, REPORT_LIMIT)
    if shape.bom_format == "CycloneDX":
        return _read_cyclonedx(decode(data, _BOM_DECODER, what, REPORT_LIMIT), what)
    if (shape.spdx_version or "").startswith("SPDX-2."):
        return _read_spdx(decode(data, _SPDX_DECODER, what, REPORT_LIMIT), what)
    raise malformed(what, "it is neither CycloneDX nor SPDX 2 in JSON")


def _read_cyclonedx(bom: _Bom, what: str) -> Sbom:
    metadata = bom.metadata or _BomMetadata()
    components = [each for each in _flattened(bom.components) if each.type != "operating-system"]
    check_count(len(components), what, "components")
    tools = metadata.tools.components if isinstance(metadata.tools, _Tools) else metadata.tools
    described = _chosen(metadata.component.licenses) if metadata.component else ""
    return Sbom(
        format=f"CycloneDX {clean(bom.spec_version, 20)}",
        created_at=moment(metadata.timestamp),
        tool=", ".join(clean(f"{tool.name or ''} {tool.version or ''}".strip(), 100) for tool in (tools or ())[:3]),
        declared=(described,) if described else (),
        packages=_distinct(
            Package(
                name=clean(component.name, 300),
                version=clean(component.version, 200),
                purl=clean(component.purl, 500),
                licence=_chosen(component.licenses),
                origin=_origin(component.name, component.told(":SrcName"), component.purl),
            )
            for component in components
        ),
        about=_described(metadata.component),
    )


def _described(component: _Component | None) -> tuple[str, ...]:
    if component is None:
        return ()
    named = (component.version, component.purl, component.ref, component.told(":RepoDigest"))
    return tuple(text for text in named if text)


def _origin(name: str | None, told: str, purl: str | None) -> str:
    # Syft tells a source package in the package URL: `pkg:deb/debian/libssl3@3.0.11?arch=amd64&upstream=openssl`.
    if not told and purl and "upstream=" in purl:
        told = unquote(purl.partition("upstream=")[2].partition("&")[0]).partition("@")[0]
    return "" if told == name else clean(told, 300)


def _flattened(components: list[_Component] | None) -> Iterator[_Component]:
    # CycloneDX nests components in components; a stack holds however deep the decoder let them be.
    waiting = list(reversed(components or ()))
    while waiting:
        component = waiting.pop()
        yield component
        waiting.extend(reversed(component.components or ()))


def _chosen(choices: list[_LicenceChoice] | None) -> str:
    named = (
        choice.expression or (choice.license and (choice.license.id or choice.license.name)) or ""
        for choice in choices or ()
    )
    together = all_of(licence for licence in map(read_licence, named) if licence)
    return together.expression if together else ""


def _read_spdx(document: _SpdxDocument, what: str) -> Sbom:
    packages = document.packages or []
    check_count(len(packages), what, "packages")
    creation = document.creation_info or _Creation()
    described = set(document.document_describes or ()) | {
        relationship.related_spdx_element or ""
        for relationship in document.relationships or ()
        if relationship.relationship_type == "DESCRIBES"
    }
    roots = [package for package in packages if package.spdxid in described]
    # What the document describes is the image itself; a document that describes all it lists has no such root.
    if len(roots) == len(packages):
        roots = []
    rooted = {id(root) for root in roots}
    tools = [creator.removeprefix("Tool: ") for creator in creation.creators or () if creator.startswith("Tool: ")]
    declared = (_licence_of(root) for root in roots)
    return Sbom(
        format=clean(document.spdx_version, 20).replace("-", " ", 1),
        created_at=moment(creation.created),
        tool=", ".join(clean(tool, 100) for tool in tools[:3]),
        declared=tuple(dict.fromkeys(licence for licence in declared if licence)),
        packages=_distinct(
            Package(
                name=clean(package.name, 300),
                version=clean(package.version_info, 200),
                purl=_purl_of(package),
                licence=_licence_of(package),
                origin=_origin(package.name, _source_name(package), _purl_of(package)),
            )
            for package in packages
            if id(package) not in rooted and package.primary_package_purpose != "OPERATING-SYSTEM"
        ),
        about=tuple(text for root in roots for text in _root_texts(root) if text),
    )


def _root_texts(root: _SpdxPackage) -> list[str]:
    return [root.version_info or "", _purl_of(root), *(root.attribution_texts or ())]


def _source_name(package: _SpdxPackage) -> str:
    # Trivy writes "built package from: openssl 3.0.13-0ubuntu3.5" there.
    _, colon, source = (package.source_info or "")[:400].partition("built package from: ")
    return source.partition(" ")[0] if colon else ""


def _licence_of(package: _SpdxPackage) -> str:
    # What somebody concluded after looking outranks what the package says of itself (SPDX 2.3, 7.13).
    licence = read_licence(package.license_concluded or "") or read_licence(package.license_declared or "")
    return licence.expression if licence else ""


def _purl_of(package: _SpdxPackage) -> str:
    for reference in package.external_refs or ():
        if reference.reference_type == "purl":
            return clean(reference.reference_locator, 500)
    return ""


def _distinct(packages: Iterable[Package]) -> tuple[Package, ...]:
    known: dict[str, Package] = {}
    for package in packages:
        known.setdefault(package.purl or f"{package.name}@{package.version}", package)
    return tuple(known.values())
