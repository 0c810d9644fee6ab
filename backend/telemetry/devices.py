"""Devices that the cluster names one by one: by dynamic resource allocation, or by what kubelets tell of pods. Pure.

DRA (`resource.k8s.io/v1`): a driver publishes slices of pools; a pool that is rewritten gets a higher generation, and
slices of lower ones count no more. A claim says which devices it was given and which pods may use them. Without DRA,
`containerStatuses[].allocatedResourcesStatus` of a pod names the devices that its containers hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from backend.cluster.capacity_objects import Device, ResourceClaim, ResourceSlice
from backend.cluster.objects import Pod
from backend.core.quantities import parse_quantity

DRIVER: Final = "gpu.nvidia.com"
#: More than any node has: what a slice says beyond it is not believed.
_MOST_DEVICES: Final = 1024


class ClusterDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU or MIG instance that a slice tells of.

    Attributes:
        pool, name: by which claims name it.
        uuid: as the driver gives it; parent: of a MIG instance the UUID of its GPU.
        memory: bytes; None: not told.
    """

    node: str
    pool: str
    name: str
    uuid: str = ""
    parent: str = ""
    profile: str = ""
    product: str = ""
    memory: int | None = None


class Allocated(msgspec.Struct, frozen=True, kw_only=True):
    """A device that a pod was given.

    Attributes:
        container: empty: not told. healthy: None: not told.
    """

    namespace: str
    pod: str
    container: str = ""
    device: str
    healthy: bool | None = None


def devices_of(slices: Iterable[ResourceSlice]) -> list[ClusterDevice]:
    """The GPUs that NVIDIA's driver publishes, of each pool those of its highest generation alone."""
    ours = [one for one in slices if one.spec.driver == DRIVER]
    newest: dict[str, int] = {}
    for one in ours:
        pool = one.spec.pool
        newest[pool.name] = max(newest.get(pool.name, pool.generation), pool.generation)
    found: dict[tuple[str, str], ClusterDevice] = {}
    for one in ours:
        pool = one.spec.pool
        if pool.generation == newest[pool.name]:
            for device in (one.spec.devices or ())[:_MOST_DEVICES]:
                found[pool.name, device.name] = _device(device, one.spec.node_name or pool.name, pool.name)
    return sorted(found.values(), key=lambda device: (device.node, device.name))


def allocated_by_claims(claims: Iterable[ResourceClaim], devices: Iterable[ClusterDevice]) -> list[Allocated]:
    """Which pods hold which devices, by the UUIDs of the devices."""
    known = {(device.pool, device.name): device for device in devices}
    found = []
    for claim in claims:
        status = claim.status
        if status is None or status.allocation is None:
            continue
        pods = [consumer.name for consumer in status.reserved_for or () if consumer.resource == "pods"]
        for result in status.allocation.devices.results or ():
            device = known.get((result.pool, result.device)) if result.driver == DRIVER else None
            if device is not None:
                found += [
                    Allocated(namespace=claim.metadata.namespace, pod=pod, device=device.uuid or device.name)
                    for pod in pods
                ]
    return found


def allocated_by_kubelets(pods: Iterable[Pod]) -> list[Allocated]:
    """Which containers hold which devices, by UUID, and whether the device plugin finds them well."""
    return [
        Allocated(
            namespace=pod.metadata.namespace,
            pod=pod.metadata.name,
            container=status.name,
            # Where GPUs are shared in time, the plugin counts copies of one: `GPU-...::2`.
            device=resource.resource_id.partition("::")[0],
            healthy=None if resource.health in ("", "Unknown") else resource.health == "Healthy",
        )
        for pod in pods
        for status in pod.status.container_statuses or ()
        for allocated in status.allocated_resources_status or ()
        if allocated.name.startswith(("nvidia.com/gpu", "nvidia.com/mig-"))
        for resource in allocated.resources or ()
    ]


def _device(device: Device, node: str, pool: str) -> ClusterDevice:
    attributes = {_bare(name): _value(value) for name, value in (device.attributes or {}).items()}
    memory = {_bare(name): amount for name, amount in (device.capacity or {}).items()}.get("memory", {})
    return ClusterDevice(
        node=node,
        pool=pool,
        name=device.name,
        uuid=attributes.get("uuid", ""),
        parent=attributes.get("parentUUID", ""),
        profile=attributes.get("profile", "") if attributes.get("type") == "mig" else "",
        product=attributes.get("productName", ""),
        memory=_bytes(memory.get("value")),
    )


def _bare(name: str) -> str:
    """An attribute's name without the driver's domain, which may be left out."""
    return name.rpartition("/")[2]


def _value(value: Mapping[str, Any]) -> str:
    text = next((one for kind in ("string", "version") if isinstance(one := value.get(kind), str)), "")
    return text[:200]


def _bytes(quantity: object) -> int | None:
    try:
        amount = int(parse_quantity(quantity))
    except (ValueError, OverflowError):
        return None
    return amount if 0 < amount < 1 << 50 else None
