"""The kinds that the demo's cluster serves, and what the API server must know of each."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """One served kind.

    Attributes:
        group: API group, empty for the core group.
        version: API version within the group.
        plural: the name in the address, such as `inferenceservices`.
        kind: the name in the object, such as `InferenceService`.
        namespaced: whether its objects live in a namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone in the core group: what `apiVersion` holds."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`plural.group` as Kubernetes writes it in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Traits(NamedTuple):
    """What the API server must know of a kind beyond its names.

    Attributes:
        short_names: what `kubectl get` takes instead of the plural.
        has_status: the status is a subresource, written apart from the rest.
        counts_generation: `metadata.generation` counts the changes of what is wanted.
        custom: defined by a CustomResourceDefinition: no strategic merge patch, kinds kept in list items.
        subresources: further subresources that discovery names.
    """

    short_names: tuple[str, ...] = ()
    has_status: bool = False
    counts_generation: bool = False
    custom: bool = False
    subresources: tuple[str, ...] = ()


KSERVE_GROUP = "serving.kserve.io"

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False)
NODES = Resource("", "v1", "nodes", "Node", False)
PODS = Resource("", "v1", "pods", "Pod", True)
EVENTS = Resource("", "v1", "events", "Event", True)
SECRETS = Resource("", "v1", "secrets", "Secret", True)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)
SERVICES = Resource("", "v1", "services", "Service", True)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True)
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)
RESOURCE_SLICES = Resource("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", False)
RESOURCE_CLAIMS = Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", True)
HORIZONTAL_POD_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True)
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True)
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False)
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", True)
REVISIONS = Resource("serving.knative.dev", "v1", "revisions", "Revision", True)
INFERENCE_SERVICES = Resource(KSERVE_GROUP, "v1beta1", "inferenceservices", "InferenceService", True)
LLM_INFERENCE_SERVICES = Resource(KSERVE_GROUP, "v1alpha2", "llminferenceservices", "LLMInferenceService", True)
SERVING_RUNTIMES = Resource(KSERVE_GROUP, "v1alpha1", "servingruntimes", "ServingRuntime", True)
CLUSTER_SERVING_RUNTIMES = Resource(KSERVE_GROUP, "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", False)
INFERENCE_GRAPHS = Resource(KSERVE_GROUP, "v1alpha1", "inferencegraphs", "InferenceGraph", True)
TRAINED_MODELS = Resource(KSERVE_GROUP, "v1alpha1", "trainedmodels", "TrainedModel", True)
CLUSTER_STORAGE_CONTAINERS = Resource(
    KSERVE_GROUP, "v1alpha1", "clusterstoragecontainers", "ClusterStorageContainer", False
)
LLM_INFERENCE_SERVICE_CONFIGS = Resource(
    KSERVE_GROUP, "v1alpha2", "llminferenceserviceconfigs", "LLMInferenceServiceConfig", True
)
LOCAL_MODEL_CACHES = Resource(KSERVE_GROUP, "v1alpha1", "localmodelcaches", "LocalModelCache", False)
LOCAL_MODEL_NODES = Resource(KSERVE_GROUP, "v1alpha1", "localmodelnodes", "LocalModelNode", False)

#: Kinds that clients find on any cluster and the demo leaves empty.
_FURTHER = (
    Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", False),
    Resource("events.k8s.io", "v1", "events", "Event", True),
    Resource("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True),
    Resource("batch", "v1", "jobs", "Job", True),
    Resource("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", False),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", True),
    Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", True),
    Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", False),
    Resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        False,
    ),
)

#: Every served kind, in the order in which discovery names its group.
TRAITS: dict[Resource, Traits] = {
    NAMESPACES: Traits(("ns",), has_status=True),
    NODES: Traits(("no",), has_status=True),
    PODS: Traits(("po",), has_status=True, counts_generation=True, subresources=("log", "proxy")),
    EVENTS: Traits(("ev",)),
    SECRETS: Traits(),
    CONFIG_MAPS: Traits(("cm",)),
    SERVICES: Traits(("svc",), has_status=True),
    SERVICE_ACCOUNTS: Traits(("sa",)),
    PERSISTENT_VOLUME_CLAIMS: Traits(("pvc",), has_status=True),
    RESOURCE_QUOTAS: Traits(("quota",), has_status=True),
    DEPLOYMENTS: Traits(("deploy",), has_status=True, counts_generation=True),
    REPLICA_SETS: Traits(("rs",), has_status=True, counts_generation=True),
    CUSTOM_RESOURCE_DEFINITIONS: Traits(("crd", "crds"), has_status=True, counts_generation=True),
    HORIZONTAL_POD_AUTOSCALERS: Traits(("hpa",), has_status=True),
    POD_DISRUPTION_BUDGETS: Traits(("pdb",), has_status=True, counts_generation=True),
    PRIORITY_CLASSES: Traits(("pc",), counts_generation=True),
    HTTP_ROUTES: Traits(has_status=True, counts_generation=True),
    REVISIONS: Traits(("rev",), has_status=True, counts_generation=True),
    RESOURCE_SLICES: Traits(counts_generation=True),
    RESOURCE_CLAIMS: Traits(has_status=True),
    INFERENCE_SERVICES: Traits(("isvc",), custom=True, has_status=True, counts_generation=True),
    LLM_INFERENCE_SERVICES: Traits(("llmisvc",), custom=True, has_status=True, counts_generation=True),
    SERVING_RUNTIMES: Traits(custom=True, counts_generation=True),
    CLUSTER_SERVING_RUNTIMES: Traits(custom=True, counts_generation=True),
    INFERENCE_GRAPHS: Traits(("ig",), custom=True, has_status=True, counts_generation=True),
    TRAINED_MODELS: Traits(("tm",), custom=True, has_status=True, counts_generation=True),
    CLUSTER_STORAGE_CONTAINERS: Traits(custom=True, counts_generation=True),
    LLM_INFERENCE_SERVICE_CONFIGS: Traits(("llmisvcconfig",), custom=True, has_status=True, counts_generation=True),
    LOCAL_MODEL_CACHES: Traits(custom=True, has_status=True, counts_generation=True),
    LOCAL_MODEL_NODES: Traits(custom=True, has_status=True, counts_generation=True),
    **dict.fromkeys(_FURTHER, Traits(counts_generation=True)),
}

RESOURCES: tuple[Resource, ...] = tuple(TRAITS)

#: The kinds that KServe brings, each of which a cluster without KServe lacks.
KSERVE_RESOURCES: tuple[Resource, ...] = tuple(resource for resource in RESOURCES if resource.group == KSERVE_GROUP)


def find(group: str, version: str, plural: str) -> Resource | None:
    """The served kind with these names, or None."""
    return _BY_ADDRESS.get((group, version, plural))


def find_kind(api_version: str, kind: str) -> Resource | None:
    """The served kind that an object of this `apiVersion` and `kind` is of, or None."""
    return _BY_KIND.get((api_version, kind))


_BY_ADDRESS = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}
_BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}
