"""Gets and lists: paging over a state that does not move, selectors, resource versions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from itertools import islice

import msgspec
from aiohttp import web

from backend.demo.kubernetes.answers import bad_request, expired, failure, not_found
from backend.demo.kubernetes.calls import Call
from backend.demo.kubernetes.selectors import Predicate, SelectorError, predicate
from backend.demo.kubernetes.tables import Form, Page, negotiate
from backend.demo.objects import ExpiredVersionError, Key, ObjectStore, Stored
from backend.demo.resources import Resource

_TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105 - the format of continue tokens, no secret
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


class _Token(msgspec.Struct, rename={"format": "v", "version": "rv"}):
    """What a continue token holds, as a real server's does: a format, a resource version and the key to go on from."""

    format: str
    version: int
    start: str

    @property
    def after(self) -> Key:
        """The key of the last object that was sent."""
        namespace, _, name = self.start.removesuffix("\0").partition("/")
        return (namespace, name)


def form_of(call: Call, now: Callable[[], datetime]) -> Form:
    """The form of answer that the request asks for."""
    return negotiate(call.http.headers.get("Accept", ""), call.resource, call.option("includeObject"), now)


def selection(call: Call) -> Predicate | None:
    """What the request's selectors select; None for everything.

    Raises:
        StatusError: 400, when one is malformed.
    """
    try:
        return predicate(call.resource, call.option("labelSelector"), call.option("fieldSelector"))
    except SelectorError as error:
        raise bad_request(str(error)) from error


def answer(body: bytes) -> web.Response:
    """An answer of JSON that is encoded already."""
    return web.Response(body=body, content_type="application/json")


def get(store: ObjectStore, call: Call, now: Callable[[], datetime]) -> web.Response:
    """One object.

    Raises:
        StatusError: 404, when there is none.
    """
    stored = store.stored(call.resource, call.namespace, call.address.name)
    if stored is None:
        raise not_found(call.resource, call.address.name)
    return answer(form_of(call, now).one(stored))


def list_objects(store: ObjectStore, call: Call, now: Callable[[], datetime]) -> web.Response:
    """The objects of a kind, or a page of them.

    Raises:
        StatusError: 400 for a malformed token, selector or number; 410 for an expired token or resource version.
    """
    form = form_of(call, now)
    selected = selection(call)
    limit = call.number("limit") or None
    token = _decode(call.option("continue")) if call.option("continue") else None
    version = token.version if token else _asked_version(store, call)
    after = ("", "") if token is None else (call.namespace or token.after[0], token.after[1])
    try:
        candidates = _candidates(store, call.resource, version, call.namespace, after)
    except ExpiredVersionError as error:
        raise expired(_TOO_OLD if token else str(error)) from error
    matching = filter(selected, candidates) if selected else iter(candidates)
    objects = list(matching if limit is None else islice(matching, limit))
    if limit is None or next(matching, None) is None:
        return answer(form.list(Page(objects, version)))
    # A real server does not count what a selector would leave of the rest.
    remaining = None if selected else len(candidates) - len(objects)
    last = objects[-1].key
    start = f"{'' if call.namespace else last[0]}/{last[1]}\0"
    return answer(form.list(Page(objects, version, _encode(_Token(_TOKEN_VERSION, version, start)), remaining)))


def _asked_version(store: ObjectStore, call: Call) -> int:
    """The resource version that a list answers with."""
    asked = call.number("resourceVersion")
    if asked is not None and asked > store.version:
        message = f"Too large resource version: {asked}, current: {store.version}"
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        raise failure(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})
    if asked and call.option("resourceVersionMatch") == "Exact":
        return asked
    return store.version


def _candidates(
    store: ObjectStore, resource: Resource, version: int, namespace: str | None, after: Key
) -> list[Stored]:
    """The objects after a key, as they were at a version."""
    if not any(change.resource == resource for change in store.changes_since(version)):
        return list(store.scan(resource, namespace, after))
    return [stored for stored in store.scan_at(resource, version, namespace) if stored.key > after]


def _encode(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def _decode(text: str) -> _Token:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = msgspec.json.decode(data, type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    if token.format != _TOKEN_VERSION or "/" not in token.start or token.version < 0:
        raise bad_request(
            f'invalid continue token: continue key is not valid: server does not recognize "{token.format}"'
        )
    return token
