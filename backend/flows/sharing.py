"""One process of the yard samples GPUs; the others read what it found, from the telemetry database.

Who samples holds a lease there. It writes down what it found now and then, and at every sample while somebody else
reads along. When it falls silent, its lease runs out and another one takes over. Without that database each process
samples for itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from backend.core.errors import StoreError
from backend.core.views import GpuSnapshotView
from backend.flows.foundation import Foundation
from backend.flows.schedule import holder_name
from backend.store.lease import Lease

_LOG = logging.getLogger(__name__)
_SAMPLER: Final = "gpus"
#: Held by whoever reads along.
_READER: Final = "gpus-read"
#: Intervals that the sampler may be silent for, and seconds at the least.
_SILENT_FOR: Final = 3
_AT_LEAST: Final = timedelta(seconds=10)
#: A GPU that was idle before the program was started anew is idle since then: nobody starts and stops in between.
_REMEMBERED: Final = timedelta(minutes=30)
#: Seconds between two notes of what was found while nobody is known to read.
_NOTED_EVERY: Final = 10.0
#: Seconds until it is looked again whether somebody reads.
_LOOK_EVERY: Final = 4.0


class _Note(msgspec.Struct, frozen=True):
    """What is written down; contexts that were sampled say for whom it is of use."""

    contexts: tuple[str, ...]
    snapshot: GpuSnapshotView


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Note)


class SharedSample:
    """The sample that the yard's processes share.

    Args:
        interval: between two samples.
    """

    def __init__(self, foundation: Foundation, interval: timedelta) -> None:
        self._foundation = foundation
        self._lasting = max(_AT_LEAST, interval * _SILENT_FOR)
        self._me = holder_name("gpus")
        self._sampler = False
        self._renew_at = float("-inf")
        self._noted_at = self._looked_at = float("-inf")
        self._readers = False
        self._told = ""

    async def read(self, contexts: Sequence[str], known: GpuSnapshotView | None) -> GpuSnapshotView | None:
        """What another process found, if it is of the same clusters and not too old.

        Args:
            known: what was read before.
        """
        oldest = self._foundation.clock.now() - self._lasting
        current = known if known is not None and known.at > oldest else None
        try:
            found = await self._foundation.telemetry.latest(oldest if current is None else current.at)
        except StoreError as error:
            self._tell(error)
            return None
        if found is None or found[0] > self._foundation.clock.now() + self._lasting:
            return current
        try:
            note = _DECODER.decode(found[1])
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Another version of the program wrote it.
            return None
        return note.snapshot if note.contexts == tuple(contexts) else None

    async def left(self) -> GpuSnapshotView | None:
        """What whoever sampled last left behind, of whichever clusters, if it is not older than half an hour."""
        try:
            found = await self._foundation.telemetry.latest(self._foundation.clock.now() - _REMEMBERED)
            return None if found is None else _DECODER.decode(found[1]).snapshot
        except StoreError as error:
            self._tell(error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            _LOG.info("what was sampled before was left by another version")
        return None

    async def is_mine(self) -> bool:
        """Whether it is this process that samples; takes the task when nobody has it."""
        now = self._foundation.clock.monotonic()
        if now >= self._renew_at:
            self._sampler = await self._hold(_SAMPLER)
            # One that reads along looks at every sample whether the task is free.
            self._renew_at = now + (self._lasting.total_seconds() / 3 if self._sampler else 0.0)
        return self._sampler

    async def read_along(self) -> None:
        """Let the sampler know that somebody reads."""
        await self._hold(_READER)

    async def publish(self, snapshot: GpuSnapshotView, contexts: Sequence[str]) -> None:
        """Write down what was found, when somebody reads along or it was a while ago."""
        monotonic = self._foundation.clock.monotonic()
        store = self._foundation.telemetry
        noted_lately = monotonic < self._noted_at + _NOTED_EVERY
        if noted_lately and not self._readers and monotonic < self._looked_at + _LOOK_EVERY:
            return
        try:
            async with store.using(making=True) as database:
                reader = await Lease(database, self._foundation.clock, self._me).holder(_READER)
            self._readers, self._looked_at = reader is not None, monotonic
            if noted_lately and not self._readers:
                return
            self._noted_at = monotonic
            note = await asyncio.to_thread(_ENCODER.encode, _Note(tuple(contexts), snapshot))
            await store.put_latest(note, snapshot.at)
        except StoreError as error:
            self._tell(error)

    async def close(self) -> None:
        """Leave sampling to others."""
        if not self._sampler:
            return
        self._sampler = False
        try:
            async with self._foundation.telemetry.using() as database:
                await Lease(database, self._foundation.clock, self._me).release(_SAMPLER)
        except StoreError as error:
            self._tell(error)

    async def _hold(self, name: str) -> bool:
        store = self._foundation.telemetry
        if store.read_only:
            return False
        try:
            async with store.using(making=True) as database:
                return await Lease(database, self._foundation.clock, self._me).acquire(name, self._lasting)
        except StoreError as error:
            self._tell(error)
            return False

    def _tell(self, error: StoreError) -> None:
        if str(error) != self._told:
            self._told = str(error)
            _LOG.info("samples of GPUs are not shared: %s", error)
