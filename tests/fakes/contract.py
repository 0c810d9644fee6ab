"""What the contract suite deploys, and how: in the namespace that a test was given, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.cluster.client import Application, Applied, ClusterClient
from backend.cluster.resources import INFERENCE_SERVICES
from backend.serving.deployment import DeploymentFile, parse
from backend.serving.manifests import build
from backend.serving.planner import Planned, make_plan, wanted_of
from tests.fakes.clusters import MERGE, TestCluster, permit

DIGEST = "sha256:" + "4f" * 32
OTHER = "sha256:" + "5a" * 32


def deployment(cluster: TestCluster, name: str = "llama", digest: str = DIGEST) -> DeploymentFile:
    """A deployment file of a service with a container of its own."""
    return parse(
        f"name: {name}\nnamespace: {cluster.namespace}\n"
        f"image: registry.example/nim/meta/llama@{digest}\n"
        "resources: {gpu: 1, cpu: '4', memory: 32Gi}\nreplicas: {min: 1}\n"
    )


def manifest(cluster: TestCluster, name: str = "llama", digest: str = DIGEST) -> dict[str, Any]:
    """The InferenceService of that file."""
    return build(deployment(cluster, name, digest))[0]


def runtime(cluster: TestCluster, name: str = "vllm-0-27") -> dict[str, Any]:
    """A serving runtime of the namespace."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            "supportedModelFormats": [{"name": "vLLM", "version": "1", "autoSelect": False}],
            "containers": [{"name": "kserve-container", "image": f"registry.example/vllm@{DIGEST}"}],
        },
    }


async def apply(client: ClusterClient, wanted: Mapping[str, Any], **conditions: Any) -> Applied:
    """Apply one object."""
    (applied,) = await client.apply(permit(), [Application(manifest=wanted, **conditions)])
    return applied


async def plan(client: ClusterClient, wanted: DeploymentFile) -> Planned:
    """Plan a deployment file."""
    return await make_plan(client, await wanted_of(client, wanted))


async def edit(cluster: TestCluster, client: ClusterClient, patch: Mapping[str, Any], manager: str, name: str) -> None:
    """Merge-patch an InferenceService as somebody else does."""
    await cluster.send(
        client, "PATCH", INFERENCE_SERVICES.path(cluster.namespace, name), patch, content_type=MERGE, manager=manager
    )


async def report_status(cluster: TestCluster, client: ClusterClient, name: str) -> None:
    """What KServe's controller does all the time."""
    path = f"{INFERENCE_SERVICES.path(cluster.namespace, name)}/status"
    status = {"status": {"url": f"http://{name}.example.com"}}
    await cluster.send(client, "PATCH", path, status, content_type=MERGE, manager="kserve")
