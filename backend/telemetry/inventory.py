"""Which GPUs the cluster has and to whom it gave them, from nodes and pods alone (no driver, no exporter). Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from backend.cluster.kserve_objects import service_of
from backend.cluster.objects import Node, Pod, Quantity, Resources
from backend.core.references import is_digest
from backend.telemetry.readings import GpuReading

WHOLE_GPU: Final = "nvidia.com/gpu"
_MIG: Final = "nvidia.com/mig-"
#: KServe's label on the pods of an InferenceService.
#: Labels that name a team, the first that a pod has counts; the last is what Kueue sorts pods by.
_TEAM_LABELS: Final = ("team", "modelyard.dev/team", "owner", "kueue.x-k8s.io/queue-name")
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
    """

    name: str
    product: str
    counts: dict[str, int]
    unhealthy: dict[str, int]
    memory: int | None
    ready: bool
    cordoned: bool = False


def nodes_with_gpus(nodes: Iterable[Node]) -> list[NodeGpus]:
    """The nodes that have GPUs, by name."""
    found = []
    for node in nodes:
        capacity, allocatable = _devices(node.status.capacity), _devices(node.status.allocatable)
        if not capacity and not allocatable:
            continue
        memory = node.metadata.label("nvidia.com/gpu.memory")
        ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ())
        found.append(
            NodeGpus(
                name=node.metadata.name,
                product=node.metadata.label("nvidia.com/gpu.product"),
                counts=allocatable,
                unhealthy={
                    name: n - allocatable.get(name, 0) for name, n in capacity.items() if n > allocatable.get(name, 0)
                },
                memory=int(memory) << 20 if memory.isdecimal() and len(memory) < 10 else None,
                ready=ready,
                cordoned=node.spec.unschedulable,
            )
        )
    return sorted(found, key=lambda node: node.name)


def claims_of(pods: Iterable[Pod]) -> list[Claim]:
    """What the pods were given: those that have a node and have not ended."""
    claims = []
    for pod in pods:
        if not pod.spec.node_name or pod.status.phase in _ENDED:
            continue
        team = next((name for label in _TEAM_LABELS if (name := pod.metadata.label(label))), "")
        running = {status.name: status.image_id for status in pod.status.container_statuses or ()}
        for container in pod.spec.containers:
            resources = container.resources
            # Extended resources are given by limits: the API sets the requests to the same.
            wanted = {**_devices(resources.requests), **_devices(resources.limits)} if resources is not None else {}
            digests = (_digest(container.image), _digest(running.get(container.name, "")))
            claims += [
                Claim(
                    namespace=pod.metadata.namespace,
                    pod=pod.metadata.name,
                    uid=pod.metadata.uid,
                    node=pod.spec.node_name,
                    container=container.name,
                    resource=resource,
                    count=count,
                    service=service_of(pod.metadata),
                    digests=tuple(dict.fromkeys(digest for digest in digests if digest)),
                    team=team,
                )
                for resource, count in wanted.items()
                if count
            ]
    return claims


def assign(readings: Sequence[GpuReading], claims: Sequence[Claim]) -> tuple[dict[str, Claim], bool]:
    """Who holds each GPU of one node.

    What the exporter says counts. Where it does not say, or does not say it yet, the claims that are left go to GPUs
    that are left, those that work first: the numbers are right then, and which device it is is a guess.

    Returns:
        The claim by the reading's key, without the GPUs that nobody holds; and whether something was guessed.
    """
    held: dict[str, Claim] = {}
    left = {(claim.holder, claim.container, claim.resource): claim.count for claim in claims}
    by_pod: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_pod[claim.holder].append(claim)
    for reading in readings:
        for holder in reading.holders:
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
    return f"{_MIG}{reading.mig_profile}" if reading.instance else WHOLE_GPU


def profile_of(resource: str) -> str:
    """The MIG profile of a resource; empty: a whole GPU."""
    return resource.removeprefix(_MIG) if resource.startswith(_MIG) else ""


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
