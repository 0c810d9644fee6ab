"""What is kept of telemetry: packed without loss beyond rounding, thinned out, thrown away, and bounded on disk."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import MalformedDataError
from backend.telemetry.series_blocks import TICK, Block, Column, pack, unpack, whole
from backend.telemetry.series_metrics import METRICS, SeriesKind
from backend.telemetry.series_points import HOUR, MINUTE, coarser, step_for, steps_of
from backend.telemetry.series_store import Piece, SeriesStore, Tenure
from backend.telemetry.store import TelemetryStore, milliseconds
from tests.fakes.store import FixedClock

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
VALUES = st.one_of(st.none(), st.integers(-(2**52), 2**52))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """Blocks of samples as they may come: gaps, jumps, any number of metrics."""
    size = draw(st.integers(0, 40))
    start = draw(st.integers(0, 2**42))
    offsets = sorted(draw(st.lists(st.integers(0, HOUR), min_size=size, max_size=size)))
    codes = draw(st.lists(st.integers(1, 90), unique=True, max_size=4))
    columns = {code: Column(draw(st.lists(VALUES, min_size=size, max_size=size))) for code in codes}
    return Block(2000, [(start + offset) // TICK * TICK for offset in offsets], columns)


@given(blocks())
def test_samples_come_back_as_they_were_packed(block: Block) -> None:
    start = block.times[0] if block.times else 0
    again = unpack(pack(block), start)
    assert (again.interval, list(again.times)) == (block.interval, list(block.times))
    assert {code: list(column.mean) for code, column in again.columns.items()} == {
        code: list(column.mean) for code, column in block.columns.items()
    }


@given(blocks(), st.integers(1, 90))
def test_one_metric_can_be_read_alone(block: Block, code: int) -> None:
    start = block.times[0] if block.times else 0
    again = unpack(pack(block), start, [code])
    assert set(again.columns) == {code} & set(block.columns)
    for found in again.columns.values():
        assert list(found.mean) == list(block.columns[code].mean)


@given(blocks(), st.sampled_from([2000, 60_000, 600_000]))
def test_steps_keep_mean_extremes_and_count(block: Block, step: int) -> None:
    thinned = coarser([block], step)
    for code, column in block.columns.items():
        measured = [value for value in column.mean if value is not None]
        if thinned is None or not measured:
            assert not measured or thinned is not None
            continue
        kept = unpack(pack(thinned), thinned.times[0]).columns[code]
        assert sum(kept.samples) == len(measured)
        assert min(value for value in kept.low if value is not None) == min(measured)
        assert max(value for value in kept.high if value is not None) == max(measured)
        for low, mean, high in zip(kept.low, kept.mean, kept.high, strict=True):
            if mean is not None:
                assert low is not None
                assert high is not None
                assert low <= mean <= high


@given(st.binary(max_size=200))
def test_what_is_no_block_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(MalformedDataError):
        unpack(data, 0)


@given(blocks(), st.integers(0, 10_000))
def test_a_block_that_is_cut_is_refused(block: Block, at: int) -> None:
    packed = pack(block)
    with pytest.raises(MalformedDataError):
        unpack(packed[: min(at, len(packed) - 1)], 0)


def test_what_sums_up_more_than_a_step_leaves_no_gap_in_a_finer_chart() -> None:
    block = Block(2000, [0, 10 * MINUTE], {1: Column([10, 30], [5, 20], [15, 40], [300, 300])})
    found = steps_of([block], 1, 2 * MINUTE, 0, HOUR)
    assert [step.at // MINUTE for step in found] == list(range(0, 20, 2))
    assert [step.mean for step in found] == [10.0] * 5 + [30.0] * 5
    assert sum(step.samples for step in found) == 600 and {step.covered for step in found} == {2 * MINUTE}
    slightly_more = Block(2000, [0], {1: Column([10], [5], [15], [31])})
    assert [step.at for step in steps_of([slightly_more], 1, MINUTE, 0, HOUR)] == [0], "no minute that was not measured"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf"), 1e300])
def test_what_is_no_number_is_not_measured(value: float | None) -> None:
    assert whole(value, 0.1) is None


def test_codes_of_metrics_are_unique() -> None:
    codes = [metric.code for metrics in METRICS.values() for metric in metrics]
    assert len(codes) == len(set(codes))


def test_times_without_samples_stay_gaps() -> None:
    block = Block(2000, [0, 2000, 600_000], {1: Column([10, None, 30])})
    assert [(step.at, step.mean) for step in steps_of([block], 1, MINUTE, 0, HOUR)] == [(0, 10), (600_000, 30)]


def test_a_sample_stands_for_all_steps_until_the_next_one() -> None:
    block = Block(10_000, [0, 10_000, 50_000], {1: Column([1, 2, 3])})
    found = steps_of([block], 1, 5000, 0, HOUR)
    assert [(step.at // 1000, step.mean) for step in found] == [(0, 1), (5, 1), (10, 2), (15, 2), (50, 3), (55, 3)]
    assert {step.covered for step in found} == {5000}


@pytest.mark.parametrize(
    ("window", "interval", "step"), [(900, 2, 5), (3600, 2, 15), (86400, 2, 300), (7 * 86400, 2, 3600), (900, 300, 300)]
)
def test_a_chart_has_a_point_for_a_cell_and_none_between_samples(window: float, interval: float, step: float) -> None:
    assert step_for(window, interval) == step


# ------------------------------------------------------------ on disk


def samples(start: datetime, seconds: float, value: float = 50, every: float = 10) -> list[Piece]:
    """Blocks of one GPU at one value."""
    first, pieces = milliseconds(start), []
    times = [first + round(number * every * 1000) for number in range(round(seconds / every))]
    for number in sorted({time // (10 * MINUTE) for time in times}):
        kept = [time for time in times if time // (10 * MINUTE) == number]
        column = Column([whole(value, 0.1)] * len(kept))
        pieces.append(Piece(SeriesKind.GPU, "gpu-0", "n1/0", Block(round(every * 1000), kept, {1: column})))
    return pieces


@pytest.fixture
async def telemetry(tmp_path: Path) -> AsyncIterator[TelemetryStore]:
    store = TelemetryStore(tmp_path / "telemetry.db", FixedClock(NOW))
    yield store
    await store.close()


async def read(series: SeriesStore, start: datetime, end: datetime, step: float) -> list[float]:
    found = await series.read(SeriesKind.GPU, ["gpu-0"], ["utilisation"], start=start, end=end, step=step)
    return [round(each.mean * 0.1, 3) for each in found.get("gpu-0", {}).get("utilisation", [])]


async def test_what_was_written_is_there_after_a_restart_and_thins_out(telemetry: TelemetryStore) -> None:
    series = SeriesStore(telemetry)
    begin = NOW - timedelta(days=2)
    await series.write(samples(begin, 86400, 40) + samples(begin + timedelta(days=1), 86400, 60))
    before = await read(series, begin, NOW, 3600)
    await series.thin_out(NOW + timedelta(minutes=10))
    await telemetry.close()
    assert await read(series, begin, NOW, 3600) == before == [40.0] * 24 + [60.0] * 24
    assert len(await read(series, begin, begin + timedelta(hours=1), 10)) == 360
    async with telemetry.using() as database:
        tiers = await database.fetch_all("SELECT tier, count(*) FROM block GROUP BY tier")
    # The day that has begun has no hours yet.
    assert [tuple(row) for row in tiers] == [(0, 288), (1, 48), (2, 2)]


async def test_the_hour_that_is_not_over_is_read_from_samples(telemetry: TelemetryStore) -> None:
    series = SeriesStore(telemetry)
    await series.write(samples(NOW - timedelta(minutes=90), 90 * 60))
    await series.thin_out(NOW)
    assert len(await read(series, NOW - timedelta(hours=2), NOW, 60)) == 90


async def test_what_is_too_old_goes_and_the_rest_stays(telemetry: TelemetryStore) -> None:
    series = SeriesStore(telemetry)
    old, young = NOW - timedelta(days=9), NOW - timedelta(hours=1)
    await series.write([*samples(old, 600), *samples(young, 600)], [Tenure("gpu-0", 0, milliseconds(old), "a/b")])
    await series.thin_out(NOW)
    await series.expire(NOW, timedelta(days=30), 2**30)
    assert await read(series, old - timedelta(hours=1), old + timedelta(hours=1), 10) == []
    assert len(await read(series, old - timedelta(hours=1), old + timedelta(hours=1), 3600)) == 1
    await series.expire(NOW, timedelta(hours=2), 2**30)
    assert await read(series, old - timedelta(hours=1), NOW, 3600) == [50.0]
    assert await series.tenures("gpu-0", old - timedelta(days=1)) == []


async def test_samples_of_a_clock_that_was_ahead_go(telemetry: TelemetryStore) -> None:
    series = SeriesStore(telemetry)
    await series.write([*samples(NOW + timedelta(days=700), 600), *samples(NOW - timedelta(hours=1), 600)])
    await series.expire(NOW, timedelta(days=30), 2**30)
    assert len(await read(series, NOW - timedelta(days=1), NOW + timedelta(days=999), 60)) == 10


async def test_the_size_is_bounded_and_the_finest_and_oldest_goes_first(telemetry: TelemetryStore) -> None:
    series = SeriesStore(telemetry)
    begin = NOW - timedelta(hours=12)
    noise = random.Random(1)
    pieces = samples(begin, 12 * 3600, every=0.5)
    for piece in pieces:
        column = Column([noise.randrange(1000) for _ in piece.block.times])
        await series.write([piece._replace(block=piece.block._replace(columns={1: column}))])
    await series.thin_out(NOW + timedelta(minutes=10))
    bound = int(await series.size() * 0.6)
    await series.expire(NOW, timedelta(days=30), bound)
    assert await series.size() <= bound
    assert len(await read(series, begin, NOW, 60)) == 720
    assert await read(series, begin, begin + timedelta(minutes=5), 1) == []
    assert await read(series, NOW - timedelta(minutes=5), NOW, 1)
