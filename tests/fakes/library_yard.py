"""A database and a registry in memory, synchronised by the real synchroniser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.actors import WORKER
from backend.core.views import RunView, SyncEntryView, SyncResultView
from backend.library.config import RuleConfig
from backend.library.run_views import one_run
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.store.connection import Database, Transaction
from tests.fakes.library_registry import FakeRegistry
from tests.fakes.store import FixedClock


def rule(**given: Any) -> RuleConfig:
    return RuleConfig.model_validate({"name": "all", "registry": "local", **given})


class Yard:
    """A database and a registry, synchronised by `sync`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.registry = FakeRegistry()
        self.clock = FixedClock()
        self.recorded: list[SyncEntryView] = []
        self.runs = 0
        self.process = ""

    async def sync(self, given: RuleConfig | None = None, **options: Any) -> SyncResultView:
        self.clock.advance(minutes=1)
        self.runs += 1
        return await self.synchroniser().run(given or rule(), run=run_name(self.runs), **options)

    def synchroniser(self) -> Synchroniser:
        async def record(transaction: Transaction, entries: Sequence[SyncEntryView]) -> None:
            self.recorded.extend(entries)

        return Synchroniser(
            Setting(
                database=self.database, source=self.registry, registry="local", host="127.0.0.1:5000", clock=self.clock,
                actor=WORKER, process=self.process, recorded=record,
            )
        )  # fmt: skip

    async def tags(self) -> dict[str, tuple[str, bool]]:
        """By `repository:tag`, the digest and whether it is gone."""
        rows = await self.database.fetch_all(
            "SELECT name, tag, digest, gone_at FROM tag JOIN repository ON repository.id = tag.repository"
        )
        return {f"{row['name']}:{row['tag']}": (row["digest"], row["gone_at"] is not None) for row in rows}

    async def run(self, number: int) -> RunView:
        """The n-th run, with its journal."""
        return await one_run(self.database, run_name(number))


def run_name(number: int) -> str:
    """The id of the n-th run."""
    return f"run-{number:02}"


def names(entries: Sequence[SyncEntryView]) -> list[str]:
    return sorted(f"{entry.repository}:{entry.tag}" for entry in entries)


def resolved(yard: Yard) -> list[str]:
    """The tags that the registry was asked for."""
    return [call.partition(" ")[2] for call in yard.registry.calls if call.startswith("resolve")]
