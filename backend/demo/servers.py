"""The servers of the demo's child process: opens them on free loopback ports, says where they are, closes them."""

from __future__ import annotations

import secrets
import socket
import time
from contextlib import AsyncExitStack
from typing import Any, Final

from aiohttp import web

from backend.demo.controller import DemoCluster
from backend.demo.images import DemoImages, build_images
from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.registry import registry_app, storage_app
from backend.demo.registry_blobs import BlobStorage

_LOOPBACK: Final = "127.0.0.1"
_USERNAME: Final = "modelyard"
#: Seconds that open requests get at the end.
_SHUTDOWN: Final = 0.1


class Servers:
    """The open servers.

    Attributes:
        announcement: what the parent reads: addresses and credentials, by the name of the server.
    """

    def __init__(self) -> None:
        self.announcement: dict[str, Any] = {}
        self._open = AsyncExitStack()

    async def start(self, seed: int) -> None:
        """Open everything; the demo's clock starts with it.

        Raises:
            OSError: no port is to be had on the loopback interface.
        """
        images = build_images(seed)
        registry = await self._start_registry(images, seed)
        cluster = await self._start_cluster(images, seed, registry["host"])
        self.announcement |= {"registry": registry, "cluster": cluster}

    async def close(self) -> None:
        """Close every port, the one opened last first."""
        await self._open.aclose()

    async def _start_registry(self, images: DemoImages, seed: int) -> dict[str, Any]:
        # Blobs come from another host name, so that a client that leaks its credentials across hosts is refused.
        listener = _listen()
        blob_host = f"{_second_name()}:{listener.getsockname()[1]}"
        storage = BlobStorage(images, f"http://{blob_host}", secrets.token_bytes(32), time.monotonic)
        await self.serve(storage_app(storage), listener)
        password = secrets.token_urlsafe(18)
        app = registry_app(images, seed=seed, username=_USERNAME, password=password, storage=storage)
        host = await self.serve(app, _listen())
        return {
            "url": f"http://{host}",
            "host": host,
            "username": _USERNAME,
            "password": password,
            "blob_host": blob_host,
            "public_key": images.public_key_pem,
            "further_keys": dict(images.further_keys),
        }

    async def _start_cluster(self, images: DemoImages, seed: int, registry_host: str) -> dict[str, Any]:
        store = ObjectStore(seed=seed)
        plane = DemoCluster(store, seed=seed, images=images, registry_host=registry_host)
        self._open.push_async_callback(plane.close)
        await plane.start()
        users = default_users(seed)
        host = await self.serve(cluster_app(store, users=users, pods=plane), _listen())
        return {"url": f"http://{host}", "tokens": tokens_by_name(users)}

    async def serve(self, app: web.Application, listener: socket.socket) -> str:
        """Serve an application on an open socket; gives its `host:port`."""
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN, handler_cancellation=True)
        self._open.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        return f"{_LOOPBACK}:{listener.getsockname()[1]}"


def _listen() -> socket.socket:
    listener = socket.create_server((_LOOPBACK, 0), backlog=128)
    listener.setblocking(False)
    return listener


def _second_name() -> str:
    """Another name of the loopback address; its number again where the system knows no `localhost`."""
    try:
        known = socket.getaddrinfo("localhost", None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror:
        return _LOOPBACK
    return "localhost" if any(entry[4][0] == _LOOPBACK for entry in known) else _LOOPBACK
