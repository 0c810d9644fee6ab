"""The kinds that the yard reads or writes, and their addresses on an API server.

They are known beforehand, so that nothing needs kubernetes' discovery (whose cache is a predictable file in the
temporary folder).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.cluster.objects import Deployment, Event, KubeObject, Namespace, Node, ObjectList, Pod
from backend.core.errors import UsageError

KSERVE_GROUP: Final = "serving.kserve.io"

Item = TypeVar("Item", bound=KubeObject)


class Resource(Generic[Item]):
    """A kind of object, and how its JSON is decoded.

    Attributes:
        group: API group, empty for the core group.
        plural: name in addresses and access reviews.
        type: the Struct that its objects are decoded into.
    """

    __slots__ = ("group", "items", "kind", "namespaced", "pages", "plural", "type", "version")

    def __init__(
        self, group: str, version: str, plural: str, kind: str, type_: type[Item], *, namespaced: bool = True
    ) -> None:
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.type = type_
        self.namespaced = namespaced
        self.items: msgspec.json.Decoder[Item] = msgspec.json.Decoder(type_)
        self.pages: msgspec.json.Decoder[ObjectList[Item]] = msgspec.json.Decoder(ObjectList[type_])  # type: ignore[valid-type]

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
    KSERVE_GROUP, "v1alpha2", "llminferenceservices", "LLMInferenceService", KubeObject
)
PODS: Final = Resource("", "v1", "pods", "Pod", Pod)
EVENTS: Final = Resource("", "v1", "events", "Event", Event)
NODES: Final = Resource("", "v1", "nodes", "Node", Node, namespaced=False)
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", Namespace, namespaced=False)
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment", Deployment)

RESOURCES: Final[tuple[Resource[Any], ...]] = (
    INFERENCE_SERVICES,
    SERVING_RUNTIMES,
    CLUSTER_SERVING_RUNTIMES,
    LLM_INFERENCE_SERVICES,
    PODS,
    EVENTS,
    NODES,
    NAMESPACES,
    DEPLOYMENTS,
)


def resource_of(manifest: Mapping[str, Any]) -> Resource[Any]:
    """The resource that a manifest is of.

    Raises:
        UsageError: the yard does not write objects of that kind.
    """
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    for resource in RESOURCES:
        if resource.api_version == api_version and resource.kind == kind:
            return resource
    raise UsageError(
        f"object {kind!r} of {api_version!r}",
        "it is of a kind that modelyard does not handle",
        "apply it with kubectl",
    )
