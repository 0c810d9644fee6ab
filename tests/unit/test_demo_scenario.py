"""What the demo's cluster looks like when somebody first looks."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from backend.demo.images import SERVED, UNAPPROVED
from backend.demo.kubernetes.fields import from_tree, owned_fields
from backend.demo.kubernetes.schemas import custom_schema
from backend.demo.kubernetes.validation import schema_causes, typed_problems
from backend.demo.resources import (
    CLUSTER_SERVING_RUNTIMES,
    INFERENCE_SERVICES,
    KSERVE_RESOURCES,
    NODES,
    PODS,
    SERVING_RUNTIMES,
)
from backend.demo.workloads_quantities import gpus_of
from tests.fakes.demo_controller import HOST, START, Cluster, images, is_ready


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster(seeded=True)


def _names(cluster: Cluster) -> list[tuple[str, str]]:
    found = cluster.store.list(INFERENCE_SERVICES)
    return [(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in found]


def test_there_are_services_of_every_fate(cluster: Cluster) -> None:
    names = _names(cluster)
    assert 13 <= len(names) <= 16
    ready = [name for namespace, name in names if cluster.conditions(name, namespace)["Ready"] == "True"]
    assert len(ready) >= 9
    waiting = cluster.container("phi-mini", "llm-dev")["state"]["waiting"]["reason"]
    assert waiting == "ImagePullBackOff"
    killed = cluster.container("gemma-dev", "llm-dev")
    assert killed["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert cluster.conditions("summariser", "llm-dev")["Stopped"] == "True"
    assert cluster.pods("summariser", "llm-dev") == []
    (condition,) = cluster.pod("nemotron-vl")["status"]["conditions"]
    assert condition["reason"] == "Unschedulable"
    assert cluster.pods("e5-lab", "llm-dev") == []
    assert cluster.conditions("e5-lab", "llm-dev")["Ready"] == "True"


def test_the_failed_rollout_leaves_one_old_pod_serving(cluster: Cluster) -> None:
    pods = cluster.pods("llama-70b")
    assert [is_ready(pod) for pod in pods] == [True, False]
    failed = pods[1]["metadata"]["name"]
    log = cluster.demo.logs("llm-prod", failed, None, True, None)
    assert log is not None
    assert any("(131072), (" in line and "KV cache is needed" in line for line in log)


def test_it_is_settled_and_in_the_past(cluster: Cluster) -> None:
    due = cluster.demo.run_due()
    assert due is not None
    for obj in cluster.store.list(INFERENCE_SERVICES):
        made = datetime.fromisoformat(obj["metadata"]["creationTimestamp"]).timestamp()
        assert made < START - 600
        for condition in obj["status"]["conditions"]:
            assert datetime.fromisoformat(condition["lastTransitionTime"]).timestamp() <= START
    for event in cluster.events():
        at = datetime.fromisoformat(event["lastTimestamp"]).timestamp()
        assert START - 3600 <= at <= START


def test_what_serves_comes_from_the_registry(cluster: Cluster) -> None:
    served = {f"{HOST}/{repository}@{images().digest(repository, tag)}" for repository, tag in SERVED}
    ready = {pod["spec"]["containers"][0]["image"] for pod in cluster.store.list(PODS) if is_ready(pod)}
    ready = {image for image in ready if image.startswith(HOST)}
    assert ready <= served
    assert f"{HOST}/{UNAPPROVED[0]}@{images().digest(*UNAPPROVED)}" in ready


def test_another_manager_edited_a_service(cluster: Cluster) -> None:
    managers = {
        entry["manager"]: dict.fromkeys(from_tree(entry["fieldsV1"]))
        for entry in cluster.service("qwen-chat")["metadata"]["managedFields"]
    }
    assert set(managers) == {"modelyard", "kubectl-edit"}
    edited = ("f:spec", "f:predictor", "f:minReplicas")
    assert edited in managers["kubectl-edit"]
    assert edited not in managers["modelyard"]
    assert cluster.ready("qwen-chat") == 2


def test_the_owner_of_a_service_owns_each_field_of_it(cluster: Cluster) -> None:
    obj = cluster.service("mistral")
    (entry,) = obj["metadata"]["managedFields"]
    config = {"metadata": {key: obj["metadata"][key] for key in ("labels", "annotations")}, "spec": obj["spec"]}
    assert set(from_tree(entry["fieldsV1"])) == set(owned_fields(custom_schema(INFERENCE_SERVICES), config))


@pytest.mark.parametrize("resource", [INFERENCE_SERVICES, SERVING_RUNTIMES, CLUSTER_SERVING_RUNTIMES])
def test_every_object_fits_the_schema(cluster: Cluster, resource: Any) -> None:
    assert resource in KSERVE_RESOURCES
    objects = cluster.store.list(resource)
    assert objects
    for obj in objects:
        assert [*typed_problems(custom_schema(resource), obj), *schema_causes(custom_schema(resource), obj)] == []


def test_pods_hold_the_gpus_they_ask_for_and_no_two_the_same(cluster: Cluster) -> None:
    held: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    for pod in cluster.store.list(PODS):
        if not pod["spec"].get("nodeName") or not gpus_of(pod["spec"]):
            continue
        status = pod["status"]["containerStatuses"][0]
        (resource,) = status["allocatedResourcesStatus"]
        uuids = [item["resourceID"] for item in resource["resources"]]
        assert len(uuids) == gpus_of(pod["spec"])
        held.update(uuids)
        nodes[pod["spec"]["nodeName"]] += len(uuids)
    assert max(held.values()) == 1
    assert all(count <= 8 for count in nodes.values())
    assert 3 <= 32 - sum(nodes.values()) <= 7


def test_nodes_tell_their_gpus(cluster: Cluster) -> None:
    nodes = cluster.store.list(NODES)
    assert len(nodes) == 4
    products = Counter(node["metadata"]["labels"]["nvidia.com/gpu.product"] for node in nodes)
    assert products == {"NVIDIA-H100-80GB-HBM3": 3, "NVIDIA-A100-SXM4-80GB": 1}
    for node in nodes:
        # One GPU of the last node is cut into two instances.
        cut = node["metadata"]["name"] == "gpu-04"
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == ("7" if cut else "8")
        assert node["status"]["allocatable"].get("nvidia.com/mig-2g.20gb") == ("3" if cut else None)
        assert node["metadata"]["labels"]["nvidia.com/gpu.count"] == "8"
        assert {"type": "Ready", "status": "True"}.items() <= node["status"]["conditions"][-1].items()


def test_one_more_service_comes_up_beside_the_others() -> None:
    cluster = Cluster(seeded=True)
    obj = cluster.service("llama-chat")
    obj["metadata"] = {"name": "mine", "namespace": "llm-prod", "annotations": obj["metadata"]["annotations"]}
    obj["spec"]["predictor"] |= {"minReplicas": 1, "maxReplicas": 1}
    del obj["status"]
    cluster.apply(obj)
    cluster.advance(10)
    assert cluster.ready("mine") == 1
