"""What telemetry needs of a cluster and of this machine, and how it gets it from the cluster room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

from backend.cluster.capacity_objects import ResourceClaim, ResourceSlice
from backend.cluster.followed import FollowedList
from backend.cluster.objects import KubeObject, Node, Pod
from backend.cluster.reader import ClusterReader
from backend.cluster.resources import NODES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES, Resource
from backend.core.errors import NotInstalledError
from backend.core.ports import Clock
from backend.telemetry.readings import LocalGpus

#: What NVIDIA's GPU operator and the exporter's own chart put on its pods.
EXPORTER_SELECTORS: Final = ("app=nvidia-dcgm-exporter", "app.kubernetes.io/name=dcgm-exporter")
EXPORTER_PORT: Final = 9400
#: Seconds until a kind that the cluster did not know is looked for again.
_LOOK_AGAIN: Final = 300.0

_Item = TypeVar("_Item", bound=KubeObject)


class MetricsCluster(Protocol):
    """The cluster as telemetry sees it. Every method raises what the cluster room raises."""

    async def nodes(self) -> Sequence[Node]:
        """All nodes."""

    async def pods(self, label_selector: str = "") -> Sequence[Pod]:
        """All pods that may be seen, of every namespace; with a selector only those that it names."""

    async def resource_slices(self) -> Sequence[ResourceSlice]:
        """Devices that drivers publish; none where the cluster does not allocate them so."""

    async def resource_claims(self) -> Sequence[ResourceClaim]:
        """Which pods were given which of them; none where the cluster does not allocate them so."""

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
        followed: it is asked again and again: what it has is watched from the first time on, and `close` ends that.
    """

    def __init__(
        self, reader: ClusterReader, clock: Clock, namespaces: Sequence[str] = (), *, followed: bool = False
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._is_followed = followed
        self._followed: dict[tuple[str, str, str], FollowedList[Any]] = {}
        self._absent: dict[str, float] = {}
        self._namespaces = tuple(namespaces)

    async def nodes(self) -> Sequence[Node]:
        return await self._all(NODES)

    async def pods(self, label_selector: str = "") -> Sequence[Pod]:
        # Exporters are in a namespace of their own, whichever the yard looks after.
        namespaces: Sequence[str | None] = (None,) if label_selector or not self._namespaces else self._namespaces
        found: list[Pod] = []
        for namespace in namespaces:
            found += await self._all(PODS, namespace, label_selector)
        return found

    async def resource_slices(self) -> Sequence[ResourceSlice]:
        return await self._found(RESOURCE_SLICES)

    async def resource_claims(self) -> Sequence[ResourceClaim]:
        return await self._found(RESOURCE_CLAIMS)

    async def _found(self, resource: Resource[_Item]) -> Sequence[_Item]:
        """All of a kind; none where the cluster does not know the kind. It is then looked for again now and then."""
        if self._clock.monotonic() < self._absent.get(resource.plural, float("-inf")):
            return ()
        try:
            return await self._all(resource)
        except NotInstalledError:
            self._absent[resource.plural] = self._clock.monotonic() + _LOOK_AGAIN
            if (followed := self._followed.pop((resource.plural, "", ""), None)) is not None:
                await followed.close()
            return ()

    async def _all(
        self, resource: Resource[_Item], namespace: str | None = None, label_selector: str = ""
    ) -> Sequence[_Item]:
        if not self._is_followed:
            return (await self._reader.list(resource, namespace, label_selector=label_selector))[0]
        key = (resource.plural, namespace or "", label_selector)
        if key not in self._followed:
            self._followed[key] = FollowedList(self._reader, resource, namespace, label_selector=label_selector)
        found: FollowedList[_Item] = self._followed[key]
        return await found.items()

    async def close(self) -> None:
        """End all watches."""
        followed, self._followed = self._followed, {}
        await asyncio.gather(*(one.close() for one in followed.values()))

    async def pod_proxy(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        return await self._reader.pod_proxy(namespace, pod, port, path)
