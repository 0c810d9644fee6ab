"""The fields that are shown or judged of what surrounds a service: quota, scaling, queues, devices, routes."""

from __future__ import annotations

from typing import Any

from backend.cluster.objects import Condition, Container, KubeObject, KubeStruct, Resources


class MetadataOnly(KubeObject, frozen=True, kw_only=True):
    """An object of which nothing but its metadata is asked for, such as a Secret."""


class ReplicaSetSpec(KubeStruct, frozen=True, kw_only=True):
    """How many pods are wanted of one version of a Deployment's template."""

    replicas: int = 1


class ReplicaSetStatus(KubeStruct, frozen=True, kw_only=True):
    """How many there are."""

    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0


class ReplicaSet(KubeObject, frozen=True, kw_only=True):
    """`apps/v1` ReplicaSet; annotation `deployment.kubernetes.io/revision` numbers the rollout."""

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class RevisionSpec(KubeStruct, frozen=True, kw_only=True):
    """What a Knative revision runs."""

    container_concurrency: int | None = None
    timeout_seconds: int | None = None
    containers: tuple[Container, ...] = ()


class RevisionContainerStatus(KubeStruct, frozen=True, kw_only=True):
    """The digest that Knative resolved a container's image to."""

    name: str = ""
    image_digest: str = ""


class RevisionStatus(KubeStruct, frozen=True, kw_only=True):
    """State of a revision.

    Conditions: Ready, Active (False: scaled to zero, reason NoTraffic), ContainerHealthy, ResourcesAvailable.
    """

    conditions: tuple[Condition, ...] | None = None
    actual_replicas: int | None = None
    desired_replicas: int | None = None
    container_statuses: tuple[RevisionContainerStatus, ...] | None = None


class Revision(KubeObject, frozen=True, kw_only=True):
    """`serving.knative.dev/v1` Revision; label `serving.knative.dev/configuration` says whose."""

    spec: RevisionSpec = RevisionSpec()
    status: RevisionStatus | None = None


class ScaleTarget(KubeStruct, frozen=True, kw_only=True):
    """What is scaled."""

    kind: str = ""
    name: str = ""


class HorizontalPodAutoscalerSpec(KubeStruct, frozen=True, kw_only=True):
    """Between which bounds what is scaled; `metrics` are as the API has them."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replicas: int | None = None
    max_replicas: int = 0
    metrics: tuple[dict[str, Any], ...] | None = None


class HorizontalPodAutoscalerStatus(KubeStruct, frozen=True, kw_only=True):
    """What it wants and has."""

    current_replicas: int | None = None
    desired_replicas: int = 0
    last_scale_time: str | None = None
    conditions: tuple[Condition, ...] | None = None


class HorizontalPodAutoscaler(KubeObject, frozen=True, kw_only=True):
    """`autoscaling/v2` HorizontalPodAutoscaler."""

    spec: HorizontalPodAutoscalerSpec = HorizontalPodAutoscalerSpec()
    status: HorizontalPodAutoscalerStatus | None = None


class ScaleTrigger(KubeStruct, frozen=True, kw_only=True):
    """What KEDA looks at: a type such as `prometheus` or `external`, and its own settings as texts."""

    type: str = ""
    metric_type: str = ""
    metadata: dict[str, str] | None = None


class ScaledObjectSpec(KubeStruct, frozen=True, kw_only=True):
    """Between which bounds KEDA scales what."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replica_count: int | None = None
    max_replica_count: int | None = None
    cooldown_period: int | None = None
    polling_interval: int | None = None
    triggers: tuple[ScaleTrigger, ...] | None = None


class ScaledObjectStatus(KubeStruct, frozen=True, kw_only=True):
    """Conditions Ready, Active, Fallback, Paused."""

    conditions: tuple[Condition, ...] | None = None
    last_active_time: str | None = None
    hpa_name: str = ""


class ScaledObject(KubeObject, frozen=True, kw_only=True):
    """`keda.sh/v1alpha1` ScaledObject."""

    spec: ScaledObjectSpec = ScaledObjectSpec()
    status: ScaledObjectStatus | None = None


class ResourceQuotaSpec(KubeStruct, frozen=True, kw_only=True):
    """How much of what a namespace may have; `scopes` limit whom it counts."""

    hard: Resources | None = None
    scopes: tuple[str, ...] | None = None
    scope_selector: dict[str, Any] | None = None


class ResourceQuotaStatus(KubeStruct, frozen=True, kw_only=True):
    """How much it has."""

    hard: Resources | None = None
    used: Resources | None = None


class ResourceQuota(KubeObject, frozen=True, kw_only=True):
    """`v1` ResourceQuota."""

    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus | None = None


class PriorityClass(KubeObject, frozen=True, kw_only=True):
    """`scheduling.k8s.io/v1` PriorityClass."""

    value: int = 0
    global_default: bool | None = None
    preemption_policy: str | None = None
    description: str = ""


class LabelSelector(KubeStruct, frozen=True, kw_only=True):
    """Which objects are meant; `match_expressions` are as the API has them."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[dict[str, Any], ...] | None = None


class DisruptionBudgetSpec(KubeStruct, frozen=True, kw_only=True):
    """How many pods must stay, or may go: numbers or percentages."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None


class DisruptionBudgetStatus(KubeStruct, frozen=True, kw_only=True):
    """How many may go now."""

    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class PodDisruptionBudget(KubeObject, frozen=True, kw_only=True):
    """`policy/v1` PodDisruptionBudget."""

    spec: DisruptionBudgetSpec = DisruptionBudgetSpec()
    status: DisruptionBudgetStatus | None = None


class LocalReference(KubeStruct, frozen=True, kw_only=True):
    """An object in the same namespace."""

    name: str = ""


class ServiceAccount(KubeObject, frozen=True, kw_only=True):
    """`v1` ServiceAccount: whose pull secrets its pods get, and which secrets they may mount."""

    image_pull_secrets: tuple[LocalReference, ...] | None = None
    secrets: tuple[LocalReference, ...] | None = None


class ClaimResources(KubeStruct, frozen=True, kw_only=True):
    """How much storage is asked for."""

    requests: Resources | None = None


class VolumeClaimSpec(KubeStruct, frozen=True, kw_only=True):
    """What volume is asked for."""

    access_modes: tuple[str, ...] | None = None
    storage_class_name: str | None = None
    volume_name: str = ""
    resources: ClaimResources | None = None


class VolumeClaimStatus(KubeStruct, frozen=True, kw_only=True):
    """Pending, Bound or Lost."""

    phase: str = ""
    capacity: Resources | None = None


class PersistentVolumeClaim(KubeObject, frozen=True, kw_only=True):
    """`v1` PersistentVolumeClaim."""

    spec: VolumeClaimSpec = VolumeClaimSpec()
    status: VolumeClaimStatus | None = None


class BackendReference(KubeStruct, frozen=True, kw_only=True):
    """Where a route sends its share of the requests; absent weight: 1."""

    kind: str = "Service"
    name: str = ""
    namespace: str = ""
    port: int | None = None
    weight: int = 1


class RouteTimeouts(KubeStruct, frozen=True, kw_only=True):
    """Durations as Gateway API writes them (`60s`)."""

    request: str = ""
    backend_request: str = ""


class RouteRule(KubeStruct, frozen=True, kw_only=True):
    """One rule; `matches` are as the API has them."""

    matches: tuple[dict[str, Any], ...] | None = None
    backend_refs: tuple[BackendReference, ...] | None = None
    timeouts: RouteTimeouts | None = None


class ParentReference(KubeStruct, frozen=True, kw_only=True):
    """The gateway that a route hangs on."""

    kind: str = "Gateway"
    name: str = ""
    namespace: str = ""
    section_name: str = ""


class HttpRouteSpec(KubeStruct, frozen=True, kw_only=True):
    """Which hosts go where."""

    parent_refs: tuple[ParentReference, ...] | None = None
    hostnames: tuple[str, ...] | None = None
    rules: tuple[RouteRule, ...] | None = None


class RouteParentStatus(KubeStruct, frozen=True, kw_only=True):
    """What a gateway says of the route: Accepted, ResolvedRefs."""

    parent_ref: ParentReference = ParentReference()
    controller_name: str = ""
    conditions: tuple[Condition, ...] | None = None


class HttpRouteStatus(KubeStruct, frozen=True, kw_only=True):
    """A status for each gateway."""

    parents: tuple[RouteParentStatus, ...] | None = None


class HttpRoute(KubeObject, frozen=True, kw_only=True):
    """`gateway.networking.k8s.io/v1` HTTPRoute."""

    spec: HttpRouteSpec = HttpRouteSpec()
    status: HttpRouteStatus | None = None
