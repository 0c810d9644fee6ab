"""LLMInferenceServices by commands: listed, shown, stopped, weighed; filters and logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.demo.objects import ObjectStore
from backend.demo.resources import LLM_INFERENCE_SERVICES
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, PATIENCE, World, running_world, until_serving


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        for name, weight in (("qwen", 9), ("qwen-next", 1)):
            world.cluster.do(
                lambda store, name=name, weight=weight: store.put(LLM_INFERENCE_SERVICES, llm(name, weight))
            )
        yield world


def _put(made: dict[str, Any], store: ObjectStore) -> None:
    store.put(LLM_INFERENCE_SERVICES, made)


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def llm(name: str, weight: int) -> dict[str, Any]:
    """An LLMInferenceService that shares the traffic of a group."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"uri": "hf://Qwen/Qwen2.5-7B-Instruct", "name": "Qwen/Qwen2.5-7B-Instruct"},
            "replicas": 1,
            "router": {"route": {"group": "qwen", "weight": weight}, "gateway": {}, "scheduler": {}},
        },
    }


def until(place: Place, name: str, **fields: Any) -> dict[str, Any]:
    """Wait until a service's row has these fields."""
    deadline = time.monotonic() + PATIENCE
    while True:
        row: dict[str, Any] = place.json("deploy", "status", name)["service"]
        if all(row[key] == value for key, value in fields.items()):
            return row
        assert time.monotonic() < deadline, row


def test_an_llm_inference_service_is_listed_weighed_stopped_and_started(world: World, place: Place) -> None:
    listed = {one["name"]: one for one in place.json("deploy", "status", "--filter", "kind:llm")}
    assert set(listed) == {"qwen", "qwen-next"}
    assert listed["qwen"]["traffic"] == "qwen 90% (weight 9 of 10)"
    assert not place.json("deploy", "status", "--filter", "kind:inferenceservice")

    place.json("deploy", "weigh", "llm:qwen", "4", "--yes")
    assert until(place, "llm:qwen")["traffic"] == "qwen 80% (weight 4 of 5)"
    assert place.run("deploy", "weigh", "llm:qwen", "4", "--yes", "--read-only").code == 3
    assert place.run("deploy", "weigh", "llm:none", "4", "--yes").code == 5

    stopped = place.json("deploy", "stop", f"{NAMESPACE}/llm:qwen", "--yes")
    assert stopped["objects"] == [f"LLMInferenceService {NAMESPACE}/qwen"]
    until(place, "qwen", verdict="stopped")
    place.json("deploy", "start", "llm:qwen", "--yes")
    until(place, "qwen", wanted_replicas=1)
    refused = place.run("deploy", "delete", "llm:qwen", "--yes")
    assert refused.code == 2 and "this cannot be done to it" in refused.error
    for words, told in (
        (("deploy", "export", "qwen"), "a deployment file describes InferenceServices only"),
        (("deploy", "rollback", "qwen", "--yes"), "snapshots are taken of InferenceServices only"),
    ):
        refused = place.run(*words)
        assert refused.code == 2 and told in refused.error
    entries = place.json("audit", "list", "--object", f"robin/{NAMESPACE}/llm:qwen")
    assert {"deploy.weigh", "deploy.stop", "deploy.start"} <= {entry["action"] for entry in entries}


def test_a_field_that_does_not_exist_is_no_filter(place: Place) -> None:
    asked = place.run("deploy", "status", "--filter", "colour:red")
    assert asked.code == 2 and "there is no such field" in asked.error
    assert place.run("deploy", "status", "x", "--filter", "ns:y").code == 2


def test_the_log_of_a_service_is_printed_and_its_pods_can_be_named(world: World, place: Place) -> None:
    world.deployed(place, "talks")
    until_serving(place, "talks")
    told = place.run("deploy", "logs", "talks", "--tail", "5")
    assert told.code == 0 and len(told.out.splitlines()) == 5
    assert "talks-predictor" in told.err
    unknown = place.run("deploy", "logs", "talks", "--pod", "other")
    assert unknown.code == 5 and "its pods: talks-predictor" in unknown.error
    assert place.run("deploy", "logs", "talks", "--previous", "--follow").code == 2
    assert place.run("deploy", "logs", "talks", "-o", "json").code == 2
