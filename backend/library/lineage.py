"""Where an image came from and where it went: rules and runs, base, parents, the versions before and after it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from backend.core.ports import instant
from backend.core.views import ImageView, LineageView, ParentView
from backend.library.versions import order_key, parse_tag_version
from backend.store.connection import Database

_BASE: Final = "org.opencontainers.image.base."
#: Among so many neighbours in the order of versions one of the same variant is looked for.
_NEIGHBOURS: Final = 100
_MOST: Final = 100


async def lineage_of(
    database: Database, image: ImageView, told: Sequence[Mapping[str, str]], users: Mapping[str, tuple[str, ...]] | None
) -> LineageView:
    """The lineage of an image.

    Args:
        told: its annotations and labels, the first that name a base count.
        users: by digest, the services that name or run it; None: no cluster was asked.

    Raises:
        StoreError: the database cannot be read.
    """
    return LineageView(
        rules=await _rules(database, image),
        base_name=_base(told, "name"),
        base_digest=_base(told, "digest"),
        predecessor=await _neighbour(database, image, earlier=True),
        successor=await _neighbour(database, image, earlier=False),
        parents=await parents_of(database, image.digest),
        children=await _children(database, image.digest),
        running=None if users is None else users.get(image.digest, ()),
    )


async def parents_of(database: Database, digest: str) -> tuple[ParentView, ...]:
    """What people named as the parents of an image, in that order."""
    rows = await database.fetch_all(
        "SELECT parent, relation, note, named_by, at FROM image_parent WHERE digest = ? ORDER BY at, parent", (digest,)
    )
    return tuple(map(_parent, rows))


async def _rules(database: Database, image: ImageView) -> tuple[tuple[str, str, datetime], ...]:
    rows = await database.fetch_all(
        "SELECT seen.rule, seen.first_seen_at, coalesce((SELECT event.run FROM tag_event AS event"
        " WHERE event.repository = seen.repository AND event.digest = seen.digest AND event.at = seen.first_seen_at"
        " ORDER BY event.id LIMIT 1), '') AS run"
        " FROM image_seen AS seen JOIN repository ON repository.id = seen.repository"
        " WHERE registry = ? AND repository.name = ? AND digest = ? ORDER BY seen.first_seen_at, seen.rule",
        (image.registry, image.repository, image.digest),
    )
    return tuple((row["rule"], row["run"], instant(row["first_seen_at"])) for row in rows)


async def _children(database: Database, digest: str) -> tuple[str, ...]:
    """References of the images that name this one as a parent."""
    rows = await database.fetch_all(
        "SELECT DISTINCT host || '/' || repository.name || '@' || seen.digest AS reference FROM image_parent"
        " JOIN image_seen AS seen ON seen.digest = image_parent.digest"
        " JOIN repository ON repository.id = seen.repository WHERE parent_digest = ? ORDER BY 1 LIMIT ?",
        (digest, _MOST),
    )
    return tuple(row["reference"] for row in rows)


async def _neighbour(database: Database, image: ImageView, *, earlier: bool) -> str:
    """`host/repository:tag@digest` of the version before or after, of the same variant where there is one."""
    version = parse_tag_version(image.tag)
    if version is None:
        return ""
    test, order = ("<", "DESC") if earlier else (">", "ASC")
    rows = await database.fetch_all(
        "SELECT tag, digest FROM entry JOIN repository ON repository.id = entry.repository"  # noqa: S608 - fixed texts
        f" WHERE registry = ? AND repository.name = ? AND sort_key {test} ? AND sort_key >= '1' AND gone = 0"
        f" AND digest <> ? ORDER BY sort_key {order} LIMIT ?",
        (image.registry, image.repository, order_key(image.tag), image.digest, _NEIGHBOURS),
    )
    same = (row for row in rows if _variant(row) == version.variant)
    found = next(same, rows[0] if rows else None)
    return "" if found is None else f"{image.host}/{image.repository}:{found['tag']}@{found['digest']}"


def _variant(row: sqlite3.Row) -> str:
    version = parse_tag_version(row["tag"])
    return "" if version is None else version.variant


def _base(told: Sequence[Mapping[str, str]], what: str) -> str:
    return next((held[f"{_BASE}{what}"] for held in told if held.get(f"{_BASE}{what}")), "")


def _parent(row: sqlite3.Row) -> ParentView:
    return ParentView(
        reference=row["parent"], relation=row["relation"], note=row["note"], named_by=row["named_by"],
        at=instant(row["at"]),
    )  # fmt: skip
