"""Writes what a run finds, in batches: one transaction each, with its ledger entries."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from backend.core.ports import Clock
from backend.core.views import SyncEntryView
from backend.library.records import Change, ImageRecord, Observation, repository_id, write_images, write_observations
from backend.library.runs import RunName
from backend.store import ledger
from backend.store.connection import Database, Transaction

ACTION: Final = "library.change"
_BATCH: Final = 250
# A commit costs an fsync, so a batch waits this many seconds for company.
_LINGER: Final = 0.05
# Findings wait in memory while a batch is written; beyond this the reading waits as well.
_MOST_WAITING: Final = 2000

#: Called in the transaction that records tags as new, moved or back, so that what follows from them stands with them.
Recorded: TypeAlias = Callable[[Transaction, Sequence[SyncEntryView]], Awaitable[None]]


class _Seen(msgspec.Struct, frozen=True):
    repository: str
    observation: Observation


_Finding: TypeAlias = Sequence[ImageRecord] | _Seen


class Changes(msgspec.Struct):
    """What was changed so far, and how many observations changed nothing after all."""

    new: list[SyncEntryView] = []
    moved: list[SyncEntryView] = []
    gone: list[SyncEntryView] = []
    unchanged: int = 0

    def add(self, change: Change, entry: SyncEntryView) -> None:
        """Count a change; a tag that is back counts as new, or as moved when it names another digest than before."""
        if change.observation.digest is None:
            self.gone.append(entry)
        elif entry.previous is not None:
            self.moved.append(entry)
        else:
            self.new.append(entry)


class Writer:
    """Takes findings in and writes them; run `write_all` beside whoever finds.

    Args:
        host: of the registry, for references.
        recorded: told of changes in their transaction.
    """

    def __init__(
        self, database: Database, name: RunName, *, host: str, clock: Clock, recorded: Recorded | None = None
    ) -> None:
        self.changes = Changes()
        self._database = database
        self._name = name
        self._host = host
        self._clock = clock
        self._recorded = recorded
        self._waiting: deque[_Finding] = deque()
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._no_more = asyncio.Event()

    async def add_images(self, records: Sequence[ImageRecord]) -> None:
        """Have catalogue entries written, before anything that is handed in later."""
        await self._put(records)

    async def add_observation(self, repository: str, observation: Observation) -> None:
        """Have what was seen of a tag held against what is known; its digest was handed in or is stored."""
        await self._put(_Seen(repository, observation))

    def finish(self) -> None:
        """Nothing more comes; `write_all` ends when everything is written."""
        self._no_more.set()
        self._something.set()

    async def write_all(self) -> None:
        """Write until `finish` was called and nothing waits.

        Raises:
            StoreError: the database cannot be written; what was committed stands.
        """
        while batch := await self._next():
            await self._write(batch)

    async def _put(self, finding: _Finding) -> None:
        while len(self._waiting) >= _MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(finding)
        self._something.set()

    async def _next(self) -> list[_Finding]:
        """Everything that waits, up to a batch; none when nothing more comes."""
        while not self._waiting and not self._no_more.is_set():
            self._something.clear()
            await self._something.wait()
        if not self._no_more.is_set() and len(self._waiting) < _BATCH:
            # Whoever came in when the time is over is all the company that the batch gets.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._no_more.wait(), _LINGER)
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
        self._room.set()
        return batch

    async def _write(self, batch: Sequence[_Finding]) -> None:
        records = [record for item in batch if not isinstance(item, _Seen) for record in item]
        seen: dict[str, list[Observation]] = {}
        for item in batch:
            if isinstance(item, _Seen):
                seen.setdefault(item.repository, []).append(item.observation)
        found: list[tuple[Change, SyncEntryView]] = []
        async with self._database.transaction() as transaction:
            if records:
                await write_images(transaction, records, self._clock.now())
            for repository, observations in seen.items():
                found += await self._write_repository(transaction, repository, observations)
            present = [entry for change, entry in found if change.observation.digest is not None]
            if present and self._recorded is not None:
                await self._recorded(transaction, present)
        for change, entry in found:
            self.changes.add(change, entry)
        self.changes.unchanged += sum(map(len, seen.values())) - len(found)

    async def _write_repository(
        self, transaction: Transaction, repository: str, observations: Sequence[Observation]
    ) -> list[tuple[Change, SyncEntryView]]:
        number = await repository_id(
            transaction, registry=self._name.registry, host=self._host, name=repository, at=self._clock.now()
        )
        changes = await write_observations(transaction, number, observations, rule=self._name.rule, run=self._name.run)
        found = [(change, change.entry(self._name.registry, repository)) for change in changes]
        if found:
            told = Changes()
            for change, entry in found:
                told.add(change, entry)
            await ledger.append(
                transaction, at=self._clock.now(), actor=self._name.actor, action=ACTION,
                object=f"{self._host}/{repository}", outcome="done",
                detail={
                    "run": self._name.run, "rule": self._name.rule,
                    "new": [[entry.tag, entry.digest] for entry in told.new],
                    "moved": [[entry.tag, entry.previous, entry.digest] for entry in told.moved],
                    "gone": [[entry.tag, entry.digest] for entry in told.gone],
                },
            )  # fmt: skip
        return found
