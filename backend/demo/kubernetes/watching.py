"""Watches: a stream of changes from a resource version on, with bookmarks, until its time is over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
from aiohttp import web

from backend.demo.kubernetes.answers import bad_request, expired
from backend.demo.kubernetes.calls import Call
from backend.demo.kubernetes.reads import form_of, selection
from backend.demo.kubernetes.selectors import Predicate
from backend.demo.kubernetes.tables import Form
from backend.demo.objects import Change, ExpiredVersionError, Object, ObjectStore, Stored

_ENCODER = msgspec.json.Encoder()
_INITIAL_END = {"k8s.io/initial-events-end": "true"}
#: Seconds after which a watch that gives no timeout ends: the lower bound of a real server.
_LONGEST = 1800.0
#: Seconds between the bookmarks of an idle watch.
_BOOKMARK_INTERVAL = 60.0
#: Seconds between looks whether an idle watch's client is still there.
_LIVENESS_INTERVAL = 5.0
#: Changes that may wait for a slow client before it is told to list again.
_MOST_WAITING = 20_000


class Watches:
    """All open watches, so that they can be ended when the server stops."""

    def __init__(self, store: ObjectStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._open: set[_Watch] = set()

    async def serve(self, call: Call) -> web.StreamResponse:
        """Answer a watch until its time is over, its client is gone, or the server stops.

        Raises:
            StatusError: 400, for options that make no sense.
        """
        watch = _Watch(self._store, call, form_of(call, self._now), selection(call))
        self._open.add(watch)
        try:
            return await watch.run()
        finally:
            watch.close()
            self._open.discard(watch)

    def end(self) -> None:
        """End all open watches."""
        for watch in self._open:
            watch.stop()


class _Watch:
    def __init__(self, store: ObjectStore, call: Call, form: Form, selected: Predicate | None) -> None:
        self._store = store
        self._call = call
        self._form = form
        self._selected = selected
        self._bookmarks = call.flag("allowWatchBookmarks")
        self._initial = call.flag("sendInitialEvents")
        if self._initial and call.option("resourceVersionMatch") != "NotOlderThan":
            raise bad_request(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires resourceVersionMatch=NotOlderThan"
            )
        self._from = call.number("resourceVersion") or 0
        self._waiting: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._stopped = False
        self._overflown = False
        self._unsubscribe: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """End the stream soon."""
        self._stopped = True
        self._wake.set()

    def close(self) -> None:
        """Hear no more changes."""
        self._unsubscribe()

    async def run(self) -> web.StreamResponse:
        """Send the stream."""
        clock = asyncio.get_running_loop().time
        started = clock()
        response = web.StreamResponse(headers={"Cache-Control": "no-cache, private"})
        response.content_type = "application/json"
        response.enable_chunked_encoding()
        try:
            first = self._first_events()
        except ExpiredVersionError as error:
            await response.prepare(self._call.http)
            await response.write(_line("ERROR", _ENCODER.encode(expired(str(error)).body)))
            await response.write_eof()
            return response
        await response.prepare(self._call.http)
        try:
            if first:
                await response.write(b"".join(first))
            await self._follow(response, started + float(self._call.number("timeoutSeconds") or _LONGEST))
            await response.write_eof()
        except ConnectionError:
            # The client has gone, which is how most watches end.
            self._stopped = True
        return response

    def _first_events(self) -> Sequence[bytes]:
        """What the stream begins with; from here on, changes are heard.

        Raises:
            ExpiredVersionError: the watch starts before the history.
        """
        listing = self._initial or not self._from
        changes = () if listing else self._store.changes_since(self._from)
        self._unsubscribe = self._store.listen(self._hear)
        if not listing:
            return [line for change in changes if self._concerns(change) for line in self._lines(change)]
        stored = self._store.scan(self._call.resource, self._call.namespace)
        lines = [_line("ADDED", self._form.one(each)) for each in stored if self._selects(each)]
        if self._initial and self._bookmarks:
            lines.append(self._bookmark(_INITIAL_END))
        return lines

    async def _follow(self, response: web.StreamResponse, deadline: float) -> None:
        clock = asyncio.get_running_loop().time
        next_bookmark = clock() + _BOOKMARK_INTERVAL
        while not self._stopped and clock() < deadline:
            if not await self._changes_until(min(deadline, next_bookmark, clock() + _LIVENESS_INTERVAL)):
                transport = self._call.http.transport
                if transport is None or transport.is_closing():
                    return
            lines = [line for change in self._taken() for line in self._lines(change)]
            if self._overflown:
                lines.append(_line("ERROR", _ENCODER.encode(expired("too many changes wait for this watch").body)))
                self._stopped = True
            elif self._bookmarks and clock() >= next_bookmark:
                lines.append(self._bookmark())
                next_bookmark = clock() + _BOOKMARK_INTERVAL
            if lines:
                await response.write(b"".join(lines))
        if self._bookmarks and not self._stopped:
            # The bookmark's version must not pass over changes that came while the last lines were sent.
            lines = [line for change in self._taken() for line in self._lines(change)]
            await response.write(b"".join((*lines, self._bookmark())))

    async def _changes_until(self, moment: float) -> bool:
        """Wait for changes, at most until a moment of the loop's clock. Whether there are any."""
        if not self._waiting and not self._stopped:
            self._wake.clear()
            try:
                async with asyncio.timeout_at(moment):
                    await self._wake.wait()
            except TimeoutError:
                return False
        return True

    def _taken(self) -> Iterable[Change]:
        while self._waiting:
            yield self._waiting.popleft()

    def _hear(self, change: Change) -> None:
        if not self._concerns(change) or self._overflown:
            return
        self._overflown = len(self._waiting) >= _MOST_WAITING
        self._waiting.append(change)
        self._wake.set()

    def _concerns(self, change: Change) -> bool:
        namespace = self._call.namespace
        return change.resource == self._call.resource and namespace in (None, change.current.key[0])

    def _selects(self, stored: Stored | None) -> bool:
        return stored is not None and (self._selected is None or self._selected(stored))

    def _lines(self, change: Change) -> Iterable[bytes]:
        """The event of a change, if it is one under the selector: what leaves the selection is deleted for it."""
        before = self._selects(change.previous)
        after = change.type != "DELETED" and self._selects(change.current)
        if after:
            yield _line("MODIFIED" if before else "ADDED", self._form.one(change.current))
        elif before and change.previous is not None:
            yield _line("DELETED", self._form.one(_last_seen(change.previous, change.version)))

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        resource = self._call.resource
        metadata: Object = {"resourceVersion": str(self._store.version)}
        if annotations:
            metadata["annotations"] = annotations
        content = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        return _line("BOOKMARK", _ENCODER.encode(content))


def _last_seen(stored: Stored, version: int) -> Stored:
    """The object as it was, under the resource version of the change that took it away."""
    metadata = {**stored.content["metadata"], "resourceVersion": str(version)}
    return Stored(stored.key, version, {**stored.content, "metadata": metadata})


def _line(type_: str, content: bytes) -> bytes:
    return b'{"type":"' + type_.encode() + b'","object":' + content + b"}\n"
