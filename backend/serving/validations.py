"""Rollouts that are to be proved, who works on them, and what came of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from backend.core.ports import instant, timestamp
from backend.core.views import EvidenceValue, ProofCheckView, ValidationView
from backend.serving.snapshots import Snapshot
from backend.store.connection import Database, Transaction

PASSED: Final = "passed"
FAILED: Final = "failed"
NOT_POSSIBLE: Final = "not possible"
#: A process that works on a validation says so again before this has passed.
CLAIM: Final = timedelta(seconds=90)
_COLUMNS: Final = (
    "id, context, namespace, name, snapshot, image, actor, on_failure, started_at, ended_at, outcome, traffic, checks,"
    " reason, proposal, answer"
)


async def expect(transaction: Transaction, validation: ValidationView, *, returns_to: str = "") -> None:
    """Record that a rollout is to be proved; earlier ones of the same service are not any more.

    Args:
        returns_to: the snapshot that it returns to, which may be just what was proposed.
    """
    where = (validation.context, validation.namespace, validation.name)
    await transaction.execute(
        "UPDATE validation SET ended_at = ?, outcome = 'superseded', reason = 'something else was rolled out'"
        " WHERE context = ? AND namespace = ? AND name = ? AND ended_at IS NULL",
        (timestamp(validation.started_at), *where),
    )
    await transaction.execute(
        "UPDATE validation SET answer = CASE WHEN proposal = ? THEN 'rolled back' ELSE 'overtaken' END"
        " WHERE context = ? AND namespace = ? AND name = ? AND proposal <> '' AND answer = ''",
        (returns_to, *where),
    )
    await transaction.execute(
        "INSERT INTO validation (id, context, namespace, name, snapshot, image, actor, on_failure, started_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            validation.id, *where, validation.snapshot, validation.image, validation.actor, validation.on_failure,
            timestamp(validation.started_at),
        ),
    )  # fmt: skip


async def claim(database: Database, id: str, me: str, now: datetime) -> bool:
    """Take or keep a validation to work on; gives whether it is ours and still open."""
    async with database.transaction() as transaction:
        changed = await transaction.execute(
            "UPDATE validation SET claimed_by = ?1, claimed_until = ?2 WHERE id = ?3 AND ended_at IS NULL"
            # One that holds for longer than it may was taken by a clock that has been set back since.
            " AND (claimed_by IN ('', ?1) OR claimed_until <= ?4 OR claimed_until > ?5)",
            (me, timestamp(now + CLAIM), id, timestamp(now), timestamp(now + 2 * CLAIM)),
        )
    return changed == 1


async def end(transaction: Transaction, ended: ValidationView) -> bool:
    """Record how a validation ended; gives whether it was still open."""
    changed = await transaction.execute(
        "UPDATE validation SET ended_at = ?, outcome = ?, traffic = ?, checks = ?, reason = ?, proposal = ?"
        " WHERE id = ? AND ended_at IS NULL",
        (
            timestamp(ended.ended_at or ended.started_at), ended.outcome, ended.traffic,
            msgspec.json.encode(ended.checks).decode(), ended.reason, ended.proposal, ended.id,
        ),
    )  # fmt: skip
    return changed == 1


async def answer(transaction: Transaction, id: str, text: str) -> None:
    """Record what became of a validation's proposal."""
    await transaction.execute("UPDATE validation SET answer = ? WHERE id = ? AND answer = ''", (text, id))


async def open_validations(database: Database) -> tuple[ValidationView, ...]:
    """Rollouts that are to be proved yet, the oldest first."""
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM validation WHERE ended_at IS NULL ORDER BY position"  # noqa: S608 - constant
    )
    return tuple(_view(row) for row in rows)


async def validation(database: Database, id: str) -> ValidationView | None:
    """One validation, or None."""
    row = await database.fetch_one(f"SELECT {_COLUMNS} FROM validation WHERE id = ?", (id,))  # noqa: S608 - constant
    return None if row is None else _view(row)


async def of_service(
    database: Database, context: str, namespace: str, name: str, *, limit: int = 20
) -> tuple[ValidationView, ...]:
    """The validations of a service, newest first."""
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM validation WHERE context = ? AND namespace = ? AND name = ?"  # noqa: S608 - constant
        " ORDER BY position DESC LIMIT ?",
        (context, namespace, name, limit),
    )
    return tuple(_view(row) for row in rows)


async def newest(database: Database) -> dict[str, ValidationView]:
    """By `context/namespace/name`, the newest validation of each service."""
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM validation WHERE position IN"  # noqa: S608 - constant
        " (SELECT max(position) FROM validation GROUP BY context, namespace, name)"
    )
    return {view.service: view for view in map(_view, rows)}


async def outcomes(database: Database, snapshots: Sequence[str]) -> dict[str, str]:
    """By snapshot, how its newest validation that came to an end ended: passed, failed or not possible."""
    found: dict[str, str] = {}
    for start in range(0, len(snapshots), 500):
        part = list(snapshots[start : start + 500])
        marks = ", ".join("?" * len(part))
        rows = await database.fetch_all(
            f"SELECT snapshot, outcome FROM validation WHERE snapshot IN ({marks})"  # noqa: S608 - question marks
            " AND outcome IN ('passed', 'failed', 'not possible') ORDER BY position",
            part,
        )
        found.update({row["snapshot"]: row["outcome"] for row in rows})
    return found


def last_good(held: Sequence[Snapshot], proved: dict[str, str], approved: Iterable[str]) -> Snapshot | None:
    """The snapshot to return to: before the newest, still approved, not the same, never proved bad.

    One that was proved good comes before one that nothing is known of, however much older it is.

    Args:
        held: newest first. proved: how the validation of each ended. approved: ids of those that may be returned to.
    """
    allowed = set(approved)
    earlier = [
        one
        for one in held[1:]
        if one.id in allowed and proved.get(one.id) != FAILED and one.intent.manifests != held[0].intent.manifests
    ]
    return next((one for one in earlier if proved.get(one.id) == PASSED), earlier[0] if earlier else None)


def _view(row: sqlite3.Row) -> ValidationView:
    checks = tuple(
        ProofCheckView(name=each["name"], value=EvidenceValue(each["value"]), sentence=each["sentence"])
        for each in json.loads(row["checks"])
    )
    return ValidationView(
        id=row["id"],
        context=row["context"],
        namespace=row["namespace"],
        name=row["name"],
        snapshot=row["snapshot"],
        image=row["image"],
        actor=row["actor"],
        outcome=row["outcome"] or "waiting",
        traffic=row["traffic"],
        started_at=instant(row["started_at"]),
        ended_at=instant(row["ended_at"]) if row["ended_at"] else None,
        checks=checks,
        reason=row["reason"],
        on_failure=row["on_failure"],
        proposal=row["proposal"],
        answer=row["answer"],
    )
