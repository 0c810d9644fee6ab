"""Clusters to hold the cluster and serving rooms to: the demo's API server, and a real one that a kubeconfig names."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from backend.cluster.client import ClusterClient
from backend.cluster.connection import ClusterConnection
from backend.cluster.resources import INFERENCE_SERVICES, LLM_INFERENCE_SERVICES, SECRETS, SERVING_RUNTIMES
from backend.cluster.reviews import AccessRequest
from backend.cluster.watch import SILENCE
from backend.core.actors import Actor, ActorSource
from backend.core.errors import AccessDeniedError, AdmissionError
from backend.core.permits import Permit
from backend.core.ports import SystemClock
from backend.demo.kubernetes.users import DemoUser, Rule
from backend.demo.kubernetes_api import cluster_app, default_users, tokens_by_name
from backend.demo.objects import ObjectStore
from backend.demo.resources import NAMESPACES
from tests.fakes.cluster_server import serving, write_kubeconfig

ROBIN = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM, unrestricted=True)
MERGE = "application/merge-patch+json"
_READER: Final = "modelyard-test-reader"
_NOBODY: Final = "modelyard-test-nobody"
_REFUSAL: Final = "the name is that of a rogue"
#: Seconds that a real server takes at most until a role or a policy holds.
_PATIENCE: Final = 20.0
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"


class TestCluster:
    """A cluster with a namespace of the test's own, as an administrator and as others.

    Contexts of its kubeconfig: `admin` may do everything; `viewer` nothing; `reader` may read KServe's objects in the
    test's namespace, once `reader` was called; `expired` has a token that is refused.

    Attributes:
        namespace: made for this test.
    """

    __test__ = False

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self._open = AsyncExitStack()

    async def client(self, context: str, *, page_size: int = 500, silence: float = SILENCE) -> ClusterClient:
        """A client as one of the kubeconfig's contexts."""
        clock = SystemClock()
        connection = await ClusterConnection.open(context, self.kubeconfig, clock=clock)
        self._open.push_async_callback(connection.close)
        return ClusterClient(connection, clock=clock, page_size=page_size, silence=silence)

    async def viewer(self) -> ClusterClient:
        """A client of somebody without rights; skips where the kubeconfig's user may not act as others."""
        return await self._acting("viewer")

    async def reader(self) -> ClusterClient:
        """A client of somebody who reads KServe's objects in the test's namespace and nothing else."""
        return await self._acting("reader")

    async def _acting(self, context: str) -> ClusterClient:
        client = await self.client(context)
        try:
            await client.identity()
        except AccessDeniedError as error:
            pytest.skip(f"the kubeconfig's user may not act as others: {error.why}")
        return client

    def refusing(self) -> AbstractAsyncContextManager[str]:
        """While it lasts, admission refuses InferenceServices in the test's namespace whose name begins with `rogue`.

        Gives what it says. Skips where admission cannot be told so.
        """
        raise NotImplementedError

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


class DemoTestCluster(TestCluster):
    """The demo's API server."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        super().__init__(kubeconfig, namespace)
        self._refuses = False

    def admit(self, resource: Any, content: Mapping[str, Any]) -> tuple[str, str]:
        """The admission policy of the demo's server."""
        name, namespace = content["metadata"]["name"], content["metadata"].get("namespace")
        refused = self._refuses and resource.plural == "inferenceservices" and namespace == self.namespace
        return ("modelyard-test", _REFUSAL) if refused and name.startswith("rogue") else ("", "")

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[str]:
        self._refuses = True
        yield _REFUSAL
        self._refuses = False


class RealTestCluster(TestCluster):
    """A real API server with KServe's kinds, which needs neither kubelet nor controllers."""

    async def reader(self) -> ClusterClient:
        admin = await self.client("admin")
        rights = f"{_RBAC}/namespaces/{self.namespace}"
        metadata = {"name": "reader"}
        rule = {"verbs": ["get", "list", "watch"], "apiGroups": ["serving.kserve.io"], "resources": ["*"]}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _READER}
        for plural, kind, body in (
            ("roles", "Role", {"metadata": metadata, "rules": [rule]}),
            ("rolebindings", "RoleBinding", {"metadata": metadata, "roleRef": role, "subjects": [subject]}),
        ):
            content = json.dumps({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, **body}).encode()
            response = await admin.connection.request("POST", f"{rights}/{plural}", body=content)
            if response.status >= 300:
                pytest.skip(f"the cluster takes no {plural} from us: {response.body[:200]!r}")
        client = await self._acting("reader")
        asked = AccessRequest(
            verb="list", group="serving.kserve.io", resource="inferenceservices", namespace=self.namespace
        )
        async with asyncio.timeout(_PATIENCE):
            while True:
                if (await client.can_i(asked)).allowed:
                    break
                await asyncio.sleep(0.2)
        return client

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[str]:
        admin = await self.client("admin")
        name = f"{self.namespace}-refuses"
        root = "/apis/admissionregistration.k8s.io/v1"
        bodies = (
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", _policy(self.namespace)),
            (
                "validatingadmissionpolicybindings",
                "ValidatingAdmissionPolicyBinding",
                {"policyName": name, "validationActions": ["Deny"]},
            ),
        )
        try:
            for plural, kind, spec in bodies:
                head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
                content = json.dumps({**head, "spec": spec}).encode()
                response = await admin.connection.request("POST", f"{root}/{plural}", body=content)
                if response.status >= 300:
                    pytest.skip(f"the cluster takes no {plural} from us: {response.body[:200]!r}")
            await self._until_refused(admin)
            yield _REFUSAL
        finally:
            for plural, _, _ in reversed(bodies):
                await admin.connection.request("DELETE", f"{root}/{plural}/{name}")

    async def _until_refused(self, admin: ClusterClient) -> None:
        """A policy takes a moment until it is looked at."""
        probe = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "rogue-probe", "namespace": self.namespace},
            "spec": {"predictor": {"containers": [{"name": "kserve-container", "image": "x"}]}},
        }
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    await admin.dry_run_apply(probe)
                except AdmissionError:
                    return
                await asyncio.sleep(0.2)


def _policy(namespace: str) -> dict[str, Any]:
    matched = {"kubernetes.io/metadata.name": namespace}
    rules = {
        "apiGroups": ["serving.kserve.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["inferenceservices"],
    }
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": {"matchLabels": matched}, "resourceRules": [rules]},
        "validations": [
            {
                "expression": "!object.metadata.name.startsWith('rogue')",
                "message": _REFUSAL,
                "reason": "Forbidden",
            }
        ],
    }


def permit(mutation: str = "deploy.apply") -> Permit:
    """Leave for one mutation, as the gate gives it."""
    return Permit(mutation=mutation, object="llm", actor=ROBIN)


@asynccontextmanager
async def demo_cluster(folder: Path) -> AsyncIterator[TestCluster]:
    """The demo's API server on a loopback port, without its controller."""
    store = ObjectStore(seed=1)
    for name in ("default", "kube-system"):
        store.put(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    namespace = _name()
    reads = Rule(("get", "list", "watch"), ("serving.kserve.io",), ("*",), (namespace,))
    users = default_users() | {"reader": DemoUser(name=_READER, rules=(reads,)), "nobody": DemoUser(name=_NOBODY)}
    tokens = tokens_by_name(users)
    accounts = {"admin": tokens["admin"], "viewer": "nobody", "reader": "reader", "expired": tokens["expired"]}
    cluster = DemoTestCluster(folder / "demo-kubeconfig", namespace)
    async with serving(cluster_app(store, users=users, admit=cluster.admit)) as url:
        write_kubeconfig(cluster.kubeconfig, url, {name: {"token": token} for name, token in accounts.items()})
        async with _with_namespace(cluster):
            yield cluster


@asynccontextmanager
async def real_cluster(folder: Path, kubeconfig: Path) -> AsyncIterator[TestCluster]:
    """The cluster of a kubeconfig's current context."""
    async with _with_namespace(RealTestCluster(_derived(folder, kubeconfig), _name())) as cluster:
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
    """Take away what a test made, with the namespace; where no controller finishes that, finish it here."""
    for resource in (INFERENCE_SERVICES, SERVING_RUNTIMES, LLM_INFERENCE_SERVICES, SECRETS):
        await admin.connection.request("DELETE", resource.path(cluster.namespace))
    for plural in ("rolebindings", "roles"):
        await admin.connection.request("DELETE", f"{_RBAC}/namespaces/{cluster.namespace}/{plural}")
    path = f"/api/v1/namespaces/{cluster.namespace}"
    namespace = await cluster.send(admin, "DELETE", path)
    accounts = await admin.connection.request("GET", f"{path}/serviceaccounts/default")
    if accounts.status == 404 and namespace.get("kind") == "Namespace":
        # Only a controller makes the default account: there is none that would take the finalizer away either.
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
        finalized = json.dumps({**body, "spec": {"finalizers": []}}).encode()
        await admin.connection.request("PUT", f"{path}/finalize", body=finalized)


def _derived(folder: Path, kubeconfig: Path) -> Path:
    """The kubeconfig's current context as `admin`, and beside it those who act as others and one with a dead token."""
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    current = next(entry for entry in document["contexts"] if entry["name"] == document["current-context"])["context"]
    user = next(entry for entry in document["users"] if entry["name"] == current["user"])["user"]
    users = {
        "admin": user,
        "viewer": {**user, "as": _NOBODY},
        "reader": {**user, "as": _READER},
        "expired": {"token": "long-gone"},
    }
    derived = {
        **document,
        "current-context": "admin",
        "users": [{"name": name, "user": body} for name, body in users.items()],
        "contexts": [{"name": name, "context": {"cluster": current["cluster"], "user": name}} for name in users],
    }
    # Elsewhere than the original, which may name files relative to itself.
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
