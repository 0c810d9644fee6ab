"""The fields that are shown of KServe's younger kinds: LLMInferenceService, graphs, trained models and model caches.

LLMInferenceService is served as v1alpha2 (stored) and v1alpha1; what is read here has the same shape in both.
"""

from __future__ import annotations

import msgspec

from backend.cluster.kserve_objects import Address
from backend.cluster.objects import Condition, Container, KubeObject, KubeStruct, Quantity


class LlmModel(KubeStruct, frozen=True, kw_only=True):
    """Which model: where it comes from (`hf://`, `oci://`, `pvc://`), and the name that clients ask for."""

    uri: str = ""
    name: str = ""


class LlmParallelism(KubeStruct, frozen=True, kw_only=True):
    """Over how many GPUs a replica spreads."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None


class LlmPodTemplate(KubeStruct, frozen=True, kw_only=True):
    """The pods of a workload; its first container is usually `main`."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None


class LlmWorkload(KubeStruct, frozen=True, kw_only=True):
    """The workload that prefills apart from the one that decodes."""

    replicas: int | None = None
    parallelism: LlmParallelism | None = None
    template: LlmPodTemplate | None = None


class LlmRoute(KubeStruct, frozen=True, kw_only=True):
    """Services with the same `group` share its traffic by `weight`."""

    group: str = ""
    weight: int | None = None


class LlmRouter(KubeStruct, frozen=True, kw_only=True):
    """How requests come in."""

    route: LlmRoute | None = None


class LlmConfigReference(KubeStruct, frozen=True, kw_only=True):
    """An LLMInferenceServiceConfig that is merged in."""

    name: str = ""


class LlmScaling(KubeStruct, frozen=True, kw_only=True):
    """Between how many replicas it scales."""

    min_replicas: int | None = None
    max_replicas: int | None = None


class LlmInferenceServiceSpec(KubeStruct, frozen=True, kw_only=True):
    """What is wanted of an LLMInferenceService, or what a config gives to those that name it."""

    model: LlmModel = LlmModel()
    replicas: int | None = None
    parallelism: LlmParallelism | None = None
    router: LlmRouter | None = None
    scaling: LlmScaling | None = None
    base_refs: tuple[LlmConfigReference, ...] | None = None
    template: LlmPodTemplate | None = None
    worker: LlmPodTemplate | None = None
    prefill: LlmWorkload | None = None


class LlmWorkloadReference(KubeStruct, frozen=True, kw_only=True):
    """What a workload was made as (Deployment, LeaderWorkerSet, InferencePool), and how much of it is ready."""

    api_group: str = ""
    kind: str = ""
    name: str = ""
    ready_replicas: int | None = None


class LlmWorkloads(KubeStruct, frozen=True, kw_only=True):
    """What was made for an LLMInferenceService."""

    primary: LlmWorkloadReference | None = None
    prefill: LlmWorkloadReference | None = None
    scheduler: LlmWorkloadReference | None = None
    service: LlmWorkloadReference | None = None


class LlmInferenceServiceStatus(KubeStruct, frozen=True, kw_only=True):
    """What the controller says: Ready is WorkloadsReady and RouterReady."""

    url: str = ""
    address: Address | None = None
    addresses: tuple[Address, ...] | None = None
    conditions: tuple[Condition, ...] | None = None
    workloads: LlmWorkloads | None = None
    observed_generation: int = 0


class LlmInferenceService(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io` LLMInferenceService, or LLMInferenceServiceConfig."""

    spec: LlmInferenceServiceSpec = LlmInferenceServiceSpec()
    status: LlmInferenceServiceStatus | None = None


class GraphStep(KubeStruct, frozen=True, kw_only=True):
    """Where a node of a graph sends a request: a service, another node, or an address."""

    name: str = ""
    service_name: str = ""
    node_name: str = ""
    service_url: str = ""
    condition: str = ""
    dependency: str = ""
    weight: int | None = None


class GraphNode(KubeStruct, frozen=True, kw_only=True):
    """A node of a graph: Sequence, Splitter, Ensemble or Switch."""

    router_type: str = ""
    steps: tuple[GraphStep, ...] | None = None


class GraphSpec(KubeStruct, frozen=True, kw_only=True):
    """The nodes by name; a request begins at `root`."""

    nodes: dict[str, GraphNode] = msgspec.field(default_factory=dict)
    min_replicas: int | None = None
    max_replicas: int | None = None


class ConditionedStatus(KubeStruct, frozen=True, kw_only=True):
    """An address and conditions."""

    url: str = ""
    conditions: tuple[Condition, ...] | None = None
    deployment_mode: str = ""


class InferenceGraph(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io/v1alpha1` InferenceGraph."""

    spec: GraphSpec = GraphSpec()
    status: ConditionedStatus | None = None


class TrainedModelSource(KubeStruct, frozen=True, kw_only=True):
    """What a trained model is and where its files are."""

    framework: str = ""
    storage_uri: str = ""
    memory: Quantity | None = None


class TrainedModelSpec(KubeStruct, frozen=True, kw_only=True):
    """A model that is loaded into an InferenceService that serves several."""

    inference_service: str = ""
    model: TrainedModelSource = TrainedModelSource()


class TrainedModel(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io/v1alpha1` TrainedModel."""

    spec: TrainedModelSpec = TrainedModelSpec()
    status: ConditionedStatus | None = None


class LocalModelCacheSpec(KubeStruct, frozen=True, kw_only=True):
    """Which files are to be on which groups of nodes."""

    source_model_uri: str = ""
    model_size: Quantity | None = None
    node_groups: tuple[str, ...] | None = None


class CacheCopies(KubeStruct, frozen=True, kw_only=True):
    """On how many nodes the files are, or could not be brought to."""

    available: int = 0
    failed: int = 0
    total: int = 0


class NamespacedName(KubeStruct, frozen=True, kw_only=True):
    """An object by namespace and name."""

    name: str = ""
    namespace: str = ""


class LocalModelCacheStatus(KubeStruct, frozen=True, kw_only=True):
    """How far the download is.

    `node_status` has a node's NodeNotReady, NodeDownloadPending, NodeDownloading, NodeDownloaded or NodeDownloadError.
    """

    node_status: dict[str, str] | None = None
    copies: CacheCopies | None = None
    inference_services: tuple[NamespacedName, ...] | None = None
    llm_inference_services: tuple[NamespacedName, ...] | None = None


class LocalModelCache(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io/v1alpha1` LocalModelCache; LocalModelNamespaceCache has the same fields."""

    spec: LocalModelCacheSpec = LocalModelCacheSpec()
    status: LocalModelCacheStatus | None = None


class LocalModelInfo(KubeStruct, frozen=True, kw_only=True):
    """A model that is to be on a node."""

    model_name: str = ""
    source_model_uri: str = ""
    node_group: str = ""
    namespace: str = ""


class LocalModelNodeSpec(KubeStruct, frozen=True, kw_only=True):
    """What is to be on a node."""

    local_models: tuple[LocalModelInfo, ...] | None = None


class LocalModelNodeStatus(KubeStruct, frozen=True, kw_only=True):
    """By model: ModelDownloadPending, ModelDownloading, ModelDownloaded or ModelDownloadError."""

    model_status: dict[str, str] | None = None


class LocalModelNode(KubeObject, frozen=True, kw_only=True):
    """`serving.kserve.io/v1alpha1` LocalModelNode: a node's own view of its cached models."""

    spec: LocalModelNodeSpec = LocalModelNodeSpec()
    status: LocalModelNodeStatus | None = None
