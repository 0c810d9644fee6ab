"""How much the library holds and what happened in it: what a screen asks first, with little to import."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.ports import instant
from backend.core.views import TagEventView
from backend.store.connection import Database, SqlValue


def storable(text: str) -> str:
    """The text with lone surrogates replaced, which the database has no form for."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


async def count(database: Database) -> tuple[int, int]:
    """How many tags the library holds that are not gone, and how many digests they name."""
    row = await database.fetch_one("SELECT count(*), count(DISTINCT digest) FROM tag WHERE gone_at IS NULL")
    return (0, 0) if row is None else (row[0], row[1])


async def recent_events(database: Database, *, since: str = "", limit: int = 200) -> list[TagEventView]:
    """What happened to tags, newest first.

    Args:
        since: a stored instant (`backend.core.ports.timestamp`); empty: from the beginning.
        limit: at most so many.
    """
    return await events_where(database, "at >= ?", (since,), limit)


async def events_where(
    database: Database, condition: str, parameters: Sequence[SqlValue], limit: int | None
) -> list[TagEventView]:
    """Tag events that a condition on `tag_event` and `repository` chooses, newest first; `limit` None: all of them."""
    rows = await database.fetch_all(
        "SELECT registry, name, tag, change, digest, previous_digest, at, run FROM tag_event"  # noqa: S608 - fixed texts
        " JOIN repository ON repository.id = tag_event.repository"
        f" WHERE {condition} ORDER BY tag_event.id DESC LIMIT ?",
        (*parameters, -1 if limit is None else limit),
    )
    return [
        TagEventView(
            registry=row["registry"], repository=row["name"], tag=row["tag"], change=row["change"],
            digest=row["digest"], previous_digest=row["previous_digest"], at=instant(row["at"]), run=row["run"],
        )
        for row in rows
    ]  # fmt: skip
