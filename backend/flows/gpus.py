"""GPUs as commands and screen know them: sampled on demand for a command, at the configured interval for a screen."""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import msgspec

from backend.core.errors import ModelyardError
from backend.core.events import GpusSampled, Topic
from backend.core.views import CheckView, GpuSnapshotView
from backend.flows.approvals import Approvals
from backend.flows.cluster_link import ClusterLink
from backend.flows.foundation import Foundation
from backend.flows.sharing import SharedSample
from backend.telemetry.collector import NO_CLUSTER, Collector
from backend.telemetry.judging import Judge
from backend.telemetry.merging import merged
from backend.telemetry.nvml import NvmlSource
from backend.telemetry.prices import with_costs
from backend.telemetry.prometheus_source import PrometheusSource
from backend.telemetry.sources import ClusterSource

_LOG = logging.getLogger(__name__)
#: While nobody may be told who we are or the cluster is away, it is asked again this often.
_CONNECT_AGAIN = 15.0


class _Place:
    """A cluster's GPUs; the primary's place has this machine's too."""

    def __init__(self, link: ClusterLink, local: bool) -> None:
        self.link = link
        self.local = local
        self.collector: Collector | None = None
        self.source: ClusterSource | None = None
        self.has_cluster = False
        self.tried_at = float("-inf")


class GpusFlow:
    """Every GPU of the clusters and of this host."""

    def __init__(
        self, foundation: Foundation, approvals: Approvals, available: Callable[[], Mapping[str, bool]]
    ) -> None:
        """
        Args:
            available: tells of services, by `context/namespace/name`, whether a replica serves, as far as is known.
        """
        self._foundation = foundation
        self._available = available
        self._judge = Judge(foundation.configuration.settings.objective)
        self._approvals = approvals
        links = foundation.clusters.links
        self._places = [_Place(link, local=number == 0) for number, link in enumerate(links)]
        self._last: GpuSnapshotView | None = None
        self._sampling = asyncio.Lock()
        self._asked = self._sampled = self._is_followed = False
        self._read: GpuSnapshotView | None = None
        self._shared = SharedSample(foundation, self.interval)

    @property
    def interval(self) -> timedelta:
        """Between two samples."""
        return self._foundation.configuration.settings.telemetry.interval

    @property
    def last(self) -> GpuSnapshotView | None:
        """As last sampled, however long ago; None: nobody looked yet."""
        return self._last

    async def snapshot(self) -> GpuSnapshotView:
        """All GPUs now, or as last sampled within the interval. What could not be measured is told in its notes."""
        async with self._sampling:
            now = self._foundation.clock.now()
            if self._last is not None and timedelta(0) <= now - self._last.at < self.interval:
                return self._last
            self._last = await self._shared_or_own()
            return self._last

    async def _shared_or_own(self) -> GpuSnapshotView:
        """What another process of the yard found just now; else sampled here, for the others too."""
        collectors = [await self._ready(place) for place in self._places]
        contexts = [place.link.context for place in self._places]
        asked, self._asked = self._asked, True
        # Who asks once leaves the task to those that stay.
        mine = asked and await self._shared.is_mine()
        if not mine:
            found = await self._shared.read(contexts, self._read)
            if asked:
                await self._shared.read_along()
            if found is not None:
                self._read = found
                return found
        if not self._sampled:
            before = self._read or await self._shared.left()
            if before is not None:
                for collector in collectors:
                    collector.remember(before)
        self._read, self._sampled = None, True
        # Clusters are sampled side by side: one that is away makes its own rows older, and no others.
        sampled = merged(await asyncio.gather(*(collector.sample() for collector in collectors)), contexts)
        # To ask thousands of services is worth it only where one may promise to be there.
        available = self._available() if sampled.services and self._judge.has_objectives else {}
        judged = self._judge.judge(sampled, available, self._foundation.clock.now())
        settings = self._foundation.configuration.settings
        snapshot = with_costs(settings.price, settings.telemetry.currency, judged)
        if mine:
            await self._shared.publish(snapshot, contexts)
        return snapshot

    async def follow(self) -> None:
        """Sample until cancelled, and tell subscribers."""
        self._is_followed = True
        async with self._sampling:
            await self._let_go()
        await self._approvals.refresh()
        told: GpuSnapshotView | None = None
        while True:
            try:
                snapshot = await self.snapshot()
                # Where there is nothing to measure, there is nothing to tell of every two seconds.
                if told is None or msgspec.structs.replace(snapshot, at=told.at) != told:
                    self._foundation.hub.publish(Topic.GPUS, GpusSampled(key="gpus", snapshot=snapshot))
                    told = snapshot
            except ModelyardError as error:
                _LOG.warning("GPUs: %s", error)
            await asyncio.sleep(self.interval.total_seconds())

    async def check(self) -> list[CheckView]:
        """For `doctor`: which sources work here, and what those that do not would need."""
        checks: list[CheckView] = []
        for place in self._places:
            # What another process found says nothing of what we may read.
            collector = await self._ready(place)
            snapshot = await collector.sample()
            where = place.link.context if len(self._places) > 1 else ""
            checks += collector.checks(where)
            if not place.has_cluster and not place.local:
                checks.append(CheckView(name=f"GPUs in {where}", state="failed", detail="; ".join(snapshot.notes)))
        return checks

    async def close(self) -> None:
        """Stop what is under way, and let go of the driver."""
        await self._shared.close()
        await self._let_go()

    async def _let_go(self) -> None:
        for place in self._places:
            collector, source = place.collector, place.source
            place.collector, place.source, place.has_cluster = None, None, False
            if collector is not None:
                await collector.close()
            if source is not None:
                await source.close()

    async def _ready(self, place: _Place) -> Collector:
        """The collector of a place; made anew with the cluster once there is one."""
        now = self._foundation.clock.monotonic()
        if place.collector is not None and (place.has_cluster or now - place.tried_at < _CONNECT_AGAIN):
            return place.collector
        place.tried_at = now
        source: ClusterSource | None = None
        absent = NO_CLUSTER
        try:
            client = await place.link.client()
            source = ClusterSource(client, self._foundation.clock, place.link.namespaces, followed=self._is_followed)
            await self._approvals.refresh()
        except ModelyardError as error:
            _LOG.info("GPUs of the cluster: %s", error)
            if len(self._places) > 1:
                absent = f"it is not looked at: {error.why}"
        if place.collector is not None:
            if source is None:
                return place.collector
            await place.collector.close()
        place.source, place.has_cluster = source, source is not None
        place.collector = Collector(
            source,
            context=place.link.context if source is not None else "",
            absent=absent,
            clock=self._foundation.clock,
            local=NvmlSource(clock=self._foundation.clock, node=_host()) if place.local else None,
            prometheus=await self._prometheus(place) if source is not None else None,
            approved=self._approved,
        )
        return place.collector

    async def _prometheus(self, place: _Place) -> PrometheusSource | None:
        if not self._foundation.configuration.settings.telemetry.prometheus:
            return None
        # What speaks HTTP takes ten megabytes, and most yards name no Prometheus.
        reaching = await asyncio.to_thread(importlib.import_module, "backend.flows.prometheus")
        found = reaching.prometheus_of(self._foundation, place.link.context)
        return None if found is None else PrometheusSource(found)

    def _approved(self, digests: Sequence[str]) -> bool | None:
        return self._approvals.judge(frozenset(digests)).approved if digests else None


def _host() -> str:
    return socket.gethostname().partition(".")[0]
