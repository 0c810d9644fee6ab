"""A demo registry on loopback ports, with a clock that the test moves and a client that logs in."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from aiohttp import web

from backend.demo.images import DemoImages
from backend.demo.registry import registry_app, storage_app
from backend.demo.registry_blobs import BlobStorage

USERNAME = "robin"
PASSWORD = "correct horse"  # of the fake alone


@dataclass
class Seconds:
    """A monotonic clock that stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class DemoRegistry:
    """A running registry.

    Attributes:
        client: bound to the registry's address; sends no credentials of its own and follows no redirect.
    """

    client: httpx.AsyncClient
    clock: Seconds
    blob_host: str

    async def token(self, *scopes: str, login: bool = True) -> str:
        """Ask for a token as the challenge says."""
        answer = await self.client.get(
            "/auth/token",
            params={"service": "demo-registry", "scope": list(scopes)},
            auth=httpx.BasicAuth(USERNAME, PASSWORD) if login else None,
        )
        assert answer.status_code == 200
        return str(answer.json()["token"])

    async def get(self, path: str, *, method: str = "GET", **more: Any) -> httpx.Response:
        """Request a path below a repository with a fitting token."""
        name = path.removeprefix("/v2/").split("/tags/")[0].split("/manifests/")[0]
        name = name.split("/blobs/")[0].split("/referrers/")[0]
        headers = {"Authorization": f"Bearer {await self.token(f'repository:{name}:pull')}", **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)


@asynccontextmanager
async def running_registry(images: DemoImages, **knobs: Any) -> AsyncIterator[DemoRegistry]:
    """Serve images; `knobs` go to `registry_app`. Nothing is throttled unless they say so."""
    clock = Seconds()
    async with AsyncExitStack() as stack:
        listener = socket.create_server(("127.0.0.1", 0))
        blob_host = f"localhost:{listener.getsockname()[1]}"
        storage = BlobStorage(images, f"http://{blob_host}", b"storage", clock)
        settings = {"throttle_every": 0, **knobs}
        app = registry_app(images, username=USERNAME, password=PASSWORD, storage=storage, clock=clock, **settings)
        await _serve(stack, storage_app(storage), listener)
        own = socket.create_server(("127.0.0.1", 0))
        await _serve(stack, app, own)
        url = f"http://127.0.0.1:{own.getsockname()[1]}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        yield DemoRegistry(client, clock, blob_host)


async def _serve(stack: AsyncExitStack, app: web.Application, listener: socket.socket) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.SockSite(runner, listener).start()
