"""Model servers over time: rates and latencies between two scrapes of one pod."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from backend.telemetry.engines import Engine, engine_of, first_total, gauges_of
from backend.telemetry.exposition import Families

#: A series is its labels without `le`; its buckets are the cumulative counts by upper bound.
_Series: TypeAlias = frozenset[tuple[str, str]]
Buckets: TypeAlias = Mapping[float, float]
_Histogram: TypeAlias = dict[_Series, dict[float, float]]

_P95: Final = 0.95
#: Seconds that latencies are taken over: in the two seconds between scrapes a server may finish no request at all.
WINDOW: Final = 30.0


class Quantile(NamedTuple):
    """A quantile in the histogram's unit; `at_least`: it lies beyond the highest bound, which is what is told."""

    value: float
    at_least: bool


class ServerMetrics(NamedTuple):
    """What a model server does.

    Attributes:
        cache: share of the KV cache in use, 0 to 1.
        ttft_p95, inter_token_p95: seconds, over the last half minute; None: no traffic.
        prompt_rate, generation_rate: tokens a second since the last scrape; None: not told, or this is the first.
    """

    engine: str
    running: float | None
    waiting: float | None
    cache: float | None
    ttft_p95: Quantile | None
    inter_token_p95: Quantile | None
    prompt_rate: float | None
    generation_rate: float | None

    @property
    def token_rate(self) -> float | None:
        """Tokens a second, taken in and made; None: neither is told."""
        told = [rate for rate in (self.prompt_rate, self.generation_rate) if rate is not None]
        return sum(told) if told else None


class _Scrape(NamedTuple):
    engine: str
    at: float
    prompt: float | None
    generated: float | None
    ttft: _Histogram
    inter_token: _Histogram


class ModelServer:
    """Follows one pod; make a new one when the pod's UID changes."""

    def __init__(self) -> None:
        self._scrapes: deque[_Scrape] = deque()

    def update(self, families: Families, at: float) -> ServerMetrics | None:
        """What the server does by its latest page; None: it is no page of a known model server.

        Args:
            at: when it was read, in monotonic seconds; grows from page to page.
        """
        engine = engine_of(families)
        if engine is None:
            return None
        scrapes, now = self._scrapes, _scrape(engine, families, at)
        if scrapes and (scrapes[-1].engine != now.engine or _was_reset(scrapes[-1], now) or at <= scrapes[-1].at):
            scrapes.clear()
        while scrapes and scrapes[0].at < at - WINDOW and len(scrapes) > 1:
            scrapes.popleft()
        first, last = (scrapes[0], scrapes[-1]) if scrapes else (None, None)
        scrapes.append(now)
        gauges = gauges_of(engine, families)
        if first is None or last is None:
            return ServerMetrics(engine.name, *gauges, None, None, None, None)
        return ServerMetrics(
            engine.name,
            *gauges,
            ttft_p95=quantile(_difference(first.ttft, now.ttft), _P95),
            inter_token_p95=quantile(_difference(first.inter_token, now.inter_token), _P95),
            prompt_rate=_rate(last.prompt, now.prompt, at - last.at),
            generation_rate=_rate(last.generated, now.generated, at - last.at),
        )


def quantile(buckets: Buckets, share: float) -> Quantile | None:
    """The value that so large a share of the observations stays at or below, interpolated within its bucket.

    Args:
        buckets: cumulative counts by upper bound, the last of which is infinity.
        share: 0 to 1.

    Returns:
        None when there were no observations, or the buckets do not rise.
    """
    bounds = sorted(buckets)
    if not bounds or bounds[-1] != math.inf or not 0 < buckets[math.inf] < math.inf:
        return None
    rank = share * buckets[math.inf]
    below_bound, below_count = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if not count >= below_count:
            return None
        if count >= rank and count > below_count:
            if bound == math.inf:
                return Quantile(below_bound, at_least=True) if len(bounds) > 1 else None
            part = (rank - below_count) / (count - below_count)
            start = min(below_bound, bound)
            return Quantile(start + (bound - start) * part, at_least=False)
        below_bound, below_count = bound, count
    return None


def _rate(last: float | None, now: float | None, seconds: float) -> float | None:
    return None if last is None or now is None else (now - last) / seconds


def _was_reset(last: _Scrape, now: _Scrape) -> bool:
    """Whether a counter fell: the process started anew, and what it counted before says nothing of it."""
    counters = ((last.prompt, now.prompt), (last.generated, now.generated))
    if any(before is not None and after is not None and after < before for before, after in counters):
        return True
    return any(
        count < before.get(series, {}).get(bound, 0.0)
        for before, after in ((last.ttft, now.ttft), (last.inter_token, now.inter_token))
        for series, buckets in after.items()
        for bound, count in buckets.items()
    )


def _difference(last: _Histogram, now: _Histogram) -> dict[float, float]:
    """The observations between two scrapes, over all series that both have: cumulative counts by upper bound."""
    total: dict[float, float] = defaultdict(float)
    for series, buckets in now.items():
        before = last.get(series)
        if before is not None:
            for bound, count in buckets.items():
                total[bound] += count - before.get(bound, 0.0)
    return total


def _scrape(engine: Engine, families: Families, at: float) -> _Scrape:
    return _Scrape(
        engine=engine.name,
        at=at,
        prompt=first_total(families, engine.prompt),
        generated=first_total(families, engine.generated),
        ttft=_histogram(families, engine.ttft),
        inter_token=_histogram(families, engine.inter_token),
    )


def _histogram(families: Families, stems: tuple[str, ...]) -> _Histogram:
    samples = next((found for stem in stems if (found := families.get(f"{stem}_bucket"))), [])
    histogram: _Histogram = {}
    for labels, count in samples:
        try:
            bound = float(labels.get("le", ""))
        except ValueError:
            continue
        if math.isnan(bound) or not 0 <= count < math.inf:
            continue
        series = frozenset(item for item in labels.items() if item[0] != "le")
        histogram.setdefault(series, {})[bound] = count
    return histogram
