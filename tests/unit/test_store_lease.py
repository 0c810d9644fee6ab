"""Leases: one holder at a time, and nobody waits for the dead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from backend.store.lease import Lease
from tests.fakes.store import FixedClock, open_database

MINUTE = timedelta(minutes=1)


async def test_one_holder_until_it_runs_out(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        mine, other = Lease(database, clock, "a:1"), Lease(database, clock, "b:2")
        assert await mine.holder("worker") is None
        assert await mine.acquire("worker", MINUTE)
        assert not await other.acquire("worker", MINUTE)
        assert await other.holder("worker") == "a:1"
        clock.advance(seconds=30)
        assert await mine.renew("worker", MINUTE)
        clock.advance(seconds=59)
        assert not await other.acquire("worker", MINUTE)
        clock.advance(seconds=1)
        assert await mine.holder("worker") is None
        assert not await mine.renew("worker", MINUTE)
        assert await other.acquire("worker", MINUTE)
        assert not await mine.acquire("worker", MINUTE)


async def test_a_holder_may_take_its_lease_again_and_give_it_up(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        mine, other = Lease(database, clock, "a:1"), Lease(database, clock, "b:2")
        assert await mine.acquire("worker", MINUTE) and await mine.acquire("worker", MINUTE)
        await other.release("worker")
        assert await mine.holder("worker") == "a:1"
        await mine.release("worker")
        assert await other.acquire("worker", MINUTE)


async def test_leases_of_other_names_are_apart(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        mine, other = Lease(database, clock, "a:1"), Lease(database, clock, "b:2")
        assert await mine.acquire("worker", MINUTE) and await other.acquire("sync", MINUTE)


async def test_a_clock_that_is_set_back_leaves_no_lease_that_lasts_for_days(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        mine, other = Lease(database, clock, "a:1"), Lease(database, clock, "b:2")
        assert await mine.acquire("worker", MINUTE)
        clock.advance(seconds=-30)
        assert not await other.acquire("worker", MINUTE)
        clock.advance(days=-1)
        assert await other.acquire("worker", MINUTE) and await other.holder("worker") == "b:2"
        assert not await mine.renew("worker", MINUTE)
