"""What the yard reads from an API server: raw bytes decoded into Structs of the fields that are shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, TypeVar

import msgspec

from backend.cluster import reviews
from backend.cluster.answers import MAX_OBJECT, object_of, placed, require
from backend.cluster.connection import ClusterConnection, Sleep
from backend.cluster.objects import Event, KubeObject
from backend.cluster.resources import EVENTS, PODS, Resource
from backend.cluster.reviews import Access, AccessRequest, ClusterIdentity, KServe
from backend.cluster.status import read_status
from backend.cluster.watch import SILENCE, Watcher, WatchEvent, params_of
from backend.core.errors import ConflictError, MalformedDataError, NotFoundError
from backend.core.ports import Clock

Item = TypeVar("Item", bound=KubeObject)

PAGE: Final = 500
_MAX_LOG: Final = 4 * 1024 * 1024
_MAX_PROXY: Final = 32 * 1024 * 1024
_LIST_ATTEMPTS: Final = 3


class ClusterReader:
    """One API server, as one context of the kubeconfig reaches it; nothing here changes anything."""

    def __init__(
        self,
        connection: ClusterConnection,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        silence: float = SILENCE,
        page_size: int = PAGE,
    ) -> None:
        """
        Args:
            page_size: objects that a list asks for at a time.
            sleep: waits between attempts.
            silence: seconds after which a watch that says nothing counts as lost.
        """
        self.connection = connection
        self._clock = clock
        self._sleep = sleep
        self._silence = silence
        self._page_size = page_size

    @property
    def context(self) -> str:
        """Name of the kubeconfig's context."""
        return self.connection.context.name

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    # ------------------------------------------------------------ about us and the server

    async def identity(self) -> ClusterIdentity:
        """Who the API server takes us for, and which cluster it is."""
        return await reviews.identity(self.connection)

    async def can_i(self, request: AccessRequest) -> Access:
        """Whether the API server would let us."""
        return await reviews.can_i(self.connection, request)

    async def kserve_installed(self) -> KServe:
        """Whether InferenceServices can be served, or what is missing."""
        return await reviews.kserve(self.connection)

    async def version(self) -> str:
        """The API server's version."""
        return await reviews.version(self.connection)

    # ------------------------------------------------------------ reading

    async def list_pages(
        self,
        resource: Resource[Item],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[tuple[tuple[Item, ...], str], None]:
        """The objects of a kind, a page at a time, each with the list's resourceVersion.

        Raises:
            ConflictError: the list changed so much that it must be read anew (410).
            ModelyardError: as the answer says.
        """
        what = f"list of {resource.plural}" + (f" in {namespace}" if namespace else "")
        params = {**params_of(label_selector, field_selector), "limit": str(self._page_size)}
        while True:
            response = await self.connection.request("GET", resource.path(namespace), params=params)
            require(response, what)
            try:
                page = resource.pages.decode(response.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise MalformedDataError(what, f"it cannot be read: {error}", "look at it with kubectl") from error
            yield page.items or (), page.metadata.resource_version
            if not page.metadata.continue_:
                return
            params["continue"] = page.metadata.continue_

    async def list(
        self,
        resource: Resource[Item],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[tuple[Item, ...], str]:
        """All objects of a kind and the list's resourceVersion; begins again when the pages expire under it."""
        for attempt in range(1, _LIST_ATTEMPTS + 1):
            objects: list[Item] = []
            version = ""
            pages = self.list_pages(resource, namespace, label_selector=label_selector, field_selector=field_selector)
            try:
                async with aclosing(pages) as opened:
                    async for items, at in opened:
                        objects += items
                        version = at
                return tuple(objects), version
            except ConflictError:
                if attempt == _LIST_ATTEMPTS:
                    raise
        raise AssertionError("the loop returns or raises")

    async def watch(
        self,
        resource: Resource[Item],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[WatchEvent[Item], None]:
        """The objects of a kind, then every change, without end. Close the generator when done.

        Failures come as `Lost`; the watch is then taken up again after growing delays. No error is raised.
        """

        async def lister() -> tuple[tuple[Item, ...], str]:
            return await self.list(resource, namespace, label_selector=label_selector, field_selector=field_selector)

        watcher = Watcher(
            self.connection,
            resource,
            namespace,
            lister=lister,
            params=params_of(label_selector, field_selector),
            clock=self._clock,
            sleep=self._sleep,
            silence=self._silence,
        )
        async with aclosing(watcher.events()) as events:
            async for event in events:
                yield event

    async def get(self, resource: Resource[Item], namespace: str | None, name: str) -> dict[str, Any]:
        """An object with all its fields.

        Raises:
            NotFoundError: there is none of that name.
        """
        what = f"{resource.kind} {placed(namespace, name)}"
        response = await self.connection.request("GET", resource.path(namespace, name), limit=MAX_OBJECT)
        require(response, what)
        return object_of(response, what)

    async def find(self, resource: Resource[Item], namespace: str | None, name: str) -> dict[str, Any] | None:
        """Like `get`, but None when there is no such object. A kind that is not installed still raises."""
        what = f"{resource.kind} {placed(namespace, name)}"
        response = await self.connection.request("GET", resource.path(namespace, name), limit=MAX_OBJECT)
        if response.status == 404:
            status = read_status(response.body)
            # A missing namespace, and a kind that is not installed (no Status), are not an absent object.
            if status is not None and (status.details is None or status.details.kind != "namespaces"):
                return None
        require(response, what)
        return object_of(response, what)

    async def events_of(self, namespace: str, name: str, *, kind: str = "") -> tuple[Event, ...]:
        """The cluster's events on an object, oldest first."""
        selector = f"involvedObject.name={name}" + (f",involvedObject.kind={kind}" if kind else "")
        found, _ = await self.list(EVENTS, namespace, field_selector=selector)
        return tuple(sorted(found, key=lambda event: event.at.timestamp() if event.at else 0.0))

    async def logs(
        self, namespace: str, pod: str, *, container: str = "", previous: bool = False, tail: int = 500
    ) -> str:
        """The last lines of a container's log, at most 4 MiB, as the container wrote them.

        Raises:
            NotFoundError: no such pod or container, or it has written nothing yet.
            UnreachableError: the node does not answer.
        """
        what = f"log of pod {placed(namespace, pod)}"
        params = {"tailLines": str(tail), "limitBytes": str(_MAX_LOG)}
        if container:
            params["container"] = container
        if previous:
            params["previous"] = "true"
        response = await self.connection.request(
            "GET",
            PODS.path(namespace, pod, "log"),
            params=params,
            accept="text/plain, application/json",
            limit=_MAX_LOG + 65_536,
        )
        if response.status == 400 and (status := read_status(response.body)) is not None:
            raise NotFoundError(what, status.message, "wait until the container runs, or ask for another")
        require(response, what)
        return response.body.decode("utf-8", "replace")

    async def pod_proxy(
        self, namespace: str, pod: str, port: int, path: str, *, limit: int = _MAX_PROXY, patience: float = 10.0
    ) -> bytes:
        """GET a page of a pod through the API server.

        Args:
            path: with its leading slash.
            limit: bytes that are taken. patience: seconds for everything.

        Raises:
            AccessDeniedError: we lack `get` on `pods/proxy`.
            UnreachableError, NotFoundError, LimitExceededError: as it turns out.
        """
        address = PODS.path(namespace, f"{pod}:{port}", "proxy") + path
        response = await self.connection.request("GET", address, accept="*/*", limit=limit, patience=patience)
        require(response, f"port {port} of pod {placed(namespace, pod)}")
        return response.body
