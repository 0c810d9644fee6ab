"""Which rules are due: by their schedule, after failures and interruptions, and whatever the clock does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.config import Configuration
from backend.core.actors import WORKER
from backend.core.errors import UnreachableError
from backend.flows.schedule import Schedule
from backend.library import runs as records
from backend.library.config import RuleConfig
from backend.library.processes import this_process
from backend.store.connection import Database
from tests.fakes.store import FixedClock, open_database

HOURLY = RuleConfig.model_validate({"name": "all", "registry": "local", "every": "1h"})


class Runs:
    """Records that rules ran, as the flow does."""

    def __init__(self, database: Database, clock: FixedClock) -> None:
        self.database = database
        self.clock = clock
        self.count = 0
        self.failing = False

    async def synchronise_as_worker(self, rule: RuleConfig) -> None:
        self.count += 1
        if self.failing:
            raise UnreachableError("registry local", "connection refused", "start it")
        name = self.name(rule)
        await records.record_start(self.database, name, self.clock.now())
        await records.record_end(
            self.database, name, self.clock.now(), outcome="done", reason="", counts=records.RunCounts()
        )

    def name(self, rule: RuleConfig, process: str = "") -> records.RunName:
        return records.RunName(
            run=f"run-{self.count}", rule=rule.name, registry=rule.registry, actor=WORKER, process=process
        )


class Due:
    """A schedule whose rounds the test makes."""

    def __init__(self, database: Database) -> None:
        self.clock = FixedClock()
        self.runs = Runs(database, self.clock)
        self.rules = SimpleNamespace(rules=[HOURLY])
        configuration = SimpleNamespace(settings=Configuration())
        foundation: Any = SimpleNamespace(
            database=database, clock=self.clock, rules=self.rules, configuration=configuration
        )
        unused = cast("Any", None)
        self.schedule = Schedule(foundation, cast("Any", self.runs), unused, unused, "worker")

    async def after(self, **time: float) -> int:
        """How many runs there were, a round later."""
        self.clock.advance(**time)
        await self.schedule._run_due_rules()
        return self.runs.count


@pytest.fixture
async def due(tmp_path: Path) -> AsyncIterator[Due]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield Due(database)


async def test_a_rule_runs_at_once_and_then_when_its_time_has_come(due: Due) -> None:
    assert await due.after() == 1
    assert await due.after(minutes=59) == 1
    assert await due.after(minutes=1) == 2
    due.rules.rules = [HOURLY.model_copy(update={"enabled": False}), HOURLY.model_copy(update={"every": None})]
    assert await due.after(hours=5) == 2


async def test_what_failed_is_tried_again_after_a_minute(due: Due) -> None:
    due.runs.failing = True
    assert await due.after() == 1
    assert await due.after(seconds=59) == 1
    assert await due.after(seconds=1) == 2


async def test_a_clock_that_is_set_back_makes_one_run_more_and_stops_none(due: Due) -> None:
    assert await due.after() == 1
    assert await due.after(days=-30) == 2
    assert await due.after(seconds=1) == 2
    assert await due.after(hours=1) == 3
    due.runs.failing = True
    assert await due.after(hours=1) == 4
    due.runs.failing = False
    due.clock.advance(days=-30)
    assert await due.after(minutes=1) == 5


async def test_a_run_that_was_cut_off_is_gone_on_with_soon_and_one_under_way_is_left_alone(due: Due) -> None:
    mark = await asyncio.to_thread(this_process)
    await records.record_start(due.runs.database, due.runs.name(HOURLY, mark), due.clock.now())
    assert await due.after(minutes=30) == 0
    async with due.runs.database.transaction() as transaction:
        await transaction.execute("UPDATE sync_run SET process = 'somewhere else'")
    due.runs.count = 1
    assert await due.after(seconds=1) == 2
    assert await due.after(minutes=30) == 2


async def test_a_run_that_hangs_holds_up_its_rule_for_hours_and_not_for_good(due: Due) -> None:
    mark = await asyncio.to_thread(this_process)
    await records.record_start(due.runs.database, due.runs.name(HOURLY, mark), due.clock.now())
    due.runs.count = 1
    assert await due.after(hours=5) == 1
    assert await due.after(hours=1) == 2
