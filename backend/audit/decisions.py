"""Whether submissions, decisions and waivers in the database are those that the ledger tells of.

The chain holds the ledger together, not the other tables: what is approved, and who may approve it, is derived from
these, so a row that somebody wrote past the program has to be found as well. Each entry of the ledger that tells of
such a row holds a hash of it (`backend.curation.archive.row_hash`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from backend.curation.archive import TABLES, row_hash, rows_of
from backend.store.connection import Database

_AT_ONCE: Final = 2000
_NAMES: Final = {"submissions": "submission", "decisions": "decision", "waivers": "waiver"}


class ToldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as an entry of the ledger tells of it."""

    seq: int
    table: str
    hash: str


def told_row(seq: int, action: str, detail: Mapping[str, Any]) -> ToldRow | None:
    """The row that an entry tells of; None: it tells of none.

    Args:
        action: of an entry that was done.
    """
    hashed = detail.get("row")
    if not isinstance(hashed, str) or not action.startswith("queue."):
        return None
    table = {"queue.submit": "submissions", "queue.waive": "waivers"}.get(action, "decisions")
    return ToldRow(seq=seq, table=table, hash=hashed)


async def check_rows_told(database: Database) -> tuple[int, str]:
    """Compare the tables with the ledger.

    Returns:
        number of the entry that does not hold (0: none, and a row is told by no entry), and what is wrong, empty when
        all holds.

    Raises:
        StoreError: the database cannot be read.
    """
    entries = await database.fetch_all(
        "SELECT seq, action, json_extract(detail, '$.row') AS row FROM ledger WHERE action GLOB 'queue.*'"
        " AND outcome = 'done' AND json_valid(detail) AND json_extract(detail, '$.row') IS NOT NULL ORDER BY seq"
    )
    told = [told_row(seq, str(action), {"row": row}) for seq, action, row in entries]
    recorded: dict[str, list[dict[str, Any]]] = {}
    for table in TABLES:
        rows: list[dict[str, Any]] = []
        while found := await rows_of(database, table, rows[-1]["seq"] if rows else -(2**63), _AT_ONCE):
            rows += found
        recorded[table] = rows
    return compare(recorded, (one for one in told if one is not None))


def compare(recorded: Mapping[str, Iterable[Mapping[str, Any]]], told: Iterable[ToldRow]) -> tuple[int, str]:
    """The same, pure: the first entry or row that has no equal on the other side.

    Args:
        recorded: rows by a name of `TABLES`, with all columns.
    """
    left: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for table, rows in recorded.items():
        for row in rows:
            left[table, row_hash(row)].append(row)
    for entry in told:
        equal = left[entry.table, entry.hash]
        if not equal:
            what = _NAMES[entry.table]
            return entry.seq, f"the {what} of entry {entry.seq} was changed in the database, or is no more there"
        equal.pop()
    for (table, _), rows in left.items():
        for row in rows:
            who = row.get("actor") or row.get("submitted_by")
            return 0, f"a {_NAMES[table]} by {who} stands in the database, and in no entry"
    return 0, ""
