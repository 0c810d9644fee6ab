"""List and watch: the objects of a kind as they are, and every change after, through broken connections.

The protocol is "Efficient detection of changes" of the Kubernetes API concepts: a list gives a resourceVersion, a watch
goes on from there, bookmarks move it on, and 410 (an answer's status, or an ERROR event in a 200) means: list again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from backend.cluster.connection import ClusterConnection, Sleep
from backend.cluster.objects import KubeObject, ObjectMeta
from backend.cluster.resources import Resource
from backend.cluster.status import error_of
from backend.cluster.streams import event_lines, head_of
from backend.core.errors import (
    AccessDeniedError,
    AuthenticationError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
)
from backend.core.ports import Clock

Item = TypeVar("Item", bound=KubeObject)

#: Below 300 s, which some load balancers and kubernetes' own client take as the longest request.
_WATCH_SECONDS: Final = 270
#: The API server sends a bookmark about every minute; a watch that says nothing for longer is dead.
SILENCE: Final = 100.0
_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
#: What a person must change (rights, credentials, an absent kind) is asked for no more often than this.
_REFUSED_DELAY: Final = 15.0
#: A watch that ends sooner than this, without an event, is taken for a failing one.
_SHORTEST_WATCH: Final = 1.0


class Listed(msgspec.Struct, Generic[Item], frozen=True):
    """All objects, read anew: what is not among them is gone."""

    objects: tuple[Item, ...]
    resource_version: str


class Changed(msgspec.Struct, Generic[Item], frozen=True):
    """An object appeared or changed."""

    object: Item


class Removed(msgspec.Struct, Generic[Item], frozen=True):
    """An object was deleted; as it was last."""

    object: Item


class Lost(msgspec.Struct, frozen=True):
    """The watch broke, and is being taken up again; what was seen so far ages."""

    error: ModelyardError

    @property
    def reason(self) -> str:
        """Why, in words."""
        return self.error.why


class Regained(msgspec.Struct, frozen=True):
    """The watch goes on without a gap; a `Listed` follows where there was one."""


WatchEvent: TypeAlias = Listed[Item] | Changed[Item] | Removed[Item] | Lost | Regained

Lister = Callable[[], Awaitable[tuple[tuple[Item, ...], str]]]


class _Line(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: ObjectMeta


class _Code(msgspec.Struct, frozen=True):
    code: int = 0


_LINE: Final = msgspec.json.Decoder(_Line)
_BOOKMARK: Final = msgspec.json.Decoder(_Bookmark)
_CODE: Final = msgspec.json.Decoder(_Code)


class Watcher(Generic[Item]):
    """Follows one kind, in one namespace or all, for one reader."""

    def __init__(
        self,
        connection: ClusterConnection,
        resource: Resource[Item],
        namespace: str | None,
        *,
        lister: Lister[Item],
        params: dict[str, str],
        clock: Clock,
        sleep: Sleep,
        silence: float = SILENCE,
    ) -> None:
        """
        Args:
            lister: reads the whole list: its objects and resourceVersion.
            params: selectors, the same as the lister's.
            silence: seconds without a byte after which a watch counts as lost.
        """
        self._connection = connection
        self._resource = resource
        self._path = resource.path(namespace)
        self._what = f"watch of {resource.plural}"
        self._lister = lister
        self._params = params
        self._clock = clock
        self._sleep = sleep
        self._silence = silence
        self._version = ""
        self._lost = False
        self._failures = 0

    async def events(self) -> AsyncGenerator[WatchEvent[Item], None]:
        """The list, then changes, until the reader stops. Failures come as `Lost`; none is raised."""
        while True:
            try:
                if not self._version:
                    objects, self._version = await self._lister()
                    if self._lost:
                        yield self._regained()
                    yield Listed(objects, self._version)
                async with aclosing(self._watched()) as watched:
                    async for event in watched:
                        yield event
            except ModelyardError as error:
                if isinstance(error, MalformedDataError):
                    # What was missed by the unreadable line can only be found by listing.
                    self._version = ""
                if not self._lost:
                    self._lost = True
                    yield Lost(error)
                await self._sleep(self._delay(error))

    async def _watched(self) -> AsyncGenerator[WatchEvent[Item], None]:
        """One watch request, to its end."""
        params = {
            **self._params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        started = self._clock.monotonic()
        heard = False
        async with self._connection.stream(self._path, params=params, silence=self._silence) as (status, chunks):
            if status == 410:
                self._version = ""
            elif status != 200:
                raise error_of(status, await head_of(chunks), self._what)
            else:
                if self._lost:
                    yield self._regained()
                async with aclosing(event_lines(chunks, self._what)) as lines:
                    async for line in lines:
                        event = self._decoded(line)
                        if not self._version:
                            break
                        heard = True
                        if event is not None:
                            yield event
        if heard:
            self._failures = 0
        elif self._clock.monotonic() - started < _SHORTEST_WATCH:
            self._failures += 1
            if self._failures > 1:
                await self._sleep(self._backoff())

    def _decoded(self, line: bytes) -> Changed[Item] | Removed[Item] | None:
        try:
            told = _LINE.decode(line)
            if told.type == "ERROR":
                self._refused(bytes(told.object))
                return None
            if told.type == "BOOKMARK":
                self._version = _BOOKMARK.decode(told.object).metadata.resource_version or self._version
                return None
            if told.type not in {"ADDED", "MODIFIED", "DELETED"}:
                return None
            item = self._resource.items.decode(told.object)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedDataError(
                self._what, f"an event cannot be read: {error}", "look at the objects with kubectl"
            ) from error
        self._version = item.metadata.resource_version or self._version
        return Removed(item) if told.type == "DELETED" else Changed(item)

    def _refused(self, body: bytes) -> None:
        """An ERROR event: forget the version when it expired, else raise what it says."""
        code = _CODE.decode(body).code
        if code != 410:
            raise error_of(code or 500, body, self._what)
        self._version = ""

    def _regained(self) -> Regained:
        self._lost = False
        self._failures = 0
        return Regained()

    def _delay(self, error: ModelyardError) -> float:
        self._failures += 1
        if isinstance(error, AuthenticationError | AccessDeniedError | NotFoundError):
            return max(_REFUSED_DELAY, self._backoff())
        return self._backoff()

    def _backoff(self) -> float:
        return float(min(_FIRST_DELAY * 2 ** min(self._failures - 1, 10), _LONGEST_DELAY))


def params_of(label_selector: str, field_selector: str) -> dict[str, str]:
    """Query parameters of a list or watch by its selectors."""
    params = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in params.items() if value}
