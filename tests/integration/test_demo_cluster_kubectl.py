"""kubectl works on the demo's cluster: a client that nobody wrote for it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backend.demo.objects import ObjectStore
from backend.demo.resources import PODS
from tests.fakes.demo_cluster import NAMESPACE, SERVICES, Cluster, running_cluster

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


class Result(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    errors: str


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]
Kubectl = Callable[..., Awaitable[Result]]

_SERVICE: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "chat", "namespace": NAMESPACE},
    "spec": {"predictor": {"minReplicas": 1, "model": {"modelFormat": {"name": "vLLM"}}}},
}


class Logs:
    """Pods that log two lines."""

    def logs(
        self, namespace: str, pod: str, container: str | None, previous: bool, tail_lines: int | None
    ) -> list[str] | None:
        return ["started", "serving"]

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> tuple[int, str, bytes]:
        raise ConnectionRefusedError("connection refused")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    # kubectl sends no token over plain HTTP, so the server takes whoever sends none for robin.
    async with running_cluster(ObjectStore(seed=1), pods=Logs(), anonymous="robin") as running:
        yield running


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Start:
    def run(*words: str) -> Awaitable[asyncio.subprocess.Process]:
        return asyncio.create_subprocess_exec(
            "kubectl", "--server", cluster.url, "--cache-dir", str(tmp_path / "cache"), *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull},
        )  # fmt: skip

    return run


@pytest.fixture
def kubectl(start: Start) -> Kubectl:
    async def run(*words: str, given: Any = None) -> Result:
        process = await start(*words)
        async with asyncio.timeout(60):
            output, errors = await process.communicate(json.dumps(given).encode() if given else b"")
        assert process.returncode is not None
        return Result(process.returncode, output.decode(), errors.decode())

    return run


async def test_the_life_of_a_service(cluster: Cluster, kubectl: Kubectl) -> None:
    applied = await kubectl("apply", "--server-side", "-f", "-", given=_SERVICE)
    assert applied.output == "inferenceservice.serving.kserve.io/chat serverside-applied\n", applied.errors
    table = await kubectl("get", "isvc", "-A")
    assert [line.split()[:2] for line in table.output.splitlines()] == [["NAMESPACE", "NAME"], [NAMESPACE, "chat"]]
    described = await kubectl("describe", "isvc", "-n", NAMESPACE, "chat")
    assert "Min Replicas:" in described.output
    deleted = await kubectl("delete", "isvc", "-n", NAMESPACE, "chat")
    assert "deleted" in deleted.output, deleted.errors
    assert "NotFound" in (await kubectl("get", "isvc", "-n", NAMESPACE, "chat")).errors


async def test_watching(cluster: Cluster, start: Start) -> None:
    robin = cluster.clients["robin"]
    await cluster.apply("chat", {"spec": _SERVICE["spec"]})
    process = await start("get", "isvc", "-n", NAMESPACE, "--watch", "--output-watch-events")
    assert process.stdout is not None

    async def event() -> list[str]:
        assert process.stdout is not None
        return (await process.stdout.readline()).decode().split()[:2]

    async with asyncio.timeout(60):
        assert await event() == ["EVENT", "NAME"]
        assert await event() == ["ADDED", "chat"]
        await cluster.apply("chat", {"metadata": {"labels": {"a": "b"}}, "spec": _SERVICE["spec"]})
        assert await event() == ["MODIFIED", "chat"]
        await robin.delete(f"{SERVICES}/chat")
        assert await event() == ["DELETED", "chat"]
        process.terminate()
        await process.communicate()


async def test_unknown_fields_and_conflicts(cluster: Cluster, kubectl: Kubectl) -> None:
    wrong = {**_SERVICE, "spec": {"predictor": {"minReplica": 1}}}
    refused = await kubectl("apply", "--server-side", "-f", "-", given=wrong)
    assert ".spec.predictor.minReplica: field not declared in schema" in refused.errors
    await cluster.apply("chat", {"spec": _SERVICE["spec"]})
    other = {**_SERVICE, "spec": {"predictor": {"minReplicas": 2}}}
    conflict = await kubectl("apply", "--server-side", "-f", "-", given=other)
    assert 'conflict with "modelyard": .spec.predictor.minReplicas' in conflict.errors
    forced = await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=other)
    assert forced.code == 0


async def test_rights(kubectl: Kubectl) -> None:
    assert (await kubectl("auth", "can-i", "delete", "isvc")).output == "yes\n"
    assert (await kubectl("auth", "can-i", "list", "secrets")).output == "no\n"
    assert "inferenceservices" in (await kubectl("api-resources", "--api-group", "serving.kserve.io")).output
    assert "robin" in (await kubectl("auth", "whoami")).output
    assert "pods/log" in (await kubectl("auth", "can-i", "--list")).output


async def test_logs(cluster: Cluster, kubectl: Kubectl) -> None:
    pod = {"metadata": {"name": "chat-1", "namespace": NAMESPACE}, "spec": {"containers": [{"name": "main"}]}}
    cluster.store.put(PODS, pod)
    assert (await kubectl("logs", "-n", NAMESPACE, "chat-1")).output == "started\nserving\n"
