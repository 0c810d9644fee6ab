"""Gathers samples into blocks until they are written. Nothing here reads or writes anything."""

from __future__ import annotations

from array import array
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
#: So many series are sampled as often as is configured. More take as many times longer, so that what is kept of all of
#: them grows no faster: their model servers' pages are read in turns anyway. A minute has some samples at any rate.
_MOST_SERIES: Final = 1000
_MOST_SECONDS: Final = 30
#: Numbers of 8 bytes that are kept at most; before that, blocks end early and are to be written at once.
_MOST_HELD: Final = 1_000_000
_ABSENT: Final = -(2**63)
_RESOLUTIONS: Final = {kind: tuple(metric.resolution for metric in metrics) for kind, metrics in METRICS.items()}


class Growing:
    """A block that grows. Another thread may read the samples that it has while more are added.

    Attributes:
        interval: milliseconds between two samples, as it is meant.
        rows: of each sample its time and its values, one after the other: of thousands of series, lists of numbers
            would take a hundred megabytes.
    """

    __slots__ = ("_wide", "interval", "key", "kind", "label", "rows", "written")

    def __init__(self, kind: SeriesKind, key: str, label: str, interval: int) -> None:
        self.kind = kind
        self.key = key
        self.label = label
        self.interval = interval
        self.rows = array("q")
        self.written = 0
        self._wide = 1 + len(METRICS[kind])

    def __len__(self) -> int:
        return len(self.rows) // self._wide

    @property
    def last(self) -> int:
        """When the last sample was taken."""
        return self.rows[-self._wide]

    def add(self, at: int, label: str, values: Sequence[int | None]) -> None:
        """Add a sample."""
        self.label = label
        self.rows.extend(array("q", (at, *(_ABSENT if value is None else value for value in values))))

    def table(self, size: int) -> tuple[list[int], list[list[int | None]]]:
        """The first so many samples: their times, and the values of each metric."""
        rows, wide = self.rows[: size * self._wide], self._wide
        columns = [[None if value == _ABSENT else value for value in rows[at::wide]] for at in range(1, wide)]
        return rows[::wide].tolist(), columns


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
        self._last = self._taken = -(2**62)
        self._series = 0
        #: Numbers in open blocks, and in those that are closed.
        self._growing = self._waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether what is held is to be written without delay."""
        return self._growing + self._waiting >= _MOST_HELD // 2

    def add(self, snapshot: GpuSnapshotView) -> None:
        """Take what is kept of a snapshot; one that was taken already changes nothing."""
        at = milliseconds(snapshot.at)
        if at == self._last:
            return
        if at < self._last or at // BLOCK != self._last // BLOCK:
            # Ten minutes are over, or the clock was set back: what was open is as it will stay.
            self._close()
            self._taken = -(2**62)
        elif self._growing >= _MOST_HELD // 2:
            self._close()
        self._last = at
        interval = self._interval_for(self._series)
        # Samples come a little early or late; half an interval more or less is the same one.
        if self._series <= _MOST_SERIES or at - self._taken >= interval - self._interval // 2:
            self._taken = at
            samples = samples_of(snapshot)
            self._series = len(samples)
            for sample in samples:
                self._take(sample, at, interval)
        for key, holder in holders_of(snapshot).items():
            self._hold(key, holder, at)

    def pending(self) -> list[Pending]:
        """What is to be written now: all blocks that grew since they were."""
        blocks = [*self._closed, *self._open.values()]
        return [Pending(each, len(each)) for each in blocks if each.written < len(each)]

    def pieces(self, pending: Sequence[Pending]) -> list[Piece]:
        """The same as it is written. May be called in another thread."""
        return [_piece(each) for each in pending]

    def tenures(self) -> list[Tenure]:
        """Who held what since when, as far as it changed."""
        return [*self._ended, *(each for each in self._tenures.values() if each.holder)]

    def written(self, pending: Iterable[Pending], tenures: Iterable[Tenure] = ()) -> None:
        """These were written."""
        for growing, size in pending:
            growing.written = size
        self._closed = [each for each in self._closed if each.written < len(each)]
        self._count()
        ended = set(tenures)
        self._ended = [tenure for tenure in self._ended if tenure not in ended]

    def let_go(self) -> None:
        """Let go of what waits for too long to be written, or is too much: the disk may be full for days."""
        oldest = self._last - _LONGEST_WAIT
        kept: list[Growing] = []
        room = _MOST_HELD // 2
        for each in sorted(self._closed, key=lambda each: each.last, reverse=True):
            room -= len(each.rows)
            if each.last >= oldest and room >= 0:
                kept.append(each)
        self._closed = kept[::-1]
        self._count()
        self._ended = [tenure for tenure in self._ended if tenure.until >= oldest]

    def _interval_for(self, series: int) -> int:
        stretched = self._interval * -(-series // _MOST_SERIES)
        return max(self._interval, min(stretched, _MOST_SECONDS * 1000))

    def _close(self) -> None:
        self._closed += [each for each in self._open.values() if each.written < len(each)]
        self._open.clear()
        self._growing = 0
        self._count()

    def _count(self) -> None:
        self._waiting = sum(len(each.rows) for each in self._closed)

    def _take(self, sample: Sample, at: int, interval: int) -> None:
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
            found = self._open[name] = Growing(sample.kind, sample.key, sample.label, interval)
        found.add(at, sample.label, values)
        found.interval = max(found.interval, interval)
        self._growing += 1 + len(values)

    def _hold(self, key: str, holder: str, at: int) -> None:
        before = self._tenures.get(key)
        if before is not None and before.holder == holder and at >= before.until:
            self._tenures[key] = before._replace(until=at)
            return
        if before is not None and before.holder:
            self._ended.append(before)
        self._tenures[key] = Tenure(key, at, at, holder)


def _piece(pending: Pending) -> Piece:
    growing, size = pending
    times, table = growing.table(size)
    columns = {
        metric.code: Column(values)
        for metric, values in zip(METRICS[growing.kind], table, strict=True)
        if any(value is not None for value in values)
    }
    return Piece(growing.kind, growing.key, growing.label, Block(_spacing(times, growing.interval), times, columns))


def _spacing(times: Sequence[int], interval: int) -> int:
    """Milliseconds from one sample to the next: as it really was, where sources take longer than is configured."""
    between = sorted(after - before for before, after in pairwise(times))
    return max(interval, min(between[len(between) // 2], _MOST_STRETCH * interval)) if between else interval
