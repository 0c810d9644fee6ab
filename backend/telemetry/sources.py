"""What telemetry needs of a cluster and of this machine, and how it gets it from the cluster room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from backend.cluster.objects import Node, Pod
from backend.cluster.reader import ClusterReader
from backend.cluster.resources import NODES, PODS
from backend.telemetry.readings import LocalGpus

#: What NVIDIA's GPU operator and the exporter's own chart put on its pods.
EXPORTER_SELECTORS: Final = ("app=nvidia-dcgm-exporter", "app.kubernetes.io/name=dcgm-exporter")
EXPORTER_PORT: Final = 9400


class MetricsCluster(Protocol):
    """The cluster as telemetry sees it. Every method raises what the cluster room raises."""

    async def nodes(self) -> Sequence[Node]:
        """All nodes."""

    async def pods(self, label_selector: str = "") -> Sequence[Pod]:
        """All pods that may be seen, of every namespace; with a selector only those that it names."""

    async def pod_proxy(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """A page of a pod, through the API server."""


class LocalSource(Protocol):
    """This machine's own GPUs."""

    async def sample(self) -> LocalGpus:
        """The GPUs now; never raises."""

    async def close(self) -> None:
        """Let go of the driver."""


class ClusterSource:
    """A cluster by its API server.

    Args:
        namespaces: that pods are read from; empty: all.
    """

    def __init__(self, reader: ClusterReader, namespaces: Sequence[str] = ()) -> None:
        self._reader = reader
        self._namespaces = tuple(namespaces)

    async def nodes(self) -> Sequence[Node]:
        items, _ = await self._reader.list(NODES)
        return items

    async def pods(self, label_selector: str = "") -> Sequence[Pod]:
        # Exporters are in a namespace of their own, whichever the yard looks after.
        namespaces: Sequence[str | None] = (None,) if label_selector or not self._namespaces else self._namespaces
        found: list[Pod] = []
        for namespace in namespaces:
            items, _ = await self._reader.list(PODS, namespace, label_selector=label_selector)
            found += items
        return found

    async def pod_proxy(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        return await self._reader.pod_proxy(namespace, pod, port, path)
