"""The fields that are shown or judged of what pods wait for: devices by claim (DRA), and Kueue's queues."""

from __future__ import annotations

from typing import Any

import msgspec

from backend.cluster.objects import Condition, KubeObject, KubeStruct, Quantity


class DevicePool(KubeStruct, frozen=True, kw_only=True):
    """Which pool of devices a slice belongs to, and how many slices the pool has."""

    name: str = ""
    generation: int = 0
    resource_slice_count: int = 0


class Device(KubeStruct, frozen=True, kw_only=True):
    """A device; attributes hold one of `string`, `int`, `bool`, `version` each, capacity a `value`."""

    name: str = ""
    attributes: dict[str, dict[str, Any]] | None = None
    capacity: dict[str, dict[str, Quantity]] | None = None


class ResourceSliceSpec(KubeStruct, frozen=True, kw_only=True):
    """The devices of a driver on a node."""

    driver: str = ""
    node_name: str = ""
    pool: DevicePool = DevicePool()
    devices: tuple[Device, ...] | None = None


class ResourceSlice(KubeObject, frozen=True, kw_only=True):
    """`resource.k8s.io/v1` ResourceSlice."""

    spec: ResourceSliceSpec = ResourceSliceSpec()


class AllocatedDevice(KubeStruct, frozen=True, kw_only=True):
    """A device that a claim got."""

    request: str = ""
    driver: str = ""
    pool: str = ""
    device: str = ""


class AllocatedDevices(KubeStruct, frozen=True, kw_only=True):
    """All that a claim got."""

    results: tuple[AllocatedDevice, ...] | None = None


class Allocation(KubeStruct, frozen=True, kw_only=True):
    """What a claim got."""

    devices: AllocatedDevices = AllocatedDevices()


class ClaimConsumer(KubeStruct, frozen=True, kw_only=True):
    """Who may use a claim."""

    resource: str = ""
    name: str = ""
    uid: str = ""


class ResourceClaimStatus(KubeStruct, frozen=True, kw_only=True):
    """What a claim got, and for whom it is reserved."""

    allocation: Allocation | None = None
    reserved_for: tuple[ClaimConsumer, ...] | None = None


class ResourceClaim(KubeObject, frozen=True, kw_only=True):
    """`resource.k8s.io/v1` ResourceClaim; `spec` is as the API has it."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: ResourceClaimStatus | None = None


class LocalQueueSpec(KubeStruct, frozen=True, kw_only=True):
    """Which ClusterQueue a namespace's queue feeds; `stop_policy` None, Hold or HoldAndDrain."""

    cluster_queue: str = ""
    stop_policy: str | None = None


class FlavorAmount(KubeStruct, frozen=True, kw_only=True):
    """An amount of a resource, and in a quota what may be borrowed or lent."""

    name: str = ""
    total: Quantity | None = None
    borrowed: Quantity | None = None
    nominal_quota: Quantity | None = None
    borrowing_limit: Quantity | None = None


class Flavor(KubeStruct, frozen=True, kw_only=True):
    """The amounts of a resource flavour."""

    name: str = ""
    resources: tuple[FlavorAmount, ...] | None = None


class QueueStatus(KubeStruct, frozen=True, kw_only=True):
    """How much waits and is used; condition Active says whether it admits."""

    pending_workloads: int = 0
    admitted_workloads: int = 0
    reserving_workloads: int = 0
    conditions: tuple[Condition, ...] | None = None
    flavors_usage: tuple[Flavor, ...] | None = None
    flavors_reservation: tuple[Flavor, ...] | None = None


class LocalQueue(KubeObject, frozen=True, kw_only=True):
    """`kueue.x-k8s.io` LocalQueue."""

    spec: LocalQueueSpec = LocalQueueSpec()
    status: QueueStatus | None = None


class ResourceGroup(KubeStruct, frozen=True, kw_only=True):
    """Flavours that cover the same resources, tried in their order."""

    covered_resources: tuple[str, ...] | None = None
    flavors: tuple[Flavor, ...] | None = None


class ClusterQueueSpec(KubeStruct, frozen=True, kw_only=True):
    """The quotas of a queue; queues of a cohort borrow from each other."""

    cohort: str | None = None
    cohort_name: str | None = None
    resource_groups: tuple[ResourceGroup, ...] | None = None
    stop_policy: str | None = None


class ClusterQueue(KubeObject, frozen=True, kw_only=True):
    """`kueue.x-k8s.io` ClusterQueue; the cohort's field is `cohort` in v1beta1 and `cohortName` in v1beta2."""

    spec: ClusterQueueSpec = ClusterQueueSpec()
    status: QueueStatus | None = None


class WorkloadSpec(KubeStruct, frozen=True, kw_only=True):
    """Where a workload waits."""

    queue_name: str = ""
    priority: int | None = None
    active: bool | None = None


class WorkloadStatus(KubeStruct, frozen=True, kw_only=True):
    """Conditions QuotaReserved, Admitted, Evicted, Finished."""

    conditions: tuple[Condition, ...] | None = None


class Workload(KubeObject, frozen=True, kw_only=True):
    """`kueue.x-k8s.io` Workload: what Kueue admits, made for a pod, job or Deployment."""

    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus | None = None
