"""Which images hold a package: a search over the SBOMs in force."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from backend.core.errors import LimitExceededError, UsageError
from backend.evidence.decoding import clean
from backend.evidence.package_versions import OPERATORS, compare
from backend.evidence.purls import ecosystem, names_package, parse
from backend.evidence.records import EvidenceKind
from backend.evidence.store import Reader
from backend.store.connection import SqlValue

_QUERY: Final = re.compile(
    r"\s*(?P<name>[^<>=!\s]+?)\s*(?:(?P<operator><=|>=|==|!=|<|>|=)\s*(?P<version>[^<>=!\s]+))?\s*\Z"
)
_MOST_ROWS: Final = 100_000
_COLUMNS: Final = "evidence.digest, evidence.source, package.name, package.version, package.purl, package.licence"


class PackageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for.

    Attributes:
        name: of a package or of the source package that it was built from; `*` stands for any text.
        type: of its package URL; empty: any.
        namespace: of its package URL, such as a Maven group; empty: any.
        operator, version: that its version has to fit; empty: any version.
    """

    name: str
    type: str = ""
    namespace: str = ""
    operator: str = ""
    version: str = ""


class PackageHit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A package of an image's SBOM; `source` is who wrote the SBOM."""

    digest: str
    source: str
    package: str
    version: str
    purl: str
    licence: str


def parse_query(text: str) -> PackageQuery:
    """Read a query: `openssl`, `openssl<3.0.15`, `libssl*`, `pkg:pypi/torch >= 2.6`.

    Raises:
        UsageError: it is none.
    """
    shown = clean(text, 80)
    match = _QUERY.match(text) if len(text) <= 500 else None
    if match is None:
        raise UsageError(
            f"package query {shown!r}",
            "it cannot be read",
            "write NAME, or NAME with <, <=, =, !=, >=, > and a version",
        )
    name = match["name"]
    operator = "=" if match["operator"] == "==" else match["operator"] or ""
    version = match["version"] or ""
    if not name.startswith("pkg:"):
        if not name.strip("*"):
            raise UsageError(f"package query {shown!r}", "it names no package", "write at least the start of a name")
        return PackageQuery(name=name, operator=operator, version=version)
    if not names_package(name):
        raise UsageError(
            f"package query {shown!r}",
            "it is no package URL of a package",
            "write pkg:TYPE/NAME, such as pkg:pypi/torch",
        )
    found = parse(name)
    if found is None:
        raise UsageError(f"package query {shown!r}", "it is no package URL", "write pkg:TYPE/NAME")
    if found.version and not operator:
        operator, version = "=", found.version
    return PackageQuery(
        name=found.name, type=found.type, namespace=found.namespace or "", operator=operator, version=version
    )


async def find_packages(reader: Reader, query: PackageQuery) -> list[PackageHit]:
    """The packages that fit, by digest and name.

    Raises:
        LimitExceededError: too many have the name.
        StoreError: the database cannot be read.
    """
    rows: list[sqlite3.Row] = []
    for column, condition in (("name", ""), ("origin", " AND package.origin <> ''")):
        where, parameters = _named(column, query.name)
        rows += await reader.fetch_all(
            f"SELECT {_COLUMNS} FROM evidence_package AS package"  # noqa: S608 - fixed texts
            " JOIN evidence ON evidence.id = package.evidence"
            f" WHERE {where}{condition} AND evidence.superseded_at IS NULL AND evidence.kind = ? LIMIT ?",
            (*parameters, EvidenceKind.SBOM.value, _MOST_ROWS + 1),
        )
    if len(rows) > _MOST_ROWS:
        raise LimitExceededError(
            f"package query {query.name[:80]!r}",
            f"more than {_MOST_ROWS:,} packages have such a name",
            "name one in full",
        )
    return await asyncio.to_thread(_fitting, rows, query)


def _named(column: str, name: str) -> tuple[str, list[SqlValue]]:
    if "*" in name:
        escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        return f"package.{column} LIKE ? ESCAPE '\\'", [escaped]
    # PEP 503: runs of these are one separator, and SBOMs write any of them.
    names: set[SqlValue] = {name, name.replace("_", "-"), name.replace("-", "_")}
    marks = ", ".join("?" * len(names))
    return f"package.{column} COLLATE NOCASE IN ({marks})", list(names)


def _fitting(rows: Sequence[sqlite3.Row], query: PackageQuery) -> list[PackageHit]:
    hits = {
        PackageHit(digest=digest, source=source, package=name, version=version, purl=purl, licence=licence)
        for digest, source, name, version, purl, licence in rows
        if _fits(version, purl, query)
    }
    return sorted(hits, key=lambda hit: (hit.digest, hit.package, hit.version, hit.source))


def _fits(version: str, purl: str, query: PackageQuery) -> bool:
    type_ = ecosystem(purl)
    if query.type and type_ != query.type:
        return False
    if query.namespace:
        found = parse(purl)
        if found is None or found.namespace != query.namespace:
            return False
    if not query.operator:
        return True
    # What has no version may be any: it is shown, since hiding it would say that the image is not concerned.
    return not version or OPERATORS[query.operator](compare(version, query.version, type_))
