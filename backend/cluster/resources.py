"""The kinds that the yard reads or writes, and their addresses on an API server.

They are known beforehand, so that nothing needs kubernetes' discovery (whose cache is a predictable file in the
temporary folder).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from backend.cluster.capacity_objects import ClusterQueue, LocalQueue, ResourceClaim, ResourceSlice, Workload
from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.cluster.llm_objects import (
    InferenceGraph,
    LlmInferenceService,
    LocalModelCache,
    LocalModelNode,
    TrainedModel,
)
from backend.cluster.objects import Deployment, Event, KubeObject, Namespace, Node, ObjectList, Pod
from backend.cluster.platform_objects import (
    HorizontalPodAutoscaler,
    HttpRoute,
    MetadataOnly,
    PersistentVolumeClaim,
    PodDisruptionBudget,
    PriorityClass,
    ReplicaSet,
    ResourceQuota,
    Revision,
    ScaledObject,
    ServiceAccount,
)
from backend.core.errors import UsageError

KSERVE_GROUP: Final = "serving.kserve.io"

Item = TypeVar("Item", bound=KubeObject)


class Resource(Generic[Item]):
    """A kind of object, and how its JSON is decoded.

    Attributes:
        group: API group, empty for the core group.
        plural: name in addresses and access reviews.
        type: the Struct that its objects are decoded into.
        older: the kind in further versions, the newest first, for servers that do not have this one;
            `ClusterReader.served` finds which a server has.
        metadata_only: the server is asked for the objects' metadata alone, so that what they hold (a Secret's values)
            never comes here.
    """

    __slots__ = (
        "_items",
        "_pages",
        "group",
        "kind",
        "metadata_only",
        "namespaced",
        "older",
        "plural",
        "type",
        "version",
    )

    def __init__(
        self,
        group: str,
        version: str,
        plural: str,
        kind: str,
        type_: type[Item],
        *,
        namespaced: bool = True,
        older: tuple[str, ...] = (),
        metadata_only: bool = False,
    ) -> None:
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.type = type_
        self.namespaced = namespaced
        self.metadata_only = metadata_only
        self.older: tuple[Resource[Item], ...] = tuple(
            Resource(group, each, plural, kind, type_, namespaced=namespaced, metadata_only=metadata_only)
            for each in older
        )
        # Made when they are first needed: most kinds are not looked at in most runs.
        self._items: msgspec.json.Decoder[Item] | None = None
        self._pages: msgspec.json.Decoder[ObjectList[Item]] | None = None

    @property
    def items(self) -> msgspec.json.Decoder[Item]:
        """Decodes one object."""
        if self._items is None:
            self._items = msgspec.json.Decoder(self.type)
        return self._items

    @property
    def pages(self) -> msgspec.json.Decoder[ObjectList[Item]]:
        """Decodes a page of a list."""
        if self._pages is None:
            page: Any = ObjectList[self.type]  # type: ignore[name-defined]
            self._pages = msgspec.json.Decoder(page)
        return self._pages

    @property
    def api_version(self) -> str:
        """As an object states it: `group/version`, or the version alone."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The address below the server: of the object, or of the list when no name is given (all namespaces: None)."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(quote(part, safe=":") for part in parts)

    def __repr__(self) -> str:
        return f"Resource({self.api_version} {self.kind})"


INFERENCE_SERVICES: Final = Resource(KSERVE_GROUP, "v1beta1", "inferenceservices", "InferenceService", InferenceService)
SERVING_RUNTIMES: Final = Resource(KSERVE_GROUP, "v1alpha1", "servingruntimes", "ServingRuntime", ServingRuntime)
CLUSTER_SERVING_RUNTIMES: Final = Resource(
    KSERVE_GROUP, "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", ServingRuntime, namespaced=False
)
LLM_INFERENCE_SERVICES: Final = Resource(
    KSERVE_GROUP, "v1alpha2", "llminferenceservices", "LLMInferenceService", LlmInferenceService, older=("v1alpha1",)
)
LLM_INFERENCE_SERVICE_CONFIGS: Final = Resource(
    KSERVE_GROUP,
    "v1alpha2",
    "llminferenceserviceconfigs",
    "LLMInferenceServiceConfig",
    LlmInferenceService,
    older=("v1alpha1",),
)
INFERENCE_GRAPHS: Final = Resource(KSERVE_GROUP, "v1alpha1", "inferencegraphs", "InferenceGraph", InferenceGraph)
TRAINED_MODELS: Final = Resource(KSERVE_GROUP, "v1alpha1", "trainedmodels", "TrainedModel", TrainedModel)
LOCAL_MODEL_CACHES: Final = Resource(
    KSERVE_GROUP, "v1alpha1", "localmodelcaches", "LocalModelCache", LocalModelCache, namespaced=False
)
LOCAL_MODEL_NAMESPACE_CACHES: Final = Resource(
    KSERVE_GROUP, "v1alpha1", "localmodelnamespacecaches", "LocalModelNamespaceCache", LocalModelCache
)
LOCAL_MODEL_NODES: Final = Resource(
    KSERVE_GROUP, "v1alpha1", "localmodelnodes", "LocalModelNode", LocalModelNode, namespaced=False
)
PODS: Final = Resource("", "v1", "pods", "Pod", Pod)
EVENTS: Final = Resource("", "v1", "events", "Event", Event)
NODES: Final = Resource("", "v1", "nodes", "Node", Node, namespaced=False)
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", Namespace, namespaced=False)
RESOURCE_QUOTAS: Final = Resource("", "v1", "resourcequotas", "ResourceQuota", ResourceQuota)
SECRETS: Final = Resource("", "v1", "secrets", "Secret", MetadataOnly, metadata_only=True)
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap", MetadataOnly, metadata_only=True)
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount", ServiceAccount)
VOLUME_CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", PersistentVolumeClaim)
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment", Deployment)
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet", ReplicaSet)
AUTOSCALERS: Final = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", HorizontalPodAutoscaler
)
DISRUPTION_BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", PodDisruptionBudget)
PRIORITY_CLASSES: Final = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", PriorityClass, namespaced=False
)
RESOURCE_SLICES: Final = Resource(
    "resource.k8s.io", "v1", "resourceslices", "ResourceSlice", ResourceSlice, namespaced=False
)
RESOURCE_CLAIMS: Final = Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", ResourceClaim)
REVISIONS: Final = Resource("serving.knative.dev", "v1", "revisions", "Revision", Revision)
SCALED_OBJECTS: Final = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", ScaledObject)
HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", HttpRoute)
LOCAL_QUEUES: Final = Resource("kueue.x-k8s.io", "v1beta2", "localqueues", "LocalQueue", LocalQueue, older=("v1beta1",))
CLUSTER_QUEUES: Final = Resource(
    "kueue.x-k8s.io", "v1beta2", "clusterqueues", "ClusterQueue", ClusterQueue, namespaced=False, older=("v1beta1",)
)
WORKLOADS: Final = Resource("kueue.x-k8s.io", "v1beta2", "workloads", "Workload", Workload, older=("v1beta1",))

RESOURCES: Final[tuple[Resource[Any], ...]] = (
    INFERENCE_SERVICES,
    SERVING_RUNTIMES,
    CLUSTER_SERVING_RUNTIMES,
    LLM_INFERENCE_SERVICES,
    LLM_INFERENCE_SERVICE_CONFIGS,
    INFERENCE_GRAPHS,
    TRAINED_MODELS,
    LOCAL_MODEL_CACHES,
    LOCAL_MODEL_NAMESPACE_CACHES,
    LOCAL_MODEL_NODES,
    PODS,
    EVENTS,
    NODES,
    NAMESPACES,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    VOLUME_CLAIMS,
    DEPLOYMENTS,
    REPLICA_SETS,
    AUTOSCALERS,
    DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    RESOURCE_SLICES,
    RESOURCE_CLAIMS,
    REVISIONS,
    SCALED_OBJECTS,
    HTTP_ROUTES,
    LOCAL_QUEUES,
    CLUSTER_QUEUES,
    WORKLOADS,
)


def resource_of(manifest: Mapping[str, Any]) -> Resource[Any]:
    """The resource that a manifest is of.

    Raises:
        UsageError: the yard does not write objects of that kind.
    """
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    for known in RESOURCES:
        for resource in (known, *known.older):
            if resource.api_version == api_version and resource.kind == kind:
                return resource
    raise UsageError(
        f"object {kind!r} of {api_version!r}",
        "it is of a kind that modelyard does not handle",
        "apply it with kubectl",
    )
