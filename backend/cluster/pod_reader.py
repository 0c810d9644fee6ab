"""What is read of a pod beside its object: logs, and pages that it serves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from backend.cluster.answers import placed, require, require_reached
from backend.cluster.connection import ClusterConnection
from backend.cluster.resources import PODS
from backend.cluster.status import error_of, read_status
from backend.cluster.streams import head_of, text_lines
from backend.core.errors import NotFoundError

_MAX_LOG: Final = 4 * 1024 * 1024
#: Longest line of a log that is passed on whole; what is longer comes without its rest.
MAX_LOG_LINE: Final = 16 * 1024
_MAX_PROXY: Final = 32 * 1024 * 1024
_TEXT: Final = "text/plain, application/json"


class PodReader:
    """Pods of one API server, as one context of the kubeconfig reaches it."""

    def __init__(self, connection: ClusterConnection) -> None:
        self.connection = connection

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        previous: bool = False,
        tail: int = 500,
        since_seconds: int | None = None,
    ) -> str:
        """The last lines of a container's log, at most 4 MiB, as the container wrote them.

        Args:
            container: may be left out for a pod that has one.
            previous: of the process before the current one.
            tail: how many of the last lines. since_seconds: none that are older.

        Raises:
            NotFoundError: no such pod or container, or it has written nothing yet.
            UnreachableError: the node does not answer.
        """
        what = f"log of pod {placed(namespace, pod)}"
        response = await self.connection.request(
            "GET",
            PODS.path(namespace, pod, "log"),
            params=_log_params(container, previous, tail, since_seconds) | {"limitBytes": str(_MAX_LOG)},
            accept=_TEXT,
            limit=_MAX_LOG + 65_536,
        )
        _require_log(response.status, response.body, what)
        return response.body.decode("utf-8", "replace")

    async def follow_logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        tail: int = 500,
        since_seconds: int | None = None,
    ) -> AsyncGenerator[str, None]:
        """The last lines of a container's log, then each as it is written, until the container ends.

        Close the generator when done. A line longer than 16 KiB comes without its rest; nothing else is held back, so
        that memory does not grow with the log. It does not take itself up again: whoever shows it says that it ended.

        Raises:
            NotFoundError: no such pod or container, or it has written nothing yet.
            UnreachableError: the node does not answer, or the connection broke.
        """
        what = f"log of pod {placed(namespace, pod)}"
        params = _log_params(container, False, tail, since_seconds) | {"follow": "true"}
        path = PODS.path(namespace, pod, "log")
        async with self.connection.stream(path, params=params, silence=None, accept=_TEXT) as answer:
            if answer.status >= 300:
                _require_log(answer.status, await head_of(answer.chunks), what)
            async with aclosing(text_lines(answer.chunks, MAX_LOG_LINE)) as lines:
                async for line in lines:
                    yield line

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
        what = f"port {port} of pod {placed(namespace, pod)}"
        require_reached(response, what)
        require(response, what)
        return response.body


def _log_params(container: str, previous: bool, tail: int, since_seconds: int | None) -> dict[str, str]:
    params = {"tailLines": str(tail)}
    if container:
        params["container"] = container
    if previous:
        params["previous"] = "true"
    if since_seconds is not None:
        params["sinceSeconds"] = str(max(1, since_seconds))
    return params


def _require_log(code: int, body: bytes, what: str) -> None:
    """Pass an answer that holds a log; a container that has none yet is a 400."""
    if code == 400 and (status := read_status(body)) is not None:
        raise NotFoundError(what, status.message, "wait until the container runs, or ask for another")
    if code >= 300:
        raise error_of(code, body, what)
