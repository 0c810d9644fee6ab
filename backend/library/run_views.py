"""Runs of the synchroniser as they are shown: a run of several rules is one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from backend.core.errors import NotFoundError, UsageError
from backend.core.ports import instant
from backend.core.views import JournalEntryView, RunView
from backend.library.processes import is_alive
from backend.library.runs import INTERRUPTED, outcome_of
from backend.store.connection import Database

#: Of the outcomes of a run's rules, that of the run is the first of these.
_WORST_FIRST: Final = ("running", "interrupted", "failed", "refused", "partial", "done")
_SHORTEST_PREFIX: Final = 4
_SUMS: Final = ("new", "moved", "gone", "unchanged", "skipped", "failed", "requests", "bytes", "resumed")


async def list_runs(database: Database, limit: int) -> list[RunView]:
    """The last runs, newest first, without their journals."""
    rows = await database.fetch_all(
        "SELECT * FROM sync_run WHERE run IN (SELECT run FROM sync_run GROUP BY run ORDER BY max(number) DESC LIMIT ?)"
        " ORDER BY number",
        (max(limit, 0),),
    )
    by_run: dict[str, list[sqlite3.Row]] = {}
    for row in rows:
        by_run.setdefault(row["run"], []).append(row)
    views = [await _view(database, of_run) for of_run in by_run.values()]
    return sorted(views, key=lambda view: max(row["number"] for row in by_run[view.run]), reverse=True)


async def one_run(database: Database, run: str) -> RunView:
    """A run with its journal.

    Args:
        run: its id, or so much of its beginning that it is the only one.

    Raises:
        NotFoundError: no run of that id is kept. UsageError: it is too short, or several begin so.
    """
    full = await run_id(database, run)
    rows = await database.fetch_all("SELECT * FROM sync_run WHERE run = ? ORDER BY number", (full,))
    lines = await database.fetch_all(
        "SELECT sync_journal.*, registry FROM sync_journal JOIN sync_run USING (run, rule) WHERE run = ?"
        " ORDER BY number, repository",
        (full,),
    )
    view = await _view(database, rows)
    entries = tuple(_entry(line, over=view.outcome != "running") for line in lines)
    return msgspec.structs.replace(view, journal=entries)


async def run_id(database: Database, run: str) -> str:
    """The whole id of a run, by its beginning.

    Raises:
        NotFoundError: no run of that id is kept. UsageError: it is too short, or several begin so.
    """
    what = f"run {run[:64]!r}"
    if len(run) < _SHORTEST_PREFIX:
        raise UsageError(what, "that is too short", f"give {_SHORTEST_PREFIX} characters or more of its id")
    # Compared by length and not by pattern, in which characters of the text could mean something.
    rows = await database.fetch_all("SELECT DISTINCT run FROM sync_run WHERE substr(run, 1, ?) = ?", (len(run), run))
    if not rows:
        raise NotFoundError(what, "no such run is kept", "see modelyard runs list")
    if len(rows) > 1 and all(row["run"] != run for row in rows):
        raise UsageError(what, f"{len(rows)} runs begin so", "give more of its id")
    return run if len(rows) > 1 else str(rows[0]["run"])


async def _view(database: Database, rows: Sequence[sqlite3.Row]) -> RunView:
    outcomes = [await _outcome(row) for row in rows]
    sums = {name: sum(row[name] for row in rows) for name in _SUMS}
    over = "running" not in outcomes and all(row["finished_at"] for row in rows)
    if any(row["finished_at"] is None for row in rows):
        # What stands in the row is written at the end; until then the journal tells it.
        sums = await _sums_of_lines(database, rows[0]["run"])
    first = rows[0]
    reasons = [row["reason"] for row in rows if row["reason"]]
    if not reasons and "interrupted" in outcomes:
        reasons = [INTERRUPTED]
    return RunView(
        run=first["run"],
        rules=tuple(row["rule"] for row in rows),
        actor=first["actor"],
        started_at=instant(min(row["started_at"] for row in rows)),
        finished_at=instant(max(row["finished_at"] for row in rows)) if over else None,
        outcome=_together(outcomes),
        reason=next(iter(reasons), ""),
        seconds=max(row["seconds"] for row in rows),
        resumed_from=next((row["resumed_from"] for row in rows if row["resumed_from"]), ""),
        **sums,
    )


def _together(outcomes: Sequence[str]) -> str:
    """The outcome of a run by those of its rules; where one failed or was refused and others were not, a part was."""
    worst = min(outcomes, key=_WORST_FIRST.index)
    return "partial" if worst in {"failed", "refused"} and {"done", "partial"} & set(outcomes) else worst


async def _outcome(row: sqlite3.Row) -> str:
    if row["finished_at"] is not None:
        return outcome_of(row)
    return "running" if await asyncio.to_thread(is_alive, row["process"]) else "interrupted"


async def _sums_of_lines(database: Database, run: str) -> dict[str, int]:
    sums = ", ".join(f"ifnull(sum({name}), 0) AS {name}" for name in _SUMS)
    # The columns are constant.
    row = await database.fetch_one(f"SELECT {sums} FROM sync_journal WHERE run = ?", (run,))  # noqa: S608
    return {name: int(row[name]) if row is not None else 0 for name in _SUMS}


def _entry(line: sqlite3.Row, *, over: bool) -> JournalEntryView:
    state = line["state"]
    if over and state == "running":
        # Its run was cut off while the repository was read.
        state = "partial"
    return JournalEntryView(
        registry=line["registry"], repository=line["repository"], rule=line["rule"], state=state, seen=line["seen"],
        new=line["new"], moved=line["moved"], gone=line["gone"], unchanged=line["unchanged"], resumed=line["resumed"],
        skipped=line["skipped"], failed=line["failed"], requests=line["requests"], bytes=line["bytes"],
        seconds=line["seconds"],
        reasons=tuple(msgspec.json.decode(line["reasons"], type=list[tuple[str, str]])),
    )  # fmt: skip
