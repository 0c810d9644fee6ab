"""The demo's cluster on a loopback port, for tests that talk to it over HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from aiohttp import web

from backend.demo.kubernetes_api import ANONYMOUS, PodBackend, cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.resources import NAMESPACES

NAMESPACE = "llm-prod"
SERVICES = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class Cluster(NamedTuple):
    """A running cluster and a client for each of its users, by name."""

    url: str
    store: ObjectStore
    tokens: dict[str, str]
    clients: dict[str, httpx.AsyncClient]

    @property
    def admin(self) -> httpx.AsyncClient:
        """A client that may do all."""
        return self.clients["admin"]

    async def apply(self, name: str, spec: Any, *, who: str = "operator", **params: str) -> httpx.Response:
        """Apply an InferenceService with these contents beside its identity; `params` replace the query's."""
        body = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name}}
        query = {"fieldManager": "modelyard", **params}
        headers = {"Content-Type": APPLY}
        content = {**body, **spec, "metadata": {**body["metadata"], **spec.get("metadata", {})}}  # type: ignore[dict-item]
        return await self.clients[who].patch(f"{SERVICES}/{name}", json=content, params=query, headers=headers)

    async def merge(self, path: str, patch: Any, **params: str) -> httpx.Response:
        """Merge-patch an object as the admin."""
        return await self.admin.patch(path, json=patch, params=params, headers={"Content-Type": MERGE})


def client(url: str, token: str = "") -> httpx.AsyncClient:
    """A client of the cluster with this token, or without one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # There is no TLS on loopback, and loading certificates takes longer than the tests.
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20, verify=False)


def namespace(name: str) -> dict[str, Any]:
    """A namespace."""
    return {"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


@asynccontextmanager
async def running_cluster(
    store: ObjectStore | None = None, *, pods: PodBackend | None = None, anonymous: str = ""
) -> AsyncIterator[Cluster]:
    """Run the demo's cluster with its default users and the namespaces `default` and `llm-prod`.

    `anonymous` names the user that requests without a token come from.
    """
    store = store or ObjectStore(seed=1)
    for name in ("default", NAMESPACE):
        store.put(NAMESPACES, namespace(name))
    users = default_users(1)
    tokens = tokens_by_name(users)
    app = cluster_app(store, users=users, pods=pods, anonymous=users.get(tokens.get(anonymous, ""), ANONYMOUS))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    clients = {name: client(url, token) for name, token in tokens.items()}
    try:
        yield Cluster(url, store, tokens, clients)
    finally:
        for each in clients.values():
            await each.aclose()
        await runner.cleanup()


def shared(*names: str) -> Path:
    """A path among the data that tests share with the project: below `$MODELYARD_SHARED`, else beside the checkout."""
    root = os.environ.get("MODELYARD_SHARED") or Path(__file__).resolve().parents[3] / "shared"
    return Path(root).joinpath(*names)
