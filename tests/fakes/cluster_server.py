"""An API server whose every answer the test writes, on a loopback port, and kubeconfig files that lead to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Answers requests in the order of its script, the last answer for ever; remembers what was asked."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""

    def then(self, *answers: Answer) -> None:
        """Add answers to the script."""
        self.script += answers

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The next answer of the script."""
        self.requests.append(request)
        self.bodies.append(await request.read())
        chosen = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return await chosen(request)


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free loopback port; gives its address."""
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedServer]:
    """A running scripted server."""
    server = ScriptedServer()
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with serving(application) as url:
        server.url = url
        yield server


def says(body: Any, status: int = 200, content_type: str = "application/json", **headers: str) -> Answer:
    """An answer with a JSON body, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=content, status=status, content_type=content_type, headers=headers)

    return answer


def streams(lines: Sequence[Any], hold: Callable[[], Awaitable[object]] | None = None) -> Answer:
    """A watch that sends a line each, waits for `hold` when it is given, and ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in lines:
            await response.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        if hold is not None:
            await hold()
        await response.write_eof()
        return response

    return answer


def breaks_off(lines: Sequence[Any] = ()) -> Answer:
    """A watch whose connection breaks after some lines."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    return answer


def service(name: str, version: str, **spec: Any) -> dict[str, Any]:
    """An InferenceService as the API gives it."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "llm-prod", "uid": f"uid-{name}", "resourceVersion": version},
        "spec": {"predictor": {"minReplicas": 1, **spec}},
    }


def listing(items: Sequence[Mapping[str, Any]], version: str, following: str = "") -> dict[str, Any]:
    """A page of a list."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceServiceList",
        "metadata": {"resourceVersion": version, "continue": following},
        "items": list(items),
    }


def write_kubeconfig(
    path: Path, server: str, users: Mapping[str, Mapping[str, Any]], *, cluster: Mapping[str, Any] | None = None
) -> Path:
    """A kubeconfig with one cluster and a context for each user, named as the user; the first is current."""
    names = list(users)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": names[0],
        "clusters": [{"name": "here", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": name, "user": dict(user)} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "here", "user": name}} for name in names],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def wire_exchanges(shared: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The recorded exchanges with a real API server, by their file's stem, in order."""
    for file in sorted((shared / "wire" / "kube-apiserver-1.36").glob("*.json")):
        yield file.stem, json.loads(file.read_text(encoding="utf-8"))
