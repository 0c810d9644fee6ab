"""What of the library may go: digests that no tag has named for long, and that nobody needs.

The history of tags, evidence and decisions stay; what goes is the catalogue entry with its manifest and configuration.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from backend.core.permits import Permit
from backend.core.ports import instant, timestamp
from backend.core.views import PrunedView, PruneView
from backend.store import ledger
from backend.store.connection import SqlValue, Transaction

NAMED_AS_PARENT: Final = "it is named as the parent of an image"
#: Digests that one statement is given.
_AT_ONCE: Final = 500


class Reader(Protocol):
    """Reads the database, inside a transaction or outside."""

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[sqlite3.Row]: ...


async def plan(reader: Reader, before: datetime, needed: Mapping[str, str], *, dry_run: bool) -> PruneView:
    """What would go and what stays of all that no tag has named since an instant.

    Args:
        needed: by digest why it is needed: an image's own, that of a platform's manifest, or of a configuration.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await reader.fetch_all(
        "SELECT repository.registry, repository.host, repository.name, seen.digest,"
        " max(coalesce(event.at, seen.first_seen_at)) AS since, event.tag, length(content.data) +"
        " coalesce((SELECT length(data) FROM content WHERE digest = image.config_digest), 0) AS bytes"
        " FROM image_seen AS seen JOIN image ON image.digest = seen.digest JOIN content ON content.digest = seen.digest"
        " JOIN repository ON repository.id = seen.repository"
        " LEFT JOIN tag_event AS event ON event.repository = seen.repository AND event.previous_digest = seen.digest"
        " WHERE seen.digest NOT IN (SELECT digest FROM tag WHERE gone_at IS NULL)"
        " GROUP BY seen.repository, seen.digest ORDER BY repository.registry, repository.name, since"
    )
    named = {row["digest"] for row in rows if row["since"] >= timestamp(before)}
    # A digest of several repositories goes when it is old in all of them.
    old = [row for row in rows if row["digest"] not in named]
    why = await _why_needed(reader, {row["digest"] for row in old}, needed)
    removed = tuple(_view(row, "no tag names it") for row in old if row["digest"] not in why)
    kept = tuple(_view(row, why[row["digest"]]) for row in old if row["digest"] in why)
    freed = {view.digest: view.bytes for view in removed}
    return PruneView(dry_run=dry_run, before=before, removed=removed, kept=kept, bytes=sum(freed.values()))


async def remove(transaction: Transaction, permit: Permit, planned: PruneView, at: datetime) -> None:
    """Remove what was planned in the same transaction, and tell so in the ledger, an entry a repository."""
    permit.spend("library.prune")
    digests = list(dict.fromkeys(view.digest for view in planned.removed))
    for start in range(0, len(digests), _AT_ONCE):
        await _remove_images(transaction, digests[start : start + _AT_ONCE])
    by_place: dict[str, list[str]] = {}
    for view in planned.removed:
        by_place.setdefault(f"{view.host}/{view.repository}", []).append(view.digest)
    await ledger.append_many(
        transaction, at=at, actor=permit.actor, action="library.prune", outcome="done",
        entries=[
            (place, {"before": timestamp(planned.before), "digests": list(removed)})
            for place, removed in by_place.items()
        ],
    )  # fmt: skip


async def _why_needed(reader: Reader, digests: set[str], needed: Mapping[str, str]) -> dict[str, str]:
    """By digest why it is needed, by any of the digests that it is known by."""
    why = {digest: needed[digest] for digest in digests if digest in needed}
    aliases = await reader.fetch_all(
        "SELECT child.parent AS digest, child.digest AS alias FROM image_child AS child"
        " UNION SELECT digest, config_digest FROM image WHERE config_digest IS NOT NULL"
        " UNION SELECT child.parent, image.config_digest FROM image_child AS child"
        " JOIN image ON image.digest = child.digest WHERE config_digest IS NOT NULL"
    )
    for digest, alias in aliases:
        if digest in digests and alias in needed:
            why.setdefault(digest, needed[alias])
    for row in await reader.fetch_all(
        "SELECT DISTINCT parent_digest FROM image_parent WHERE parent_digest IS NOT NULL"
    ):
        if row[0] in digests:
            why.setdefault(row[0], NAMED_AS_PARENT)
    # An image that is taken in by itself and stands in an index that stays, stays with it.
    for row in await reader.fetch_all(
        "SELECT DISTINCT child.digest, child.parent FROM image_child AS child JOIN image ON image.digest = child.digest"
    ):
        if row["digest"] in digests and (row["parent"] not in digests or row["parent"] in why):
            why.setdefault(row["digest"], "it is one of the images of an index that stays")
    return why


async def _remove_images(transaction: Transaction, digests: Sequence[str]) -> None:
    children = await _column(
        transaction,
        "SELECT DISTINCT digest FROM image_child WHERE parent IN (SELECT value FROM json_each(?))"
        " AND digest IN (SELECT digest FROM image)",
        digests,
    )
    await _remove_rows(transaction, digests)
    # The images of an index that went: those that no other index holds and that were not taken in by themselves.
    alone = await _column(
        transaction,
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT digest FROM image_seen)"
        " AND value NOT IN (SELECT digest FROM image_child) AND value NOT IN (SELECT digest FROM tag)",
        children,
    )
    await _remove_rows(transaction, alone)


async def _remove_rows(transaction: Transaction, digests: Iterable[str]) -> None:
    told = json.dumps(list(digests))
    stored = await transaction.fetch_all(
        "SELECT digest, config_digest, card FROM image WHERE digest IN (SELECT value FROM json_each(?))", (told,)
    )
    for table, column in (
        ("tag", "digest"), ("image_seen", "digest"), ("classification", "digest"), ("image_parent", "digest"),
        ("image_child", "parent"), ("image", "digest"),
    ):  # fmt: skip
        await transaction.execute(
            f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))",  # noqa: S608 - fixed names
            (told,),
        )
    contents = {digest for row in stored for digest in row if digest is not None}
    await transaction.execute(
        "DELETE FROM content WHERE digest IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM image WHERE image.digest = content.digest)"
        " AND NOT EXISTS (SELECT 1 FROM image WHERE image.config_digest = content.digest)"
        " AND NOT EXISTS (SELECT 1 FROM image WHERE image.card = content.digest)",
        (json.dumps(sorted(contents)),),
    )


async def _column(transaction: Transaction, sql: str, digests: Iterable[str]) -> list[str]:
    return [row[0] for row in await transaction.fetch_all(sql, (json.dumps(list(digests)),))]


def _view(row: sqlite3.Row, reason: str) -> PrunedView:
    return PrunedView(
        registry=row["registry"], host=row["host"], repository=row["name"], tag=row["tag"] or "", digest=row["digest"],
        unnamed_since=instant(row["since"]), bytes=row["bytes"], reason=reason,
    )  # fmt: skip
