"""Cold starts: their steps, how far a server is by its log, and what earlier starts say of the next one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.flows.start_history import StartHistory
from backend.serving.board import ServiceBoard
from backend.serving.pod_starts import loading_pod
from backend.serving.starts import Load, Start, load_of, start_of, timeline, usual_of
from tests.fakes.serving_objects import DIGEST, NOW, ago, deployment, event, pod, service, waiting
from tests.fakes.store import open_database

SHARDS = (
    "(EngineCore_DP0 pid=104) INFO 11-20 12:00:00 [gpu_model_runner.py:2653] Starting to load model meta/llama...\n"
    "\rLoading safetensors checkpoint shards:   0% Completed | 0/18 [00:00<?, ?it/s]"
    "\rLoading safetensors checkpoint shards:  61% Completed | 11/18 [00:20<00:12,  1.8it/s]"
)


@pytest.mark.parametrize(
    ("log", "told", "loaded"),
    [
        ("", "", False),
        ("INFO vLLM API server version 0.27.1", "", False),
        ("INFO Starting to load model meta/llama...", "loading weights", False),
        (SHARDS, "weights 61%", False),
        ("Fetching 14 files:  35%|███▌      | 5/14 [00:10<00:18]", "downloading weights 35%", False),
        ("model-00001-of-00004.safetensors:  45%|████▌     | 2.2G/4.9G", "downloading weights 45%", False),
        (
            SHARDS + "\nINFO [loader.py:267] Loading weights took 21.7 seconds",
            "weights loaded, warming up",
            True,
        ),
        ("Loading weights took 21.7 seconds\nAvailable KV cache memory: 41.22 GiB", "warming up", True),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  45%|████", "capturing graphs 45%", False),
        ("INFO init engine (profile, create kv cache, warmup model) took 52 s", "starting its server", False),
    ],
)
def test_a_log_tells_how_far_a_server_is(log: str, told: str, loaded: bool) -> None:
    assert load_of(log) == Load(told=told, weights_loaded=loaded)


@given(st.text())
def test_no_log_breaks_the_reading(log: str) -> None:
    assert len(load_of(log).told) < 40


def test_the_steps_of_a_start_add_up_and_name_what_is_not_measured() -> None:
    ready = pod(ready=True, age=100)
    steps = timeline(ready, [event("Pulled", "pulled it", seconds=80)], weights_at=NOW - timedelta(seconds=60))
    assert [(step.name, step.seconds) for step in steps] == [
        ("created", None),
        ("scheduled", 0),
        ("pulled", 20),
        ("weights", 20),
        ("loaded", 10),
        ("first token", None),
    ]
    assert steps[-1].note.startswith("not measured")
    assert timeline(ready, [])[3].note.startswith("not measured")
    early = timeline(pod(phase="Pending", state=waiting("ContainerCreating")), [])
    assert [step.at is None for step in early] == [False, False, True, True, True, True]
    assert not any(step.note for step in early)
    assert timeline(None, []) == ()


def test_an_initializer_tells_when_the_weights_were_there() -> None:
    done = {"name": "storage-initializer", "state": {"terminated": {"exitCode": 0, "finishedAt": ago(70)}}}
    assert timeline(pod(ready=True, age=100, init=[done]), [])[3].at == NOW - timedelta(seconds=70)


def test_only_a_first_start_of_a_known_image_is_a_cold_start() -> None:
    found = start_of(pod(ready=True, age=100), [], service="c/n/s", gpu_type="H100")
    assert found is not None
    assert (found.digest, found.total, found.gpu_type) == (DIGEST, 50, "H100")
    assert start_of(pod(ready=True, age=100, restarts=1), [], service="s", gpu_type="") is None
    assert start_of(pod(age=100), [], service="s", gpu_type="") is None
    assert start_of(pod(ready=True, age=100, image="vllm/vllm-openai:v1"), [], service="s", gpu_type="") is None
    assert start_of(pod(ready=True, age=200_000), [], service="s", gpu_type="") is None


def _start(number: int, total: float, gpu_type: str = "H100") -> Start:
    return Start(
        pod=f"pod-{number}", digest=DIGEST, gpu_type=gpu_type, service="c/n/s", loaded_at=NOW + timedelta(hours=number),
        scheduled=1.0, pulled=None, weights=total / 2, total=total,
    )  # fmt: skip


def test_what_is_usual_is_the_median_of_what_was_seen() -> None:
    usual = usual_of([_start(1, 100), _start(2, 300), _start(3, 140)])
    assert usual is not None
    assert (usual.total, usual.weights, usual.pulled, usual.number) == (140, 70, None, 3)
    assert usual_of([]) is None
    steps = timeline(pod(age=60), [], usual=usual)
    assert [step.usual for step in steps] == [None, 1, None, 69, 70, None]


async def test_starts_are_kept_over_processes_the_newest_of_each_image_and_gpu(tmp_path: Path) -> None:
    async with open_database(tmp_path / "yard.db") as database:
        history = StartHistory(database)
        await history.read()
        await history.keep([_start(number, 100 + number) for number in range(30)])
        await history.keep([_start(100, 900, "L40S"), _start(29, 5)])
        again = StartHistory(database)
        await again.read()
        for held in (history, again):
            assert held.usual("sha256:unknown", "H100") is None
            usual, other = held.usual(DIGEST, "H100"), held.usual(DIGEST, "A100")
            assert usual is not None and other is not None
            assert (usual.number, usual.total) == (20, 119.5)
            assert other.number == 21


def test_a_board_tells_what_starts_and_estimates_the_next_by_them() -> None:
    board = ServiceBoard("prod")
    board.set_gpu_types({"gpu-0": "H100"})
    board.set_estimator(lambda digest, gpu_type: usual_of([_start(1, 300)]) if gpu_type == "H100" else None)
    board.reset_services([service(ready="False", age=200)])
    board.reset_deployments([deployment()])
    board.put_pod(pod(age=180))
    (row,) = board.refresh(NOW).rows
    assert row.reason == "loading the model, 3 of ~5 min"
    (loading,) = board.loading_pods()
    assert loading == loading_pod(pod(age=180))
    assert board.put_load(loading, load_of(SHARDS), NOW)
    assert not board.put_load(loading, load_of(SHARDS), NOW)
    (row,) = board.refresh(NOW).rows
    assert row.reason == "weights 61%, 3 of ~5 min"
    assert board.finished_starts() == []
    board.put_load(loading, Load(told="warming up", weights_loaded=True), NOW - timedelta(seconds=100))
    board.put_pod(pod(ready=True, age=180))
    (start,) = board.finished_starts()
    assert (start.total, start.weights, start.gpu_type, start.service) == (90, 80, "H100", "prod/llm-prod/llama")
    assert board.finished_starts() == []
    assert board.loading_pods() == []


def test_a_start_that_was_told_twice_is_one() -> None:
    first = start_of(pod(ready=True, age=100), [], service="s", gpu_type="")
    assert first is not None and msgspec.structs.replace(first, service="t").pod == first.pod
