"""The fields of Kubernetes objects that are shown or judged; everything else is skipped while decoding.

Names follow the API: v1 and apps/v1. What the API may leave out has a default, and what it may give as null is None.
Instants stay text: `parsed_time` reads those that are needed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

import msgspec

from backend.core.ports import instant

#: A resource quantity: custom resources keep whichever form was written.
Quantity: TypeAlias = int | float | str
Resources: TypeAlias = dict[str, Quantity]


class KubeStruct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of all decoded objects: JSON trees, so they hold no cycles for the collector to look for."""


class Presence(KubeStruct, frozen=True, kw_only=True):
    """That something is there; what is in it is skipped."""


class OwnedMetadata(KubeStruct, frozen=True, kw_only=True):
    """Whether a manager owns labels or annotations."""

    labels: Presence | None = msgspec.field(default=None, name="f:labels")
    annotations: Presence | None = msgspec.field(default=None, name="f:annotations")


class OwnedFields(KubeStruct, frozen=True, kw_only=True):
    """Whether a manager owns anything of what is wanted of the object (FieldsV1)."""

    spec: Presence | None = msgspec.field(default=None, name="f:spec")
    metadata: OwnedMetadata | None = msgspec.field(default=None, name="f:metadata")


class ManagedFields(KubeStruct, frozen=True, kw_only=True):
    """Who wrote fields of the object and when last, without the fields."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str | None = None
    fields: OwnedFields | None = msgspec.field(default=None, name="fieldsV1")

    @property
    def wanted(self) -> bool:
        """Whether it wrote anything that is wanted of the object, and not only its status or finalizers."""
        if self.subresource or self.fields is None:
            return False
        metadata = self.fields.metadata
        return self.fields.spec is not None or bool(metadata and (metadata.labels or metadata.annotations))


class OwnerReference(KubeStruct, frozen=True, kw_only=True):
    """The object that this one belongs to."""

    kind: str
    name: str
    uid: str = ""


class ObjectMeta(KubeStruct, frozen=True, kw_only=True):
    """Metadata of any object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None
    managed_fields: tuple[ManagedFields, ...] | None = None

    def label(self, key: str) -> str:
        """The label's value, or empty."""
        return (self.labels or {}).get(key, "")

    def annotation(self, key: str) -> str:
        """The annotation's value, or empty."""
        return (self.annotations or {}).get(key, "")


class KubeObject(KubeStruct, frozen=True, kw_only=True):
    """Base of objects with metadata."""

    metadata: ObjectMeta

    @property
    def key(self) -> tuple[str, str]:
        """Namespace (empty for cluster-scoped objects) and name."""
        return self.metadata.namespace, self.metadata.name


class Condition(KubeStruct, frozen=True, kw_only=True):
    """A condition of an object's status."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class ResourceRequirements(KubeStruct, frozen=True, kw_only=True):
    """What a container asks for and may use."""

    requests: Resources | None = None
    limits: Resources | None = None


class Container(KubeStruct, frozen=True, kw_only=True):
    """A container of a pod template or of a predictor."""

    name: str = ""
    image: str = ""
    args: tuple[str, ...] | None = None
    resources: ResourceRequirements | None = None


class ContainerWaiting(KubeStruct, frozen=True, kw_only=True):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class ContainerRunning(KubeStruct, frozen=True, kw_only=True):
    """Since when a container runs."""

    started_at: str | None = None


class ContainerTerminated(KubeStruct, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int = 0
    signal: int | None = None
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(KubeStruct, frozen=True, kw_only=True):
    """At most one of the three is set."""

    waiting: ContainerWaiting | None = None
    running: ContainerRunning | None = None
    terminated: ContainerTerminated | None = None


class DeviceHealth(KubeStruct, frozen=True, kw_only=True):
    """A device that a container holds: Healthy, Unhealthy or Unknown."""

    resource_id: str = msgspec.field(default="", name="resourceID")
    health: str = ""


class AllocatedResourceStatus(KubeStruct, frozen=True, kw_only=True):
    """The devices of one resource that a container holds."""

    name: str = ""
    resources: tuple[DeviceHealth, ...] | None = None


class ContainerStatus(KubeStruct, frozen=True, kw_only=True):
    """State of one container of a pod."""

    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    allocated_resources_status: tuple[AllocatedResourceStatus, ...] | None = None


class Toleration(KubeStruct, frozen=True, kw_only=True):
    """A taint that a pod puts up with; an empty key or effect stands for any."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class PodSpec(KubeStruct, frozen=True, kw_only=True):
    """What a pod runs, and where it may."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None
    node_selector: dict[str, str] | None = None
    tolerations: tuple[Toleration, ...] | None = None
    priority: int | None = None
    preemption_policy: str | None = None
    overhead: Resources | None = None


class PodStatus(KubeStruct, frozen=True, kw_only=True):
    """State of a pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(KubeObject, frozen=True, kw_only=True, gc=True, weakref=True):
    """`v1` Pod; who reads one that somebody holds gets the same object (`backend.cluster.sharing`)."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class DeploymentSpec(KubeStruct, frozen=True, kw_only=True):
    """What is wanted of a Deployment; the API's own default is one replica."""

    replicas: int = 1
    progress_deadline_seconds: int | None = None


class DeploymentStatus(KubeStruct, frozen=True, kw_only=True):
    """State of a Deployment."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    conditions: tuple[Condition, ...] | None = None


class Deployment(KubeObject, frozen=True, kw_only=True):
    """`apps/v1` Deployment."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class Taint(KubeStruct, frozen=True, kw_only=True):
    """What keeps pods away from a node."""

    key: str
    value: str = ""
    effect: str = ""


class NodeSpec(KubeStruct, frozen=True, kw_only=True):
    """A node's taints, and whether it takes new pods."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeStatus(KubeStruct, frozen=True, kw_only=True):
    """What a node has to give."""

    capacity: Resources | None = None
    allocatable: Resources | None = None
    conditions: tuple[Condition, ...] | None = None


class Node(KubeObject, frozen=True, kw_only=True):
    """`v1` Node."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ObjectReference(KubeStruct, frozen=True, kw_only=True):
    """The object that an event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class EventSeries(KubeStruct, frozen=True, kw_only=True):
    """How often an event came, and when last, in the newer form."""

    count: int = 0
    last_observed_time: str | None = None


class Event(KubeObject, frozen=True, kw_only=True):
    """`v1` Event; `last_timestamp` is null in the newer form, which has `event_time` and `series`."""

    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: EventSeries | None = None

    @property
    def at(self) -> datetime | None:
        """When it last came, as far as it tells."""
        series = self.series.last_observed_time if self.series else None
        return parsed_time(self.last_timestamp or series or self.event_time or self.metadata.creation_timestamp)

    @property
    def times(self) -> int:
        """How often it came, at least once."""
        return max(1, self.count or (self.series.count if self.series else 0))


class Namespace(KubeObject, frozen=True, kw_only=True):
    """`v1` Namespace."""


class ListMeta(KubeStruct, frozen=True, kw_only=True):
    """Where a list was read, and how to go on reading it."""

    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")
    remaining_item_count: int | None = None


_Item = TypeVar("_Item", bound=KubeObject)


class ObjectList(KubeStruct, Generic[_Item], frozen=True, kw_only=True):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: tuple[_Item, ...] | None = None


def parsed_time(text: str | None) -> datetime | None:
    """The aware UTC instant of an API time, or None when there is none or it is not a time."""
    if not text:
        return None
    try:
        return instant(text)
    except (ValueError, OverflowError):
        return None


def condition_of(conditions: tuple[Condition, ...] | None, type_: str) -> Condition | None:
    """The condition of that type, or None."""
    for condition in conditions or ():
        if condition.type == type_:
            return condition
    return None
