"""From samples to steps: what blocks hold, brought to coarser times. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from backend.telemetry.series_blocks import Block, Column

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

#: Chart steps in seconds, each a divisor of an hour or a multiple of one, so that they fall together with the tiers.
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
#: More than a chart on a wide terminal has room for.
MOST_POINTS: Final = 300


class Step(NamedTuple):
    """What was measured in one step of a series, in whole units.

    Attributes:
        at: its beginning, milliseconds since 1970.
        samples: that it rests on; covered: milliseconds that they stand for.
    """

    at: int
    mean: float
    low: int
    high: int
    samples: int
    covered: int


def step_for(window: float, interval: float) -> float:
    """Seconds between two points of a chart of so many seconds, of samples that come every `interval` seconds."""
    wanted = max(window / MOST_POINTS, interval)
    return float(next((step for step in _STEPS if step >= wanted), _STEPS[-1]))


def steps_of(blocks: Iterable[Block], code: int, step: int, start: int, end: int) -> list[Step]:
    """One metric of some blocks in steps of so many milliseconds, in order; steps without a sample are left out.

    Args:
        start, end: points outside are left out; `end` is not part of the time.
    """
    sums: dict[int, list[float]] = {}
    for block in blocks:
        column = block.columns.get(code)
        if column is None:
            continue
        if column.samples:
            points = zip(block.times, column.mean, column.low, column.high, column.samples, strict=True)
            for at, mean, low, high, samples in points:
                if mean is None or low is None or high is None:
                    continue
                covered = samples * block.interval
                # What sums up several of the steps that are asked for stands for each of them.
                parts = max(1, covered // step)
                for offset in range(0, parts * step, step):
                    if start <= at + offset < end:
                        bucket = (at + offset) // step * step
                        _add(sums, bucket, mean, low, high, max(1, samples // parts), covered // parts)
            continue
        # A sample stands for the time until the next one, however many steps that is.
        offsets = range(0, max(1, block.interval), step)
        for at, value in zip(block.times, column.mean, strict=True):
            if value is None:
                continue
            for offset in offsets:
                if start <= at + offset < end:
                    _add(sums, (at + offset) // step * step, value, value, value, 1, min(block.interval, step))
    return [
        Step(at, total / samples, int(low), int(high), int(samples), min(int(covered), step))
        for at, (total, low, high, samples, covered) in sorted(sums.items())
        if samples
    ]


def coarser(blocks: Iterable[Block], step: int) -> Block | None:
    """Blocks of one series as one block of steps of so many milliseconds; None: nothing was measured."""
    kept = list(blocks)
    codes = sorted({code for block in kept for code in block.columns})
    found = {code: steps_of(kept, code, step, -(2**62), 2**62) for code in codes}
    times = sorted({each.at for steps in found.values() for each in steps})
    if not times:
        return None
    columns = {}
    for code, steps in found.items():
        by_time = {each.at: each for each in steps}
        there = [by_time.get(at) for at in times]
        columns[code] = Column(
            mean=[None if each is None else round(each.mean) for each in there],
            low=[None if each is None else min(each.low, round(each.mean)) for each in there],
            high=[None if each is None else max(each.high, round(each.mean)) for each in there],
            samples=[0 if each is None else each.samples for each in there],
        )
    # Series of several intervals in one block: what they cover together stays right.
    samples = sum(each.samples for steps in found.values() for each in steps)
    covered = sum(each.covered for steps in found.values() for each in steps)
    return Block(max(1, round(covered / samples)), times, columns)


def _add(sums: dict[int, list[float]], at: int, mean: int, low: int, high: int, samples: int, covered: int) -> None:
    found = sums.get(at)
    if found is None:
        sums[at] = [mean * samples, low, high, samples, covered]
        return
    found[0] += mean * samples
    # Faster than min and max, in what is done for every sample of a chart.
    if low < found[1]:
        found[1] = low
    if high > found[2]:
        found[2] = high
    found[3] += samples
    found[4] += covered
