"""Judges a sample: what services promise and keep, what holds replicas back, of which class an error is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from backend.core.views import GpuSnapshotView, GpuView, ModelServerView
from backend.telemetry import xid
from backend.telemetry.alert_config import ObjectiveConfig
from backend.telemetry.bottleneck import bottleneck_of
from backend.telemetry.objectives import Burn, judged


class Judge:
    """Follows promises from sample to sample."""

    def __init__(self, objectives: Sequence[ObjectiveConfig]) -> None:
        self._objectives = tuple(objectives)
        self._burn = Burn()

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
        if snapshot.services or not snapshot.unreached:
            self._burn.forget(metrics.key for metrics in snapshot.services)
        return msgspec.structs.replace(
            snapshot,
            gpus=gpus,
            servers=tuple(
                _held_back(server, held.get((server.context, server.namespace, server.pod), ()))
                for server in snapshot.servers
            ),
            services=tuple(
                judged(metrics, self._objectives, self._burn, now, available=available.get(metrics.key))
                for metrics in snapshot.services
            ),
        )


def _classed(gpu: GpuView) -> GpuView:
    return gpu if gpu.xid is None else msgspec.structs.replace(gpu, xid_class=xid.class_of(gpu.xid))


def _held_back(server: ModelServerView, gpus: Sequence[GpuView]) -> ModelServerView:
    found = bottleneck_of(server, gpus)
    if (found.name, found.evidence) == (server.bottleneck, server.evidence):
        return server
    return msgspec.structs.replace(server, bottleneck=found.name, evidence=found.evidence)
