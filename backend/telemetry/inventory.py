"""Which GPUs the cluster has and to whom it gave them, from nodes and pods alone (no driver, no exporter). Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from backend.cluster.kserve_objects import service_of
from backend.cluster.objects import Container, Node, Pod, Quantity, Resources
from backend.core.references import is_digest
from backend.core.views import GpuNodeView
from backend.telemetry.devices import Allocated, ClusterDevice
from backend.telemetry.readings import GpuReading, Holder

WHOLE_GPU: Final = "nvidia.com/gpu"
_MIG: Final = "nvidia.com/mig-"
#: Labels that name a team, the first that a pod has counts; the last is what Kueue sorts pods by.
_TEAM_LABELS: Final = ("team", "modelyard.dev/team", "owner", "kueue.x-k8s.io/queue-name")
#: Labels by which providers name the pool that a node belongs to.
_POOLS: Final = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "agentpool",
    "kubernetes.azure.com/agentpool",
    "node.kubernetes.io/pool",
)
#: Taints that a node has while it is not ready or cordoned: told in plain words instead.
_NODE_STATE: Final = "node.kubernetes.io/"
_NOBODY: Final[Mapping[str, Allocated]] = {}
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_DIGEST: Final = re.compile(r"@(sha(?:256|512):[0-9a-f]+)\Z")
#: More devices than any node has: what a node says beyond it is not believed.
_MOST_DEVICES: Final = 1024


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs that a container of a pod was given.

    Attributes:
        resource: `nvidia.com/gpu` or `nvidia.com/mig-PROFILE`.
        digests: that the container names or runs; which of index, manifest and config depends on the runtime.
    """

    namespace: str
    pod: str
    uid: str
    node: str
    container: str
    resource: str
    count: int
    service: str
    digests: tuple[str, ...]
    team: str = ""

    @property
    def holder(self) -> str:
        """`namespace/pod`."""
        return f"{self.namespace}/{self.pod}"


class NodeGpus(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has.

    Attributes:
        counts: devices that may be given out, by resource.
        unhealthy: devices that the node has and does not give out, by resource.
        memory: bytes of a whole GPU; None: not told.
        ready: whether the node is. cordoned: it takes no new pods.
        taints: as `key=value:effect`, without what `ready` and `cordoned` say already. pool: of the provider.
        devices: one by one, where a driver publishes them.
    """

    name: str
    product: str
    counts: dict[str, int]
    unhealthy: dict[str, int]
    memory: int | None
    ready: bool
    cordoned: bool = False
    taints: tuple[str, ...] = ()
    pool: str = ""
    devices: tuple[ClusterDevice, ...] = ()


def nodes_with_gpus(nodes: Iterable[Node], devices: Iterable[ClusterDevice] = ()) -> list[NodeGpus]:
    """The nodes that have GPUs, by name.

    Args:
        devices: that a driver publishes; such nodes have no resources of that kind.
    """
    by_node: dict[str, list[ClusterDevice]] = defaultdict(list)
    for device in devices:
        by_node[device.node].append(device)
    found = []
    for node in nodes:
        name = node.metadata.name
        capacity, allocatable = _devices(node.status.capacity), _devices(node.status.allocatable)
        published = tuple(by_node.get(name, ())) if not capacity else ()
        if not capacity and not allocatable and not published:
            continue
        memory = node.metadata.label("nvidia.com/gpu.memory")
        found.append(
            NodeGpus(
                name=name,
                product=node.metadata.label("nvidia.com/gpu.product") or next((d.product for d in published), ""),
                counts=allocatable or dict(Counter(resource_of_profile(device.profile) for device in published)),
                unhealthy={
                    name: n - allocatable.get(name, 0) for name, n in capacity.items() if n > allocatable.get(name, 0)
                },
                memory=int(memory) << 20 if memory.isdecimal() and len(memory) < 10 else None,
                ready=any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ()),
                cordoned=node.spec.unschedulable,
                taints=_taints(node),
                pool=next((pool for label in _POOLS if (pool := node.metadata.label(label))), ""),
                devices=published,
            )
        )
    return sorted(found, key=lambda node: node.name)


def node_view(node: NodeGpus, context: str) -> GpuNodeView:
    """A node as it is shown."""
    return GpuNodeView(
        context=context,
        name=node.name,
        pool=node.pool,
        ready=node.ready,
        cordoned=node.cordoned,
        taints=node.taints,
    )


def _taints(node: Node) -> tuple[str, ...]:
    told = (taint for taint in node.spec.taints or () if not taint.key.startswith(_NODE_STATE))
    return tuple(f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}" for taint in told)


def claims_by_devices(
    allocated: Iterable[Allocated], devices: Iterable[ClusterDevice], pods: Iterable[Pod]
) -> list[Claim]:
    """What pods were given by claims of their own, a `Claim` for each kind of device."""
    profiles = {device.uuid or device.name: device.profile for device in devices}
    counts: Counter[tuple[str, str, str]] = Counter(
        (one.namespace, one.pod, resource_of_profile(profiles.get(one.device, ""))) for one in allocated
    )
    by_name = {(pod.metadata.namespace, pod.metadata.name): pod for pod in pods}
    claims = []
    for (namespace, name, resource), count in counts.items():
        pod = by_name.get((namespace, name))
        if pod is not None and pod.spec.node_name and pod.status.phase not in _ENDED and pod.spec.containers:
            claims.append(_claim(pod, pod.spec.containers[0], resource, count))
    return claims


def claims_of(pods: Iterable[Pod]) -> list[Claim]:
    """What the pods were given: those that have a node and have not ended."""
    claims = []
    for pod in pods:
        if not pod.spec.node_name or pod.status.phase in _ENDED:
            continue
        for container in pod.spec.containers:
            resources = container.resources
            # Extended resources are given by limits: the API sets the requests to the same.
            wanted = {**_devices(resources.requests), **_devices(resources.limits)} if resources is not None else {}
            claims += [_claim(pod, container, resource, count) for resource, count in wanted.items() if count]
    return claims


def _claim(pod: Pod, container: Container, resource: str, count: int) -> Claim:
    running = {status.name: status.image_id for status in pod.status.container_statuses or ()}
    digests = (_digest(container.image), _digest(running.get(container.name, "")))
    return Claim(
        namespace=pod.metadata.namespace,
        pod=pod.metadata.name,
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        container=container.name,
        resource=resource,
        count=count,
        service=service_of(pod.metadata),
        digests=tuple(dict.fromkeys(digest for digest in digests if digest)),
        team=next((name for label in _TEAM_LABELS if (name := pod.metadata.label(label))), ""),
    )


def assign(
    readings: Sequence[GpuReading], claims: Sequence[Claim], allocated: Mapping[str, Allocated] = _NOBODY
) -> tuple[dict[str, Claim], bool]:
    """Who holds each GPU of one node.

    What the exporter says counts, then what the cluster says of a device by its UUID. Where neither does, or does not
    yet, the claims that are left go to GPUs that are left, those that work first: the numbers are right then, and which
    device it is is a guess.

    Args:
        allocated: by the device's UUID.

    Returns:
        The claim by the reading's key, without the GPUs that nobody holds; and whether something was guessed.
    """
    held: dict[str, Claim] = {}
    left = {(claim.holder, claim.container, claim.resource): claim.count for claim in claims}
    by_pod: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_pod[claim.holder].append(claim)
    for reading in readings:
        for holder in reading.holders or _told(allocated, reading):
            known = _claim_for(by_pod.get(f"{holder.namespace}/{holder.pod}", ()), holder.container, reading)
            if known is not None:
                left[(known.holder, known.container, known.resource)] -= 1
                held.setdefault(reading.key, known)
                continue
            held.setdefault(
                reading.key,
                Claim(
                    namespace=holder.namespace, pod=holder.pod, uid="", node=reading.node, container=holder.container,
                    resource=resource_of(reading), count=1, service="", digests=(),
                ),
            )  # fmt: skip
    guessed = False
    unheld = sorted(
        (reading for reading in readings if reading.key not in held), key=lambda r: r.activity or 0, reverse=True
    )
    # With the device plugin's strategy "single", instances are given out as if they were whole GPUs.
    single = all(reading.instance for reading in readings)
    for claim in claims:
        fitting = [
            reading
            for reading in unheld
            if reading.key not in held
            and (claim.resource == resource_of(reading) or (single and claim.resource == WHOLE_GPU))
        ]
        count = max(0, left[(claim.holder, claim.container, claim.resource)])
        for reading in fitting[:count]:
            held[reading.key] = claim
        guessed = guessed or 0 < count < len(fitting)
    return held, guessed


def slots(node: NodeGpus, claims: Sequence[Claim]) -> list[tuple[str, Claim | None, bool]]:
    """The devices of a node that nothing measures: resource, who holds one, and whether it is healthy."""
    found: list[tuple[str, Claim | None, bool]] = []
    for resource in sorted({*node.counts, *node.unhealthy}):
        holders = [
            claim for claim in claims if claim.resource == resource for _ in range(min(claim.count, _MOST_DEVICES))
        ]
        count = max(node.counts.get(resource, 0), len(holders))
        found += [(resource, holders[n] if n < len(holders) else None, True) for n in range(count)]
        found += [(resource, None, False) for _ in range(node.unhealthy.get(resource, 0))]
    return found


def resource_of(reading: GpuReading) -> str:
    """The resource under which the device plugin gives such a device out."""
    return resource_of_profile(reading.mig_profile) if reading.instance else WHOLE_GPU


def resource_of_profile(profile: str) -> str:
    """The resource of a MIG profile; empty: of a whole GPU."""
    return f"{_MIG}{profile}" if profile else WHOLE_GPU


def profile_of(resource: str) -> str:
    """The MIG profile of a resource; empty: a whole GPU."""
    return resource.removeprefix(_MIG) if resource.startswith(_MIG) else ""


def _told(allocated: Mapping[str, Allocated], reading: GpuReading) -> tuple[Holder, ...]:
    known = allocated.get(reading.mig_uuid or (reading.uuid if not reading.instance else ""))
    return () if known is None else (Holder(known.namespace, known.pod, known.container),)


def _claim_for(claims: Sequence[Claim], container: str, reading: GpuReading) -> Claim | None:
    named = [claim for claim in claims if claim.container == container]
    fitting = [claim for claim in named or claims if claim.resource == resource_of(reading)]
    return next(iter(fitting or named or claims), None)


def _devices(resources: Resources | Mapping[str, Quantity] | None) -> dict[str, int]:
    return {
        name: min(_whole(quantity), _MOST_DEVICES)
        for name, quantity in (resources or {}).items()
        if (name == WHOLE_GPU or name.startswith(_MIG)) and _whole(quantity) > 0
    }


def _whole(quantity: Quantity) -> int:
    """A count of devices; 0 for what is no whole number, which the API accepts for no device."""
    text = str(quantity)
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _digest(image: str) -> str:
    match = _DIGEST.search(image)
    digest = match[1] if match else image
    return digest if is_digest(digest) else ""
