"""The built-in kinds: how their lists merge, and what the server fills in when one is made.

Their schemas are open: what is not named here is kept, with lists owned as a whole. A real server declares every field;
what the demo's clients write to built-in kinds does not need more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backend.demo.kubernetes.schemas import METADATA, OPEN, Node
from backend.demo.objects import Object
from backend.demo.resources import EVENTS, NODES, PODS, SECRETS, Resource

_TEXT = Node(type="string")
_ATOMIC_MAP = Node(type="object", open=True, map="atomic")


def _listed(*keys: str, of: dict[str, Node] | None = None, defaults: dict[str, Any] | None = None) -> Node:
    """A list whose elements are told apart by `keys`."""
    properties = dict(of or {})
    for name, value in (defaults or {}).items():
        properties[name] = Node(type="string", default=value)
    return Node(type="array", list="map", keys=keys, items=_open(properties))


def _open(properties: dict[str, Node], **more: Any) -> Node:
    return Node(type="object", open=True, properties=properties, **more)


_CONDITIONS = {"conditions": _listed("type")}
_CONTAINER = {
    "env": _listed("name"),
    "ports": _listed("containerPort", "protocol", defaults={"protocol": "TCP"}),
    "volumeMounts": _listed("mountPath"),
    "volumeDevices": _listed("devicePath"),
    "resources": _open({"limits": _open({}), "requests": _open({})}),
    "image": _TEXT,
}
_POD_SPEC = _open(
    {
        "containers": _listed("name", of=_CONTAINER),
        "initContainers": _listed("name", of=_CONTAINER),
        "ephemeralContainers": _listed("name", of=_CONTAINER),
        "imagePullSecrets": _listed("name"),
        "volumes": _listed("name"),
        "nodeSelector": _ATOMIC_MAP,
        "nodeName": _TEXT,
        "tolerations": Node(type="array", items=_open({})),
    }
)
_TEMPLATE = _open({"metadata": METADATA, "spec": _POD_SPEC})
_WORKLOAD = {"spec": _open({"selector": _ATOMIC_MAP, "template": _TEMPLATE}), "status": _open(_CONDITIONS)}

_FIELDS: dict[str, dict[str, Node]] = {
    "Pod": {"spec": _POD_SPEC, "status": _open({**_CONDITIONS, "podIPs": _listed("ip")})},
    "Node": {
        "spec": _open({"taints": Node(type="array", items=_open({}))}),
        "status": _open({**_CONDITIONS, "addresses": _listed("type")}),
    },
    "Namespace": {"status": _open(_CONDITIONS)},
    "Event": {"involvedObject": _ATOMIC_MAP, "related": _ATOMIC_MAP},
    "Secret": {"data": Node(type="object", additional=_TEXT), "stringData": Node(type="object", additional=_TEXT)},
    "ConfigMap": {"data": Node(type="object", additional=_TEXT), "binaryData": Node(type="object", additional=_TEXT)},
    "Service": {
        "spec": _open({"ports": _listed("port", "protocol", defaults={"protocol": "TCP"}), "selector": _ATOMIC_MAP}),
    },
    "Deployment": _WORKLOAD,
    "ReplicaSet": _WORKLOAD,
}
#: Fields that an object of the kind always has, empty or not: nobody comes to own them by filling them.
ALWAYS_THERE: dict[str, tuple[str, ...]] = {"Event": ("source",), "Secret": (), "ConfigMap": ()}


def builtin_schema(resource: Resource) -> Node:
    """The schema of a built-in kind."""
    return _open({"metadata": METADATA, **_FIELDS.get(resource.kind, {"spec": OPEN})})


def fill_in(resource: Resource, content: Object, node_labels: Callable[[str], dict[str, str]]) -> None:
    """Set in place what the server itself sets in a built-in object that a client makes.

    Args:
        resource: the kind.
        content: the object, changed in place.
        node_labels: gives the labels of a node by its name; empty for an unknown one.
    """
    if resource == PODS:
        _fill_in_pod(content, node_labels)
    elif resource == NODES:
        _fill_in_node(content)
    elif resource == EVENTS:
        for name, value in (("eventTime", None), ("reportingComponent", ""), ("reportingInstance", "")):
            content.setdefault(name, value)
    elif resource == SECRETS:
        content.setdefault("type", "Opaque")


def declare_defaults(resource: Resource, content: Object) -> None:
    """Set in place the defaults that count as the client's own fields."""
    if resource != PODS:
        return
    spec = content.setdefault("spec", {})
    for container in spec.get("containers", []):
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        pinned = "@" in container.get("image", "")
        container.setdefault("imagePullPolicy", "IfNotPresent" if pinned else "Always")
        resources = container.setdefault("resources", {})
        if "limits" in resources:
            resources["requests"] = {**resources["limits"], **resources.get("requests", {})}
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("enableServiceLinks", True)


def _fill_in_pod(content: Object, node_labels: Callable[[str], dict[str, str]]) -> None:
    spec = content["spec"]
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key") == key for toleration in tolerations):
            bearable = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations.append(bearable)
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    labels = node_labels(spec.get("nodeName", ""))
    topology = {name: value for name, value in labels.items() if name.startswith("topology.kubernetes.io/")}
    if topology:
        content["metadata"]["labels"] = {**content["metadata"].get("labels", {}), **topology}
    content["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def _fill_in_node(content: Object) -> None:
    spec = content.setdefault("spec", {})
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    spec["taints"] = [*spec.get("taints", []), taint]
    names = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion")
    more = ("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture")
    information = dict.fromkeys((*names, *more), "")
    content["status"] = {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": information}
