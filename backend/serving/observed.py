"""What others changed, as it was seen by any process of the yard: kept once, forgotten after three months."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.core.ports import instant, timestamp
from backend.core.views import ChangeView
from backend.store.connection import Database, Transaction

_KEPT: Final = timedelta(days=90)
_COLUMNS: Final = "at, kind, actor, what, object, detail, services"


async def record(
    transaction: Transaction, identity: str, change: ChangeView, *, context: str, within: timedelta | None = None
) -> bool:
    """Keep a change that was seen, unless it is kept already.

    Args:
        identity: what makes it the same change to every process that sees it.
        within: the same may come again later than this; None: it comes once.

    Returns:
        whether it is new.
    """
    at = timestamp(change.at)
    if within is not None:
        seen = await transaction.fetch_one(
            "SELECT 1 FROM observed_change WHERE identity >= ?1 || '@' AND identity < ?1 || 'A' AND at > ?2",
            (identity, timestamp(change.at - within)),
        )
        if seen is not None:
            return False
        identity = f"{identity}@{at}"
    inserted = await transaction.execute(
        "INSERT OR IGNORE INTO observed_change (identity, context, at, kind, actor, what, object, detail, services)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            identity, context, at, change.kind, _storable(change.actor), _storable(change.what),
            _storable(change.object), _storable(change.detail), json.dumps(change.services),
        ),
    )  # fmt: skip
    if inserted:
        await transaction.execute("DELETE FROM observed_change WHERE at < ?", (timestamp(change.at - _KEPT),))
    return inserted == 1


async def known(database: Database, identities: Sequence[str]) -> frozenset[str]:
    """Which of these changes are kept already."""
    found: set[str] = set()
    for start in range(0, len(identities), 500):
        part = list(identities[start : start + 500])
        marks = ", ".join("?" * len(part))
        rows = await database.fetch_all(
            f"SELECT identity FROM observed_change WHERE identity IN ({marks})",  # noqa: S608 - question marks
            part,
        )
        found.update(row["identity"] for row in rows)
    return frozenset(found)


async def observed(
    database: Database, since: datetime, *, context: str = "", service: str = "", limit: int = 500
) -> list[ChangeView]:
    """Changes that were seen since an instant, newest first.

    Args:
        context: only of that cluster; empty: of all. service: only those that touch the service of that key.
    """
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM observed_change WHERE at >= ?1 AND (?2 = '' OR context = ?2)"  # noqa: S608 - constant
        " AND (?3 = '' OR instr(services, ?3)) ORDER BY at DESC LIMIT ?4",
        (timestamp(since), context, json.dumps(service) if service else "", limit),
    )
    return [_view(row) for row in rows]


def _view(row: sqlite3.Row) -> ChangeView:
    return ChangeView(
        at=instant(row["at"]),
        kind=row["kind"],
        actor=row["actor"],
        what=row["what"],
        object=row["object"],
        detail=row["detail"],
        services=tuple(json.loads(row["services"])),
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")
