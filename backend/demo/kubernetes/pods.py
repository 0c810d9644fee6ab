"""What a kubelet answers through the API server: a container's log, and HTTP requests to a pod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from aiohttp import web

from backend.demo.kubernetes.answers import bad_request, failure, not_found
from backend.demo.kubernetes.calls import Call
from backend.demo.objects import Object, ObjectStore
from backend.demo.resources import PODS


class PodBackend(Protocol):
    """The pods' insides, which the objects do not tell."""

    def logs(
        self, namespace: str, pod: str, container: str | None, previous: bool, tail_lines: int | None
    ) -> list[str] | None:
        """The lines of a container's log without line ends, oldest first.

        Args:
            namespace, pod: an existing pod.
            container: one of its containers; None means its only or first one.
            previous: of the container before its last restart.
            tail_lines: at most so many of the newest lines; None for all.

        Returns:
            None when the container has not started, or there was no previous one.
        """

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> tuple[int, str, bytes]:
        """What the pod answers to a GET.

        Args:
            namespace, pod: an existing pod.
            port: the port asked for, 80 when none was.
            path: begins with a slash; ends with the query, when there is one.

        Returns:
            Status, content type and body.

        Raises:
            ConnectionError: nothing listens there.
        """


@runtime_checkable
class FollowingBackend(Protocol):
    """A pod backend whose logs can be followed."""

    def follow_logs(self, namespace: str, pod: str, container: str | None) -> AsyncIterator[str]:
        """The lines that a container logs from now on, until it ends."""


@runtime_checkable
class AskedBackend(Protocol):
    """A pod backend whose pods answer to more than GET."""

    async def ask(self, namespace: str, pod: str, port: int, path: str, body: bytes) -> tuple[int, str, bytes]:
        """What the pod answers to a POST; otherwise like `proxy`."""


class Pods:
    """The `log` and `proxy` subresources.

    Args:
        store: the cluster's objects.
        backend: the pods' insides; None for a cluster whose kubelets cannot be reached.
    """

    def __init__(self, store: ObjectStore, backend: PodBackend | None) -> None:
        self._store = store
        self._backend = backend

    async def log(self, call: Call) -> web.StreamResponse:
        """A container's log as plain text; with `follow`, until the container ends or the client is gone.

        Raises:
            StatusError: 404 without the pod, 400 without the container or its log, 500 without a kubelet.
        """
        namespace, name = call.address.namespace, call.address.name
        container = call.option("container") or None
        self._check_container(self._pod(call), name, container)
        if self._backend is None:
            raise failure(500, "", "no preferred addresses found; known addresses: []")
        previous = call.flag("previous")
        lines = self._backend.logs(namespace, name, container, previous, call.number("tailLines"))
        if lines is None:
            shown = container or self._containers(self._pod(call))[0]
            if previous:
                raise bad_request(f'previous terminated container "{shown}" in pod "{name}" not found')
            raise bad_request(f'container "{shown}" in pod "{name}" is waiting to start: ContainerCreating')
        text = "".join(f"{line}\n" for line in lines)
        if not call.flag("follow") or previous or not isinstance(self._backend, FollowingBackend):
            return web.Response(text=text)
        return await self._follow(call, text, self._backend.follow_logs(namespace, name, container))

    async def proxy(self, call: Call) -> web.Response:
        """A request to a pod's port.

        Raises:
            StatusError: 404 without the pod, 400 for a port that is none or no kubelet, 503 when nothing listens.
        """
        name, port = _target(call.address.name)
        if self._store.stored(PODS, call.address.namespace, name) is None:
            raise not_found(PODS, name)
        if self._backend is None:
            raise bad_request("address not allowed")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise bad_request(f'invalid pod request "{call.address.name}"')
        query = call.http.rel_url.raw_query_string
        path = f"/{call.address.rest}" + (f"?{query}" if query else "")
        where = (call.address.namespace, name, int(port), path)
        try:
            if call.http.method == "POST" and isinstance(self._backend, AskedBackend):
                status, content_type, body = await self._backend.ask(*where, await call.http.read())
            else:
                status, content_type, body = self._backend.proxy(*where)
        except ConnectionError as error:
            message = f"error trying to reach service: dial tcp: connect: {error}"
            raise failure(503, "ServiceUnavailable", message) from error
        return web.Response(body=body, status=status, headers={"Content-Type": content_type})

    def _pod(self, call: Call) -> Object:
        stored = self._store.stored(PODS, call.address.namespace, call.address.name)
        if stored is None:
            raise not_found(PODS, call.address.name)
        return stored.content

    def _containers(self, pod: Object) -> list[str]:
        spec = pod.get("spec", {})
        return [each["name"] for kind in ("containers", "initContainers") for each in spec.get(kind) or []] or [""]

    def _check_container(self, pod: Object, name: str, container: str | None) -> None:
        if container is not None and container not in self._containers(pod):
            raise bad_request(f"container {container} is not valid for pod {name}")

    async def _follow(self, call: Call, text: str, lines: AsyncIterator[str]) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/plain"
        response.charset = "utf-8"
        response.enable_chunked_encoding()
        await response.prepare(call.http)
        await response.write(text.encode())
        async for line in lines:
            await response.write(f"{line}\n".encode())
        await response.write_eof()
        return response


def _target(name: str) -> tuple[str, str]:
    """Pod and port of `[SCHEME:]POD[:PORT]`, the name in a proxy's address."""
    parts = name.split(":")
    if len(parts) == 1:
        return parts[0], "80"
    return parts[-2], parts[-1]
