"""How many replicas a service may need, forecast from its own history. Pure; advice only, nothing acts on it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from backend.core.views import ReplicaAdviceView
from backend.telemetry.series_metrics import SeriesKind, metric_of
from backend.telemetry.series_points import DAY, HOUR, Step
from backend.telemetry.store import milliseconds

#: Days of history below which nothing is advised.
_LEAST_DAYS: Final = 3
#: Requests that may wait on average in an hour that a service coped with.
_NO_QUEUE: Final = 0.5
#: Of what a replica took so far, how much it is planned to take.
_HEADROOM: Final = 0.8


def advise(key: str, by_hour: Mapping[str, Sequence[Step]], now: datetime) -> ReplicaAdviceView:
    """What the same hours of the last days let expect of the next day.

    Args:
        key: `context/namespace/name`.
        by_hour: requests running and waiting, and replicas, by hour.
    """
    context, _, service = key.partition("/")
    running, waiting = _values(by_hour, "running"), _values(by_hour, "waiting")
    replicas = _values(by_hour, "replicas")
    present = list(replicas.values())[-1] if replicas else None
    demand = {at: value + waiting.get(at, 0.0) for at, value in running.items() if at + HOUR <= milliseconds(now)}
    days = {at // DAY for at in demand}
    coped = [
        value / replicas[at]
        for at, value in running.items()
        if waiting.get(at, 0.0) <= _NO_QUEUE and replicas.get(at, 0.0) >= 1
    ]

    def told(sentence: str, **more: float | int | None) -> ReplicaAdviceView:
        values = {"advised": None, "expected": None, "expected_high": None, "per_replica": None, **more}
        advised = values.pop("advised")
        return ReplicaAdviceView(
            context=context,
            service=service,
            replicas=present,
            advised=None if advised is None else int(advised),
            sentence=f"forecast from history, advice only: {sentence}",
            **values,
        )

    if len(days) < _LEAST_DAYS:
        return told(f"not enough history: {len(days)} days measured, {_LEAST_DAYS} are needed")
    by_clock: dict[int, list[float]] = defaultdict(list)
    for at, value in demand.items():
        by_clock[at % DAY // HOUR].append(value)
    expected = max(sum(values) / len(values) for values in by_clock.values())
    high = max(max(values) for values in by_clock.values())
    most = max(coped, default=0.0)
    if high <= 0 or most <= 0:
        return told("no traffic in that time", expected=expected, expected_high=high)
    advised = max(1, math.ceil(high / (most * _HEADROOM)))
    return told(
        f"the busiest hour of the next day {expected:.1f} requests at once, {high:.1f} at worst so far; a replica took "
        f"{most:.1f} without a queue: {advised} replicas; from {len(days)} days",
        advised=advised,
        expected=expected,
        expected_high=high,
        per_replica=most,
    )


def _values(by_hour: Mapping[str, Sequence[Step]], name: str) -> dict[int, float]:
    metric = metric_of(SeriesKind.SERVICE, name)
    resolution = metric.resolution if metric is not None else 1.0
    return {each.at: each.mean * resolution for each in by_hour.get(name, ())}
