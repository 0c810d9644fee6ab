"""Model servers over time: rates and latencies between two scrapes of one pod."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from backend.telemetry.engines import Engine, Gauges, Kind, engine_of, gauges_of
from backend.telemetry.exposition import Families, Labels
from backend.telemetry.quantiles import Buckets, Quantile, quantile

#: A series is its labels, of a histogram without `le`.
_Series: TypeAlias = frozenset[tuple[str, str]]
_Counter: TypeAlias = dict[_Series, float]
_Histogram: TypeAlias = dict[_Series, dict[float, float]]

_P95: Final = 0.95
#: Seconds that latencies are taken over: in the two seconds between scrapes a server may finish no request at all.
WINDOW: Final = 30.0
_NOTHING: Final[Buckets] = {}


class Window(NamedTuple):
    """What happened in the last half minute, or since the server was first seen.

    Attributes:
        seconds: how long it is; 0: the server was seen once.
        counts: of counters what they grew by; those that the engine does not have are not in it.
        histograms: of latencies in seconds the observations, as cumulative counts by upper bound.
    """

    seconds: float
    counts: Mapping[Kind, float]
    histograms: Mapping[Kind, Buckets]

    def rate(self, kind: Kind) -> float | None:
        """Of a counter a second; None: not told."""
        count = self.counts.get(kind)
        return None if count is None or self.seconds <= 0 else count / self.seconds

    def share(self, part: Kind, whole: Kind) -> float | None:
        """How large a part of one counter another is, 0 to 1; None: not told, or nothing happened."""
        some, everything = self.counts.get(part), self.counts.get(whole)
        return None if some is None or not everything else min(1.0, some / everything)


class ServerMetrics(NamedTuple):
    """What a model server does.

    Attributes:
        gauges: at the last scrape.
        prompt_rate, generation_rate: tokens a second since the last scrape; None: not told, or this is the first.
    """

    engine: str
    gauges: Gauges
    prompt_rate: float | None
    generation_rate: float | None
    window: Window

    @property
    def token_rate(self) -> float | None:
        """Tokens a second, taken in and made; None: neither is told."""
        told = [rate for rate in (self.prompt_rate, self.generation_rate) if rate is not None]
        return sum(told) if told else None

    @property
    def ttft_p95(self) -> Quantile | None:
        """In seconds over the last half minute; None: no traffic."""
        return quantile(self.window.histograms.get(Kind.TTFT, _NOTHING), _P95)

    @property
    def inter_token_p95(self) -> Quantile | None:
        """In seconds over the last half minute; None: no traffic."""
        return quantile(self.window.histograms.get(Kind.INTER_TOKEN, _NOTHING), _P95)

    @property
    def prefix_hits(self) -> float | None:
        """Share of the prompts' tokens that were found in the cache, 0 to 1; None: not told, or no traffic."""
        by_counters = self.window.share(Kind.HITS, Kind.QUERIES)
        return self.gauges.hits if by_counters is None else by_counters

    def mean(self, kind: Kind) -> float | None:
        """Seconds that a request spent on the average in a phase, over the last half minute; None: not told."""
        buckets = self.window.histograms.get(kind, _NOTHING)
        seconds, count = self.window.counts.get(kind), buckets.get(math.inf, 0.0)
        return None if seconds is None or not count else seconds / count


class _Scrape(NamedTuple):
    """A page; of a histogram `counters` has the sum."""

    engine: str
    at: float
    started: float | None
    counters: dict[Kind, _Counter]
    histograms: dict[Kind, _Histogram]


class _Mark(NamedTuple):
    """All that was counted up to a time, over all restarts since the server was first seen."""

    at: float
    counts: dict[Kind, float]
    histograms: dict[Kind, dict[float, float]]


class ModelServer:
    """Follows one pod; make a new one when the pod's UID changes."""

    def __init__(self) -> None:
        self._last: _Scrape | None = None
        self._marks: deque[_Mark] = deque()

    def update(self, families: Families, at: float) -> ServerMetrics | None:
        """What the server does by its latest page; None: it is no page of a known model server.

        Args:
            at: when it was read, in monotonic seconds; grows from page to page.
        """
        engine = engine_of(families)
        if engine is None:
            return None
        last, now = self._last, _scrape(engine, families, at)
        self._last = now
        if last is None or last.engine != now.engine or at <= last.at or _bounds(last) != _bounds(now):
            # What was counted before the first page says nothing of now, and buckets with other bounds do not add up.
            self._marks = deque([_Mark(at, dict.fromkeys(now.counters, 0.0), {kind: {} for kind in now.histograms})])
            return ServerMetrics(engine.name, gauges_of(engine, families), None, None, Window(0.0, {}, {}))
        before = self._marks[-1]
        mark = _advanced(before, last, now)
        self._marks.append(mark)
        while self._marks[0].at < at - WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        step = _window(before, mark)
        return ServerMetrics(
            engine.name,
            gauges_of(engine, families),
            prompt_rate=step.rate(Kind.PROMPT),
            generation_rate=step.rate(Kind.GENERATED),
            window=_window(self._marks[0], mark),
        )


def _advanced(before: _Mark, last: _Scrape, now: _Scrape) -> _Mark:
    reset = _was_reset(last, now)
    counts, histograms = dict(before.counts), dict(before.histograms)
    for kind, counter in now.counters.items():
        known = last.counters.get(kind, {})
        counts[kind] = counts.get(kind, 0.0) + sum(
            # A series that appears is counted from then on.
            value if reset else value - known[series]
            for series, value in counter.items()
            if reset or series in known
        )
    for kind, histogram in now.histograms.items():
        total = dict(histograms.get(kind, {}))
        for series, buckets in histogram.items():
            old = {} if reset else last.histograms.get(kind, {}).get(series)
            if old is not None:
                for bound, count in buckets.items():
                    total[bound] = total.get(bound, 0.0) + count - old.get(bound, 0.0)
        histograms[kind] = total
    return _Mark(now.at, counts, histograms)


def _was_reset(last: _Scrape, now: _Scrape) -> bool:
    """Whether the process started anew: it says so, or a counter fell. Then what it counts now is what happened."""
    if last.started is not None and now.started is not None and abs(now.started - last.started) > 1:
        return True
    if any(
        value < last.counters.get(kind, {}).get(series, 0.0)
        for kind, counter in now.counters.items()
        for series, value in counter.items()
    ):
        return True
    return any(
        count < last.histograms.get(kind, {}).get(series, {}).get(bound, 0.0)
        for kind, histogram in now.histograms.items()
        for series, buckets in histogram.items()
        for bound, count in buckets.items()
    )


def _window(first: _Mark, last: _Mark) -> Window:
    counts = {kind: count - first.counts[kind] for kind, count in last.counts.items() if kind in first.counts}
    histograms = {}
    for kind, buckets in last.histograms.items():
        before = first.histograms.get(kind, {})
        grown = {bound: count - before.get(bound, 0.0) for bound, count in buckets.items()}
        if grown.get(math.inf):
            histograms[kind] = grown
    return Window(last.at - first.at, counts, histograms)


def _bounds(scrape: _Scrape) -> dict[Kind, frozenset[float]]:
    return {
        kind: frozenset(bound for buckets in histogram.values() for bound in buckets)
        for kind, histogram in scrape.histograms.items()
        if histogram
    }


def _scrape(engine: Engine, families: Families, at: float) -> _Scrape:
    counters = {}
    for kind, names in engine.counters.items():
        found = [_counter(families, name, engine.failed if kind is Kind.ERRORS else ()) for name in names]
        told = [counter for counter in found if counter is not None]
        if told:
            # Requests that failed are counted under a name of their own; of tokens the first name counts.
            every = kind in (Kind.REQUESTS, Kind.ERRORS)
            counters[kind] = dict(chain.from_iterable(counter.items() for counter in (told if every else told[:1])))
    histograms = {}
    for kind, stems in engine.histograms.items():
        stem = next((stem for stem in stems if f"{stem}_bucket" in families), None)
        if stem is not None:
            histograms[kind] = _histogram(families, stem)
            counters[kind] = _counter(families, f"{stem}_sum", ()) or {}
    started = families.get("process_start_time_seconds")
    return _Scrape(engine.name, at, started[0][1] if started else None, counters, histograms)


def _counter(families: Families, name: str, reasons: tuple[str, ...]) -> _Counter | None:
    """The series of a counter; None: the page has none. With reasons those alone that have one, if it tells reasons."""
    samples = families.get(name)
    if samples is None:
        return None
    counter: _Counter = {}
    for labels, value in samples:
        if 0 <= value < math.inf and (not reasons or labels.get("finished_reason", reasons[0]) in reasons):
            series = frozenset([*labels.items(), ("__name__", name)])
            counter[series] = value
    return counter


def _histogram(families: Families, stem: str) -> _Histogram:
    histogram: _Histogram = {}
    for labels, count in families[f"{stem}_bucket"]:
        bound = _bound(labels)
        if bound is not None and 0 <= count < math.inf:
            series = frozenset(item for item in labels.items() if item[0] != "le")
            histogram.setdefault(series, {})[bound] = count
    return histogram


def _bound(labels: Labels) -> float | None:
    try:
        bound = float(labels.get("le", ""))
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
