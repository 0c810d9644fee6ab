"""Clusters for the telemetry's tests: one made of a few objects, and the demo's, without HTTP in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from backend.cluster.capacity_objects import ResourceClaim, ResourceSlice
from backend.cluster.objects import Node, Pod
from backend.core.errors import ModelyardError, NotFoundError, UnreachableError
from backend.demo.resources import NODES, PODS
from tests.fakes.demo_controller import Cluster

Page = bytes | ModelyardError | Callable[[], Awaitable[bytes]]


def node(
    name: str, gpus: int = 8, *, capacity: int | None = None, resource: str = "nvidia.com/gpu", ready: bool = True
) -> Node:
    """A node with GPUs."""
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"},
            },
            "status": {
                "capacity": {resource: str(gpus if capacity is None else capacity), "cpu": "96"},
                "allocatable": {resource: str(gpus), "cpu": "95500m"},
                "conditions": [{"type": "Ready", "status": str(ready)}],
            },
        },
        Node,
    )


def pod(
    name: str,
    node_name: str = "gpu-01",
    gpus: int = 0,
    *,
    namespace: str = "llm-prod",
    service: str = "",
    phase: str = "Running",
    image: str = "registry.example/vllm@sha256:" + "a" * 64,
    image_id: str = "",
    resource: str = "nvidia.com/gpu",
    labels: Mapping[str, str] | None = None,
    **metadata: Any,
) -> Pod:
    """A pod, by default of no service and without GPUs."""
    resources = {"limits": {resource: str(gpus)}} if gpus else {}
    own = {"serving.kserve.io/inferenceservice": service} if service else {}
    return msgspec.convert(
        {
            "metadata": {
                "name": name, "namespace": namespace, "uid": f"uid-{name}",
                "labels": {**own, **(labels or {})}, **metadata,
            },
            "spec": {
                "nodeName": node_name,
                "containers": [{"name": "kserve-container", "image": image, "resources": resources}],
            },
            "status": {
                "phase": phase,
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "kserve-container", "imageID": image_id}],
            },
        },
        Pod,
    )  # fmt: skip


def exporter(node_name: str, *, current: bool = True, phase: str = "Running") -> Pod:
    """A pod of dcgm-exporter, by the label of the GPU operator or that of the exporter's own chart."""
    labels = {"app": "nvidia-dcgm-exporter"} if current else {"app.kubernetes.io/name": "dcgm-exporter"}
    return pod(f"dcgm-{node_name}", node_name, namespace="gpu-operator", labels=labels, phase=phase)


class SmallCluster:
    """Answers with the objects that it was given; `pages` by `namespace/pod:port/path`."""

    def __init__(
        self, nodes: Sequence[Node] = (), pods: Sequence[Pod] = (), pages: Mapping[str, Page] | None = None
    ) -> None:
        self.node_list = list(nodes)
        self.pod_list = list(pods)
        self.slices: list[ResourceSlice] = []
        self.resource_claim_list: list[ResourceClaim] = []
        self.pages = dict(pages or {})
        self.failing: dict[str, ModelyardError] = {}
        self.asked: list[str] = []

    async def nodes(self) -> Sequence[Node]:
        self._fail("nodes")
        return self.node_list

    async def pods(self, label_selector: str = "") -> Sequence[Pod]:
        self._fail("pods")
        if not label_selector:
            return self.pod_list
        name, _, value = label_selector.partition("=")
        return [each for each in self.pod_list if each.metadata.label(name) == value]

    async def resource_slices(self) -> Sequence[ResourceSlice]:
        self._fail("slices")
        return self.slices

    async def resource_claims(self) -> Sequence[ResourceClaim]:
        self._fail("claims")
        return self.resource_claim_list

    async def pod_proxy(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        address = f"{namespace}/{pod}:{port}{path}"
        self.asked.append(address)
        page = self.pages.get(address)
        if page is None:
            raise UnreachableError(address, "connection refused", "look at the pod")
        if isinstance(page, ModelyardError):
            raise page
        return page if isinstance(page, bytes) else await page()

    async def close(self) -> None:
        """As the source that stands for it has."""

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]


class DemoSource:
    """The demo's cluster as telemetry sees one."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def nodes(self) -> Sequence[Node]:
        return [msgspec.convert(obj, Node) for obj in self.cluster.store.list(NODES)]

    async def pods(self, label_selector: str = "") -> Sequence[Pod]:
        pods = [msgspec.convert(obj, Pod) for obj in self.cluster.store.list(PODS)]
        name, _, value = label_selector.partition("=")
        return [each for each in pods if not name or each.metadata.label(name) == value]

    async def resource_slices(self) -> Sequence[ResourceSlice]:
        return ()

    async def resource_claims(self) -> Sequence[ResourceClaim]:
        return ()

    async def pod_proxy(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        await asyncio.sleep(0)
        status, _, body = self.cluster.demo.proxy(namespace, pod, port, path)
        if status == 200:
            return body
        kind = NotFoundError if status == 404 else UnreachableError
        raise kind(f"pod {namespace}/{pod}", body.decode()[:200], "look at the pod")


class DemoClock:
    """The demo cluster's clock, as the yard's."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.cluster.time.seconds, UTC)

    def monotonic(self) -> float:
        return self.cluster.time.seconds


def dcgm_page(*gpus: Mapping[str, Any]) -> bytes:
    """An exporter's page: of each GPU its labels (`UUID`, `gpu`, ...) and values (`GPU_UTIL`, ... without prefix)."""
    lines = []
    for gpu in gpus:
        values = {name: value for name, value in gpu.items() if name.startswith(("DEV_", "PROF_"))}
        labels = {"modelName": "NVIDIA H100 80GB HBM3", **{k: v for k, v in gpu.items() if k not in values}}
        block = ",".join(f'{name}="{value}"' for name, value in labels.items())
        lines += [f"DCGM_FI_{name}{{{block}}} {value}" for name, value in values.items()]
    return "\n".join(lines).encode() + b"\n"
