"""Some days of history for the demo yard, so that its charts have something to show; told to be made up where shown.

It is written through the store's own code for the GPUs and services that the demo's cluster has. GPUs of one holder
share one curve, which keeps the whole below a third of a second.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from backend.core.gpu_lists import holder_of, type_of
from backend.core.views import GpuSnapshotView, GpuView
from backend.telemetry.series_blocks import Block, Column, whole
from backend.telemetry.series_metrics import METRICS, SeriesKind
from backend.telemetry.series_points import DAY, HOUR, MINUTE
from backend.telemetry.series_samples import Holding, is_held
from backend.telemetry.series_store import Piece, SeriesStore, Tenure
from backend.telemetry.store import milliseconds

_DAYS: Final = 9
_SAMPLES, _MINUTES, _HOURS = 0, 1, 2
#: Milliseconds between two points of the last hours, of the last days, and before.
_STEPS: Final = {_SAMPLES: 15_000, _MINUTES: 10 * MINUTE, _HOURS: HOUR}
#: Milliseconds that one sample stands for.
_INTERVAL: Final = 2000
#: Seconds that the services are waited for.
_TRIES: Final = 30
#: What is counted, and so hardly moves within an hour.
_COUNTED: Final = (SeriesKind.TYPE, SeriesKind.HOLDING)
_TOLD: Final = "History before this demo was started is made up."

#: The load of a holder at a time, 0 to 1; and what is measured at a time, in the order of the kind's metrics.
Load = Callable[[int], float]
Values = Callable[[int], tuple[float | None, ...]]


async def make_up(store: SeriesStore, snapshot: GpuSnapshotView, now: datetime, seed: int) -> None:
    """Write the days before now for what the snapshot shows.

    Args:
        seed: the same one makes the same curves.

    Raises:
        StoreError: of its kind.
    """
    pieces, tenures = await asyncio.to_thread(_pieces, snapshot, now, seed)
    await store.write(pieces, tenures)
    await store.say_made_up(_TOLD)


def _pieces(snapshot: GpuSnapshotView, now: datetime, seed: int) -> tuple[list[Piece], list[Tenure]]:
    times = _times(milliseconds(now))
    by_holder: dict[tuple[str, str, str], list[GpuView]] = defaultdict(list)
    for gpu in snapshot.gpus:
        by_holder[(gpu.context, holder_of(gpu), type_of(gpu))].append(gpu)
    pieces: list[Piece] = []
    tenures: list[Tenure] = []
    for (_, holder, type_name), gpus in by_holder.items():
        load = _load(f"{seed}/{holder}/{type_name}", works=bool(holder) and gpus[0].idle_since is None)
        for tier, at in times.items():
            pieces += _held(gpus, holder, load, tier, at)
        if holder:
            since = times[_HOURS][0]
            tenures += [Tenure(gpu.key, since, milliseconds(now), holder) for gpu in gpus]
    return pieces + _types(snapshot.gpus, times, seed), tenures


def _held(gpus: Sequence[GpuView], holder: str, load: Load, tier: int, times: Sequence[int]) -> list[Piece]:
    """GPUs of one holder and type, and what they served."""
    first, held = gpus[0], is_held(gpus[0])
    block = _block(SeriesKind.GPU, tier, times, lambda at: _gpu(load(at), held))
    pieces = [Piece(SeriesKind.GPU, gpu.key, f"{gpu.node}/{gpu.index}", block, tier) for gpu in gpus]
    if first.service:
        replicas = len({gpu.pod for gpu in gpus})
        block = _block(SeriesKind.SERVICE, tier, times, lambda at: _service(load(at), replicas))
        name = f"{first.namespace}/{first.service}"
        pieces.append(Piece(SeriesKind.SERVICE, f"{first.context}/{name}", name, block, tier))
    if held:
        who = Holding(first.context, first.namespace, first.service, first.team, type_of(first))
        counts = float(len(gpus)), float(len(gpus) if first.idle_since is not None else 0)
        block = _block(SeriesKind.HOLDING, tier, times, lambda _at: counts)
        pieces.append(Piece(SeriesKind.HOLDING, who.key, holder, block, tier))
    return pieces


def _types(gpus: Sequence[GpuView], times: dict[int, list[int]], seed: int) -> list[Piece]:
    """Demand that grew to what it is now."""
    by_type: dict[str, list[GpuView]] = defaultdict(list)
    for gpu in gpus:
        by_type[type_of(gpu)].append(gpu)
    pieces = []
    for name, each in by_type.items():
        held = sum(is_held(gpu) for gpu in each)
        idle = sum(gpu.idle_since is not None for gpu in each)
        load, first, last = _load(f"{seed}/{name}", works=True), times[_HOURS][0], max(at[-1] for at in times.values())

        def values(
            at: int, held: int = held, idle: int = idle, total: int = len(each), load: Load = load,
            first: int = first, last: int = last,
        ) -> tuple[float, ...]:  # fmt: skip
            grown = 0.55 + 0.45 * (at - first) / max(1, last - first)
            # No two days are alike, so that what is expected has an interval worth telling.
            of_day = random.Random(f"{seed}/{total}/{at // DAY}").gauss(0, 1.2)  # noqa: S311 - curves, no secrets
            allocated = max(0.0, min(float(total), float(round(held * grown + 4 * load(at) - 2.4 + of_day))))
            return float(total), allocated, 0.0, max(0.0, allocated - idle), float(min(idle, allocated)), 0.0

        for tier, at in times.items():
            block = _block(SeriesKind.TYPE, tier, at, values)
            pieces.append(Piece(SeriesKind.TYPE, name, name, block, tier))
    return pieces


def _times(now: int) -> dict[int, list[int]]:
    """The points of each tier; they meet where the store looks for the end of one and the beginning of the next."""
    today, hour = now // DAY * DAY, now // HOUR * HOUR
    fine = max(hour - HOUR, today)
    # A chart of 24 hours is drawn from minutes: they start where yesterday did.
    yesterday = today - DAY
    hours = range(today - _DAYS * DAY, yesterday, _STEPS[_HOURS])
    minutes = range(yesterday, fine, _STEPS[_MINUTES])
    samples = range(fine, now, _STEPS[_SAMPLES])
    return {tier: list(at) for tier, at in ((_HOURS, hours), (_MINUTES, minutes), (_SAMPLES, samples)) if at}


def _load(name: str, *, works: bool) -> Load:
    """Days and nights, a few slow waves, and a little noise."""
    noise = random.Random(name)  # noqa: S311 - curves, no secrets
    level, swing, phase = noise.uniform(0.45, 0.75), noise.uniform(0.15, 0.3), noise.uniform(0, 2)
    shares = [noise.uniform(0, math.tau) for _ in range(3)]

    def load(at: int) -> float:
        if not works:
            return 0.0
        hours = at / HOUR
        day = math.sin((hours - 8 - phase) / 24 * math.tau)
        waves = sum(
            0.04 * math.sin(hours * math.tau / length + share)
            for length, share in zip((0.21, 1.7, 5.3), shares, strict=True)
        )
        return min(1.0, max(0.02, level + swing * day + waves + noise.gauss(0, 0.02)))

    return load


def _gpu(load: float, held: bool) -> tuple[float, ...]:
    works = load > 0
    memory = 66.0 * 2**30 if held else 0.5 * 2**30
    return (
        min(100.0, 100 * load + 8) if works else 0.0, 92 * load, 61 * load, 55 * load, memory, 75 + 560 * load,
        31 + 38 * load, float(works), float(held and not works), float(not held), 0.0,
    )  # fmt: skip


def _service(load: float, replicas: int) -> tuple[float | None, ...]:
    if not load:
        # Nobody asks: nothing has a latency.
        return (0.0, None, 0.0, 0.0, *(None,) * 7, 0.0, 0.0, 0.02, float(replicas))
    waiting = max(0.0, 60 * (load - 0.8)) * replicas
    first, token = 0.12 + 0.5 * load**4, 0.011 + 0.02 * load**3
    return (
        9 * load * replicas, 0.002, 5200 * load * replicas, 1450 * load * replicas, first * 0.6, first, first * 1.5,
        token * 0.7, token, token * 1.4, 4 + 9 * load, 48 * load * replicas, waiting, min(0.98, 0.15 + 0.8 * load),
        float(replicas),
    )  # fmt: skip


def _block(
    kind: SeriesKind, tier: int, times: Sequence[int], values: Callable[[int], tuple[float | None, ...]]
) -> Block:
    metrics = METRICS[kind]
    rows = [values(at) for at in times]
    columns = {}
    for number, metric in enumerate(metrics):
        mean = [whole(row[number], metric.resolution) for row in rows]
        if all(value is None for value in mean):
            continue
        if tier == _SAMPLES:
            columns[metric.code] = Column(mean)
            continue
        # What lies around a mean, and how many samples it stands for.
        spread = [0 if kind in _COUNTED else (value or 0) // 16 for value in mean]
        most = round(100 / metric.resolution) if metric.unit == "percent" else 2**53
        low = [None if value is None else value - by for value, by in zip(mean, spread, strict=True)]
        high = [
            None if value is None else max(value, min(most, value + by)) for value, by in zip(mean, spread, strict=True)
        ]
        columns[metric.code] = Column(mean, low, high, [_STEPS[tier] // _INTERVAL] * len(mean))
    return Block(_STEPS[_SAMPLES] if tier == _SAMPLES else _INTERVAL, times, columns)


async def make_up_when_known(
    store: SeriesStore, snapshot: Callable[[], Awaitable[GpuSnapshotView]], now: Callable[[], datetime], seed: int
) -> None:
    """Wait until the demo's services hold GPUs, then write; not where history was recorded already.

    Raises:
        StoreError: of its kind.
    """
    for _ in range(_TRIES):
        seen = await snapshot()
        if any(gpu.service for gpu in seen.gpus):
            if not await store.is_begun():
                await make_up(store, seen, now(), seed)
            return
        await asyncio.sleep(1.0)
