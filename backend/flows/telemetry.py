"""What GPUs and services did: charts, supply and demand, costs, forecasts."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.core.errors import ModelyardError, NotFoundError, StoreError, UsageError
from backend.core.views import (
    CapacityView,
    CheckView,
    CostView,
    HistoryView,
    PointView,
    ReplicaAdviceView,
    SeriesView,
    TenureView,
    WhatIfView,
)  # fmt: skip
from backend.flows.foundation import Foundation
from backend.flows.what_if import what_if
from backend.telemetry.advice import advise
from backend.telemetry.capacity import capacity
from backend.telemetry.costs import GROUPINGS, amount, costs
from backend.telemetry.prometheus import Prometheus
from backend.telemetry.prometheus_history import prometheus_series
from backend.telemetry.series_metrics import METRICS, SeriesKind, metric_of
from backend.telemetry.series_points import Step, step_for
from backend.telemetry.series_samples import Holding, holding_of
from backend.telemetry.series_store import SeriesStore
from backend.telemetry.store import instant_of

_LOG = logging.getLogger(__name__)
_HOUR: Final = 3600.0
_LONGEST: Final = timedelta(days=3660)
#: Seconds that a Prometheus which did not answer is not asked again for charts: one that hangs would hold up each.
_AWAY_FOR: Final = 30.0
#: Holders seen again within this time after they were lost sight of held on meanwhile.
_SAME_TENURE: Final = timedelta(minutes=15)


class TelemetryFlow:
    """History. Every method raises a StoreError that says why there is none; nothing else depends on it."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._store = SeriesStore(foundation.telemetry)
        self._prometheus: list[Prometheus] | None = None
        self._unread = ""
        self._away: dict[Prometheus, tuple[float, str]] = {}

    # ------------------------------------------------------------ charts

    async def series(self, keys: Sequence[str], metric: str, window: timedelta) -> list[SeriesView]:
        """A metric of some GPUs, services or GPU types over the last time, as `known` names them.

        Args:
            metric: as the fields of the views are called; quantiles as `ttft_p95`.
            window: how far back; a point stands for so much time that there are at most 300.

        Raises:
            UsageError: no kind of series has this metric, or the time is no time.
            StoreError: of its kind.
        """
        kinds = [kind for kind in SeriesKind if metric_of(kind, metric) is not None]
        if not kinds:
            raise UsageError("history", f"there is no metric {metric!r}", f"use one of {', '.join(metric_names())}")
        start, end = self._time(window)
        wanted = list(dict.fromkeys(keys))
        step = step_for((end - start).total_seconds(), self._interval)
        found = await self._from_prometheus(kinds, keys, metric, start, end, step)
        keys = [key for key in wanted if key not in found]
        if keys:
            found |= await self._recorded(kinds, keys, metric, start, end, step)
        return [found[key] for key in wanted if key in found]

    async def _recorded(
        self, kinds: Sequence[SeriesKind], keys: Sequence[str], metric: str, start: datetime, end: datetime, step: float
    ) -> dict[str, SeriesView]:
        found: dict[str, SeriesView] = {}
        for kind in kinds:
            steps = await self._store.read(kind, keys, (metric,), start=start, end=end, step=step)
            for key, by_metric in steps.items():
                if key not in found or by_metric[metric]:
                    found[key] = _series(kind, key, metric, step, by_metric[metric])
        return found

    async def _from_prometheus(
        self, kinds: Sequence[SeriesKind], keys: Sequence[str], metric: str, start: datetime, end: datetime, step: float
    ) -> dict[str, SeriesView]:
        """What a configured Prometheus has; where it does not answer, what we recorded stands in for it."""
        found: dict[str, SeriesView] = {}
        self._unread = ""
        now = self._foundation.clock.monotonic()
        for prometheus in await self._sources():
            since, why = self._away.get(prometheus, (float("-inf"), ""))
            if now - since < _AWAY_FOR:
                self._unread = why
                continue
            try:
                for kind, key in ((kind, key) for kind in kinds for key in keys if key not in found):
                    series = await prometheus_series(prometheus, kind, key, metric, start=start, end=end, step=step)
                    if series is not None:
                        found[key] = series
            except ModelyardError as error:
                self._unread = f"{error.what}: {error.why}; what was recorded here is shown in its place"
                self._away[prometheus] = (self._foundation.clock.monotonic(), self._unread)
                _LOG.info("history: %s", error)
        return found

    async def _sources(self) -> list[Prometheus]:
        if self._prometheus is None:
            contexts = [config.context for config in self._foundation.configuration.settings.telemetry.prometheus]
            if not contexts:
                return []
            # What speaks HTTP takes long to import, and most yards name no Prometheus.
            reaching = await asyncio.to_thread(importlib.import_module, "backend.flows.prometheus")
            known = (reaching.prometheus_of(self._foundation, context) for context in contexts)
            self._prometheus = [prometheus for prometheus in known if prometheus is not None]
        return self._prometheus

    async def close(self) -> None:
        """Let go of connections."""
        for prometheus in self._prometheus or ():
            await prometheus.close()

    async def known(self, kind: str, window: timedelta) -> dict[str, str]:
        """Of a kind (`gpu`, `service` or `type`) what was seen lately: key, and name for people.

        Raises:
            StoreError: of its kind.
        """
        start, _ = self._time(window)
        return await self._store.keys(SeriesKind(kind), start)

    async def find(self, kind: str, name: str, window: timedelta) -> str:
        """The key of the GPU or service of that key, name, or end of a name.

        Raises:
            NotFoundError: there is none, or there are several. StoreError: of its kind.
        """
        try:
            known = await self.known(kind, window)
        except StoreError:
            if await self._sources():
                return name
            raise
        exact = [key for key, label in known.items() if name in {key, label}]
        found = exact or [key for key, label in known.items() if key.endswith(f"/{name}") or label.endswith(f"/{name}")]
        if len(found) == 1:
            return found[0]
        if not found and await self._sources():
            # Prometheus knows what we never saw.
            return name
        named = ", ".join(list(dict.fromkeys(known.values()))[:8]) or "nothing"
        why = f"{len(found)} of that name were recorded" if found else "nothing of that name was recorded"
        raise NotFoundError(f"history of {name}", why, f"name one of: {named}")

    async def tenures(self, key: str, window: timedelta) -> list[TenureView]:
        """Who held a GPU, the last first.

        Raises:
            StoreError: of its kind.
        """
        start, _ = self._time(window)
        told: list[TenureView] = []
        for tenure in await self._store.tenures(key, start):
            since, until = instant_of(tenure.since), instant_of(tenure.until)
            if told and told[-1].holder == tenure.holder and since - told[-1].until <= _SAME_TENURE:
                since = told.pop().since
            told.append(TenureView(holder=tenure.holder, since=since, until=until))
        return told[::-1]

    # ------------------------------------------------------------ capacity

    async def capacity(self, window: timedelta = timedelta(days=30)) -> list[CapacityView]:
        """Supply, demand and trend of each type of GPU.

        Raises:
            StoreError: of its kind.
        """
        start, end = self._time(window)
        step = step_for((end - start).total_seconds(), self._interval)
        keys = await self._store.keys(SeriesKind.TYPE, start)
        names = [metric.name for metric in METRICS[SeriesKind.TYPE]]
        coarse = await self._store.read(SeriesKind.TYPE, list(keys), names, start=start, end=end, step=step)
        fine = await self._store.read(
            SeriesKind.TYPE,
            list(keys),
            names,
            start=end - timedelta(minutes=15),
            end=end,
            step=max(5.0, self._interval),
        )
        daily = await self._store.read(
            SeriesKind.TYPE, list(keys), ("allocated", "pending"), start=end - timedelta(days=60), end=end, step=_HOUR
        )
        return [
            capacity(key, coarse[key], fine.get(key, {}), daily.get(key, {}), step) for key in keys if key in coarse
        ]

    async def what_if(self, text: str) -> WhatIfView:
        """What more or fewer replicas of a service would take.

        Args:
            text: `NAMESPACE/NAME+2` or `-1`; with a context in front where there are several.

        Raises:
            UsageError: the text is not of that form. NotFoundError: no pod of the service runs.
            ModelyardError: the cluster cannot be asked.
        """
        return await what_if(self._foundation, text)

    async def advice(self) -> list[ReplicaAdviceView]:
        """How many replicas services may need: forecasts from history, and advice only. Nothing acts on them.

        Raises:
            StoreError: of its kind.
        """
        start, end = self._time(timedelta(days=28))
        keys = await self._store.keys(SeriesKind.SERVICE, end - timedelta(days=1))
        names = ("running", "waiting", "replicas")
        found = await self._store.read(SeriesKind.SERVICE, list(keys), names, start=start, end=end, step=_HOUR)
        return [advise(key, found[key], end) for key in keys if key in found]

    # ------------------------------------------------------------ costs

    async def cost(self, window: timedelta = timedelta(days=7), by: str = "service") -> list[CostView]:
        """What GPUs cost, by `service`, `team` or `type`, and together: estimates by the price table.

        Raises:
            UsageError: they are not told in that way. StoreError: of its kind.
        """
        if by not in GROUPINGS:
            raise UsageError("cost", f"costs are not told by {by!r}", f"use {', '.join(GROUPINGS)}")
        settings = self._foundation.configuration.settings
        start, end = self._time(window)
        step = _HOUR if window >= timedelta(hours=6) else 60.0
        keys = await self._store.keys(SeriesKind.HOLDING, start)
        found = await self._store.read(
            SeriesKind.HOLDING, list(keys), ("gpus", "idle"), start=start, end=end, step=step
        )
        holdings: dict[Holding, tuple[list[Step], list[Step]]] = {}
        for key, metrics in found.items():
            if (holding := holding_of(key)) is not None:
                holdings[holding] = (metrics["gpus"], metrics["idle"])
        gpus = metric_of(SeriesKind.HOLDING, "gpus")
        return costs(
            holdings,
            await self._tokens(start, end, step),
            settings.price,
            by=by,
            currency=settings.telemetry.currency,
            measured=await self._measured(start, end, step),
            resolution=gpus.resolution if gpus is not None else 1.0,
        )

    async def _tokens(self, start: datetime, end: datetime, step: float) -> dict[str, float]:
        name = "generation_tokens_per_second"
        metric = metric_of(SeriesKind.SERVICE, name)
        keys = await self._store.keys(SeriesKind.SERVICE, start)
        found = await self._store.read(SeriesKind.SERVICE, list(keys), (name,), start=start, end=end, step=step)
        resolution = metric.resolution if metric is not None else 1.0
        return {key: amount(metrics[name]) * resolution for key, metrics in found.items() if metrics[name]}

    async def _measured(self, start: datetime, end: datetime, step: float) -> float:
        """Share of a time in which anything was recorded."""
        keys = await self._store.keys(SeriesKind.TYPE, start)
        found = await self._store.read(SeriesKind.TYPE, list(keys), ("allocatable",), start=start, end=end, step=step)
        covered: dict[int, int] = {}
        for metrics in found.values():
            for each in metrics["allocatable"]:
                covered[each.at] = max(covered.get(each.at, 0), each.covered)
        return min(1.0, sum(covered.values()) / 1000 / (end - start).total_seconds())

    # ------------------------------------------------------------ state

    async def state(self) -> HistoryView:
        """How it stands with what is kept; raises nothing."""
        telemetry, priced = self._foundation.telemetry, bool(self._foundation.configuration.settings.price)
        unread = (self._unread,) if self._unread else ()
        try:
            size, since, made_up = await self._store.extent()
        except StoreError as error:
            return HistoryView(problem=error.why, notes=(*telemetry.told, *unread), priced=priced)
        notes = (*telemetry.told, *unread, *((made_up,) if made_up else ()))
        return HistoryView(notes=notes, since=since, size=size, priced=priced)

    async def check(self) -> list[CheckView]:
        """For `doctor`: whether history is kept."""
        state = await self.state()
        notes = [CheckView(name="history", state="warning", detail=text) for text in state.notes]
        if state.problem and not await asyncio.to_thread(self._foundation.telemetry.path.exists):
            return [CheckView(name="history", state="absent", detail=state.problem), *notes]
        if state.problem:
            return [CheckView(name="history", state="failed", detail=state.problem), *notes]
        since = f"since {state.since:%Y-%m-%d %H:%M}Z" if state.since is not None else "nothing yet"
        detail = f"{since}, {(state.size or 0) / 1e6:.1f} MB in {self._foundation.telemetry.path}"
        return [CheckView(name="history", state="ok", detail=detail), *notes]

    @property
    def _interval(self) -> float:
        return self._foundation.configuration.settings.telemetry.interval.total_seconds()

    def _time(self, window: timedelta) -> tuple[datetime, datetime]:
        if not timedelta(minutes=1) <= window <= _LONGEST:
            raise UsageError("history", "that is no time to look back over", "give 1m to 3650d, such as 24h")
        end = self._foundation.clock.now()
        return end - window, end


def metric_names() -> list[str]:
    """The metrics that there are series of."""
    return list(dict.fromkeys(metric.name for kind in SeriesKind for metric in METRICS[kind]))


def _series(kind: SeriesKind, key: str, metric: str, step: float, steps: Sequence[Step]) -> SeriesView:
    found = metric_of(kind, metric)
    resolution, unit = (found.resolution, found.unit) if found is not None else (1.0, "")
    points = tuple(
        PointView(
            at=instant_of(each.at), mean=each.mean * resolution, low=each.low * resolution, high=each.high * resolution
        )
        for each in steps
    )
    return SeriesView(key=key, metric=metric, unit=unit, step=step, points=points)
