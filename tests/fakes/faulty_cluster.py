"""The demo's API server behind a proxy that does harm, and a client that watches through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.cluster.client import ClusterClient
from backend.cluster.connection import ClusterConnection
from backend.cluster.resources import INFERENCE_SERVICES
from backend.cluster.watch import Changed, Listed
from backend.demo.kubernetes.users import DemoUser
from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.resources import INFERENCE_SERVICES as STORED
from backend.demo.resources import NAMESPACES
from tests.fakes.cluster_server import serving, write_kubeconfig
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.fakes.ports import FixedClock

NAMESPACE = "llm-prod"


def service(name: str, replicas: int = 1) -> dict[str, Any]:
    """An InferenceService to apply."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"predictor": {"minReplicas": replicas, "containers": [{"name": "kserve-container", "image": "x"}]}},
    }


def store_of(seed: int = 1) -> ObjectStore:
    """A cluster's objects: its namespaces."""
    store = ObjectStore(seed=seed)
    for name in ("default", "kube-system", NAMESPACE):
        store.put(NAMESPACES, {"metadata": {"name": name}})
    return store


class Faulty:
    """A store behind an API server behind a proxy, and a client that watches through it."""

    def __init__(
        self, store: ObjectStore, proxy: FaultProxy, client: ClusterClient, waits: list[float], waited: asyncio.Event
    ) -> None:
        self.store = store
        self.proxy = proxy
        self.client = client
        self.waits = waits
        self.waited = waited
        self._probes = 0
        self.seen: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, name: str, replicas: int = 1) -> None:
        """Write a service, past the server."""
        self.store.put(STORED, service(name, replicas), manager="kubectl")

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch while the block runs; the list comes before it."""

        async def follow() -> None:
            async with aclosing(self.client.watch(INFERENCE_SERVICES, NAMESPACE)) as events:
                async for event in events:
                    await self.seen.put(event)

        task = asyncio.create_task(follow())
        try:
            await self.until(Listed)
            await self.until_watched()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until_watched(self) -> None:
        """Until the watch's request has reached the server: an object comes through it."""
        self._probes += 1
        self.put("probe", self._probes)
        await self.until(Changed)

    async def next(self) -> Any:
        """The next event of the watch."""
        async with asyncio.timeout(5):
            return await self.seen.get()

    async def until(self, kind: type[Any]) -> Any:
        """The next event of a kind; what comes before is passed over."""
        while not isinstance(event := await self.next(), kind):
            pass
        return event


@asynccontextmanager
async def faulty(
    folder: Path,
    *,
    store: ObjectStore | None = None,
    users: dict[str, DemoUser] | None = None,
    user: dict[str, Any] | None = None,
    silence: float = 30.0,
    clock: FixedClock | None = None,
    middleware: Any = None,
) -> AsyncIterator[Faulty]:
    """A server, its proxy and a client, which wait for nothing; see `Faulty`.

    `middleware` is an aiohttp middleware of the server, `user` the kubeconfig's user, an administrator unless given.
    """
    store = store or store_of()
    accounts = default_users() if users is None else users
    application = cluster_app(store, users=accounts)
    if middleware is not None:
        application.middlewares.append(middleware)
    waits: list[float] = []
    waited = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 8:
            waited.set()
        await asyncio.sleep(0.005)

    async with AsyncExitStack() as opened:
        url = await opened.enter_async_context(serving(application))
        proxy = await opened.enter_async_context(fault_proxy(url))
        token = tokens_by_name(accounts).get("admin", "")
        path = write_kubeconfig(folder / "config", proxy.url, {"me": user or {"token": token}})
        time = clock or FixedClock(datetime.now(UTC))
        connection = await ClusterConnection.open(None, path, clock=time, sleep=sleep)
        opened.push_async_callback(connection.close)
        yield Faulty(store, proxy, ClusterClient(connection, clock=time, sleep=sleep, silence=silence), waits, waited)


def names(listed: Listed[Any]) -> set[str]:
    """Names of what was listed."""
    return {item.metadata.name for item in listed.objects}
