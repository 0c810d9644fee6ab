"""Reading the ledger: filtered, newest first, page by page; and writing it out as JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.errors import NotFoundError
from backend.core.ports import timestamp
from backend.core.text import sanitise
from backend.core.views import LedgerEntryView
from backend.store.connection import Database, SqlValue
from backend.store.ledger import entry_view

_EXPORT_PAGE: Final = 1000
_COLUMNS: Final = (
    "seq", "at", "actor", "actor_source", "action", "object", "outcome", "detail", "previous", "hash",
)  # fmt: skip
_LONGEST_CELL: Final = 30_000
# What spreadsheets evaluate (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@")


class EntryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to show; what is None or empty does not restrict.

    Attributes:
        actor, action: whole names; `*` stands for any characters.
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


async def entry(database: Database, seq: int) -> LedgerEntryView:
    """One entry.

    Raises:
        NotFoundError: the ledger has none of that number.
        LedgerError: its time is no time.
        StoreError: the database cannot be read.
    """
    row = await database.fetch_one("SELECT * FROM ledger WHERE seq = ?", (seq,))
    if row is None:
        raise NotFoundError(f"ledger entry {seq}", "the ledger has none of that number", "see modelyard audit list")
    return entry_view(dict(row))


async def views(database: Database, chosen: EntryFilter = EVERYTHING) -> AsyncIterator[LedgerEntryView]:
    """Entries, oldest first.

    Raises:
        LedgerError: an entry's time is no time.
        StoreError: the database cannot be read.
    """
    async for row in _rows(database, chosen):
        yield entry_view(dict(row))


async def export(database: Database, chosen: EntryFilter = EVERYTHING) -> AsyncIterator[str]:
    """Entries, oldest first, as JSON lines.

    Each line is an object of the columns as they are stored (`detail` is JSON text), so that the hashes can be computed
    from the export alone: SHA-256 over the canonical JSON of all columns but `hash`.

    Raises:
        StoreError: the database cannot be read.
    """
    async for row in _rows(database, chosen):
        yield msgspec.json.encode(dict(row)).decode("utf-8")


async def export_csv(database: Database, chosen: EntryFilter = EVERYTHING) -> AsyncIterator[str]:
    """Entries, oldest first, as CSV (RFC 4180) with a heading; for spreadsheets and people.

    Control characters are neutralised, and a cell that a spreadsheet would take for a formula starts with an
    apostrophe; hashes can be computed from the JSON lines, not from this.

    Raises:
        StoreError: the database cannot be read.
    """
    yield _csv_line(_COLUMNS)
    async for row in _rows(database, chosen):
        yield _csv_line([_cell(row[column]) for column in _COLUMNS])


async def _rows(database: Database, chosen: EntryFilter) -> AsyncIterator[sqlite3.Row]:
    conditions, parameters = _conditions(chosen)
    where = " AND ".join(["seq > ?", *conditions])
    last = -(2**63)
    while rows := await database.fetch_all(
        f"SELECT * FROM ledger WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608 - the conditions are texts of this file
        (last, *parameters, _EXPORT_PAGE),
    ):
        for row in rows:
            yield row
        last = rows[-1]["seq"]


def _cell(value: object) -> str:
    shown = sanitise(str(value), _LONGEST_CELL)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _conditions(chosen: EntryFilter) -> tuple[list[str], list[SqlValue]]:
    conditions: list[str] = []
    parameters: list[SqlValue] = []
    for column in ("actor", "action"):
        if value := getattr(chosen, column):
            conditions.append(f"{column} GLOB ?")
            # Of GLOB's signs only the star means anything here.
            parameters.append(value.replace("[", "[[]").replace("?", "[?]"))
    if chosen.outcome:
        conditions.append("outcome = ?")
        parameters.append(chosen.outcome)
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
