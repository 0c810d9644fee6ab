"""Clusters to hold the cluster and serving rooms to: the demo's API server, and a real one that a kubeconfig names."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from backend.cluster.client import ClusterClient
from backend.cluster.connection import ClusterConnection
from backend.core.actors import Actor, ActorSource
from backend.core.permits import Permit
from backend.core.ports import SystemClock
from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.resources import NAMESPACES
from tests.fakes.cluster_server import serving, write_kubeconfig

ROBIN = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM, unrestricted=True)
MERGE = "application/merge-patch+json"


class TestCluster:
    """A cluster with a namespace of the test's own, as an administrator and as others.

    Attributes:
        admin: may do everything in the namespace.
        viewer: may not apply. namespace: made for this test.
    """

    __test__ = False

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self._folder = folder
        self._open = AsyncExitStack()

    async def client(self, context: str, *, page_size: int = 500) -> ClusterClient:
        """A client as one of the kubeconfig's contexts: admin, viewer or expired."""
        clock = SystemClock()
        connection = await ClusterConnection.open(context, self.kubeconfig, clock=clock)
        self._open.push_async_callback(connection.close)
        return ClusterClient(connection, clock=clock, page_size=page_size)

    async def send(
        self,
        client: ClusterClient,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        manager: str = "",
    ) -> dict[str, Any]:
        """A raw request, for what the program itself never does."""
        response = await client.connection.request(
            method,
            path,
            params={"fieldManager": manager} if manager else None,
            body=None if body is None else json.dumps(body).encode(),
            content_type=content_type,
        )
        assert response.status < 300, response.body
        answer: dict[str, Any] = json.loads(response.body)
        return answer

    async def close(self) -> None:
        """Close every client."""
        await self._open.aclose()


def permit(mutation: str = "deploy.apply") -> Permit:
    """Leave for one mutation, as the gate gives it."""
    return Permit(mutation=mutation, object="llm", actor=ROBIN)


@asynccontextmanager
async def demo_cluster(folder: Path) -> AsyncIterator[TestCluster]:
    """The demo's API server on a loopback port, without its controller."""
    store = ObjectStore(seed=1)
    for name in ("default", "kube-system"):
        store.put(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    users = default_users()
    tokens = tokens_by_name(users)
    async with serving(cluster_app(store, users=users)) as url:
        kubeconfig = write_kubeconfig(
            folder / "demo-kubeconfig",
            url,
            {name: {"token": tokens[name]} for name in ("admin", "viewer", "expired")},
        )
        async with _with_namespace(TestCluster(folder, kubeconfig, _name())) as cluster:
            yield cluster


@asynccontextmanager
async def real_cluster(folder: Path, kubeconfig: Path) -> AsyncIterator[TestCluster]:
    """A real API server with KServe's kinds, which needs neither kubelet nor controller."""
    async with _with_namespace(TestCluster(folder, _derived(folder, kubeconfig), _name())) as cluster:
        yield cluster


@asynccontextmanager
async def _with_namespace(cluster: TestCluster) -> AsyncIterator[TestCluster]:
    try:
        admin = await cluster.client("admin")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
        await cluster.send(admin, "POST", "/api/v1/namespaces", namespace)
        try:
            yield cluster
        finally:
            await _clean(cluster, admin)
    finally:
        await cluster.close()


async def _clean(cluster: TestCluster, admin: ClusterClient) -> None:
    for kind in ("v1beta1/namespaces/{}/inferenceservices", "v1alpha1/namespaces/{}/servingruntimes"):
        listing = await cluster.send(admin, "GET", f"/apis/serving.kserve.io/{kind.format(cluster.namespace)}")
        for item in listing["items"]:
            path = f"/apis/serving.kserve.io/{kind.format(cluster.namespace)}/{item['metadata']['name']}"
            await cluster.send(admin, "DELETE", path)
    await cluster.send(admin, "DELETE", f"/api/v1/namespaces/{cluster.namespace}")


def _derived(folder: Path, kubeconfig: Path) -> Path:
    """The kubeconfig's current context as `admin`, and beside it one without rights and one with a dead token."""
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    current = next(entry for entry in document["contexts"] if entry["name"] == document["current-context"])["context"]
    user = next(entry for entry in document["users"] if entry["name"] == current["user"])["user"]
    users = {
        "admin": user,
        "viewer": {**user, "as": "modelyard-test-nobody"},
        "expired": {"token": "long-gone"},
    }
    derived = {
        **document,
        "current-context": "admin",
        "users": [{"name": name, "user": body} for name, body in users.items()],
        "contexts": [{"name": name, "context": {"cluster": current["cluster"], "user": name}} for name in users],
    }
    # Beside the original, since it may name files relative to itself.
    path = folder / "real-kubeconfig"
    for entry in derived["clusters"]:
        _absolute(entry["cluster"], ("certificate-authority",), kubeconfig.parent)
    for entry in derived["users"]:
        _absolute(entry["user"], ("client-certificate", "client-key", "tokenFile"), kubeconfig.parent)
    path.write_text(yaml.safe_dump(derived), encoding="utf-8")
    path.chmod(0o600)
    return path


def _absolute(table: dict[str, Any], keys: tuple[str, ...], folder: Path) -> None:
    for key in keys:
        if key in table:
            table[key] = str(folder / table[key])


def _name() -> str:
    return f"modelyard-{secrets.token_hex(4)}"


def real_kubeconfig() -> Path | None:
    """The kubeconfig of the cluster to test against, or None."""
    named = os.environ.get("MODELYARD_TEST_KUBECONFIG")
    return Path(named).absolute() if named else None
