"""List and watch: the objects of a kind as they are, and every change after, through broken connections.

A resourceVersion that goes back (a server restored from a copy of its data, a proxy that repeats itself) means it too.
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
from backend.cluster.sharing import Alive, Sharing
from backend.cluster.status import error_of, read_status
from backend.cluster.streams import event_lines, head_of
from backend.core.errors import (
    AccessDeniedError,
    AuthenticationError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
)
from backend.core.ports import Clock
from backend.core.text import sanitise

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
    """The watch broke, and is being taken up again; what was seen so far ages.

    Told again when it is lost for another kind of reason.
    """

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
        alive: Alive | None = None,
    ) -> None:
        """
        Args:
            lister: reads the whole list: its objects and resourceVersion.
            params: selectors, the same as the lister's.
            silence: seconds without a byte after which a watch counts as lost.
            alive: as in `Sharing`.
        """
        self._alive = alive
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
        self._told_lost: type[ModelyardError] | None = None
        self._failures = 0
        self._asked_to_wait = 0.0

    async def events(self) -> AsyncGenerator[WatchEvent[Item], None]:
        """The list, then changes, until the reader stops. Failures come as `Lost`; none is raised."""
        while True:
            try:
                if not self._version:
                    objects, self._version = await self._lister()
                    if self._told_lost:
                        yield self._regained()
                    yield Listed(objects, self._version)
                async with aclosing(self._watched()) as watched:
                    async for event in watched:
                        yield event
            except ModelyardError as error:
                if isinstance(error, MalformedDataError) or isinstance(error.__cause__, TimeoutError):
                    # What was missed by the unreadable line, or while it was silent, can only be found by listing.
                    self._version = ""
                if self._told_lost is not type(error):
                    self._told_lost = type(error)
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
        async with self._connection.stream(self._path, params=params, silence=self._silence) as answer:
            if answer.status == 410:
                self._version = ""
            elif answer.status != 200:
                self._asked_to_wait = answer.retry_after
                self._refused(answer.status, await head_of(answer.chunks))
            elif "json" not in answer.headers.get("content-type", ""):
                kind = sanitise(answer.headers.get("content-type", ""), 80)
                raise MalformedDataError(
                    self._what,
                    f"what answers is no API server: it sent {kind or 'what has no content type'}",
                    "check the network, a proxy's sign-in page and the address in the kubeconfig",
                )
            else:
                if self._told_lost:
                    yield self._regained()
                async with aclosing(event_lines(answer.chunks, self._what)) as lines:
                    async for line in lines:
                        event = self._decoded(line)
                        if not self._version:
                            heard = False
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
                body = bytes(told.object)
                self._refused(_CODE.decode(body).code or 500, body)
                return None
            if told.type == "BOOKMARK":
                self._move(_BOOKMARK.decode(told.object).metadata.resource_version)
                return None
            if told.type not in {"ADDED", "MODIFIED", "DELETED"}:
                return None
            item = self._resource.items.decode(told.object)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedDataError(
                self._what, f"an event cannot be read: {error}", "look at the objects with kubectl"
            ) from error
        self._move(item.metadata.resource_version)
        item = Sharing(self._alive).one(item)
        return Removed(item) if told.type == "DELETED" else Changed(item)

    def _move(self, version: str) -> None:
        """Go on to a version. One that is lower than ours means that the server went back, or repeats itself.

        A server that was restored from a copy of its data counts from there again: what it tells is less than what we
        have seen, and a watch from our version would stay silent until it has caught up.
        """
        if _is_before(version, self._version):
            self._version = ""
        elif version:
            self._version = version

    def _refused(self, code: int, body: bytes) -> None:
        """A refusal, or an ERROR event: forget a version that expired or is yet to come, else raise what it says."""
        if code == 410 or _is_to_come(body):
            self._version = ""
        if code != 410:
            raise error_of(code, body, self._what)

    def _regained(self) -> Regained:
        self._told_lost = None
        self._failures = 0
        return Regained()

    def _delay(self, error: ModelyardError) -> float:
        self._failures += 1
        asked, self._asked_to_wait = self._asked_to_wait, 0.0
        if asked:
            return max(asked, self._backoff())
        if isinstance(error, AuthenticationError | AccessDeniedError | NotFoundError):
            return max(_REFUSED_DELAY, self._backoff())
        return self._backoff()

    def _backoff(self) -> float:
        return float(min(_FIRST_DELAY * 2 ** min(self._failures - 1, 10), _LONGEST_DELAY))


def _is_before(version: str, known: str) -> bool:
    """Whether a resourceVersion is lower; those of kube-apiserver are numbers, and others are not compared."""
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)


def _is_to_come(body: bytes) -> bool:
    """Whether a refusal says that the server has not come to our resourceVersion yet."""
    status = read_status(body)
    return status is not None and any(cause.reason == "ResourceVersionTooLarge" for cause in status.causes)


def params_of(label_selector: str, field_selector: str) -> dict[str, str]:
    """Query parameters of a list or watch by its selectors."""
    params = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in params.items() if value}
