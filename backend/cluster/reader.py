"""What the yard reads from an API server: raw bytes decoded into Structs of the fields that are shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

import msgspec

from backend.cluster import reviews
from backend.cluster.answers import MAX_OBJECT, object_of, placed, require
from backend.cluster.connection import ClusterConnection, Sleep
from backend.cluster.objects import Event, KubeObject
from backend.cluster.pod_reader import PodReader
from backend.cluster.resources import EVENTS, Resource
from backend.cluster.reviews import Access, AccessRequest, ClusterIdentity, KServe
from backend.cluster.sharing import Alive, Sharing
from backend.cluster.status import read_status
from backend.cluster.watch import SILENCE, Watcher, WatchEvent, params_of
from backend.core.errors import (
    AccessDeniedError,
    ConflictError,
    MalformedDataError,
    NotInstalledError,
)
from backend.core.ports import Clock

Item = TypeVar("Item", bound=KubeObject)


class Sight(StrEnum):
    """What came of looking for objects of a kind."""

    READ = "read"
    NOT_INSTALLED = "not installed"
    FORBIDDEN = "forbidden"


class Look(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """What is there of a kind that a cluster need not have, or that we need not be let see.

    Attributes:
        objects: empty unless they could be read.
        why: in words, when they could not be read.
    """

    sight: Sight
    objects: tuple[Item, ...] = ()
    why: str = ""


#: Objects that are asked for at a time; fewer where they stay, so that the bytes of a page are no peak of memory.
PAGE: Final = 2000
_KEPT_PAGE: Final = 500
_METADATA: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_LIST_ATTEMPTS: Final = 3
_SKEW: Final = timedelta(seconds=30)


class ClusterReader(PodReader):
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
        super().__init__(connection)
        self._clock = clock
        self._sleep = sleep
        self._silence = silence
        self._page_size = page_size
        self._alive: Alive = WeakValueDictionary()

    @property
    def context(self) -> str:
        """Name of the kubeconfig's context."""
        return self.connection.context.name

    @property
    def clock_trouble(self) -> str:
        """What to say of the server's clock when it and ours are half a minute apart or more, or empty.

        Ages, deadlines and tokens are all reckoned by one against the other.
        """
        skew = self.connection.clock_skew
        if skew is None or abs(skew) < _SKEW:
            return ""
        seconds = round(abs(skew).total_seconds())
        span = f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
        return f"the cluster's clock is {span} {'ahead of' if skew > timedelta() else 'behind'} ours"

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
        kept: bool = False,
    ) -> AsyncGenerator[tuple[tuple[Item, ...], str], None]:
        """The objects of a kind, a page at a time, each with the list's resourceVersion.

        Args:
            kept: they will be for long: what is the same in several of them is held once, which costs some time.

        Raises:
            ConflictError: the list changed so much that it must be read anew (410).
            ModelyardError: as the answer says.
        """
        what = f"list of {resource.plural}" + (f" in {namespace}" if namespace else "")
        limit = min(self._page_size, _KEPT_PAGE) if kept else self._page_size
        params = {**params_of(label_selector, field_selector), "limit": str(limit)}
        sharing = Sharing(self._alive)
        while True:
            response = await self.connection.request(
                "GET", resource.path(namespace), params=params, accept=_accept(resource, "List")
            )
            require(response, what)
            try:
                page = resource.pages.decode(response.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise MalformedDataError(what, f"it cannot be read: {error}", "look at it with kubectl") from error
            items = page.items or ()
            if kept:
                items = sharing.all(items)
            yield items, page.metadata.resource_version
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
        kept: bool = False,
    ) -> tuple[tuple[Item, ...], str]:
        """All objects of a kind and the list's resourceVersion; begins again when the pages expire under it.

        `kept` as in `list_pages`.
        """
        for attempt in range(1, _LIST_ATTEMPTS + 1):
            objects: list[Item] = []
            version = ""
            pages = self.list_pages(
                resource, namespace, label_selector=label_selector, field_selector=field_selector, kept=kept
            )
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
            return await self.list(
                resource, namespace, label_selector=label_selector, field_selector=field_selector, kept=True
            )

        watcher = Watcher(
            self.connection,
            resource,
            namespace,
            lister=lister,
            params=params_of(label_selector, field_selector),
            clock=self._clock,
            sleep=self._sleep,
            silence=self._silence,
            alive=self._alive,
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
        response = await self.connection.request(
            "GET", resource.path(namespace, name), accept=_accept(resource), limit=MAX_OBJECT
        )
        require(response, what)
        return object_of(response, what)

    async def find(self, resource: Resource[Item], namespace: str | None, name: str) -> dict[str, Any] | None:
        """Like `get`, but None when there is no such object. A kind that is not installed still raises."""
        what = f"{resource.kind} {placed(namespace, name)}"
        response = await self.connection.request(
            "GET", resource.path(namespace, name), accept=_accept(resource), limit=MAX_OBJECT
        )
        if response.status == 404:
            status = read_status(response.body)
            # A missing namespace, and a kind that is not installed (no Status), are not an absent object.
            if status is not None and (status.details is None or status.details.kind != "namespaces"):
                return None
        require(response, what)
        return object_of(response, what)

    async def served(self, resource: Resource[Item]) -> Resource[Item]:
        """The resource in the newest version that the server has.

        Raises:
            NotInstalledError: it has none of them. A kind that we may not read is found all the same.
        """
        for candidate in (resource, *resource.older):
            if await reviews.serves(self.connection, candidate):
                return candidate
        raise NotInstalledError(
            f"{resource.plural} in context {self.context}",
            f"the cluster does not serve {resource.plural} of {resource.group or 'the core group'}",
            "install what provides it, or choose another cluster",
        )

    async def look(
        self, resource: Resource[Item], namespace: str | None = None, *, label_selector: str = ""
    ) -> Look[Item]:
        """All objects of a kind in whichever version the server has; what is not installed or forbidden is told apart.

        Raises:
            UnreachableError: and whatever else is neither of the two.
        """
        try:
            objects = await self._list_served(resource, namespace, label_selector)
        except NotInstalledError as error:
            return Look(sight=Sight.NOT_INSTALLED, why=error.why)
        except AccessDeniedError as error:
            return Look(sight=Sight.FORBIDDEN, why=error.why)
        return Look(sight=Sight.READ, objects=objects)

    async def _list_served(
        self, resource: Resource[Item], namespace: str | None, label_selector: str
    ) -> tuple[Item, ...]:
        try:
            return (await self.list(resource, namespace, label_selector=label_selector))[0]
        except NotInstalledError:
            if not resource.older:
                raise
        served = await self.served(resource)
        return (await self.list(served, namespace, label_selector=label_selector))[0]

    async def exists(self, resource: Resource[Item], namespace: str | None, name: str) -> bool:
        """Whether there is an object of that name. Of a Secret nothing but its metadata is asked for.

        Raises:
            AccessDeniedError: we may not know. NotInstalledError: the kind is not there.
        """
        return await self.find(resource, namespace, name) is not None

    async def events_of(self, namespace: str, name: str, *, kind: str = "") -> tuple[Event, ...]:
        """The cluster's events on an object, oldest first."""
        selector = f"involvedObject.name={name}" + (f",involvedObject.kind={kind}" if kind else "")
        found, _ = await self.list(EVENTS, namespace, field_selector=selector)
        return tuple(sorted(found, key=lambda event: event.at.timestamp() if event.at else 0.0))


def _accept(resource: Resource[Any], form: str = "") -> str:
    return _METADATA.format(form) if resource.metadata_only else "application/json"
