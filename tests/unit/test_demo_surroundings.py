"""The kinds around the demo's services: LLMInferenceServices, revisions, routes, quota, and what pods answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.demo.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    INFERENCE_GRAPHS,
    LLM_INFERENCE_SERVICES,
    LOCAL_MODEL_CACHES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    REVISIONS,
    SECRETS,
)
from backend.demo.workloads_answers import ANSWERS
from tests.fakes.demo_controller import Cluster, reference, service

KNATIVE = {"serving.kserve.io/deploymentMode": "Knative"}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def seeded() -> Cluster:
    return Cluster(seeded=True)


def _llm(cluster: Cluster, name: str, namespace: str) -> dict[str, Any]:
    found = cluster.store.get(LLM_INFERENCE_SERVICES, namespace, name)
    assert found is not None
    return found


def _conditions(obj: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in obj["status"]["conditions"]}


def _put_llm(cluster: Cluster, obj: dict[str, Any]) -> None:
    cluster.store.put(LLM_INFERENCE_SERVICES, obj, manager="kubectl")
    cluster.demo.run_due()


def test_one_llm_service_serves_and_one_cannot_find_its_weights(seeded: Cluster) -> None:
    serving = _llm(seeded, "qwen-router", "llm-prod")
    assert _conditions(serving)["Ready"] == "True"
    assert serving["status"]["workloads"]["primary"]["readyReplicas"] == 1
    failing = _llm(seeded, "phi-router", "llm-dev")
    assert _conditions(failing)["Ready"] == "False"
    assert _conditions(failing)["RouterReady"] == "True"
    (pod,) = [pod for pod in seeded.store.list(PODS) if pod["metadata"]["name"].startswith("phi-router-")]
    (initializer,) = pod["status"]["initContainerStatuses"]
    assert initializer["state"]["waiting"]["reason"] == "CrashLoopBackOff"


def test_an_llm_service_is_stopped_started_and_weighted() -> None:
    cluster = Cluster(seeded=True)
    obj = _llm(cluster, "qwen-router", "llm-prod")
    obj["spec"]["router"]["route"]["weight"] = 9
    _put_llm(cluster, obj)
    route = cluster.store.get(HTTP_ROUTES, "llm-prod", "qwen-router-kserve-route")
    assert route is not None
    assert route["spec"]["rules"][0]["backendRefs"][0]["weight"] == 9
    obj["metadata"]["annotations"]["serving.kserve.io/stop"] = "true"
    _put_llm(cluster, obj)
    assert cluster.store.get(DEPLOYMENTS, "llm-prod", "qwen-router-kserve") is None
    assert _conditions(_llm(cluster, "qwen-router", "llm-prod"))["Ready"] == "False"
    del obj["metadata"]["annotations"]["serving.kserve.io/stop"]
    _put_llm(cluster, obj)
    cluster.advance(30)
    assert _conditions(_llm(cluster, "qwen-router", "llm-prod"))["Ready"] == "True"


def test_a_standard_service_has_two_routes_and_an_autoscaler_where_it_asks_for_one(seeded: Cluster) -> None:
    routes = {route["metadata"]["name"]: route for route in seeded.store.list(HTTP_ROUTES, "llm-prod")}
    assert {"embed-e5", "embed-e5-predictor"} <= set(routes)
    assert routes["embed-e5"]["spec"]["rules"][0]["timeouts"]["request"] == "600s"
    (scaler,) = seeded.store.list(HORIZONTAL_POD_AUTOSCALERS)
    assert (scaler["metadata"]["name"], scaler["spec"]["maxReplicas"]) == ("embed-e5-predictor", 3)


def test_a_stopped_service_keeps_no_routes(seeded: Cluster) -> None:
    assert not [r for r in seeded.store.list(HTTP_ROUTES, "llm-dev") if r["metadata"]["name"].startswith("summariser")]


def test_what_surrounds_the_services_is_there(seeded: Cluster) -> None:
    for resource, count in ((INFERENCE_GRAPHS, 1), (LOCAL_MODEL_CACHES, 1), (PRIORITY_CLASSES, 3), (SECRETS, 6)):
        assert len(seeded.store.list(resource)) == count
    (cache,) = seeded.store.list(LOCAL_MODEL_CACHES)
    assert cache["status"]["copies"] == {"available": 2, "failed": 1, "total": 4}


def test_quota_counts_the_pods_of_its_namespace() -> None:
    cluster = Cluster(seeded=True)
    (quota,) = cluster.store.list(RESOURCE_QUOTAS)
    held = sum(
        int(pod["spec"]["containers"][0]["resources"]["requests"].get("nvidia.com/gpu", 0))
        for pod in cluster.store.list(PODS, "llm-dev")
    )
    assert quota["status"]["used"]["requests.nvidia.com/gpu"] == str(held)
    cluster.delete("deepseek-dev", "llm-dev")
    (quota,) = cluster.store.list(RESOURCE_QUOTAS)
    assert quota["status"]["used"]["requests.nvidia.com/gpu"] == str(held - 8)


class TestRevisions:
    """Knative mode with `canaryTrafficPercent`."""

    def _component(self, cluster: Cluster) -> dict[str, Any]:
        component: dict[str, Any] = cluster.service("chat")["status"]["components"]["predictor"]
        return component

    def _traffic(self, cluster: Cluster) -> dict[str, int]:
        return {target["revisionName"][-5:]: target["percent"] for target in self._component(cluster)["traffic"]}

    def _settled(self, **predictor: Any) -> Cluster:
        cluster = Cluster()
        cluster.apply(service(annotations=KNATIVE))
        cluster.advance(20)
        cluster.apply(service(annotations=KNATIVE, args=("--model=Qwen/Qwen2.5-7B-Instruct",), **predictor))
        cluster.advance(20)
        return cluster

    def test_without_a_canary_the_newest_takes_everything_when_it_is_ready(self) -> None:
        cluster = self._settled()
        assert self._traffic(cluster) == {"00002": 100}
        component = self._component(cluster)
        assert component["latestRolledoutRevision"] == "chat-predictor-00002"
        assert component["previousRolledoutRevision"] == "chat-predictor-00001"
        assert len(cluster.pods("chat")) == 1
        older = cluster.store.get(REVISIONS, "llm-prod", "chat-predictor-00001")
        assert older is not None
        assert older["status"]["desiredReplicas"] == 0

    def test_a_canary_gets_its_share_and_is_promoted_or_taken_back(self) -> None:
        cluster = self._settled(canaryTrafficPercent=20)
        assert self._traffic(cluster) == {"00002": 20, "00001": 80}
        assert self._component(cluster)["latestRolledoutRevision"] == "chat-predictor-00001"
        assert len(cluster.pods("chat")) == 2
        obj = cluster.service("chat")
        obj["spec"]["predictor"]["canaryTrafficPercent"] = 0
        cluster.apply(obj)
        assert self._traffic(cluster) == {"00002": 0, "00001": 100}
        assert len(cluster.pods("chat")) == 1
        del obj["spec"]["predictor"]["canaryTrafficPercent"]
        cluster.apply(obj)
        cluster.advance(20)
        assert self._traffic(cluster) == {"00002": 100}

    def test_a_canary_that_does_not_come_up_gets_no_traffic(self) -> None:
        cluster = Cluster()
        cluster.apply(service(annotations=KNATIVE))
        cluster.advance(20)
        cluster.apply(service(annotations=KNATIVE, args=("--model=org/missing",), canaryTrafficPercent=50))
        cluster.advance(20)
        assert self._traffic(cluster) == {"00001": 100}
        assert self._component(cluster)["latestCreatedRevision"] == "chat-predictor-00002"
        assert self._component(cluster)["latestReadyRevision"] == "chat-predictor-00001"

    def test_returning_to_an_older_template_makes_a_revision(self) -> None:
        cluster = self._settled()
        cluster.apply(service(annotations=KNATIVE))
        cluster.advance(20)
        assert self._traffic(cluster) == {"00003": 100}


class TestAnswers:
    """What pods answer to requests for inference."""

    async def _ask(self, cluster: Cluster, name: str, path: str, body: Any) -> tuple[int, Any]:
        pod = cluster.pods(name)[0]["metadata"]["name"]
        status, _, content = await cluster.demo.ask("llm-prod", pod, 8000, path, json.dumps(body).encode())
        return status, json.loads(content)

    async def test_a_chat_model_answers(self, seeded: Cluster) -> None:
        asked = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        status, answer = await self._ask(seeded, "llama-chat", CHAT, asked)
        assert status == 200
        assert answer["choices"][0]["message"]["content"] == "Ready. This"
        assert answer["choices"][0]["finish_reason"] == "length"
        status, answer = await self._ask(seeded, "llama-chat", CHAT, {**asked, "model": "another"})
        assert (status, answer["error"]["type"]) == (404, "NotFoundError")
        assert (await self._ask(seeded, "llama-chat", CHAT, {}))[0] == 400
        assert (await self._ask(seeded, "llama-chat", "/v1/embeddings", {"input": "x"}))[0] == 404

    async def test_the_other_kinds_answer_in_their_shapes(self, seeded: Cluster) -> None:
        status, answer = await self._ask(seeded, "embed-e5", "/v1/embeddings", {"input": ["a", "b"]})
        assert status == 200
        assert [len(item["embedding"]) for item in answer["data"]] == [1024, 1024]
        asked = {"query": "fast car", "documents": ["slow bus", "fast car"]}
        status, answer = await self._ask(seeded, "rerank", "/v1/rerank", asked)
        assert [item["index"] for item in answer["results"]] == [1, 0]
        model = (await self._ask(seeded, "llama-chat", CHAT, {"messages": [{"role": "user", "content": "x"}]}))[1]
        infer = {"inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}
        status, answer = await self._ask(seeded, "llama-chat", f"/v2/models/{model['model']}/infer", infer)
        assert (status, answer["outputs"][0]["shape"]) == (200, [1])

    @pytest.mark.parametrize(("how", "code"), [("errors", 500), ("empty", 200), ("html", 200)])
    async def test_a_server_can_be_made_to_answer_badly(self, how: str, code: int) -> None:
        cluster = Cluster()
        obj = service()
        obj["spec"]["predictor"]["containers"][0]["env"] = [{"name": ANSWERS, "value": how}]
        cluster.apply(obj)
        cluster.advance(20)
        pod = cluster.pod("chat")["metadata"]["name"]
        status, _, content = await cluster.demo.ask("llm-prod", pod, 8000, CHAT, b"{}")
        assert status == code
        assert b"Ready." not in content

    async def test_an_image_that_answers_badly_is_ready_all_the_same(self) -> None:
        cluster = Cluster()
        cluster.apply(service(image=reference(("nim/openai/gpt-oss-20b", "2.0.1")), memory="64Gi"))
        cluster.advance(20)
        assert cluster.conditions("chat")["Ready"] == "True"
        status, answer = await self._ask(cluster, "chat", CHAT, {"messages": [{"role": "user", "content": "x"}]})
        assert (status, answer["choices"]) == (200, [])


def test_a_container_beside_the_server_has_a_log_and_a_status(seeded: Cluster) -> None:
    (pod,) = seeded.pods("test-x", "llm-dev")
    assert [status["name"] for status in pod["status"]["containerStatuses"]] == ["kserve-container", "log-shipper"]
    lines = seeded.demo.logs("llm-dev", pod["metadata"]["name"], "log-shipper", False, 3)
    assert lines is not None
    assert len(lines) == 3
    assert seeded.demo.logs("llm-dev", pod["metadata"]["name"], "log-shipper", True, 3) is None
