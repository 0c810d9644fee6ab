"""What was told to whom: notices and their deliveries in the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from backend.core.ports import instant, timestamp
from backend.curation.notices import Notice
from backend.curation.notify_config import NoticeKind
from backend.evidence.store import Reader
from backend.store.connection import Transaction


class Delivery(NamedTuple):
    """A notice that a target has not received yet. `attempts` counts those before."""

    notice: str
    target: str
    kind: NoticeKind
    body: bytes
    attempts: int


class TargetState(NamedTuple):
    """How it stands with a target.

    Attributes:
        error: of the last attempt, empty when it succeeded; `attempted_at` is when that was, None: never.
    """

    target: str
    sent: int
    waiting: int
    given_up: int
    attempted_at: datetime | None
    error: str


async def told(reader: Reader) -> frozenset[str]:
    """The keys of everything that was told already."""
    return frozenset(row["item"] for row in await reader.fetch_all("SELECT item FROM noticed"))


async def record(transaction: Transaction, notice: Notice, targets: Sequence[str]) -> None:
    """Keep a notice, what it tells of, and that these targets are to receive it."""
    await transaction.execute(
        "INSERT INTO notice (id, kind, at, body) VALUES (?, ?, ?, ?)",
        (notice.id, notice.kind.value, timestamp(notice.at), notice.body.decode()),
    )
    await transaction.execute_many(
        "INSERT INTO noticed (item, notice) VALUES (?, ?) ON CONFLICT (item) DO NOTHING",
        [(item, notice.id) for item in notice.items],
    )
    await transaction.execute_many(
        "INSERT INTO delivery (notice, target, state, next_at) VALUES (?, ?, 'waiting', ?)",
        [(notice.id, target, timestamp(notice.at)) for target in targets],
    )


async def due(reader: Reader, targets: Sequence[str], now: datetime, limit: int = 20) -> list[Delivery]:
    """Deliveries to these targets that are to be tried now, the oldest first."""
    rows = await reader.fetch_all(
        "SELECT d.notice, d.target, n.kind, n.body, d.attempts FROM delivery d JOIN notice n ON n.id = d.notice"
        " WHERE d.state = 'waiting' AND d.next_at <= ? AND d.target IN (SELECT value FROM json_each(?))"
        " ORDER BY n.at, n.id, d.target LIMIT ?",
        (timestamp(now), json.dumps(list(targets)), limit),
    )
    return [
        Delivery(row["notice"], row["target"], NoticeKind(row["kind"]), row["body"].encode(), row["attempts"])
        for row in rows
    ]


async def claim(transaction: Transaction, delivery: Delivery, now: datetime, until: datetime) -> bool:
    """Take a delivery for an attempt, so that nobody else tries it before `until`; whether it was there to take."""
    changed = await transaction.execute(
        "UPDATE delivery SET attempts = attempts + 1, attempted_at = ?, next_at = ?"
        " WHERE notice = ? AND target = ? AND state = 'waiting' AND next_at <= ?",
        (timestamp(now), timestamp(until), delivery.notice, delivery.target, timestamp(now)),
    )
    return changed == 1


async def sent(transaction: Transaction, delivery: Delivery) -> None:
    """The target has it."""
    await transaction.execute(
        "UPDATE delivery SET state = 'sent', error = '' WHERE notice = ? AND target = ?",
        (delivery.notice, delivery.target),
    )


async def failed(transaction: Transaction, delivery: Delivery, error: str, next_at: datetime | None) -> None:
    """An attempt failed; the next is at `next_at`. None: it is given up, which `states` goes on telling."""
    if next_at is None:
        await transaction.execute(
            "UPDATE delivery SET state = 'given up', error = ? WHERE notice = ? AND target = ?",
            (error, delivery.notice, delivery.target),
        )
        return
    await transaction.execute(
        "UPDATE delivery SET next_at = ?, error = ? WHERE notice = ? AND target = ?",
        (timestamp(next_at), error, delivery.notice, delivery.target),
    )


async def states(reader: Reader) -> dict[str, TargetState]:
    """How it stands with each target that anything was ever to be sent to."""
    rows = await reader.fetch_all(
        "SELECT target, sum(state = 'sent') AS sent, sum(state = 'waiting') AS waiting,"
        " sum(state = 'given up') AS given_up, max(attempted_at) AS attempted_at FROM delivery GROUP BY target"
    )
    result: dict[str, TargetState] = {}
    for row in rows:
        last = await reader.fetch_all(
            "SELECT error FROM delivery WHERE target = ? AND attempted_at = ? ORDER BY error DESC LIMIT 1",
            (row["target"], row["attempted_at"]),
        )
        attempted = instant(row["attempted_at"]) if row["attempted_at"] else None
        error = last[0]["error"] if last else ""
        result[row["target"]] = TargetState(
            row["target"], row["sent"], row["waiting"], row["given_up"], attempted, error
        )
    return result
