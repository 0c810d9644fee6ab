"""Reading the ledger: filtered, newest first, page by page; and its export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from backend.core.ports import timestamp
from backend.core.views import LedgerEntryView
from backend.store.connection import Database, SqlValue
from backend.store.ledger import entry_view

_EXPORT_PAGE: Final = 1000


class EntryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to show; what is None or empty does not restrict.

    Attributes:
        actor, action: whole names.
        object: any part of the object's name, upper and lower case alike for ASCII letters.
        outcome: done, refused, failed or started.
        since, until: aware instants; since is included, until is not.
    """

    actor: str = ""
    action: str = ""
    object: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING: Final = EntryFilter()


async def entries(
    database: Database, chosen: EntryFilter = EVERYTHING, *, limit: int = 200, before: int | None = None
) -> list[LedgerEntryView]:
    """Entries of the ledger, newest first.

    Args:
        chosen: which.
        limit: at most so many.
        before: only entries with a smaller number; the last number of a page asks for the next page.

    Raises:
        LedgerError: an entry's time is no time.
        StoreError: the database cannot be read.
    """
    conditions, parameters = _conditions(chosen)
    if before is not None:
        conditions.append("seq < ?")
        parameters.append(before)
    where = " AND ".join(conditions) or "1"
    # The conditions are texts of this file; what the user gave is bound.
    rows = await database.fetch_all(
        f"SELECT * FROM ledger WHERE {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608
        (*parameters, max(limit, 0)),
    )
    return [entry_view(dict(row)) for row in rows]


async def export(database: Database) -> AsyncIterator[str]:
    """The whole ledger, oldest first, as JSON lines.

    Each line is an object of the columns as they are stored (`detail` is JSON text), so that the hashes can be computed
    from the export alone: SHA-256 over the canonical JSON of all columns but `hash`.

    Raises:
        StoreError: the database cannot be read.
    """
    last = -(2**63)
    while rows := await database.fetch_all(
        "SELECT * FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?", (last, _EXPORT_PAGE)
    ):
        for row in rows:
            yield msgspec.json.encode(dict(row)).decode("utf-8")
        last = rows[-1]["seq"]


def _conditions(chosen: EntryFilter) -> tuple[list[str], list[SqlValue]]:
    conditions: list[str] = []
    parameters: list[SqlValue] = []
    for column in ("actor", "action", "outcome"):
        if value := getattr(chosen, column):
            conditions.append(f"{column} = ?")
            parameters.append(value)
    if chosen.object:
        conditions.append("instr(lower(object), lower(?)) > 0")
        parameters.append(chosen.object)
    if chosen.since is not None:
        conditions.append("at >= ?")
        parameters.append(timestamp(chosen.since))
    if chosen.until is not None:
        conditions.append("at < ?")
        parameters.append(timestamp(chosen.until))
    return conditions, parameters
