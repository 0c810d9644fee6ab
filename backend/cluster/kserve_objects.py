"""The fields of KServe's objects that are shown or judged: v0.20's `serving.kserve.io` v1beta1 and v1alpha1.

LLMInferenceService, graphs and model caches are in `llm_objects`.
"""

from __future__ import annotations

from backend.cluster.objects import Condition, Container, KubeObject, KubeStruct, ObjectMeta, Presence


class ModelFormat(KubeStruct, frozen=True, kw_only=True):
    """A model format by name, and version where one is told."""

    name: str = ""
    version: str | None = None
    auto_select: bool | None = None


class ModelSpec(Container, frozen=True, kw_only=True):
    """`predictor.model`: a container's fields, and which runtime serves which model."""

    model_format: ModelFormat | None = None
    runtime: str | None = None
    storage_uri: str | None = None


class Component(KubeStruct, frozen=True, kw_only=True):
    """A predictor, transformer or explainer."""

    min_replicas: int | None = None
    max_replicas: int | None = None
    canary_traffic_percent: int | None = None
    model: ModelSpec | None = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None


class Canary(KubeStruct, frozen=True, kw_only=True):
    """`spec.canary`: a second predictor and its share of the traffic, in percent."""

    predictor: Component = Component()
    traffic_percent: int = 0


class InferenceServiceSpec(KubeStruct, frozen=True, kw_only=True):
    """What is wanted of an InferenceService."""

    predictor: Component = Component()
    transformer: Component | None = None
    explainer: Component | None = None
    canary: Canary | None = None


class ModelStates(KubeStruct, frozen=True, kw_only=True):
    """State of the model that serves and of the one that shall."""

    active_model_state: str = ""
    target_model_state: str = ""


class FailureInfo(KubeStruct, frozen=True, kw_only=True):
    """The last failure of a model; it outlives success."""

    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    time: str | None = None


class ModelStatus(KubeStruct, frozen=True, kw_only=True):
    """KServe's view of the model."""

    transition_status: str = ""
    states: ModelStates | None = None
    last_failure_info: FailureInfo | None = None


class Address(KubeStruct, frozen=True, kw_only=True):
    """The address inside the cluster."""

    url: str = ""


class TrafficTarget(KubeStruct, frozen=True, kw_only=True):
    """A Knative revision's share of the traffic, in percent; absent: none."""

    revision_name: str = ""
    percent: int | None = None
    latest_revision: bool | None = None
    tag: str = ""


class ComponentStatus(KubeStruct, frozen=True, kw_only=True):
    """State of a component: its addresses and, in Knative mode, revisions."""

    url: str = ""
    rest_url: str = ""
    grpc_url: str = ""
    latest_created_revision: str = ""
    latest_ready_revision: str = ""
    latest_rolledout_revision: str = ""
    previous_rolledout_revision: str = ""
    traffic: tuple[TrafficTarget, ...] | None = None


class InferenceServiceStatus(KubeStruct, frozen=True, kw_only=True):
    """What KServe's controller says."""

    url: str = ""
    address: Address | None = None
    conditions: tuple[Condition, ...] | None = None
    model_status: ModelStatus | None = None
    components: dict[str, ComponentStatus] | None = None
    deployment_mode: str = ""
    serving_runtime_name: str = ""
    cluster_serving_runtime_name: str = ""


class InferenceService(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io/v1beta1` InferenceService."""

    spec: InferenceServiceSpec = InferenceServiceSpec()
    status: InferenceServiceStatus | None = None


class Probe(KubeStruct, frozen=True, kw_only=True):
    """How long a probe may take."""

    timeout_seconds: int | None = None


class RuntimeContainer(Container, frozen=True, kw_only=True):
    """A container of a serving runtime, with the probe that can kill it."""

    liveness_probe: Probe | None = None


class RuntimeSpec(KubeStruct, frozen=True, kw_only=True):
    """What a runtime serves, and with which containers."""

    supported_model_formats: tuple[ModelFormat, ...] | None = None
    protocol_versions: tuple[str, ...] | None = None
    disabled: bool | None = None
    containers: tuple[RuntimeContainer, ...] = ()
    worker_spec: Presence | None = None


class ServingRuntime(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io/v1alpha1` ServingRuntime, or ClusterServingRuntime when it has no namespace."""

    spec: RuntimeSpec = RuntimeSpec()


#: Labels of a pod by which it belongs to an InferenceService, or to an LLMInferenceService.
_SERVICE = "serving.kserve.io/inferenceservice"
_PART_OF, _NAME = "app.kubernetes.io/part-of", "app.kubernetes.io/name"


def service_of(pod: ObjectMeta) -> str:
    """Name of the InferenceService or LLMInferenceService that a pod belongs to, or empty."""
    if name := pod.label(_SERVICE):
        return name
    return pod.label(_NAME) if pod.label(_PART_OF) == "llminferenceservice" else ""
