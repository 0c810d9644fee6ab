"""Reading one answer of an API server: refusals become errors, objects become JSON values."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from backend.cluster.connection import Response
from backend.cluster.status import error_of, read_status
from backend.core.errors import MalformedDataError, UnreachableError
from backend.core.text import sanitise

#: An object in etcd is at most 1.5 MiB; its JSON with managed fields may be a few times that.
MAX_OBJECT: Final = 16 * 1024 * 1024


def placed(namespace: str | None, name: str) -> str:
    """`namespace/name`, or the name alone."""
    return f"{namespace}/{name}" if namespace else name


def require(response: Response, what: str) -> None:
    """Pass an answer that says yes.

    Raises:
        ModelyardError: what the answer says instead.
    """
    if response.status >= 300:
        raise error_of(response.status, response.body, what)


def require_reached(response: Response, what: str) -> None:
    """Pass an answer that came through a pod's proxy; the API server says of those that it cannot reach 400 or 500.

    Raises:
        UnreachableError: the pod's node or address cannot be reached.
    """
    if response.status in {400, 500} and (status := read_status(response.body)) is not None:
        raise UnreachableError(
            what, f"the API server cannot reach it: {sanitise(status.message, 300)}", "check the pod and its node"
        )


def object_of(response: Response, what: str) -> dict[str, Any]:
    """The object in an answer, with all its fields.

    Raises:
        MalformedDataError: it is no JSON object.
    """
    try:
        return msgspec.json.decode(response.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedDataError(what, f"the answer cannot be read: {error}", "look at it with kubectl") from error
