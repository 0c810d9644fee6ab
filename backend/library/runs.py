"""The record of synchronisation runs: when each rule ran, what came of it, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.core.actors import Actor
from backend.core.ports import instant, timestamp
from backend.core.views import SyncFailureView
from backend.library.fetching import storable
from backend.store import ledger
from backend.store.connection import Database, Transaction

ACTION: Final = "library.synchronise"
# A dead registry fails every tag in the same way; the journal need not say so ten thousand times.
_MOST_FAILURES: Final = 1000
_MOST_TOLD: Final = 20


class RunName(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is: its id, its rule, the registry that it reads, and who asked for it."""

    run: str
    rule: str
    registry: str
    actor: Actor

    @property
    def object(self) -> str:
        """As the ledger names it."""
        return f"rule {self.rule}"


class RunCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    new: int = 0
    moved: int = 0
    gone: int = 0
    failed: int = 0
    unchanged: int = 0
    skipped: int = 0
    requests: int = 0
    bytes: int = 0


#: Why a run ended that somebody stopped.
INTERRUPTED: Final = "interrupted"


class LastRun(msgspec.Struct, frozen=True):
    """When a rule last began to run, and what came of it, in a few words.

    Attributes:
        complete: it came to its end, which a run that was interrupted or killed did not.
    """

    at: datetime
    result: str
    complete: bool = True


async def record_start(database: Database, name: RunName, at: datetime) -> None:
    """Record that a run began."""
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO sync_run (run, rule, registry, actor, started_at, outcome) VALUES (?, ?, ?, ?, ?, 'started')"
            " ON CONFLICT DO NOTHING",
            (name.run, name.rule, name.registry, storable(name.actor.name), timestamp(at)),
        )
        await _append(transaction, name, at, "started", {})


async def record_end(
    database: Database,
    name: RunName,
    at: datetime,
    *,
    outcome: str,
    reason: str,
    counts: RunCounts,
    failures: Sequence[SyncFailureView] = (),
    listed: Mapping[str, datetime] | None = None,
) -> None:
    """Record how a run ended.

    Args:
        outcome: done, failed or refused.
        reason: why it is not done; empty when it is.
        failures: what could not be read.
        listed: repositories whose tag list was read to the end, and when.
    """
    numbers = msgspec.structs.asdict(counts)
    assignments = ", ".join(f"{column} = ?" for column in numbers)
    async with database.transaction() as transaction:
        # The columns are the names of RunCounts.
        await transaction.execute(
            f"UPDATE sync_run SET finished_at = ?, outcome = ?, reason = ?, {assignments} WHERE run = ? AND rule = ?",  # noqa: S608
            (timestamp(at), outcome, storable(reason), *numbers.values(), name.run, name.rule),
        )
        await transaction.execute_many(
            "INSERT INTO sync_journal (run, rule, at, repository, tag, reason, unreachable)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (name.run, name.rule, timestamp(at), storable(failed.repository), storable(failed.tag),
                 storable(failed.reason), int(failed.unreachable))
                for failed in failures[:_MOST_FAILURES]
            ],
        )  # fmt: skip
        await transaction.execute_many(
            "UPDATE repository SET listed_at = ? WHERE registry = ? AND name = ?",
            [(timestamp(when), name.registry, repository) for repository, when in (listed or {}).items()],
        )
        told = [
            {"repository": failed.repository, "tag": failed.tag, "reason": failed.reason}
            for failed in failures[:_MOST_TOLD]
        ]
        detail = {**numbers, "reason": reason, "failures": told}
        await _append(transaction, name, at, outcome, detail)


async def last_runs(database: Database) -> dict[str, LastRun]:
    """The last run of each rule that ever ran, by the rule's name."""
    rows = await database.fetch_all(
        "SELECT rule, max(started_at) AS started_at, finished_at, outcome, reason, new, moved, gone, failed, unchanged"
        " FROM sync_run GROUP BY rule"
    )
    return {
        row["rule"]: LastRun(
            instant(row["started_at"]), _result(row),
            complete=row["finished_at"] is not None and row["reason"] != INTERRUPTED,
        )
        for row in rows
    }  # fmt: skip


async def failures_of(database: Database, run: str) -> list[SyncFailureView]:
    """What a run could not read."""
    rows = await database.fetch_all(
        "SELECT registry, repository, tag, sync_journal.reason AS reason, unreachable FROM sync_journal"
        " JOIN sync_run USING (run, rule) WHERE run = ? ORDER BY id",
        (run,),
    )
    return [
        SyncFailureView(
            registry=row["registry"], repository=row["repository"], tag=row["tag"], reason=row["reason"],
            unreachable=bool(row["unreachable"]),
        )
        for row in rows
    ]  # fmt: skip


async def _append(
    transaction: Transaction, name: RunName, at: datetime, outcome: str, detail: Mapping[str, Any]
) -> None:
    facts = {"run": name.run, "registry": name.registry, **detail}
    await ledger.append(
        transaction, at=at, actor=name.actor, action=ACTION, object=name.object, outcome=outcome, detail=facts
    )


def _result(row: Any) -> str:
    if row["finished_at"] is None:
        return "running, or killed"
    if row["outcome"] != "done" and not row["failed"]:
        return f"{row['outcome']}: {row['reason']}"
    counts = ", ".join(f"{row[name]} {name}" for name in ("new", "moved", "gone", "failed") if row[name])
    return counts or f"{row['unchanged']} unchanged"
