"""A month of history: its size on disk, any chart of it, and what recording costs."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from backend.config import load_configuration
from backend.core.ports import SystemClock
from backend.core.views import GpuSnapshotView, LatencyView, ServiceMetricsView
from backend.store.connection import Database
from backend.store.migration import shipped
from backend.telemetry.recording import Recorder
from backend.telemetry.series_blocks import Block, Column, pack, unpack, whole
from backend.telemetry.series_metrics import METRICS, SeriesKind
from backend.telemetry.series_points import DAY, HOUR, MINUTE, coarser
from backend.telemetry.series_store import BLOCK, KEEP_MINUTES, KEEP_SAMPLES
from backend.telemetry.store import milliseconds
from backend.yard import Yard, YardOptions
from tests.benchmarks.harness import Figure, best_of
from tests.benchmarks.setting import home
from tests.fakes import screen_data

_GPUS: Final = 64
_SERVICES: Final = 16
_DAYS: Final = 30
_INTERVAL: Final = 2000
#: Series that are made up by themselves; the others repeat them, which costs as much room.
_MADE: Final = 4
_SIZE_BUDGET: Final = 200e6
_CHART_BUDGET: Final = 0.1
_RECORD_BUDGET: Final = 0.01
_WINDOWS: Final = (timedelta(minutes=15), *(timedelta(hours=hours) for hours in (1, 6, 24, 7 * 24, 30 * 24)))
_LEVELS: Final = {"percent": 60.0, "bytes": 60e9, "watts": 500.0, "celsius": 60.0, "share": 0.5, "tokens/s": 2500.0}


def series_month() -> Figure:
    """The file after a month of 64 GPUs and 16 services at 2 s, with every metric moving."""
    with tempfile.TemporaryDirectory(prefix="modelyard-benchmark-") as folder:
        path = Path(folder) / "telemetry.db"
        asyncio.run(fill(path, SystemClock().now()))
        ours = path.stat().st_size
    return Figure(
        name="series-month", unit="MB", ours=ours / 1e6, peer=None, ratio=ours / _SIZE_BUDGET, limit=1.0,
        budget=f"{_SIZE_BUDGET / 1e6:g} MB on disk",
    )  # fmt: skip


def chart_100ms() -> Figure:
    """Any chart of that month, p95 over metrics and times, of one GPU, of the 8 GPUs of a service, and of a service."""
    with home() as place:
        ours = asyncio.run(_charts(place.folder))
    return Figure(
        name="chart-100ms", unit="ms", ours=ours * 1000, peer=None, ratio=ours / _CHART_BUDGET, limit=1.0,
        budget=f"{_CHART_BUDGET * 1000:g} ms p95",
    )  # fmt: skip


def series_record() -> Figure:
    """The time that recording takes: 30 snapshots of 64 GPUs a minute, and packing the blocks that grow."""
    base = screen_data.gpus()
    gpus = tuple(
        msgspec.structs.replace(gpu, age=1.0, tensor_active=40.0, dram_active=50.0, utilisation=90.0)
        for gpu in base.gpus
    )
    start = base.at.replace(minute=0, second=0, microsecond=0)
    snapshots = [
        GpuSnapshotView(at=start + timedelta(seconds=2 * number), gpus=gpus, servers=(), services=_services(), notes=())
        for number in range(270)
    ]

    def recorded() -> float:
        recorder = Recorder(timedelta(seconds=2))
        for snapshot in snapshots[:240]:
            recorder.add(snapshot)
        recorder.written(recorder.pending())
        # The last minute of ten, in which blocks are longest.
        began = time.process_time()
        for snapshot in snapshots[240:]:
            recorder.add(snapshot)
        for piece in recorder.pieces(recorder.pending()):
            pack(piece.block)
        return (time.process_time() - began) / 60

    ours = best_of(3, recorded)
    return Figure(
        name="series-record", unit="% of a core", ours=ours * 100, peer=None, ratio=ours / _RECORD_BUDGET, limit=1.0,
        budget=f"{_RECORD_BUDGET * 100:g} %",
    )  # fmt: skip


def _services() -> tuple[ServiceMetricsView, ...]:
    latency = LatencyView(p50=0.1, p95=0.3, p99=0.5)
    return tuple(
        ServiceMetricsView(
            namespace="llm", service=f"service-{number}", replicas=2, running=8.0, waiting=0.0, kv_cache=0.5,
            requests_per_second=4.0, error_rate=0.0, ttft=latency, inter_token=latency, end_to_end=latency, age=1.0,
            generation_tokens_per_second=2000.0, prompt_tokens_per_second=9000.0,
        )
        for number in range(_SERVICES)
    )  # fmt: skip


async def _charts(folder: Path) -> float:
    configuration = await asyncio.to_thread(load_configuration, folder / "config" / "modelyard" / "config.toml")
    path = folder / "data" / "modelyard" / "modelyard.db"
    yard = await Yard.open(configuration, YardOptions(database=path))
    took = []
    try:
        await fill(path.with_name("telemetry.db"), SystemClock().now())
        gpus = [f"gpu-{number}" for number in range(8)]
        for window in _WINDOWS:
            for keys, metric in (
                (gpus[:1], "engine_active"), (gpus[3:4], "memory_used"), (gpus, "power"),
                ([f"service-{1}"], "ttft_p95"), (["service-2"], "generation_tokens_per_second"),
            ):  # fmt: skip
                for _ in range(3):
                    began = time.perf_counter()
                    found = await yard.telemetry.series(keys, metric, window)
                    took.append(time.perf_counter() - began)
                    if not all(series.points for series in found) or len(found) != len(keys):
                        raise RuntimeError(f"a chart of {metric} over {window} has no points")
    finally:
        await yard.close()
    return statistics.quantiles(took, n=20)[-1]


async def fill(path: Path, now: datetime) -> None:
    """A month as it stands on disk: hours of all days, minutes of the last ones, samples of the last hours."""
    clock = SystemClock()
    database = await Database.open(path, clock=clock, migrations=shipped("backend.telemetry"), durable=False)
    with closing(_rows(milliseconds(now))) as rows:
        async with database.transaction() as transaction:
            for kind, count in ((SeriesKind.GPU, _GPUS), (SeriesKind.SERVICE, _SERVICES)):
                await transaction.execute_many(
                    "INSERT INTO series (kind, key, label, seen_at) VALUES (?, ?, ?, ?)",
                    [(kind, f"{kind}-{number}", f"{kind}-{number}", milliseconds(now)) for number in range(count)],
                )
            await transaction.execute_many(
                "INSERT INTO block (tier, series, start, until, data)"
                " VALUES (?, (SELECT id FROM series WHERE key = ?), ?, ?, ?)",
                rows,
            )
    await database.close()
    # What the log holds is part of the file.
    database = await Database.open(path, clock=clock, migrations=shipped("backend.telemetry"), durable=False)
    await database.compact()
    await database.close()


def _rows(now: int) -> Iterator[tuple[int, str, int, int, bytes]]:
    hour, today = now // HOUR * HOUR, now // DAY * DAY
    for kind, count in ((SeriesKind.GPU, _GPUS), (SeriesKind.SERVICE, _SERVICES)):
        made = [_made(kind, number) for number in range(_MADE)]
        for number in range(count):
            samples, minutes, hours = made[number % _MADE]
            key = f"{kind}-{number}"
            begin = (now - KEEP_SAMPLES // timedelta(milliseconds=1)) // BLOCK * BLOCK
            for position, at in enumerate(range(begin, now - BLOCK, BLOCK)):
                yield 0, key, at, at + BLOCK - _INTERVAL, samples[position % len(samples)]
            for at in range(hour - KEEP_MINUTES // timedelta(milliseconds=1), hour, HOUR):
                yield 1, key, at, at + HOUR - MINUTE, minutes
            for at in range(today - _DAYS * DAY, today, DAY):
                yield 2, key, at, at + DAY - HOUR, hours


def _made(kind: SeriesKind, number: int) -> tuple[list[bytes], bytes, bytes]:
    """Blocks of an hour of samples, of its minutes, and of the hours of a day, their times counted from their start."""
    noise = random.Random(f"{kind}/{number}")
    blocks = [_samples(kind, noise, BLOCK * position) for position in range(6)]
    minutes = coarser(blocks, MINUTE)
    assert minutes is not None
    packed = pack(minutes)
    day = [unpack(packed, HOUR * position) for position in range(24)]
    hours = coarser(day, HOUR)
    assert hours is not None
    return (
        [pack(block._replace(times=[at - block.times[0] for at in block.times])) for block in blocks],
        packed,
        pack(hours),
    )


def _samples(kind: SeriesKind, noise: random.Random, start: int) -> Block:
    """Ten minutes in which everything moves: a walk of each metric with noise, and samples that come late."""
    times = [start + number * _INTERVAL + noise.randrange(0, 150) for number in range(BLOCK // _INTERVAL)]
    columns = {}
    for metric in METRICS[kind]:
        level = _LEVELS.get(metric.unit, 20.0)
        if metric.name in {"busy", "idle", "free", "fault", "replicas"}:
            columns[metric.code] = Column([whole(float(metric.name == "busy"), metric.resolution)] * len(times))
            continue
        walk, values = level, []
        for _ in times:
            walk = min(level * 1.5, max(level * 0.5, walk + noise.gauss(0, level * 0.01)))
            values.append(whole(walk + noise.gauss(0, level * 0.02), metric.resolution))
        columns[metric.code] = Column(values)
    return Block(_INTERVAL, times, columns)
