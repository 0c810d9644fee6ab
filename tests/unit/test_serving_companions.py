"""LLMInferenceServices, graphs and model caches, judged with the same care as services."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.resources import INFERENCE_GRAPHS, LLM_INFERENCE_SERVICES, LOCAL_MODEL_CACHES
from backend.core.errors import UsageError
from backend.core.views import ServiceView, Verdict, named_kind
from backend.serving.actions import weight_patch
from backend.serving.board import ServiceBoard
from backend.serving.companion_rows import cache_nodes, cache_row, graph_row, graph_steps
from backend.serving.llm import LlmServices, as_inference_service, llm_endpoints
from tests.fakes import screen_data as data
from tests.fakes.demo_cluster import shared
from tests.fakes.serving_objects import NOW, ago, condition, pod, waiting

GOOD = ("PresetsCombined", "MainWorkloadReady", "WorkloadsReady", "RouterReady", "Ready")


def _llm(name: str = "qwen", weight: int = 9, conditions: Any = None, **spec: Any) -> Any:
    told = [condition(kind, "True") for kind in GOOD] if conditions is None else conditions
    raw = {
        "metadata": {"name": name, "namespace": "llm-prod", "creationTimestamp": ago(3600)},
        "spec": {
            "model": {"uri": "hf://Qwen/Qwen2.5-7B", "name": "Qwen/Qwen2.5-7B"},
            "replicas": 1,
            "router": {"route": {"group": "qwen", "weight": weight}},
            **spec,
        },
        "status": {"conditions": told, "url": f"http://llm.example/{name}"},
    }
    return LLM_INFERENCE_SERVICES.items.decode(json.dumps(raw))


def _llm_pod(name: str = "qwen", *, component: str = "llminferenceservice-workload", **more: Any) -> Any:
    made = pod(service_name=name, **more)
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": component}
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, labels=labels))


def _board(*services: Any, pods: Any = ()) -> tuple[ServiceBoard, LlmServices]:
    held = LlmServices()
    board = ServiceBoard("prod", kind=held.kind)
    board.reset_services(held.reset(services))
    board.reset_pods(pods)
    board.refresh(NOW)
    return board, held


def test_the_recorded_llm_inference_service_is_a_row_of_its_own_kind() -> None:
    path = shared("wire", "kube-apiserver-1.36", "62-llm-inference-service-apply.json")
    if not path.exists():
        pytest.skip("the recorded exchanges are not here")
    body = json.loads(path.read_text())["response"]["body"]
    board, _ = _board(LLM_INFERENCE_SERVICES.items.decode(json.dumps(body)))
    (row,) = board.rows()
    assert (row.kind, row.key, row.model) == (
        "LLMInferenceService",
        "prod/llm-prod/llm:qwen",
        "Qwen/Qwen2.5-7B-Instruct",
    )
    assert named_kind(row.address) == ("LLMInferenceService", "qwen")


def test_it_is_judged_by_its_pods_and_not_by_its_router_s() -> None:
    router = _llm_pod(suffix="epp", component="llminferenceservice-router-scheduler", ready=True)
    board, _ = _board(_llm(), pods=[_llm_pod(ready=True), router])
    (row,) = board.rows()
    assert (row.verdict, row.reason, row.gpus) == (Verdict.SERVING, "1 of 1 replicas serve", 1)
    failing = _llm_pod(phase="Pending", state=waiting("ImagePullBackOff", "not found"))
    (row,) = _board(_llm(), pods=[failing])[0].rows()
    assert row.verdict is Verdict.FAILED and "does not have the image" in row.reason


def test_presets_that_cannot_be_combined_and_a_router_that_is_not_ready_are_named() -> None:
    missing = condition("PresetsCombined", "False", reason="MissingConfig", message="no config kserve-x")
    (row,) = _board(_llm(conditions=[missing, condition("Ready", "False")]))[0].rows()
    assert row.verdict is Verdict.FAILED and "no config kserve-x" in row.reason
    told = [
        condition("WorkloadsReady", "True"),
        condition("RouterReady", "False"),
        condition("HTTPRoutesReady", "False", message="no gateway"),
        condition("Ready", "False"),
    ]
    (row,) = _board(_llm(conditions=told), pods=[_llm_pod(ready=True)])[0].rows()
    assert row.verdict is Verdict.DEGRADED
    assert "serves inside the cluster alone" in row.reason and "HTTPRoutesReady: no gateway" in row.reason


def test_shares_of_a_group_follow_every_member() -> None:
    board, held = _board(_llm("qwen", 9), _llm("qwen-next", 1))
    assert [row.traffic for row in board.rows()] == ["qwen 90% (weight 9 of 10)", "qwen 10% (weight 1 of 10)"]
    for changed in held.put(_llm("qwen-next", 11)):
        board.put_service(changed)
    assert {row.traffic for row in board.refresh(NOW).rows} == {
        "qwen 45% (weight 9 of 20)",
        "qwen 55% (weight 11 of 20)",
    }
    board.remove_service(("llm-prod", "qwen-next"))
    for changed in held.remove(("llm-prod", "qwen-next")):
        board.put_service(changed)
    changes = board.refresh(NOW)
    assert [row.traffic for row in changes.rows] == ["group qwen"]
    assert changes.removed == (("llm-prod", "qwen-next"),)


def test_a_stopped_one_and_its_addresses() -> None:
    service = _llm()
    annotations = {"serving.kserve.io/stop": "true"}
    stopped = msgspec.structs.replace(
        service, metadata=msgspec.structs.replace(service.metadata, annotations=annotations)
    )
    (row,) = _board(stopped)[0].rows()
    assert row.verdict is Verdict.STOPPED
    inside, outside = llm_endpoints(service)
    assert inside.url == "http://qwen-kserve-workload-svc.llm-prod.svc.cluster.local:8000"
    assert outside.url == "http://llm.example/qwen"


def test_a_weight_is_set_only_where_traffic_is_shared() -> None:
    live = {"kind": "LLMInferenceService", "metadata": {}, "spec": {"router": {"route": {"group": "g", "weight": 1}}}}
    assert weight_patch(live, 3) == {"spec": {"router": {"route": {"weight": 3}}}}
    for bad, weight in ((live, -1), ({**live, "kind": "InferenceService"}, 1), ({**live, "spec": {}}, 1)):
        with pytest.raises(UsageError):
            weight_patch(bad, weight)


# ---------------------------------------------------------------- graphs


def _graph(ready: str | None = "True", age: float = 3600, **metadata: Any) -> Any:
    steps = [{"serviceName": "guard"}, {"serviceName": "chat"}, {"nodeName": "other"}]
    raw = {
        "metadata": {"name": "safe", "namespace": "llm-prod", "creationTimestamp": ago(age), **metadata},
        "spec": {"nodes": {"root": {"routerType": "Sequence", "steps": steps}}},
        **({"status": {"conditions": [condition("Ready", ready, 900)]}} if ready else {}),
    }
    return INFERENCE_GRAPHS.items.decode(json.dumps(raw))


def _finder(**verdicts: Verdict) -> Any:
    found: dict[tuple[str, str], ServiceView] = {
        ("llm-prod", name): data.service("llm-prod", name, verdict) for name, verdict in verdicts.items()
    }
    return found.get


def test_a_graph_is_as_good_as_the_services_of_its_steps() -> None:
    fine = graph_row("prod", _graph(), _finder(guard=Verdict.SERVING, chat=Verdict.SERVING), NOW)
    assert (fine.verdict, fine.ready_replicas, fine.wanted_replicas) == (Verdict.SERVING, 2, 2)
    assert (fine.key, fine.model) == ("prod/llm-prod/graph:safe", "guard, chat")
    broken = graph_row("prod", _graph(), _finder(guard=Verdict.SERVING, chat=Verdict.FAILED), NOW)
    assert (broken.verdict, broken.reason) == (Verdict.DEGRADED, "step root needs service chat, which is failed")
    absent = graph_row("prod", _graph(), _finder(guard=Verdict.SERVING), NOW)
    assert absent.verdict is Verdict.STUCK and "which is not there" in absent.reason
    steps = graph_steps(_graph(), _finder(guard=Verdict.SERVING))
    assert [(step.type, step.status) for step in steps] == [("root > guard", "True"), ("root > chat", "Unknown")]


@pytest.mark.parametrize(
    ("ready", "age", "verdict"),
    [
        (None, 10, Verdict.STARTING),
        (None, 300, Verdict.STUCK),
        ("False", 3600, Verdict.FAILED),
        ("Unknown", 60, Verdict.STARTING),
    ],
)
def test_a_graph_s_own_router(ready: str | None, age: float, verdict: Verdict) -> None:
    both = _finder(guard=Verdict.SERVING, chat=Verdict.SERVING)
    assert graph_row("prod", _graph(ready, age), both, NOW).verdict is verdict
    stopped = _graph(annotations={"serving.kserve.io/stop": "true"})
    assert graph_row("prod", stopped, _finder(), NOW).verdict is Verdict.STOPPED


# ---------------------------------------------------------------- caches


def _cache(age: float = 3600, **nodes: str) -> Any:
    raw: dict[str, Any] = {
        "metadata": {"name": "llama", "creationTimestamp": ago(age)},
        "spec": {"sourceModelUri": "hf://meta/llama", "modelSize": "15Gi", "nodeGroups": ["h100"]},
        **(
            {"status": {"nodeStatus": nodes, "inferenceServices": [{"name": "chat", "namespace": "n"}]}}
            if nodes
            else {}
        ),
    }
    return LOCAL_MODEL_CACHES.items.decode(json.dumps(raw))


@pytest.mark.parametrize(
    ("nodes", "verdict", "words"),
    [
        ({"a": "NodeDownloaded", "b": "NodeDownloaded"}, Verdict.SERVING, "on all 2 nodes; used by 1"),
        ({"a": "NodeDownloaded", "b": "NodeDownloading"}, Verdict.STARTING, "on 1 of 2 nodes, downloading on 1"),
        ({"a": "NodeDownloaded", "b": "NodeDownloadError"}, Verdict.DEGRADED, "failed on b"),
        ({"a": "NodeDownloadError"}, Verdict.FAILED, "on 0 of 1 nodes"),
        ({"a": "NodeDownloaded", "b": "NodeNotReady"}, Verdict.DEGRADED, "1 nodes are not ready"),
        ({}, Verdict.STUCK, "no node downloads it"),
    ],
)
def test_a_cache_is_as_good_as_the_nodes_that_have_its_files(
    nodes: dict[str, str], verdict: Verdict, words: str
) -> None:
    row = cache_row("prod", _cache(**nodes), NOW)
    assert (row.verdict, row.key) == (verdict, "prod//cache:llama")
    assert words in row.reason
    assert len(cache_nodes(_cache(**nodes))) == len(nodes)


def test_a_cache_that_was_just_made_waits() -> None:
    assert cache_row("prod", _cache(age=5), NOW).verdict is Verdict.STARTING


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=30), max_size=5))
def test_no_word_of_a_controller_breaks_a_row(nodes: dict[str, str]) -> None:
    row = cache_row("prod", _cache(**nodes) if all(nodes) else _cache(), NOW)
    assert row.reason and "\x1b" not in row.reason


def test_what_is_left_out_is_no_trouble() -> None:
    bare = LLM_INFERENCE_SERVICES.items.decode(b'{"metadata": {"name": "x", "namespace": "n"}}')
    assert as_inference_service(bare).status is None
    assert _board(bare)[0].rows()[0].verdict is Verdict.STARTING
