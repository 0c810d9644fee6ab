"""Writes what a run finds, in batches: one transaction each, with its ledger entries."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from backend.core.ports import Clock
from backend.core.views import SyncEntryView
from backend.library.journal import Journal
from backend.library.records import Change, ImageRecord, Observation, repository_id, write_images, write_observations
from backend.library.runs import RunName, write_checkpoint, write_lines
from backend.store import ledger
from backend.store.connection import Database, Transaction

ACTION: Final = "library.change"
_BATCH: Final = 250
# A commit costs an fsync, so a batch waits this many seconds for company.
_LINGER: Final = 0.05
# Findings wait in memory while a batch is written; beyond this the reading waits as well.
_MOST_WAITING: Final = 2000
# Tags that changed nothing need no transaction but for a run that is cut off, which would ask for them again.
_CHECKPOINT_TAGS: Final = 1000
_CHECKPOINT_SECONDS: Final = 1.0

#: Called in the transaction that records tags as new, moved or back, so that what follows from them stands with them.
Recorded: TypeAlias = Callable[[Transaction, Sequence[SyncEntryView]], Awaitable[None]]


class _Seen(msgspec.Struct, frozen=True):
    repository: str
    observation: Observation


_Finding: TypeAlias = Sequence[ImageRecord] | _Seen
_Settled: TypeAlias = list[tuple[str, str, int]]


class Changes(msgspec.Struct):
    """What was changed so far, and how many observations changed nothing after all."""

    new: list[SyncEntryView] = []
    moved: list[SyncEntryView] = []
    gone: list[SyncEntryView] = []
    unchanged: int = 0

    def add(self, change: Change, entry: SyncEntryView) -> None:
        """Count a change."""
        getattr(self, _kind_of(change, entry)).append(entry)


class Writer:
    """Takes findings in and writes them; run `write_all` beside whoever finds.

    Args:
        host: of the registry, for references.
        journal: of the run; what changed in it is written with every batch.
        recorded: told of changes in their transaction.
    """

    def __init__(
        self,
        database: Database,
        name: RunName,
        *,
        host: str,
        clock: Clock,
        journal: Journal,
        recorded: Recorded | None = None,
    ) -> None:
        self.changes = Changes()
        self._journal = journal
        self._dealt_with: dict[str, list[str]] = {}
        self._dealt_with_count = 0
        self._checkpoint_at = clock.monotonic()
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

    def deal_with(self, repository: str, tag: str) -> None:
        """Have it noted that a tag needs not be asked for again by the run that goes on with this one, if one must."""
        self._dealt_with.setdefault(repository, []).append(tag)
        self._dealt_with_count += 1
        if (
            self._dealt_with_count >= _CHECKPOINT_TAGS
            or self._clock.monotonic() - self._checkpoint_at >= _CHECKPOINT_SECONDS
        ):
            # An empty finding makes a batch, and every batch is a checkpoint.
            self._dealt_with_count = 0
            self._checkpoint_at = self._clock.monotonic()
            self._waiting.append(())
            self._something.set()

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
            writing = asyncio.ensure_future(self._write(batch))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # A commit cannot be called back: the batch comes to its end, so that what is counted is what stands.
                await asyncio.wait({writing})
                if not writing.cancelled():
                    writing.exception()
                raise

    async def write_rest(self) -> None:
        """Write what waits, after `write_all` was cancelled.

        Raises:
            StoreError: the database cannot be written; what was committed stands.
        """
        while self._waiting or self._dealt_with:
            await self._write(self._batch())

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
        return self._batch()

    def _batch(self) -> list[_Finding]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
        self._room.set()
        return batch

    async def _write(self, batch: Sequence[_Finding]) -> None:
        records = [record for item in batch if not isinstance(item, _Seen) for record in item]
        seen: dict[str, list[Observation]] = {}
        for item in batch:
            if isinstance(item, _Seen):
                seen.setdefault(item.repository, []).append(item.observation)
        dealt_with, self._dealt_with, self._dealt_with_count = self._dealt_with, {}, 0
        self._checkpoint_at = self._clock.monotonic()
        for repository, observations in seen.items():
            tags = (one.tag for one in observations if one.digest is not None)
            dealt_with.setdefault(repository, []).extend(tags)
        found: list[tuple[Change, SyncEntryView]] = []
        settled: _Settled = []
        try:
            async with self._database.transaction() as transaction:
                if records:
                    await write_images(transaction, records, self._clock.now())
                for repository, observations in seen.items():
                    changes = await self._write_repository(transaction, repository, observations)
                    settled += self._settle(repository, changes, len(observations))
                    found += changes
                present = [entry for change, entry in found if change.observation.digest is not None]
                if present and self._recorded is not None:
                    await self._recorded(transaction, present)
                await write_lines(transaction, self._name, self._journal.rows())
                await write_checkpoint(transaction, self._name, dealt_with, self._clock.now())
        except BaseException:
            for repository, kind, count in settled:
                self._journal.note(repository).settle(kind, -count)
            raise
        for change, entry in found:
            self.changes.add(change, entry)
        self.changes.unchanged += sum(map(len, seen.values())) - len(found)

    def _settle(self, repository: str, changes: Sequence[tuple[Change, SyncEntryView]], observations: int) -> _Settled:
        """Count in the journal what became of the observations of a repository; returns the counts."""
        counts = Counter(_kind_of(change, entry) for change, entry in changes)
        counts["unchanged"] = observations - len(changes)
        line = self._journal.note(repository)
        for kind, count in counts.items():
            line.settle(kind, count)
        return [(repository, kind, count) for kind, count in counts.items()]

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


def _kind_of(change: Change, entry: SyncEntryView) -> str:
    """Under which count a change goes: a tag that is back is new, or moved when it names another digest than before."""
    if change.observation.digest is None:
        return "gone"
    return "moved" if entry.previous is not None else "new"
