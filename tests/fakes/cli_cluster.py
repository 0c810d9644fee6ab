"""The demo's Kubernetes API in a thread of its own, for tests that run the command line, which has a loop of its own.

with ThreadedCluster(registry_host="127.0.0.1:5000") as cluster:
    cluster.offer("nim/meta/llama", "1.3.0", digest, manifest)
    kubeconfig.write_text(cluster.kubeconfig())
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from backend.demo.controller import DemoCluster
from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import Object, ObjectStore
from backend.demo.resources import INFERENCE_SERVICES, Resource

_T = TypeVar("_T")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: The phases of a service's start take this many times less than in the demo.
_SPEED = 20.0


@dataclass(frozen=True)
class _Manifest:
    body: bytes


@dataclass(frozen=True)
class _Repository:
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, _Manifest] = field(default_factory=dict)


class _Offered:
    """What the nodes can pull."""

    def __init__(self) -> None:
        self.repositories: dict[str, _Repository] = {}

    def digest(self, repository: str, tag: str) -> str:
        """Of what was offered; of the images that the cluster's runtimes name, one that nobody can pull."""
        offered = self.repositories.get(repository)
        return offered.tags[tag] if offered else f"sha256:{hashlib.sha256(f'{repository}:{tag}'.encode()).hexdigest()}"


class ThreadedCluster:
    """The demo's cluster on loopback: nodes and namespaces, no services but those that tests make.

    Args:
        registry_host: the registry that its nodes pull from.
        kserve: whether KServe is installed.
    """

    def __init__(self, *, registry_host: str, kserve: bool = True) -> None:
        self.url = ""
        users = default_users(1)
        self.tokens = tokens_by_name(users)
        #: Called with each request's method and path before it is answered; in the cluster's thread.
        self.on_request: Callable[[str, str], None] | None = None
        self._users = users
        self._images = _Offered()
        self._host = registry_host
        self._kserve = kserve
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="cluster of the test", daemon=True)
        self._ready: Future[str] = Future()
        self._stop = asyncio.Event()
        self._store: ObjectStore | None = None

    def __enter__(self) -> ThreadedCluster:
        self._thread.start()
        self.url = self._ready.result(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=20)

    def offer(self, repository: str, tag: str, digest: str, manifest: bytes) -> None:
        """Let nodes pull an image."""
        stored = self._images.repositories.setdefault(repository, _Repository())
        stored.tags[tag] = digest
        stored.manifests[digest] = _Manifest(manifest)

    def kubeconfig(self, current: str = "robin") -> str:
        """A kubeconfig with a context for each of the cluster's users, as JSON, which is YAML."""
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": current,
                "clusters": [{"name": "test", "cluster": {"server": self.url}}],
                "users": [{"name": name, "user": {"token": token}} for name, token in self.tokens.items()],
                "contexts": [{"name": name, "context": {"cluster": "test", "user": name}} for name in self.tokens],
            }
        )

    @property
    def store(self) -> ObjectStore:
        """The cluster's objects; only for its own thread, as in `on_request`."""
        assert self._store is not None
        return self._store

    def get(self, namespace: str, name: str, resource: Resource = INFERENCE_SERVICES) -> Object | None:
        """An object as it is now."""
        return self.do(lambda store: store.get(resource, namespace, name))

    def do(self, work: Callable[[ObjectStore], _T]) -> _T:
        """Do something with the cluster's objects, in its thread."""

        async def done() -> _T:
            return work(self.store)

        return self._run(done())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise
        finally:
            self._loop.close()

    async def _main(self) -> None:
        self._store = store = ObjectStore(seed=1)
        plane = DemoCluster(store, seed=1, images=self._images, registry_host=self._host, speed=_SPEED, seeded=False)
        await plane.start()
        app = cluster_app(store, users=self._users, pods=plane)
        app.middlewares.append(self._told)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._ready.set_result(f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()
            await plane.close()

    @property
    def _told(self) -> Any:
        @web.middleware
        async def told(request: web.Request, handler: _Handler) -> web.StreamResponse:
            if self.on_request is not None:
                self.on_request(request.method, request.path)
            if not self._kserve and "serving.kserve.io" in request.path and "authorization" not in request.path:
                return web.Response(status=404, text="404 page not found\n", content_type="text/plain")
            return await handler(request)

        return told
