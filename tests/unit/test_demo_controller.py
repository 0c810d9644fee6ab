"""The demo's control plane: services come up, change and go as on a real cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backend.demo.controller import DemoCluster
from backend.demo.objects import Object, ObjectStore
from backend.demo.resources import (
    CLUSTER_SERVING_RUNTIMES,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    NODES,
    PODS,
    RESOURCES,
    SERVING_RUNTIMES,
    Resource,
)
from tests.fakes.demo_controller import HOST, Cluster, images, reference, service

NO_SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def test_a_service_comes_up_through_scheduling_pulling_loading_and_ready() -> None:
    cluster = Cluster()
    cluster.apply(service())
    assert "nodeName" not in cluster.pod("chat")["spec"]
    assert cluster.conditions("chat")["PredictorReady"] == "False"
    cluster.advance(1)
    assert cluster.pod("chat")["spec"]["nodeName"]
    assert "ContainerCreating" in str(cluster.container("chat")["state"])
    cluster.advance(2)
    assert "running" in cluster.container("chat")["state"]
    assert cluster.container("chat")["ready"] is False
    assert cluster.model_status("chat")["transitionStatus"] == "InProgress"
    cluster.advance(3)
    assert cluster.container("chat")["ready"] is True
    conditions = cluster.conditions("chat")
    assert conditions == {"IngressReady": "True", "PredictorReady": "True", "Ready": "True", "Stopped": "False"}
    status = cluster.service("chat")["status"]
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    assert status["modelStatus"]["copies"]["totalCopies"] == 1
    assert status["url"] == "http://chat-llm-prod.models.example.com"
    assert status["address"]["url"] == "http://chat-predictor.llm-prod.svc.cluster.local"
    reasons = [event["reason"] for event in cluster.events()]
    wanted = {"Scheduled", "Pulling", "Pulled", "Created", "Started", "Unhealthy", "InferenceServiceReady"}
    assert wanted <= set(reasons)
    deployment = cluster.store.get(DEPLOYMENTS, "llm-prod", "chat-predictor")
    assert deployment is not None
    assert status["observedGeneration"] == deployment["status"]["observedGeneration"]


def test_nothing_is_written_while_nothing_happens() -> None:
    cluster = Cluster()
    cluster.apply(service())
    cluster.advance(700)
    version = cluster.store.version
    cluster.advance(86_400)
    assert cluster.store.version == version
    assert cluster.demo.run_due() is None


def test_pods_report_the_index_or_the_platform_digest_by_node() -> None:
    cluster = Cluster()
    cluster.apply(service(replicas=12))
    cluster.advance(10)
    digests = {pod["status"]["containerStatuses"][0]["imageID"] for pod in cluster.pods("chat")}
    assert len({pod["spec"]["nodeName"] for pod in cluster.pods("chat")}) == 2
    assert len(digests) == 2
    assert reference() in digests


def test_the_same_writes_give_the_same_objects_and_another_seed_others() -> None:
    def story(seed: int) -> list[list[Object]]:
        cluster = Cluster(seeded=True, seed=seed)
        cluster.apply(service("extra"))
        cluster.advance(30)
        cluster.delete("llama-chat")
        cluster.advance(400)
        return [cluster.store.list(resource) for resource in RESOURCES]

    first = story(3)
    assert first == story(3)
    assert first != story(4)


RUNTIME: dict[str, Any] = {
    "metadata": {"name": "vllm", "namespace": "llm-prod"},
    "spec": {
        "supportedModelFormats": [{"name": "vLLM"}],
        "containers": [
            {
                "name": "kserve-container",
                "image": reference(),
                "args": ["--port=8000", "--served-model-name={{.Name}}"],
                "env": [{"name": "A", "value": "1"}],
                "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
            }
        ],
    },
}


class TestRollouts:
    def test_old_pods_serve_until_new_ones_do(self) -> None:
        cluster = Cluster()
        cluster.apply(service(replicas=3, strategy=NO_SURGE))
        cluster.advance(10)
        cluster.apply(service(replicas=3, strategy=NO_SURGE, args=("--model=meta-llama/Llama-3.2-3B-Instruct",)))
        for _ in range(100):
            cluster.advance(0.5)
            assert cluster.ready("chat") >= 2
            assert len(cluster.pods("chat")) <= 3
            assert cluster.conditions("chat")["Ready"] == "True"
        assert {pod["spec"]["containers"][0]["args"][0] for pod in cluster.pods("chat")} == {
            "--model=meta-llama/Llama-3.2-3B-Instruct"
        }
        assert cluster.ready("chat") == 3

    def test_a_surge_starts_the_new_pod_beside_the_old(self) -> None:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(10)
        cluster.apply(service(args=("--model=other/Model-7B",)))
        assert len(cluster.pods("chat")) == 2
        for _ in range(20):
            cluster.advance(0.5)
            assert cluster.ready("chat") >= 1
        assert len(cluster.pods("chat")) == 1

    def test_recreate_takes_the_old_pod_away_first(self) -> None:
        cluster = Cluster()
        cluster.apply(service(strategy={"type": "Recreate"}))
        cluster.advance(10)
        cluster.apply(service(strategy={"type": "Recreate"}, args=("--model=other/Model-7B",)))
        assert cluster.ready("chat") == 0
        assert len(cluster.pods("chat")) == 1
        cluster.advance(10)
        assert cluster.ready("chat") == 1

    def test_a_failing_rollout_stays_ready_until_the_progress_deadline(self) -> None:
        cluster = Cluster()
        cluster.apply(service(replicas=2, strategy=NO_SURGE))
        cluster.advance(10)
        failing = ("--model=meta-llama/Llama-3.1-8B-Instruct", "--max-model-len=9000000")
        cluster.apply(service(replicas=2, strategy=NO_SURGE, args=failing))
        cluster.advance(500)
        assert cluster.ready("chat") == 1
        assert cluster.conditions("chat")["Ready"] == "True"
        assert cluster.model_status("chat")["transitionStatus"] == "UpToDate"
        cluster.advance(110)
        ready = {item["type"]: item for item in cluster.service("chat")["status"]["conditions"]}["PredictorReady"]
        assert (ready["status"], ready["reason"]) == ("False", "ProgressDeadlineExceeded")
        assert cluster.ready("chat") == 1
        assert cluster.model_status("chat")["states"] == {
            "activeModelState": "Loaded",
            "targetModelState": "FailedToLoad",
        }

    def test_the_last_failure_outlives_the_repair(self) -> None:
        cluster = Cluster()
        cluster.apply(service(args=("--model=meta-llama/missing-model",), strategy={"type": "Recreate"}))
        cluster.advance(10)
        assert cluster.model_status("chat")["lastFailureInfo"]["reason"] == "ModelLoadFailed"
        cluster.apply(service(strategy={"type": "Recreate"}))
        cluster.advance(10)
        assert cluster.model_status("chat")["transitionStatus"] == "UpToDate"
        assert cluster.model_status("chat")["lastFailureInfo"]["reason"] == "ModelLoadFailed"

    def test_a_surge_without_a_free_gpu_waits_for_ever(self) -> None:
        cluster = Cluster()
        cluster.apply(service("filler", replicas=31))
        cluster.apply(service())
        cluster.advance(20)
        cluster.apply(service(args=("--model=other/Model-7B",)))
        cluster.advance(900)
        assert cluster.ready("chat") == 1
        assert len(cluster.pods("chat")) == 2
        assert cluster.conditions("chat")["Ready"] == "False"

    def test_going_back_to_an_earlier_spec_rolls_back(self) -> None:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(10)
        first = cluster.pod("chat")["metadata"]["labels"]["pod-template-hash"]
        cluster.apply(service(args=("--model=other/Model-7B",)))
        cluster.advance(10)
        cluster.apply(service())
        cluster.advance(10)
        assert cluster.pod("chat")["metadata"]["labels"]["pod-template-hash"] == first
        assert cluster.ready("chat") == 1


class TestScale:
    def test_more_and_fewer_replicas(self) -> None:
        cluster = Cluster()
        cluster.apply(service(replicas=1))
        cluster.advance(10)
        cluster.apply(service(replicas=4))
        cluster.advance(10)
        assert cluster.ready("chat") == 4
        cluster.apply(service(replicas=2))
        assert len(cluster.pods("chat")) == 2
        assert cluster.ready("chat") == 2

    def test_zero_replicas_are_ready_and_pending_at_once(self) -> None:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(10)
        cluster.apply(service(replicas=0))
        assert cluster.pods("chat") == []
        assert cluster.conditions("chat")["Ready"] == "True"
        assert cluster.model_status("chat")["transitionStatus"] == "InProgress"
        assert cluster.model_status("chat")["states"]["targetModelState"] == "Pending"

    def test_an_hpa_makes_one_of_zero(self) -> None:
        cluster = Cluster()
        cluster.apply(service(replicas=0, annotations={"serving.kserve.io/autoscalerClass": "hpa"}))
        assert len(cluster.pods("chat")) == 1

    def test_gpus_that_become_free_go_to_the_pod_that_waits(self) -> None:
        cluster = Cluster()
        cluster.apply(service("filler", replicas=4, gpus=8, memory="200Gi"))
        cluster.apply(service())
        cluster.advance(20)
        assert "nodeName" not in cluster.pod("chat")["spec"]
        cluster.apply(service("filler", replicas=3, gpus=8, memory="200Gi"))
        cluster.advance(10)
        assert cluster.ready("chat") == 1


class TestStopAndDelete:
    def test_stop_takes_the_workload_away_and_start_brings_it_back(self) -> None:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(10)
        cluster.apply(service(annotations={"serving.kserve.io/stop": "true"}))
        assert cluster.workload() == []
        conditions = cluster.conditions("chat")
        assert (conditions["Stopped"], conditions["Ready"]) == ("True", "False")
        assert "url" not in cluster.service("chat")["status"]
        cluster.apply(service())
        cluster.advance(10)
        assert cluster.conditions("chat")["Stopped"] == "False"
        assert cluster.ready("chat") == 1

    def test_delete_removes_all_that_was_made(self) -> None:
        cluster = Cluster()
        cluster.apply(service(replicas=2))
        cluster.advance(3)
        cluster.delete("chat")
        assert cluster.workload() == []
        cluster.advance(1000)
        assert cluster.workload() == []

    def test_a_service_made_anew_under_the_name_starts_afresh(self) -> None:
        cluster = Cluster()
        cluster.apply(service(args=("--model=x/missing",)))
        cluster.advance(30)
        before = cluster.pod("chat")["metadata"]["name"]
        cluster.store.delete(INFERENCE_SERVICES, "llm-prod", "chat")
        cluster.apply(service())
        cluster.advance(10)
        assert cluster.ready("chat") == 1
        assert cluster.pod("chat")["metadata"]["name"] != before
        assert "lastFailureInfo" not in cluster.model_status("chat")

    def test_a_pod_that_somebody_deletes_is_replaced(self) -> None:
        cluster = Cluster()
        cluster.apply(service())
        cluster.advance(10)
        name = cluster.pod("chat")["metadata"]["name"]
        cluster.store.delete(PODS, "llm-prod", name)
        cluster.advance(0.1)
        assert cluster.pod("chat")["metadata"]["name"] != name
        cluster.advance(10)
        assert cluster.ready("chat") == 1

    def test_a_cordoned_node_takes_no_pods(self) -> None:
        cluster = Cluster()
        for name in ("gpu-01", "gpu-02", "gpu-03", "gpu-04"):
            node = cluster.store.get(NODES, None, name)
            assert node is not None
            node["spec"]["unschedulable"] = True
            cluster.store.put(NODES, node)
        cluster.apply(service())
        cluster.advance(5)
        (event,) = cluster.events("FailedScheduling")
        assert event["message"].startswith("0/4 nodes are available: 4 node(s) were unschedulable. preemption: ")
        node = cluster.store.get(NODES, None, "gpu-03")
        assert node is not None
        del node["spec"]["unschedulable"]
        cluster.store.put(NODES, node)
        cluster.advance(10)
        assert cluster.pod("chat")["spec"]["nodeName"] == "gpu-03"


class TestRuntimes:
    def model(self, **more: Any) -> dict[str, Any]:
        obj = service()
        limits = {"limits": {"memory": "32Gi", "nvidia.com/gpu": "1"}}
        model = {"modelFormat": {"name": "vLLM"}, "runtime": "vllm", "args": ["--model=a/b-3B"], "resources": limits}
        obj["spec"]["predictor"] = {"minReplicas": 1, "model": {**model, **more}}
        return obj

    def put(self, cluster: Cluster, obj: dict[str, Any], resource: Resource = SERVING_RUNTIMES) -> None:
        cluster.store.put(resource, obj)
        cluster.demo.run_due()

    def test_arguments_are_joined_and_templates_filled_in(self) -> None:
        cluster = Cluster()
        self.put(cluster, RUNTIME)
        cluster.apply(self.model(env=[{"name": "A", "value": "2"}]))
        cluster.advance(10)
        (container,) = cluster.pod("chat")["spec"]["containers"]
        assert container["args"] == ["--port=8000", "--served-model-name=chat", "--model=a/b-3B"]
        assert container["env"] == [{"name": "A", "value": "2"}]
        assert container["resources"]["limits"] == {"cpu": "1", "memory": "32Gi", "nvidia.com/gpu": "1"}
        assert cluster.service("chat")["status"]["servingRuntimeName"] == "vllm"
        assert cluster.ready("chat") == 1

    def test_a_cluster_runtime_serves_when_the_namespace_has_none(self) -> None:
        cluster = Cluster()
        shared = {"metadata": {"name": "vllm"}, "spec": RUNTIME["spec"]}
        self.put(cluster, shared, CLUSTER_SERVING_RUNTIMES)
        cluster.apply(self.model())
        cluster.advance(10)
        assert cluster.service("chat")["status"]["clusterServingRuntimeName"] == "vllm"

    def test_a_missing_runtime_is_an_invalid_spec_until_it_is_there(self) -> None:
        cluster = Cluster()
        cluster.apply(self.model())
        status = cluster.model_status("chat")
        assert status["transitionStatus"] == "InvalidSpec"
        assert status["lastFailureInfo"]["reason"] == "RuntimeNotRecognized"
        self.put(cluster, RUNTIME)
        cluster.advance(10)
        assert cluster.ready("chat") == 1
        assert cluster.model_status("chat")["transitionStatus"] == "UpToDate"

    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            ({"disabled": True}, "RuntimeDisabled"),
            ({"supportedModelFormats": [{"name": "onnx"}]}, "NoSupportingRuntime"),
            ({"containers": [{"name": "other", "image": "x"}]}, "InvalidPredictorSpec"),
        ],
    )
    def test_a_runtime_that_does_not_fit(self, spec: dict[str, Any], reason: str) -> None:
        cluster = Cluster()
        self.put(cluster, {**RUNTIME, "spec": {**RUNTIME["spec"], **spec}})
        cluster.apply(self.model())
        assert cluster.model_status("chat")["lastFailureInfo"]["reason"] == reason

    def test_an_edited_runtime_rolls_its_services(self) -> None:
        cluster = Cluster()
        self.put(cluster, RUNTIME)
        cluster.apply(self.model())
        cluster.advance(10)
        before = cluster.pod("chat")["metadata"]["name"]
        edited = {**RUNTIME, "spec": {**RUNTIME["spec"], "annotations": {"a": "b"}}}
        self.put(cluster, edited)
        cluster.advance(10)
        assert cluster.pod("chat")["metadata"]["name"] != before

    def test_knative_mode_tells_revisions(self) -> None:
        cluster = Cluster()
        cluster.apply(service(annotations={"serving.kserve.io/deploymentMode": "Knative"}))
        cluster.advance(10)
        status = cluster.service("chat")["status"]
        assert status["components"]["predictor"]["latestReadyRevision"] == "chat-predictor-00001"
        assert cluster.conditions("chat")["RoutesReady"] == "True"


async def test_the_loop_brings_a_service_up_by_itself_and_leaves_nothing_behind() -> None:
    store = ObjectStore(7)
    demo = DemoCluster(store, seed=7, images=images(), registry_host=HOST, speed=200.0, seeded=False)
    ready = asyncio.Event()

    def look(change: str, resource: Resource, obj: Object) -> None:
        conditions = (obj.get("status") or {}).get("conditions", [])
        if (
            resource == INFERENCE_SERVICES
            and {"Ready": "True"}.items() <= {item["type"]: item["status"] for item in conditions}.items()
        ):
            ready.set()

    end = store.subscribe(look)
    before = asyncio.all_tasks()
    await demo.start()
    store.put(INFERENCE_SERVICES, service())
    await asyncio.wait_for(ready.wait(), 20)
    await demo.close()
    await demo.close()
    end()
    assert asyncio.all_tasks() == before


def test_names_that_are_too_long_together_never_get_an_address() -> None:
    cluster = Cluster()
    name = "a" * 46
    cluster.apply(service(name))
    cluster.advance(10)
    conditions = cluster.conditions(name)
    assert (conditions["PredictorReady"], conditions["IngressReady"], conditions["Ready"]) == ("True", "False", "False")
    assert "url" not in cluster.service(name)["status"]


async def test_a_followed_log_goes_on_until_the_pod_is_gone() -> None:
    cluster = Cluster(speed=1000.0)
    cluster.apply(service())
    cluster.advance(1)
    name = cluster.pod("chat")["metadata"]["name"]
    before = cluster.demo.logs("llm-prod", name, None, False, None)
    assert before is not None

    followed: list[str] = []
    enough = asyncio.Event()

    async def collect() -> None:
        async for line in cluster.demo.follow_logs("llm-prod", name, None):
            followed.append(line)
            if len(followed) == 3:
                enough.set()

    following = asyncio.create_task(collect())
    await asyncio.sleep(0)
    cluster.advance(30)
    async with asyncio.timeout(20):
        await enough.wait()
        cluster.delete("chat")
        await following
    assert len(followed) == 3
    assert all("Avg generation throughput" in line for line in followed)
    assert not set(followed) & set(before)
