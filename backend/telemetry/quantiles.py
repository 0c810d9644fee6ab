"""Quantiles of latencies from the buckets of histograms. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from backend.core.views import LatencyView

#: Cumulative counts by upper bound, the last of which is infinity.
Buckets: TypeAlias = Mapping[float, float]

_QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Quantile(NamedTuple):
    """A quantile in the histogram's unit; `at_least`: it lies beyond the highest bound, which is what is told."""

    value: float
    at_least: bool


def quantile(buckets: Buckets, share: float) -> Quantile | None:
    """The value that so large a share of the observations stays at or below, interpolated within its bucket.

    Args:
        buckets: cumulative counts by upper bound, the last of which is infinity. A page that is written while the
            server counts can have a bucket that falls short of a lower one: the higher count is taken for it.
        share: 0 to 1.

    Returns:
        None when there were no observations.
    """
    # A bound that is no number, or below all, holds no latency.
    bounds = sorted(bound for bound in buckets if bound > -math.inf)
    counts = list(accumulate((buckets[bound] for bound in bounds), max))
    if not bounds or bounds[-1] != math.inf or not all(0 <= count < math.inf for count in counts) or not counts[-1]:
        return None
    rank = share * counts[-1]
    below_bound, below_count = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= rank and count > below_count:
            if bound == math.inf:
                return Quantile(below_bound, at_least=True) if len(bounds) > 1 else None
            part = (rank - below_count) / (count - below_count)
            start = min(below_bound, bound)
            return Quantile(start + (bound - start) * part, at_least=False)
        below_bound, below_count = bound, count
    return None


def latency(buckets: Buckets) -> LatencyView | None:
    """The quantiles that are told of a latency; None: there were no observations."""
    found = {name: quantile(buckets, share) for name, share in _QUANTILES.items()}
    told = {name: one.value for name, one in found.items() if one is not None}
    if len(told) < len(_QUANTILES):
        return None
    return LatencyView(**told, at_least=tuple(name for name, one in found.items() if one is not None and one.at_least))


def merged(replicas: Sequence[Buckets]) -> Buckets:
    """The observations of several replicas together.

    Replicas of two versions can have other bounds. Then each is read at the bounds of all, interpolated as within a
    quantile's own bucket. What one saw beyond its highest bound can be anything above it: nothing is told beyond that.
    """
    replicas = [one for one in replicas if one.get(math.inf, 0) > 0]
    if not replicas:
        return {}
    if all(one.keys() == replicas[0].keys() for one in replicas):
        return {bound: sum(one[bound] for one in replicas) for bound in replicas[0]}
    finite = [[bound for bound in sorted(one) if bound != math.inf] for one in replicas]
    highest = min(
        (
            bounds[-1] if bounds else 0.0
            for one, bounds in zip(replicas, finite, strict=True)
            if _overflows(one, bounds)
        ),
        default=math.inf,
    )
    union = sorted({bound for bounds in finite for bound in bounds if bound <= highest})
    total = {
        bound: sum(_below(one, bounds, bound) for one, bounds in zip(replicas, finite, strict=True)) for bound in union
    }
    return {**total, math.inf: sum(one[math.inf] for one in replicas)}


def _overflows(buckets: Buckets, bounds: Sequence[float]) -> bool:
    return not bounds or buckets[math.inf] > buckets[bounds[-1]]


def _below(buckets: Buckets, bounds: Sequence[float], value: float) -> float:
    """How many observations are at most the value, evenly spread within a bucket."""
    position = bisect_right(bounds, value)
    if position and bounds[position - 1] == value:
        return buckets[value]
    below = buckets[bounds[position - 1]] if position else 0.0
    if position == len(bounds):
        return below
    start = bounds[position - 1] if position else min(0.0, bounds[0])
    return below + (buckets[bounds[position]] - below) * (value - start) / (bounds[position] - start)
