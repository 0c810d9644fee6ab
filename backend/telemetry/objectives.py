"""What services promise, whether they keep it, and how fast they use up what they may miss. Pure.

A promise on a 95th percentile lets 5 of 100 requests be slower: that is its error budget. The burn is the share of
requests of the last hour that were slower, divided by 5 %: at 1 the budget is used up exactly, at 14 a month's budget
is gone in two days (the burn rates of Google's SRE workbook, "Alerting on SLOs"). Which share was slower is read off
the quantiles that are known (p50, p95, p99), so it is an estimate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from backend.core.views import LatencyView, ObjectiveView, ServiceMetricsView
from backend.library.globs import first_match
from backend.telemetry.alert_config import ObjectiveConfig

TTFT: Final = "ttft_p95"
BETWEEN: Final = "inter_token_p95"
ERRORS: Final = "error_rate"
AVAILABILITY: Final = "availability"

#: Share of requests that a promise on a 95th percentile lets be slower.
_P95_BUDGET: Final = 0.05
_BURN_WINDOW: Final = timedelta(hours=1)
#: Before this much is known of an hour, its burn says little.
_BURN_KNOWN_AFTER: Final = timedelta(minutes=5)
_BUCKET: Final = timedelta(minutes=1)
#: A gap between two samples longer than this was not looked at.
_LONGEST_SAMPLE: Final = timedelta(minutes=1)
#: Below this much of the promised value a missed objective counts as met again, so that it does not flicker.
HYSTERESIS: Final = 0.9


class Promise(NamedTuple):
    """One objective of one service, in seconds or as a share."""

    name: str
    promised: float


def promises(objectives: Sequence[ObjectiveConfig], namespace: str, service: str) -> tuple[Promise, ...]:
    """What a service promises; where several tables name it, the first that promises a thing counts."""
    found: dict[str, float] = {}
    name = f"{namespace}/{service}"
    for table in objectives:
        if first_match(table.services, name) is None:
            continue
        told = {
            TTFT: table.ttft_p95.total_seconds() if table.ttft_p95 is not None else None,
            BETWEEN: table.inter_token_p95.total_seconds() if table.inter_token_p95 is not None else None,
            ERRORS: table.error_rate,
            AVAILABILITY: table.availability,
        }
        for key, value in told.items():
            if value is not None:
                found.setdefault(key, value)
    return tuple(Promise(key, value) for key, value in found.items())


class _Bucket(NamedTuple):
    """A minute: how much was looked at, and how much of it missed the promise (requests, or seconds)."""

    at: datetime
    total: float
    missed: float


class Burn:
    """Follows the promises of all services for an hour."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], deque[_Bucket]] = {}
        self._sampled: dict[tuple[str, str], datetime] = {}

    def forget(self, services: Iterable[str]) -> None:
        """Drop services that are gone; `services` are the keys of those that are still there."""
        kept = set(services)
        for key in [key for key in self._buckets if key[0] not in kept]:
            del self._buckets[key]
            self._sampled.pop(key, None)

    def add(self, service: str, promise: Promise, share: float | None, weight: float, now: datetime) -> float | None:
        """Note one more sample.

        Args:
            share: of requests, or of the time, that missed the promise; None: nothing is known, nothing is noted.
            weight: requests a second, or 1 where time itself is counted.

        Returns:
            how many times faster than allowed the budget was used up over the last hour; None: too little is known.
        """
        key = (service, promise.name)
        buckets = self._buckets.setdefault(key, deque())
        before, self._sampled[key] = self._sampled.get(key), now
        while buckets and not now - _BURN_WINDOW <= buckets[0].at <= now:
            buckets.popleft()
        if share is not None and before is not None and timedelta(0) < now - before:
            amount = weight * min(now - before, _LONGEST_SAMPLE).total_seconds()
            if buckets and now - buckets[-1].at < _BUCKET:
                last = buckets.pop()
                buckets.append(_Bucket(last.at, last.total + amount, last.missed + share * amount))
            else:
                buckets.append(_Bucket(now, amount, share * amount))
        total = sum(bucket.total for bucket in buckets)
        if not total or now - buckets[0].at < _BURN_KNOWN_AFTER:
            return None
        allowed = _budget(promise)
        missed = sum(bucket.missed for bucket in buckets) / total
        return missed / allowed if allowed > 0 else (0.0 if missed == 0 else None)


def _budget(promise: Promise) -> float:
    if promise.name in {TTFT, BETWEEN}:
        return _P95_BUDGET
    return promise.promised if promise.name == ERRORS else 1.0 - promise.promised


def judged(
    metrics: ServiceMetricsView,
    promised: Sequence[Promise],
    burn: Burn,
    now: datetime,
    *,
    available: bool | None = None,
) -> ServiceMetricsView:
    """The metrics with what the service promises and whether it keeps it.

    Args:
        promised: by `promises`. available: whether a replica serves; None: not known.
    """
    if not promised and not metrics.objectives and not metrics.slow:
        return metrics
    views = []
    for promise in promised:
        measured, share, weight = _measured(promise, metrics, available)
        rate = burn.add(metrics.key, promise, share, weight, now)
        views.append(_view(promise, measured, rate, metrics))
    missed = [view for view in views if view.met is False]
    worst = max(missed, key=_severity, default=None)
    return msgspec.structs.replace(metrics, objectives=tuple(views), slow=worst.sentence if worst is not None else "")


def _measured(
    promise: Promise, metrics: ServiceMetricsView, available: bool | None
) -> tuple[float | None, float | None, float]:
    """The measured value, the share that missed the promise, and what that share weighs."""
    if promise.name == AVAILABILITY:
        return (None, None, 1.0) if available is None else (float(available), float(not available), 1.0)
    requests = metrics.requests_per_second or 0.0
    if promise.name == ERRORS:
        return metrics.error_rate, metrics.error_rate, requests
    latency = metrics.ttft if promise.name == TTFT else metrics.inter_token
    if latency is None:
        return None, None, requests
    return latency.p95, share_above(latency, promise.promised), requests or 1.0


def share_above(latency: LatencyView, limit: float) -> float:
    """About which share of requests took longer than a limit, 0 to 1: between known quantiles on a straight line."""
    known = ((0.0, 0.0), (latency.p50, 0.5), (latency.p95, 0.95), (latency.p99, 0.99))
    if limit >= latency.p99:
        return 0.0 if "p99" not in latency.at_least else 0.01
    for (low, share), (high, above) in pairwise(known):
        if limit < high:
            return 1.0 - (share + (above - share) * max(0.0, limit - low) / (high - low))
    return 0.01


def _view(promise: Promise, measured: float | None, burn: float | None, metrics: ServiceMetricsView) -> ObjectiveView:
    met: bool | None = None
    if measured is not None:
        met = measured >= promise.promised if promise.name == AVAILABILITY else measured <= promise.promised
    return ObjectiveView(
        name=promise.name,
        promised=promise.promised,
        measured=measured,
        burn=burn,
        met=met,
        sentence=_sentence(promise, measured, met, metrics),
    )


_TITLES: Final[Mapping[str, str]] = {
    TTFT: "TTFT p95",
    BETWEEN: "inter-token p95",
    ERRORS: "errors",
    AVAILABILITY: "availability",
}


def _sentence(promise: Promise, measured: float | None, met: bool | None, metrics: ServiceMetricsView) -> str:
    title = _TITLES[promise.name]
    if promise.name == AVAILABILITY:
        told = {None: "not known whether a replica serves", True: "a replica serves", False: "no replica serves"}[met]
        return f"{told} (objective {promise.promised * 100:g} % of the time)"
    if measured is None:
        return f"{title} not measured{': ' + metrics.note if metrics.note else ''} (objective {_value(promise)})"
    told = f"{measured * 100:.1f} %" if promise.name == ERRORS else _seconds(measured)
    latency = {TTFT: metrics.ttft, BETWEEN: metrics.inter_token}.get(promise.name)
    if latency is not None and "p95" in latency.at_least:
        told = f"at least {told}"
    sentence = f"{title} {told} (objective {_value(promise)})"
    if met is False and promise.name == TTFT:
        if metrics.waiting:
            sentence += f", queue {metrics.waiting:g}"
        if metrics.kv_cache is not None:
            sentence += f", KV cache {metrics.kv_cache * 100:.0f} %"
    return sentence


def _value(promise: Promise) -> str:
    return f"{promise.promised * 100:g} %" if promise.name == ERRORS else _seconds(promise.promised)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def _severity(view: ObjectiveView) -> float:
    """How far it is missed, as a ratio."""
    if view.name == AVAILABILITY:
        return float("inf")
    return (view.measured or 0.0) / view.promised if view.promised > 0 else float("inf")
