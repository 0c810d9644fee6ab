"""Records what GPUs and services do, once a yard: done by whoever holds its lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from backend.core.errors import ModelyardError
from backend.core.views import GpuSnapshotView
from backend.flows.foundation import Foundation
from backend.telemetry.recording import Recorder
from backend.telemetry.series_store import SeriesStore

_LOG = logging.getLogger(__name__)
#: Seconds between two writes, and at least for each series: what a power cut may cost.
_WRITE_EVERY: Final = 60.0
_WRITE_EACH: Final = 0.2
_AT_ONCE: Final = 32
_KEEP_EVERY: Final = 600.0
_FIRST_KEEP: Final = 20.0


class Recording:
    """Samples at the configured interval, writes once a minute, and keeps the database within its bounds."""

    def __init__(self, foundation: Foundation, snapshot: Callable[[], Awaitable[GpuSnapshotView]]) -> None:
        """
        Args:
            snapshot: gives the last sample of all GPUs.
        """
        telemetry = foundation.configuration.settings.telemetry
        self._foundation = foundation
        self._snapshot = snapshot
        self._settings = telemetry
        self._store = SeriesStore(foundation.telemetry)
        self._recorder = Recorder(telemetry.interval)
        started = foundation.clock.monotonic()
        self._write_at = started + _WRITE_EVERY
        self._keep_at = started + _FIRST_KEEP
        self._problem = ""

    async def run(self, may: Callable[[], bool]) -> None:
        """Record, until cancelled, while `may` says that it is ours to do."""
        interval = self._settings.interval.total_seconds()
        clock = self._foundation.clock
        due = clock.monotonic()
        try:
            while True:
                await self._guarded(self.round, may())
                due = max(due + interval, clock.monotonic())
                await asyncio.sleep(due - clock.monotonic())
        finally:
            await asyncio.shield(self._guarded(self.write))

    async def round(self, ours: bool) -> None:
        """Sample, where that is ours to do, and write what is due.

        Raises:
            StoreError: of its kind; what was not written is kept for a while.
        """
        clock = self._foundation.clock
        if ours:
            self._recorder.add(await self._snapshot())
        if clock.monotonic() >= self._write_at or (self._recorder.is_full and not self._problem):
            self._write_at = clock.monotonic() + _WRITE_EVERY
            await self.write()
        if ours and clock.monotonic() >= self._keep_at:
            self._keep_at = clock.monotonic() + _KEEP_EVERY
            await self.keep()

    async def keep(self) -> None:
        """Thin out what is over, and throw away what is too old or too much.

        Raises:
            StoreError: of its kind.
        """
        if not await asyncio.to_thread(self._foundation.telemetry.path.exists):
            return
        now = self._foundation.clock.now()
        await self._store.thin_out(now)
        await self._store.expire(now, self._settings.keep, self._settings.max_size)

    async def write(self) -> None:
        """Write what was sampled.

        Raises:
            StoreError: of its kind.
        """
        pending, tenures = self._recorder.pending(), self._recorder.tenures()
        try:
            # A few at a time, so that a screen in this process is not held up.
            for first in range(0, len(pending), _AT_ONCE):
                part = pending[first : first + _AT_ONCE]
                last = first + _AT_ONCE >= len(pending)
                pieces = await asyncio.to_thread(self._recorder.pieces, part)
                await self._store.write(pieces, tenures if last else ())
                self._recorder.written(part, tenures if last else ())
        except ModelyardError:
            self._recorder.let_go()
            raise
        self._problem = ""
        # What grows is packed anew each time: of many series less often, so that it costs no more.
        self._write_at = self._foundation.clock.monotonic() + max(_WRITE_EVERY, _WRITE_EACH * len(pending))

    async def _guarded(self, work: Callable[..., Awaitable[None]], *arguments: bool) -> None:
        """What fails here is told once, and stops nothing else."""
        try:
            await work(*arguments)
        except ModelyardError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                _LOG.warning("telemetry is not recorded: %s", error)
        except Exception:
            # Nobody waits for this task: it goes on, and says what went wrong.
            _LOG.exception("recording failed unexpectedly")
