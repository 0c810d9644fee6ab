"""Gathers samples into blocks until they are written. Nothing here reads or writes anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from backend.core.views import GpuSnapshotView
from backend.telemetry.series_blocks import Block, Column, whole
from backend.telemetry.series_metrics import METRICS, SeriesKind
from backend.telemetry.series_points import MINUTE
from backend.telemetry.series_samples import Sample, holders_of, samples_of
from backend.telemetry.series_store import BLOCK, Piece, Tenure
from backend.telemetry.store import milliseconds

#: What could not be written for so many milliseconds is let go, the oldest first.
_LONGEST_WAIT: Final = 30 * MINUTE
#: Times as long as is configured that a sample stands for, at most.
_MOST_STRETCH: Final = 5
_RESOLUTIONS: Final = {kind: tuple(metric.resolution for metric in metrics) for kind, metrics in METRICS.items()}


class Growing:
    """A block that grows. Another thread may read the samples that it has while more are added."""

    def __init__(self, kind: SeriesKind, key: str, label: str) -> None:
        self.kind = kind
        self.key = key
        self.label = label
        self.times: list[int] = []
        self.columns: tuple[list[int | None], ...] = tuple([] for _ in METRICS[kind])
        self.written = 0

    def add(self, at: int, label: str, values: Iterable[int | None]) -> None:
        """Add a sample."""
        self.label = label
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)
        # Last, so that every sample that is counted is there as a whole.
        self.times.append(at)


class Pending(NamedTuple):
    """The first so many samples of a block, which are to be written."""

    growing: Growing
    size: int


class Recorder:
    """The samples that are not written yet, and those of blocks that still grow.

    Args:
        interval: between two samples, as configured.
    """

    def __init__(self, interval: timedelta) -> None:
        self._interval = max(1, round(interval.total_seconds() * 1000))
        self._open: dict[tuple[SeriesKind, str], Growing] = {}
        self._closed: list[Growing] = []
        self._tenures: dict[str, Tenure] = {}
        self._ended: list[Tenure] = []
        self._last = -(2**62)

    def add(self, snapshot: GpuSnapshotView) -> None:
        """Take what is kept of a snapshot; one that was taken already changes nothing."""
        at = milliseconds(snapshot.at)
        if at == self._last:
            return
        if at < self._last or at // BLOCK != self._last // BLOCK:
            # Ten minutes are over, or the clock was set back: what was open is as it will stay.
            self._closed += [each for each in self._open.values() if each.written < len(each.times)]
            self._open.clear()
        self._last = at
        for sample in samples_of(snapshot):
            self._take(sample, at)
        for key, holder in holders_of(snapshot).items():
            self._hold(key, holder, at)

    def pending(self) -> list[Pending]:
        """What is to be written now: all blocks that grew since they were."""
        blocks = [*self._closed, *self._open.values()]
        return [Pending(each, len(each.times)) for each in blocks if each.written < len(each.times)]

    def pieces(self, pending: Sequence[Pending]) -> list[Piece]:
        """The same as it is written. May be called in another thread."""
        return [_piece(each, self._interval) for each in pending]

    def tenures(self) -> list[Tenure]:
        """Who held what since when, as far as it changed."""
        return [*self._ended, *(each for each in self._tenures.values() if each.holder)]

    def written(self, pending: Iterable[Pending], tenures: Iterable[Tenure] = ()) -> None:
        """These were written."""
        for growing, size in pending:
            growing.written = size
        self._closed = [each for each in self._closed if each.written < len(each.times)]
        ended = set(tenures)
        self._ended = [tenure for tenure in self._ended if tenure not in ended]

    def let_go(self) -> None:
        """Let go of what waits for too long to be written: the disk may be full for days."""
        oldest = self._last - _LONGEST_WAIT
        self._closed = [each for each in self._closed if each.times[-1] >= oldest]
        self._ended = [tenure for tenure in self._ended if tenure.until >= oldest]

    def _take(self, sample: Sample, at: int) -> None:
        resolutions = _RESOLUTIONS[sample.kind]
        values = [
            None if value is None else whole(value, resolution)
            for value, resolution in zip(sample.values, resolutions, strict=True)
        ]
        if values.count(None) == len(values):
            return
        name = (sample.kind, sample.key)
        found = self._open.get(name)
        if found is None:
            found = self._open[name] = Growing(sample.kind, sample.key, sample.label)
        found.add(at, sample.label, values)

    def _hold(self, key: str, holder: str, at: int) -> None:
        before = self._tenures.get(key)
        if before is not None and before.holder == holder and at >= before.until:
            self._tenures[key] = before._replace(until=at)
            return
        if before is not None and before.holder:
            self._ended.append(before)
        self._tenures[key] = Tenure(key, at, at, holder)


def _piece(pending: Pending, interval: int) -> Piece:
    growing, size = pending
    times = growing.times[:size]
    columns = {
        metric.code: Column(values[:size])
        for metric, values in zip(METRICS[growing.kind], growing.columns, strict=True)
        if any(value is not None for value in values)
    }
    return Piece(growing.kind, growing.key, growing.label, Block(_spacing(times, interval), times, columns))


def _spacing(times: Sequence[int], interval: int) -> int:
    """Milliseconds from one sample to the next: as it really was, where sources take longer than is configured."""
    between = sorted(after - before for before, after in pairwise(times))
    return max(interval, min(between[len(between) // 2], _MOST_STRETCH * interval)) if between else interval
