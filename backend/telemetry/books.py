"""What the cluster's API tells of GPUs: nodes, pods, devices, exporters. Read now and then, for all sources."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from backend.cluster.kserve_objects import service_of
from backend.cluster.objects import Node, Pod
from backend.core.errors import AccessDeniedError, ModelyardError, UnreachableError
from backend.core.ports import Clock, instant
from backend.core.views import PendingView
from backend.telemetry.devices import Allocated, ClusterDevice, allocated_by_claims, allocated_by_kubelets, devices_of
from backend.telemetry.fit_inputs import ask_of_pod, hosts_of, tenants_of, why_pending
from backend.telemetry.inventory import (
    Claim,
    NodeGpus,
    claims_by_devices,
    claims_of,
    nodes_with_gpus,
)
from backend.telemetry.sources import EXPORTER_SELECTORS, MetricsCluster

_MOST_PENDING: Final = 200
_MANY: Final = 1000

_Item = TypeVar("_Item")


class _Found(NamedTuple):
    """What pods tell, as `Books` has it."""

    claims: Sequence[Claim]
    allocated: dict[str, Allocated]
    serving: dict[str, Pod]
    pending: tuple[PendingView, ...]


class Books:
    """What a cluster's API told last; what could not be read again stays as it was.

    Attributes:
        claims: what pods were given. allocated: devices with their holders, by UUID.
        exporters, serving: pods by UID: dcgm-exporters, and those that may have a model server's metrics.
        pending: pods that wait for GPUs.
        notes: what could not be read, with what that needs.
        unreached: why nothing can be read at all; empty: something could.
        read_at: when nodes were read last, in monotonic seconds; None: never.
    """

    def __init__(self, clock: Clock, context: str) -> None:
        self._clock = clock
        self._context = context
        self._node_list: Sequence[Node] = ()
        self.devices: Sequence[ClusterDevice] = ()
        self.nodes: Sequence[NodeGpus] = ()
        self.claims: Sequence[Claim] = ()
        self._known: dict[tuple[str, str], tuple[Pod, list[Claim]]] = {}
        self.allocated: dict[str, Allocated] = {}
        self.exporters: dict[str, Pod] = {}
        self.serving: dict[str, Pod] = {}
        self.pending: tuple[PendingView, ...] = ()
        self.notes: Sequence[str] = ("the cluster has not answered yet",)
        self.unreached = ""
        self.read_at: float | None = None

    async def read(self, cluster: MetricsCluster) -> None:
        """Read all once. Raises nothing that a user can meet: `notes` and `unreached` tell it."""
        notes: list[str] = []
        self.unreached = ""
        try:
            await self._read(cluster, notes)
        except UnreachableError as error:
            self.unreached = error.why
            notes = [f"the cluster does not answer: {error.why}"]
        self.notes = tuple(dict.fromkeys(notes))

    async def _read(self, cluster: MetricsCluster, notes: list[str]) -> None:
        nodes = await _told(cluster.nodes(), notes, "nodes are not known", "`list` on `nodes`")
        pods = await _told(cluster.pods(), notes, "who holds which GPU is not known", "`list` on `pods`")
        slices = await _told(
            cluster.resource_slices(), notes, "devices are not known", "`list` on `resourceslices.resource.k8s.io`"
        )
        exporters: dict[str, Pod] = {}
        for selector in EXPORTER_SELECTORS:
            needed = "`list` on `pods` in every namespace"
            found = await _told(cluster.pods(selector), notes, "exporters are not found", needed)
            exporters.update({pod.metadata.uid or pod.metadata.name: pod for pod in found or ()})
        self.exporters = exporters
        if slices is not None:
            self.devices = devices_of(slices)
        by_claims: list[Allocated] = []
        # A cluster whose driver publishes no GPU gives none out by claims.
        if self.devices:
            claims = await _told(
                cluster.resource_claims(), notes, "claims on devices are not known",
                "`list` on `resourceclaims.resource.k8s.io`",
            )  # fmt: skip
            by_claims = allocated_by_claims(claims or (), self.devices)
        if nodes is not None:
            self._node_list, self.read_at = nodes, self._clock.monotonic()
        self.nodes = nodes_with_gpus(self._node_list, self.devices)
        if pods is not None and len(pods) > _MANY:
            # Thousands take a twentieth of a second, in which rows would not follow.
            self._take(await asyncio.to_thread(self._found_of, pods, by_claims))
        elif pods is not None:
            self._take(self._found_of(pods, by_claims))

    def _take(self, found: _Found) -> None:
        self.claims, self.allocated, self.serving, self.pending = found

    def _found_of(self, pods: Sequence[Pod], by_claims: Sequence[Allocated]) -> _Found:
        claims = [*self._claims_of(pods), *claims_by_devices(by_claims, self.devices, pods)]
        with_gpus = {claim.uid for claim in claims}
        return _Found(
            claims=claims,
            allocated={one.device: one for one in (*by_claims, *allocated_by_kubelets(pods))},
            serving={pod.metadata.uid: pod for pod in pods if pod.metadata.uid in with_gpus and _may_be_asked(pod)},
            pending=self._waiting(pods),
        )

    def _claims_of(self, pods: Sequence[Pod]) -> list[Claim]:
        """What the pods were given; a pod that is the same object as the last time was given the same."""
        known, self._known = self._known, {}
        for pod in pods:
            before = known.get(pod.key)
            self._known[pod.key] = before if before is not None and before[0] is pod else (pod, claims_of((pod,)))
        return [claim for _, claims in self._known.values() for claim in claims]

    def _waiting(self, pods: Sequence[Pod]) -> tuple[PendingView, ...]:
        asks = [
            (pod, ask)
            for pod in pods
            if not pod.spec.node_name and pod.status.phase == "Pending" and (ask := ask_of_pod(pod)).gpus
        ]
        if not asks:
            return ()
        hosts = hosts_of(self._node_list, tenants_of(pods))
        views = [
            PendingView(
                context=self._context,
                namespace=pod.metadata.namespace,
                pod=pod.metadata.name,
                service=service_of(pod.metadata),
                resource=ask.resource,
                gpus=ask.gpus,
                since=_instant(pod.metadata.creation_timestamp),
                sentence=why_pending(pod, hosts) if self._node_list else "the cluster does not show its nodes",
            )
            for pod, ask in asks[:_MOST_PENDING]
        ]
        return tuple(sorted(views, key=lambda view: (view.namespace, view.pod)))


async def _told(
    reading: Awaitable[Sequence[_Item]], notes: list[str], what: str, needed: str
) -> Sequence[_Item] | None:
    try:
        return await reading
    except UnreachableError:
        raise
    except AccessDeniedError as error:
        notes.append(f"{what}: {error.why}; it needs {needed}")
    except ModelyardError as error:
        notes.append(f"{what}: {error.why}")
    return None


def _may_be_asked(pod: Pod) -> bool:
    """Pods of InferenceServices and those that offer metrics; others' ports are left alone."""
    offered = pod.metadata.annotation("prometheus.io/scrape") == "true"
    return pod.status.phase == "Running" and (bool(service_of(pod.metadata)) or offered)


def _instant(text: str | None) -> datetime | None:
    try:
        return instant(text or "")
    except ValueError:
        return None
