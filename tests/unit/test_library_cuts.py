"""A synchronisation that dies at any of a hundred points: the library is whole, and the next run completes it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from backend.audit.verification import verify
from backend.core.actors import WORKER
from backend.core.views import SyncEntryView, SyncResultView
from backend.curation.submissions import submit_many
from backend.evidence.facts import ImageFacts
from backend.library.run_views import one_run
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.store import connection
from backend.store.connection import Database, Transaction
from tests.fakes.library_registry import FakeRegistry, fill, nothing
from tests.fakes.library_snapshot import snapshot
from tests.fakes.library_yard import rule
from tests.fakes.store import FixedClock, open_database

CUTS = 100
NEVER = 0


class DeathError(BaseException):
    """The process is dead: nothing that it still does has any effect."""


class Fuse:
    """Counts every statement to the database and every request; at one of them, and from then on, all is over."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def burn(self) -> None:
        self.count += 1
        if self.at and self.count >= self.at:
            raise DeathError

    async def request(self, call: str) -> None:
        self.burn()

    def guard(self, patch: pytest.MonkeyPatch, name: str) -> None:
        """Have a method of connections burn it."""
        method: Callable[..., Any] = getattr(aiosqlite.Connection, name)

        def guarded(*arguments: Any, **options: Any) -> Awaitable[Any]:
            self.burn()
            return method(*arguments, **options)

        patch.setattr(aiosqlite.Connection, name, guarded)


def relax(patch: pytest.MonkeyPatch) -> None:
    """Have no commit wait for the disk: it is the process that dies here, and not the machine."""
    connect = connection._connect

    async def relaxed(path: Path, *pragmas: str, **options: Any) -> aiosqlite.Connection:
        return await connect(path, *pragmas, "synchronous = OFF", **options)

    patch.setattr(connection, "_connect", relaxed)


async def synchronise(database: Database, registry: FakeRegistry, run: str, *, minute: int) -> SyncResultView:
    clock = FixedClock()
    clock.advance(minutes=minute)

    async def submit(transaction: Transaction, entries: Sequence[SyncEntryView]) -> None:
        facts = [
            ImageFacts(digest=entry.digest, registry="local", host="h", repository=entry.repository)
            for entry in entries
        ]  # fmt: skip
        await submit_many(transaction, facts, actor=WORKER, at=clock.now(), rule="all")

    setting = Setting(
        database=database, source=registry, registry="local", host="h", clock=clock, actor=WORKER, recorded=submit,
        concurrency=3,
    )  # fmt: skip
    return await Synchroniser(setting).run(rule(), run=run)


async def synchronise_until(path: Path, registry: FakeRegistry, fuse: Fuse) -> None:
    """Synchronise in a database, until the fuse has burnt down."""
    async with open_database(path) as database:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("execute", "executemany", "execute_fetchall"):
                fuse.guard(patch, name)
            registry.before = fuse.request
            try:
                await synchronise(database, registry, "cut-off", minute=10)
            except DeathError:
                assert fuse.at
            finally:
                registry.before = nothing


def changed_registry() -> tuple[FakeRegistry, Callable[[], None]]:
    """A registry, and how it changes afterwards: tags that are new, that move, go and come back, and an index."""
    registry = FakeRegistry()
    for number in range(8):
        registry.push("a", f"1.{number}")
    registry.push("b", "1.0")

    def change() -> None:
        fill(registry)
        for number in range(4, 8):
            registry.push("a", f"1.{number}", config={"Labels": {"moved": "yes"}})
        del registry.repositories["a"]["1.0"]
        registry.push("c", "1.0", registry.repositories["a"]["1.1"])
        for number in range(6):
            registry.push("d", f"1.{number}")

    return registry, change


async def assert_whole(database: Database) -> None:
    """Every tag has its image, content, event and submission; the ledger holds; the journal tells what was written."""
    assert (await verify(database)).intact
    assert await database.fetch_all("PRAGMA foreign_key_check") == []
    for broken in (
        "SELECT digest FROM tag WHERE digest NOT IN (SELECT digest FROM image)",
        "SELECT digest FROM tag WHERE digest NOT IN (SELECT digest FROM candidate)",
        "SELECT tag FROM tag WHERE (repository, tag) NOT IN (SELECT repository, tag FROM tag_event)",
        "SELECT digest FROM image WHERE digest NOT IN (SELECT digest FROM content)",
        "SELECT digest FROM submission GROUP BY digest HAVING count(*) > 1",
    ):
        assert await database.fetch_all(broken) == [], broken
    for run in await database.fetch_all("SELECT DISTINCT run FROM sync_run"):
        view = await one_run(database, run["run"])
        events = await database.fetch_all("SELECT change FROM tag_event WHERE run = ?", (run["run"],))
        assert view.new + view.moved + view.gone == len(events)
        assert sum(line.new + line.moved + line.gone for line in view.journal) == len(events)


async def test_it_may_die_at_any_of_a_hundred_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relax(monkeypatch)
    registry, change = changed_registry()
    async with open_database(tmp_path / "before.db") as database:
        await synchronise(database, registry, "first", minute=0)
    change()
    fuse = Fuse(NEVER)
    clean = Path(shutil.copy(tmp_path / "before.db", tmp_path / "clean.db"))
    await synchronise_until(clean, registry, fuse)
    async with open_database(clean) as database:
        await assert_whole(database)
        expected = await snapshot(database)
    assert fuse.count >= CUTS
    for cut in range(CUTS):
        at = 1 + cut * fuse.count // CUTS
        # Closed properly, a database leaves no log beside it that would belong to the one before.
        path = Path(shutil.copy(tmp_path / "before.db", tmp_path / "cut.db"))
        await synchronise_until(path, registry, Fuse(at))
        async with open_database(path) as database:
            await assert_whole(database)
            await synchronise(database, registry, "the-next", minute=20)
            assert await snapshot(database) == expected, f"cut at {at} of {fuse.count}"
            await assert_whole(database)
            left = await database.fetch_all("SELECT run FROM sync_run WHERE finished_at IS NULL")
            assert left == [] and await database.fetch_all("SELECT 1 FROM sync_checkpoint") == []
