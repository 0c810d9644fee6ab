"""Supply of and demand for a type of GPU. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from backend.core.views import CapacityView, PointView, SeriesView
from backend.telemetry.series_metrics import SeriesKind, metric_of
from backend.telemetry.series_points import DAY, Step
from backend.telemetry.store import instant_of
from backend.telemetry.trend import full_in, trend

#: Hours of a day that have to be known before it counts.
_LEAST_HOURS: Final = 2

Metrics = Mapping[str, Sequence[Step]]


def capacity(key: str, over_time: Metrics, lately: Metrics, by_hour: Metrics, step: float) -> CapacityView:
    """What is told of a type.

    Args:
        over_time: its metrics over the time that is looked at, in steps of `step` seconds.
        lately: the same of the last minutes. by_hour: allocated and pending by hour, as long as there is history.
    """
    now = {name: steps[-1] for name, steps in lately.items() if steps} or {
        name: steps[-1] for name, steps in over_time.items() if steps
    }
    demand = _demand(over_time)
    supply, wanted = _value(now, "allocatable"), _value(now, "allocated") + _value(now, "pending")
    days, values = _daily_peaks(by_hour)
    found = trend(days, values, "GPUs")
    anywhere = key.startswith("any ")
    return CapacityView(
        key=key,
        at=instant_of(max(each.at for each in now.values())) if now else None,
        supply=supply,
        allocated=_value(now, "allocated"),
        pending=_value(now, "pending"),
        idle=_value(now, "idle"),
        peak=max((point.high for point in demand), default=None),
        demand=SeriesView(key=key, metric="demand", unit="GPUs", step=step, points=demand),
        supplied=SeriesView(
            key=key, metric="allocatable", unit="GPUs", step=step, points=_points(over_time.get("allocatable", ()))
        ),
        trend=found,
        full="" if anywhere else full_in(found, wanted, supply),
    )


def _daily_peaks(by_hour: Metrics) -> tuple[list[float], list[float]]:
    """The highest hour's demand of each day: what the supply has to hold."""
    hours: dict[int, dict[int, float]] = defaultdict(dict)
    for name in ("allocated", "pending"):
        for each in by_hour.get(name, ()):
            day = hours[each.at // DAY]
            day[each.at] = day.get(each.at, 0.0) + each.mean * _RESOLUTION
    kept = sorted((day, max(values.values())) for day, values in hours.items() if len(values) >= _LEAST_HOURS)
    return [float(day) for day, _ in kept], [value for _, value in kept]


def _demand(metrics: Metrics) -> tuple[PointView, ...]:
    waiting = {each.at: each for each in metrics.get("pending", ())}
    points = []
    for held in metrics.get("allocated", ()):
        pending = waiting.get(held.at)
        mean, low, high = held.mean, held.low, held.high
        if pending is not None:
            # The extremes of both need not have come together: these are bounds.
            mean, low, high = mean + pending.mean, low + pending.low, high + pending.high
        points.append(_point(held.at, mean, low, high))
    return tuple(points)


def _points(steps: Sequence[Step]) -> tuple[PointView, ...]:
    return tuple(_point(each.at, each.mean, each.low, each.high) for each in steps)


def _point(at: int, mean: float, low: float, high: float) -> PointView:
    return PointView(at=instant_of(at), mean=mean * _RESOLUTION, low=low * _RESOLUTION, high=high * _RESOLUTION)


def _value(metrics: Mapping[str, Step], name: str) -> float:
    return metrics[name].mean * _RESOLUTION if name in metrics else 0.0


def _resolution() -> float:
    metric = metric_of(SeriesKind.TYPE, "allocated")
    return metric.resolution if metric is not None else 1.0


_RESOLUTION: Final = _resolution()
