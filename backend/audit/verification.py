"""Verifying the ledger: does every entry hold, from the first to the head, and is the end still there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from backend.audit.decisions import check_rows_told
from backend.core.errors import StoreError
from backend.core.views import VerificationView
from backend.store.connection import Database
from backend.store.ledger import GENESIS, entry_hash

# Few enough that a reader beside the verification waits for milliseconds only.
_PAGE: Final = 2000


class ChainCheck(msgspec.Struct, frozen=True):
    """How far a chain was found to hold.

    Attributes:
        entries: that hold, from the first on.
        head: hash of the last of them, `GENESIS` when there is none.
        first_bad: number of the first entry that does not hold; None while all do.
        reason: what is wrong with it, in a sentence.
        anchored: whether the anchor was met.
    """

    entries: int = 0
    head: str = GENESIS
    first_bad: int | None = None
    reason: str = ""
    anchored: bool = False


def check_rows(before: ChainCheck, rows: Iterable[Iterable[Any]], anchor: str | None = None) -> ChainCheck:
    """Go on with a check over the next entries; pure.

    Args:
        before: what the entries before were found to be; it holds.
        rows: the next entries in the order of `seq`, with all columns.
        anchor: a head hash that was noted outside earlier; it has to be met on the way.

    Returns:
        the check so far; it stops at the first entry that does not hold.
    """
    entries, head, anchored = before.entries, before.head, before.anchored
    for seq, at, actor, source, action, object_, outcome, detail, previous, stored in rows:
        expected = entries + 1
        if seq != expected:
            reason = f"entry {expected} is missing" if seq > expected else f"entry {seq} stands before the first"
            return ChainCheck(entries, head, min(seq, expected), reason, anchored)
        if previous != head:
            return ChainCheck(entries, head, seq, f"entry {seq} does not follow the entry before it", anchored)
        try:
            computed = entry_hash(
                seq=seq, at=at, actor=actor, actor_source=source, action=action, object=object_, outcome=outcome,
                detail=detail, previous=previous,
            )  # fmt: skip
        except TypeError:
            computed = "none: a column holds no text"
        if stored != computed:
            return ChainCheck(entries, head, seq, f"entry {seq} was changed", anchored)
        entries, head = seq, stored
        anchored = anchored or stored == anchor
    return ChainCheck(entries, head, None, "", anchored)


async def verify(database: Database, anchor: str | None = None) -> VerificationView:
    """Verify the whole ledger, page by page, and that submissions, decisions and waivers are those that it tells of.

    Args:
        anchor: hash of an entry that was once the head, noted outside of the database. Without one a tail that was cut
            off cannot be told from a tail that never was.

    Returns:
        how many entries hold; `first_bad` names the first that does not, which for a tail that was cut off is the entry
        after the last.

    Raises:
        StoreError: the database cannot be read.
    """
    check = ChainCheck(anchored=anchor is None or anchor == GENESIS)
    last = -(2**63)
    while check.first_bad is None and (rows := await _page(database, last)):
        check = await asyncio.to_thread(check_rows, check, rows, anchor)
        last = check.entries
    if check.first_bad is None and await database.fetch_one("SELECT 1 FROM ledger WHERE seq > ? LIMIT 1", (last,)):
        bad = check.entries + 1
        check = msgspec.structs.replace(check, first_bad=bad, reason=f"entry {bad} holds what is no text")
    if check.first_bad is None and check.anchored:
        bad, reason = await check_rows_told(database)
        if reason:
            check = msgspec.structs.replace(check, first_bad=bad or check.entries + 1, reason=reason)
    if check.first_bad is None and not check.anchored:
        reason = "the anchored entry is not there: the end was cut off, or the whole chain was made anew"
        check = msgspec.structs.replace(check, first_bad=check.entries + 1, reason=reason)
    return VerificationView(
        entries=check.entries, head=check.head, intact=check.first_bad is None, first_bad=check.first_bad,
        reason=check.reason,
    )  # fmt: skip


async def _page(database: Database, last: int, size: int = _PAGE) -> list[sqlite3.Row]:
    """The entries after `last`, down to none where the very next one cannot be read as text."""
    try:
        return await database.fetch_all(
            "SELECT seq, at, actor, actor_source, action, object, outcome, detail, previous, hash"
            " FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?",
            (last, size),
        )
    except StoreError as error:
        # Bytes that are no UTF-8 fail in the driver, without a result code of SQLite and so without a kind of our own.
        if type(error) is not StoreError:
            raise
        return [] if size == 1 else await _page(database, last, size // 2)
