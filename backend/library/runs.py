"""The record of synchronisation runs: when each rule ran, what came of it, and where an interrupted one goes on.

Kept are of each rule the last `KEPT_RUNS` runs and, before those, the last `KEPT_RUNS` that changed or failed
something. Of all but the last `KEPT_QUIET` runs the lines of repositories in which nothing happened are removed. The
ledger keeps an entry of every run for good.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from backend.core.actors import Actor
from backend.core.ports import instant, timestamp
from backend.core.views import SyncFailureView
from backend.library.events import storable
from backend.library.journal import Row
from backend.library.processes import is_alive
from backend.store import ledger
from backend.store.connection import Database, Transaction

ACTION: Final = "library.synchronise"
#: Why a run ended that was cut off.
INTERRUPTED: Final = "interrupted"
KEPT_RUNS: Final = 100
KEPT_QUIET: Final = 20
#: What was asked for longer ago than this is asked for again.
RESUMED_WITHIN: Final = timedelta(hours=1)
_MOST_TOLD: Final = 20
_JOURNAL_COLUMNS: Final = (
    "state", "seen", "new", "moved", "gone", "unchanged", "resumed", "skipped", "failed", "requests", "bytes",
    "seconds", "reasons",
)  # fmt: skip


class RunName(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is: its id, its rule, the registry that it reads, and who asked for it.

    Attributes:
        rule_hash: of what the rule and its registry's address are; only a run of the same goes on with another.
        process: mark of the process that runs it; empty: not known, and taken for dead by others.
    """

    run: str
    rule: str
    registry: str
    actor: Actor
    rule_hash: str = ""
    process: str = ""

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
    seconds: float = 0.0
    resumed: int = 0


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """What a run goes on with.

    Attributes:
        run: that was cut off; empty: none.
        asked: tags that it had asked for and dealt with, by repository.
        allowed: there is leave to take in more than `max_new`, now or from that run.
    """

    run: str = ""
    asked: Mapping[str, Collection[str]] = {}
    allowed: bool = False


class LastRun(msgspec.Struct, frozen=True):
    """When a rule last began to run, and what came of it, in a few words.

    Attributes:
        complete: it came to its end, or a person ended it; a run that was interrupted or killed did not.
        running: it still runs, in whatever process.
    """

    at: datetime
    result: str
    complete: bool = True
    running: bool = False


async def record_start(database: Database, name: RunName, at: datetime, *, allowed: bool = False) -> Resumed:
    """Record that a run began, and take over what an earlier one of the rule that was cut off had done.

    Args:
        allowed: it may take in more than `max_new`.
    """
    async with database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO sync_run (run, rule, registry, actor, started_at, outcome, process, rule_hash)"
            " VALUES (?, ?, ?, ?, ?, 'started', ?, ?) ON CONFLICT DO NOTHING",
            (name.run, name.rule, name.registry, storable(name.actor.name), timestamp(at), name.process,
             name.rule_hash),
        )  # fmt: skip
        await _settle(transaction, name, at)
        resumed = await _take_over(transaction, name, at)
        resumed = msgspec.structs.replace(resumed, allowed=allowed or resumed.allowed)
        await transaction.execute(
            "UPDATE sync_run SET resumed_from = ?, allowed = ? WHERE run = ? AND rule = ?",
            (resumed.run, int(resumed.allowed), name.run, name.rule),
        )
        await _append(transaction, name, at, "started", {"resumed_from": resumed.run} if resumed.run else {})
    return resumed


async def record_end(
    database: Database,
    name: RunName,
    at: datetime,
    *,
    outcome: str,
    reason: str,
    counts: RunCounts,
    lines: Sequence[Row] = (),
    failures: Sequence[SyncFailureView] = (),
    listed: Mapping[str, datetime] | None = None,
    resumable: bool = False,
) -> str:
    """Record how a run ended.

    Args:
        outcome: done, failed, refused or interrupted; done with failures in `counts` is told as partial.
        reason: why it is not done, or a part of it is not; empty when all is.
        lines: of the journal, that were not written yet.
        failures: what could not be read.
        listed: repositories whose tag list was read to the end, and when.
        resumable: the next run need not ask again for what this one dealt with.

    Returns:
        the reason that was recorded, which tells of who stopped it.
    """
    numbers = msgspec.structs.asdict(counts)
    assignments = ", ".join(f"{column} = ?" for column in numbers)
    async with database.transaction() as transaction:
        stopper = await stopped_by(transaction, name.run, name.rule)
        if stopper and outcome == "interrupted":
            reason = f"stopped by {stopper}"
        # The columns are the names of RunCounts.
        await transaction.execute(
            f"UPDATE sync_run SET finished_at = ?, outcome = ?, reason = ?, {assignments} WHERE run = ? AND rule = ?",  # noqa: S608
            (timestamp(at), outcome, storable(reason), *numbers.values(), name.run, name.rule),
        )
        await write_lines(transaction, name, lines)
        await transaction.execute_many(
            "UPDATE repository SET listed_at = ? WHERE registry = ? AND name = ?",
            [(timestamp(when), name.registry, repository) for repository, when in (listed or {}).items()],
        )
        if not resumable:
            await transaction.execute("DELETE FROM sync_checkpoint WHERE run = ? AND rule = ?", (name.run, name.rule))
        await _forget_old(transaction, name.rule)
        # The ledger knows four outcomes.
        written = "failed" if outcome == "interrupted" else outcome
        await _append(transaction, name, at, written, _told(numbers, reason, failures))
    return reason


def _told(numbers: Mapping[str, Any], reason: str, failures: Sequence[SyncFailureView]) -> dict[str, Any]:
    """What the ledger says of how a run ended."""
    told = [
        {"repository": failed.repository, "tag": failed.tag, "reason": failed.reason}
        for failed in failures[:_MOST_TOLD]
    ]
    counts = {count: number for count, number in numbers.items() if count not in {"seconds", "resumed"}}
    return {**counts, "reason": reason, "failures": told}


async def write_lines(transaction: Transaction, name: RunName, lines: Sequence[Row]) -> None:
    """Write lines of the journal, in place of what stood for their repositories."""
    columns = ", ".join(_JOURNAL_COLUMNS)
    marks = ", ".join("?" * (len(_JOURNAL_COLUMNS) + 3))
    # The columns are constant.
    await transaction.execute_many(
        f"INSERT OR REPLACE INTO sync_journal (run, rule, repository, {columns}) VALUES ({marks})",  # noqa: S608
        [(name.run, name.rule, *line) for line in lines],
    )


async def write_checkpoint(
    transaction: Transaction, name: RunName, asked: Mapping[str, Sequence[str]], at: datetime
) -> None:
    """Write which tags were dealt with, by repository."""
    await transaction.execute_many(
        "INSERT INTO sync_checkpoint (run, rule, repository, at, tags) VALUES (?, ?, ?, ?, ?)",
        [
            (name.run, name.rule, repository, timestamp(at), msgspec.json.encode(tags).decode())
            for repository, tags in asked.items() if tags
        ],
    )  # fmt: skip


async def stopped_by(reader: Database | Transaction, run: str, rule: str = "") -> str:
    """Who asked for a run (of a rule, or of any) to end; empty: nobody."""
    row = await reader.fetch_one(
        "SELECT stopped_by FROM sync_run WHERE run = ?1 AND (rule = ?2 OR ?2 = '') AND stopped_by <> ''", (run, rule)
    )
    return "" if row is None else str(row["stopped_by"])


async def last_runs(database: Database) -> dict[str, LastRun]:
    """The last run of each rule that ever ran, by the rule's name."""
    rows = await database.fetch_all(
        "SELECT rule, max(number), started_at, finished_at, outcome, reason, stopped_by, process, new, moved, gone,"
        " failed, unchanged FROM sync_run GROUP BY rule"
    )
    return {row["rule"]: await _last_run(row) for row in rows}


async def _last_run(row: sqlite3.Row) -> LastRun:
    over = row["finished_at"] is not None
    running = not over and await asyncio.to_thread(is_alive, row["process"])
    return LastRun(
        instant(row["started_at"]),
        "running" if running else _result(row),
        complete=over and (row["outcome"] != "interrupted" or bool(row["stopped_by"])),
        running=running,
    )


async def _settle(transaction: Transaction, name: RunName, at: datetime) -> None:
    """Have runs of the rule whose process has ended be over, with the numbers of what they wrote down."""
    open_runs = await transaction.fetch_all(
        "SELECT run, process FROM sync_run WHERE rule = ? AND run <> ? AND finished_at IS NULL", (name.rule, name.run)
    )
    dead = [row["run"] for row in open_runs if not await asyncio.to_thread(is_alive, row["process"])]
    # The columns are constant.
    sums = ", ".join(
        f"{count} = (SELECT ifnull(sum({count}), 0) FROM sync_journal j"  # noqa: S608
        " WHERE j.run = sync_run.run AND j.rule = sync_run.rule)"
        for count in ("new", "moved", "gone", "failed", "unchanged", "skipped", "requests", "bytes", "resumed")
    )
    await transaction.execute_many(
        f"UPDATE sync_run SET outcome = 'interrupted', reason = '{INTERRUPTED}', finished_at = ?, {sums}"  # noqa: S608
        " WHERE run = ? AND rule = ?",
        [(timestamp(at), run, name.rule) for run in dead],
    )


async def _take_over(transaction: Transaction, name: RunName, at: datetime) -> Resumed:
    """What the last run that was cut off had dealt with becomes this one's; what is too old is forgotten."""
    await transaction.execute(
        "DELETE FROM sync_checkpoint WHERE rule = ? AND (at < ? OR at > ?)",
        (name.rule, timestamp(at - RESUMED_WITHIN), timestamp(at)),
    )
    before = await transaction.fetch_one(
        "SELECT number, run, allowed, rule_hash FROM sync_run WHERE rule = ?1 AND run <> ?2"
        " AND finished_at IS NOT NULL AND run IN (SELECT run FROM sync_checkpoint WHERE rule = ?1)"
        " ORDER BY number DESC LIMIT 1",
        (name.rule, name.run),
    )
    if before is None:
        return Resumed()
    later = await transaction.fetch_one(
        "SELECT 1 FROM sync_run WHERE rule = ? AND number > ? AND outcome = 'done' AND failed = 0",
        (name.rule, before["number"]),
    )
    if later is not None or before["rule_hash"] != name.rule_hash:
        await transaction.execute("DELETE FROM sync_checkpoint WHERE rule = ? AND run = ?", (name.rule, before["run"]))
        return Resumed()
    await transaction.execute(
        "UPDATE sync_checkpoint SET run = ? WHERE rule = ? AND run = ?", (name.run, name.rule, before["run"])
    )
    rows = await transaction.fetch_all(
        "SELECT repository, tags FROM sync_checkpoint WHERE rule = ? AND run = ?", (name.rule, name.run)
    )
    asked: dict[str, set[str]] = {}
    for row in rows:
        asked.setdefault(row["repository"], set()).update(msgspec.json.decode(row["tags"], type=list[str]))
    return Resumed(run=before["run"], asked=asked, allowed=bool(before["allowed"]))


async def _forget_old(transaction: Transaction, rule: str) -> None:
    await transaction.execute(
        "DELETE FROM sync_run WHERE rule = ?1 AND finished_at IS NOT NULL AND number NOT IN"
        " (SELECT number FROM sync_run WHERE rule = ?1 ORDER BY number DESC LIMIT ?2) AND number NOT IN"
        " (SELECT number FROM sync_run WHERE rule = ?1 AND (outcome <> 'done' OR new + moved + gone + failed > 0)"
        " ORDER BY number DESC LIMIT ?2)",
        (rule, KEPT_RUNS),
    )
    await transaction.execute(
        "DELETE FROM sync_journal WHERE rule = ?1 AND state = 'done' AND new + moved + gone + failed + skipped = 0"
        " AND run IN (SELECT run FROM sync_run WHERE rule = ?1 AND finished_at IS NOT NULL"
        " ORDER BY number DESC LIMIT ?2 OFFSET ?3)",
        (rule, KEPT_RUNS, KEPT_QUIET),
    )


async def _append(
    transaction: Transaction, name: RunName, at: datetime, outcome: str, detail: Mapping[str, Any]
) -> None:
    facts = {"run": name.run, "registry": name.registry, **detail}
    await ledger.append(
        transaction, at=at, actor=name.actor, action=ACTION, object=name.object, outcome=outcome, detail=facts
    )


def outcome_of(row: sqlite3.Row) -> str:
    """The outcome of a row of `sync_run` that ended, as it is told: partial is done with something that failed."""
    return "partial" if row["outcome"] == "done" and row["failed"] else str(row["outcome"])


def _result(row: sqlite3.Row) -> str:
    if row["finished_at"] is None:
        return INTERRUPTED
    if row["outcome"] != "done" and not row["failed"]:
        return f"{row['outcome']}: {row['reason']}" if row["reason"] != INTERRUPTED else INTERRUPTED
    counts = ", ".join(f"{row[name]} {name}" for name in ("new", "moved", "gone", "failed") if row[name])
    told = outcome_of(row)
    return f"{told}: {counts}" if told == "partial" else counts or f"{row['unchanged']} unchanged"
