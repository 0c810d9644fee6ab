"""The journal of a run, where an interrupted run goes on, and how long either is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backend.core.errors import (
    AuthenticationError,
    NotFoundError,
    TooManyNewError,
    UnreachableError,
    UsageError,
)
from backend.core.views import SyncProgressView
from backend.library import runs as records
from backend.library.config import RuleConfig
from backend.library.pace import Pace
from backend.library.processes import is_alive, this_process
from backend.library.run_views import list_runs, one_run
from backend.library.runs import last_runs
from tests.fakes.library_registry import nothing
from tests.fakes.library_yard import Yard, resolved, rule, run_name
from tests.fakes.store import open_database


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield Yard(database)


async def cut_after(yard: Yard, tags: int, given: RuleConfig | None = None, **options: Any) -> None:
    """Have a run cut off when it has asked for so many tags, and what came before is written, but for some."""
    task = asyncio.ensure_future(yard.sync(given, **options))

    async def cut(call: str) -> None:
        yard.clock.advance(seconds=0.5)
        if len(resolved(yard)) > tags:
            async with asyncio.timeout(20):
                while await dealt_with(yard) < tags - 10:  # noqa: ASYNC110 - nobody is told of what is written
                    await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.sleep(60)

    yard.registry.before = cut
    with pytest.raises(asyncio.CancelledError):
        await task
    yard.registry.before = nothing
    yard.registry.calls.clear()


async def dealt_with(yard: Yard) -> int:
    """How many tags an unfinished run need not ask for again."""
    rows = await yard.database.fetch_all("SELECT tags FROM sync_checkpoint")
    return sum(len(msgspec.json.decode(row["tags"])) for row in rows)


# ---------------------------------------------------------------- the journal


async def test_the_journal_tells_of_every_repository_what_was_found_and_what_it_cost(yard: Yard) -> None:
    for tag in ("1.0", "1.1", "1.2", "nightly"):
        yard.registry.push("a", tag)
    yard.registry.push("b", "1.0")
    await yard.sync(rule(tags={"versions": ">=1"}))
    moved = yard.registry.push("a", "1.0", config={"Labels": {"moved": "yes"}})
    del yard.registry.repositories["a"]["1.1"]
    yard.registry.push("a", "1.3", config={"Labels": {"com.nvidia.nim.type": "embedding"}})
    yard.registry.push("a", "1.4")
    yard.registry.failing["resolve a:1.4"] = UnreachableError("tag", "connection reset", "try again")
    yard.registry.failing["tags b"] = AuthenticationError("tags", "denied", "log in")

    async def pass_time(call: str) -> None:
        yard.clock.advance(seconds=1)

    yard.registry.before = pass_time
    await yard.sync(rule(tags={"versions": ">=1"}, types=["generic"]))
    of_list, of_a, of_b = (await yard.run(2)).journal
    assert (of_list.repository, of_list.state, of_list.seen, of_list.requests) == ("", "done", 2, 1)
    counts = (of_a.seen, of_a.new, of_a.moved, of_a.gone, of_a.unchanged, of_a.skipped, of_a.failed)
    assert (of_a.state, *counts) == ("partial", 5, 0, 1, 1, 1, 1, 1)
    assert sorted(of_a.reasons) == [
        ("", "1 left out by tags.versions: it has no version"),
        ("1.3", "types: it is embedding"),
        ("1.4", "connection reset"),
    ]
    # One list, four HEADs, and a manifest with its configuration for each of two.
    assert of_a.requests == 9 and of_a.bytes > len(moved) and of_a.seconds >= 8
    assert (of_b.state, of_b.reasons, of_b.requests) == ("failed", (("", "denied"),), 1)
    run = await yard.run(2)
    assert run.outcome == "partial" and run.requests == 11 and run.bytes == of_a.bytes
    assert (run.moved, run.gone, run.unchanged, run.skipped, run.failed) == (1, 1, 1, 1, 2)


async def test_runs_are_listed_newest_first_and_found_by_the_beginning_of_their_id(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    for _ in range(3):
        await yard.sync()
    # A clock that is set back puts no run before those that came earlier.
    yard.clock.advance(days=-10)
    await yard.sync()
    listed = await list_runs(yard.database, 2)
    assert [run.run for run in listed] == [run_name(4), run_name(3)]
    assert (await last_runs(yard.database))["all"].at == listed[0].started_at
    assert (await one_run(yard.database, run_name(2))).run == run_name(2)
    with pytest.raises(UsageError, match="too short"):
        await one_run(yard.database, "run")
    with pytest.raises(UsageError, match="4 runs begin so"):
        await one_run(yard.database, "run-0")
    with pytest.raises(NotFoundError):
        await one_run(yard.database, "%unknown%")


async def test_old_journals_go_and_what_changed_something_stays_longer(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT_RUNS", 4)
    monkeypatch.setattr(records, "KEPT_QUIET", 2)
    yard.registry.push("a", "1.0")
    yard.registry.push("b", "1.0")
    await yard.sync()
    for _ in range(7):
        await yard.sync()
    assert [run.run for run in await list_runs(yard.database, 50)] == [
        run_name(number) for number in (8, 7, 6, 5, 1)
    ]  # fmt: skip
    assert [len((await yard.run(number)).journal) for number in (8, 7, 6, 5, 1)] == [3, 3, 0, 0, 2]
    assert [line.new for line in (await yard.run(1)).journal] == [1, 1]
    orphans = await yard.database.fetch_all(
        "SELECT run FROM sync_journal UNION SELECT run FROM sync_checkpoint EXCEPT SELECT run FROM sync_run"
    )
    assert orphans == []


async def test_a_repository_that_fails_tag_by_tag_does_not_swell_its_line(yard: Yard) -> None:
    for number in range(150):
        yard.registry.push("a", f"1.{number}")
    yard.registry.failing["manifest"] = UsageError("manifest", "it is odd", "look at it")
    await yard.sync()
    (line,) = [line for line in (await yard.run(1)).journal if line.repository]
    assert line.failed == 150 and len(line.reasons) == 101 and line.reasons[-1] == ("", "and 50 more")


# ---------------------------------------------------------------- going on where it was


@pytest.mark.parametrize("tags", [12, 30])
async def test_a_run_goes_on_where_the_one_before_was_cut_off(yard: Yard, tags: int) -> None:
    for number in range(50):
        yard.registry.push(f"r{number % 2}", f"1.{number}")
    await cut_after(yard, tags)
    stored = await yard.tags()
    cut = await yard.run(1)
    assert cut.outcome == "interrupted" and cut.new == len(stored) >= tags - 10
    rest = await yard.sync()
    assert len(rest.new) == 50 - len(stored) == len(resolved(yard)) and not rest.failed
    assert (rest.resumed_from, rest.resumed, rest.unchanged) == (run_name(1), len(stored), len(stored))
    view = await yard.run(2)
    assert (view.resumed_from, view.resumed) == (run_name(1), len(stored))
    assert sum(line.resumed for line in view.journal) == len(stored)
    yard.registry.calls.clear()
    third = await yard.sync()
    assert third.unchanged == 50 == len(resolved(yard)) and not third.resumed_from


async def test_what_had_not_changed_is_not_asked_again_either(yard: Yard) -> None:
    for number in range(40):
        yard.registry.push("a", f"1.{number}")
    await yard.sync()
    yard.registry.calls.clear()
    await cut_after(yard, 30)
    rest = await yard.sync()
    assert rest.resumed_from == run_name(2) and rest.unchanged == 40
    assert len(resolved(yard)) == 40 - rest.resumed <= 20


async def test_what_was_passed_over_is_not_looked_at_again(yard: Yard) -> None:
    for number in range(40):
        yard.registry.push("nv-embedqa", f"1.{number}")
    chats = rule(types=["chat"])
    await cut_after(yard, 20, chats)
    rest = await yard.sync(chats)
    assert rest.skipped == 40 and 0 < rest.resumed == 40 - len(resolved(yard))


@pytest.mark.parametrize("change", ["rule", "hour", "clock", "alive"])
async def test_what_another_run_did_counts_only_while_it_means_the_same(yard: Yard, change: str) -> None:
    for number in range(20):
        yard.registry.push("a", f"1.{number}")
    yard.process = await asyncio.to_thread(this_process) if change == "alive" else ""
    if change == "alive":
        # Still running: nothing of it is taken over, and it is not called over.
        await records.record_start(
            yard.database, records.RunName(
                run="still-alive", rule="all", registry="local", actor=yard.synchroniser()._setting.actor,
                process=yard.process,
            ), yard.clock.now(),
        )  # fmt: skip
    else:
        await cut_after(yard, 12)
    if change == "hour":
        yard.clock.advance(seconds=records.RESUMED_WITHIN.total_seconds())
    elif change == "clock":
        yard.clock.advance(days=-1)
    given = rule(exclude_repositories=["b"]) if change == "rule" else rule()
    result = await yard.sync(given)
    assert not result.resumed_from and len(resolved(yard)) == 20 and not result.failed
    if change == "alive":
        assert (await one_run(yard.database, "still-alive")).outcome == "running"


async def test_a_run_that_was_killed_is_told_as_interrupted_and_gone_on_with(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    name = records.RunName(
        run="killed", rule="all", registry="local", actor=yard.synchroniser()._setting.actor,
        process="somewhere-else 1 1",
    )  # fmt: skip
    await records.record_start(yard.database, name, yard.clock.now())
    assert (await one_run(yard.database, "killed")).outcome == "interrupted"
    assert not (await last_runs(yard.database))["all"].complete
    await yard.sync()
    assert (await one_run(yard.database, "killed")).finished_at is not None
    assert (await last_runs(yard.database))["all"].complete


async def test_leave_to_take_in_many_holds_for_the_run_that_goes_on(yard: Yard) -> None:
    for number in range(40):
        yard.registry.push("a", f"1.{number}")
    careful = rule(max_new=3)
    await cut_after(yard, 20, careful, allow_many=True)
    assert len((await yard.sync(careful)).new) >= 15
    # It ends with the run that goes on.
    for number in range(40, 50):
        yard.registry.push("a", f"1.{number}")
    with pytest.raises(TooManyNewError, match="10 new tags"):
        await yard.sync(careful)


async def test_who_stopped_a_run_is_told_and_the_schedule_does_not_start_it_again_at_once(yard: Yard) -> None:
    for number in range(20):
        yard.registry.push("a", f"1.{number}")
    task = asyncio.ensure_future(yard.sync())

    async def stop(call: str) -> None:
        if len(resolved(yard)) == 10:
            async with yard.database.transaction() as transaction:
                await transaction.execute("UPDATE sync_run SET stopped_by = 'robin'")
            task.cancel()

    yard.registry.before = stop
    await asyncio.gather(task, return_exceptions=True)
    run = await yard.run(1)
    assert (run.outcome, run.reason) == ("interrupted", "stopped by robin")
    assert (await last_runs(yard.database))["all"].complete


# ---------------------------------------------------------------- what it goes by


def test_a_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.rate is None and pace.remaining(100) is None
    for second in range(11):
        pace.mark(100.0 + second, 10 * second if second <= 5 else 50 + 2 * (second - 5))
    assert pace.rate == pytest.approx(2.0) and pace.remaining(100) == pytest.approx(20.0)
    assert pace.remaining(None) is None and pace.remaining(3) == 0.0


async def test_progress_tells_rate_rest_and_cost(yard: Yard) -> None:
    for number in range(20):
        yard.registry.push("a", f"1.{number}")
    told: list[SyncProgressView] = []

    async def tell(progress: SyncProgressView) -> None:
        told.append(progress)

    async def pass_time(call: str) -> None:
        yard.clock.advance(seconds=0.5)

    yard.registry.before = pass_time
    await yard.sync(progress=tell)
    middle = told[len(told) // 2]
    assert middle.rate is not None and middle.rate > 0 and middle.remaining is not None
    assert middle.remaining == pytest.approx((20 - middle.done) / middle.rate)
    assert 0 < middle.requests < told[-1].requests == 62 and told[-1].bytes > 0 and told[-1].remaining == 0


def test_a_process_is_known_while_it_lives_and_a_number_that_was_given_anew_is_not_it() -> None:
    mark = this_process()
    assert is_alive(mark)
    host, number, started = mark.split(" ")
    assert not is_alive(f"{host} {number} {int(started) + 1}")
    assert not is_alive(f"elsewhere {number} {started}")
    assert not any(map(is_alive, ("", " ", f"{host} 999999999999 1", f"{host} -1 1", f"{host} x 1")))
