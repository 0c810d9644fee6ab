"""Gathers samples into blocks until they are written. Nothing here reads or writes anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Final

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


@dataclass
class _Open:
    """A block that still grows."""

    label: str
    times: list[int] = field(default_factory=list)
    columns: list[list[int | None]] = field(default_factory=list)
    written: bool = False

    def add(self, at: int, label: str, values: Iterable[int | None]) -> None:
        self.label, self.written = label, False
        self.times.append(at)
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)


class Recorder:
    """The samples that are not written yet, and those of blocks that still grow.

    Args:
        interval: between two samples, as configured.
    """

    def __init__(self, interval: timedelta) -> None:
        self._interval = max(1, round(interval.total_seconds() * 1000))
        self._open: dict[tuple[SeriesKind, str], _Open] = {}
        self._closed: list[Piece] = []
        self._tenures: dict[str, Tenure] = {}
        self._ended: list[Tenure] = []
        self._last = -(2**62)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be written."""
        return not self._closed and all(each.written for each in self._open.values())

    def add(self, snapshot: GpuSnapshotView) -> None:
        """Take what is kept of a snapshot; one that was taken already changes nothing."""
        at = milliseconds(snapshot.at)
        if at == self._last:
            return
        if at < self._last or at // BLOCK != self._last // BLOCK:
            # Ten minutes are over, or the clock was set back: what was open is as it will stay.
            self._close()
        self._last = at
        for sample in samples_of(snapshot):
            self._take(sample, at)
        for key, holder in holders_of(snapshot).items():
            self._hold(key, holder, at)

    def pieces(self) -> list[Piece]:
        """What is to be written now: all that changed since `written`."""
        still = [
            _piece(kind, key, each, self._interval) for (kind, key), each in self._open.items() if not each.written
        ]
        return [*self._closed, *still]

    def tenures(self) -> list[Tenure]:
        """Who held what since when, as far as it changed."""
        return [*self._ended, *(each for each in self._tenures.values() if each.holder)]

    def written(self, pieces: Sequence[Piece], tenures: Sequence[Tenure]) -> None:
        """These were written."""
        done = {id(piece) for piece in pieces}
        self._closed = [piece for piece in self._closed if id(piece) not in done]
        ends = {(piece.kind, piece.key): piece.block.times[-1] for piece in pieces}
        for name, each in self._open.items():
            # A sample may have come while the others were written.
            each.written = ends.get(name) == each.times[-1]
        ended = set(tenures)
        self._ended = [tenure for tenure in self._ended if tenure not in ended]

    def let_go(self) -> None:
        """Let go of what waits for too long to be written: the disk may be full for days."""
        oldest = self._last - _LONGEST_WAIT
        self._closed = [piece for piece in self._closed if piece.block.times[-1] >= oldest]
        self._ended = [tenure for tenure in self._ended if tenure.until >= oldest]

    def _take(self, sample: Sample, at: int) -> None:
        if all(value is None for value in sample.values):
            return
        metrics = METRICS[sample.kind]
        values = [whole(value, metric.resolution) for value, metric in zip(sample.values, metrics, strict=True)]
        name = (sample.kind, sample.key)
        found = self._open.get(name)
        if found is None:
            found = self._open[name] = _Open(sample.label, columns=[[] for _ in metrics])
        found.add(at, sample.label, values)

    def _hold(self, key: str, holder: str, at: int) -> None:
        before = self._tenures.get(key)
        if before is not None and before.holder == holder and at >= before.until:
            self._tenures[key] = before._replace(until=at)
            return
        if before is not None and before.holder:
            self._ended.append(before)
        self._tenures[key] = Tenure(key, at, at, holder)

    def _close(self) -> None:
        for (kind, key), each in self._open.items():
            if not each.written:
                self._closed.append(_piece(kind, key, each, self._interval))
        self._open.clear()


def _piece(kind: SeriesKind, key: str, found: _Open, interval: int) -> Piece:
    columns = {
        metric.code: Column(list(values))
        for metric, values in zip(METRICS[kind], found.columns, strict=True)
        if any(value is not None for value in values)
    }
    return Piece(kind, key, found.label, Block(_spacing(found.times, interval), list(found.times), columns))


def _spacing(times: Sequence[int], interval: int) -> int:
    """Milliseconds from one sample to the next: as it really was, where sources take longer than is configured."""
    between = sorted(after - before for before, after in pairwise(times))
    return max(interval, min(between[len(between) // 2], _MOST_STRETCH * interval)) if between else interval
