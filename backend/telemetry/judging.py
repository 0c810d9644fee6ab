"""Judges a sample: what services promise and keep, what holds replicas back, of which class an error is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from backend.core.views import GpuSnapshotView, GpuView, ModelServerView, ServiceMetricsView
from backend.telemetry import xid
from backend.telemetry.alert_config import ObjectiveConfig
from backend.telemetry.bottleneck import bottleneck_of
from backend.telemetry.objectives import Burn, Promise, judged, promises


class Judge:
    """Follows promises from sample to sample."""

    def __init__(self, objectives: Sequence[ObjectiveConfig]) -> None:
        self._objectives = tuple(objectives)
        self._burn = Burn()
        self._promises: dict[tuple[str, str], tuple[Promise, ...]] = {}

    @property
    def has_objectives(self) -> bool:
        """Whether anything is promised at all."""
        return bool(self._objectives)

    def judge(self, snapshot: GpuSnapshotView, available: Mapping[str, bool], now: datetime) -> GpuSnapshotView:
        """The sample with its judgement.

        Args:
            available: by `context/namespace/name`, whether a replica serves; services not named are not known.
        """
        held: dict[tuple[str, str, str], list[GpuView]] = {}
        gpus = tuple(_classed(gpu) for gpu in snapshot.gpus)
        for gpu in gpus:
            if gpu.pod:
                held.setdefault((gpu.context, gpu.namespace, gpu.pod), []).append(gpu)
        if self._objectives and (snapshot.services or not snapshot.unreached):
            self._burn.forget(metrics.key for metrics in snapshot.services)
        return msgspec.structs.replace(
            snapshot,
            gpus=gpus,
            servers=tuple(
                # Thousands may tell nothing: there is nothing to find out of them.
                server
                if server.running is None and server.waiting is None and not server.bottleneck
                else _held_back(server, held.get((server.context, server.namespace, server.pod), ()))
                for server in snapshot.servers
            ),
            services=tuple(
                judged(metrics, self._promised(metrics), self._burn, now, available=available.get(metrics.key))
                for metrics in snapshot.services
            )
            if self._objectives
            else snapshot.services,
        )

    def _promised(self, metrics: ServiceMetricsView) -> tuple[Promise, ...]:
        name = (metrics.namespace, metrics.service)
        found = self._promises.get(name)
        if found is None:
            found = self._promises[name] = promises(self._objectives, *name)
        return found


def _classed(gpu: GpuView) -> GpuView:
    return gpu if gpu.xid is None else msgspec.structs.replace(gpu, xid_class=xid.class_of(gpu.xid))


def _held_back(server: ModelServerView, gpus: Sequence[GpuView]) -> ModelServerView:
    found = bottleneck_of(server, gpus)
    if (found.name, found.evidence) == (server.bottleneck, server.evidence):
        return server
    return msgspec.structs.replace(server, bottleneck=found.name, evidence=found.evidence)
