"""The pure parts of the demo's control plane: quantities, scheduling, rollout steps, the load over time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.demo.gpus import Wave
from backend.demo.objects import Object
from backend.demo.workloads_nodes import Node, place
from backend.demo.workloads_pods import Pod, Stage, back_off_seconds
from backend.demo.workloads_quantities import quantity, requests_of
from backend.demo.workloads_rollout import limits, next_step
from tests.fakes.demo_controller import Cluster, reference, service


@pytest.mark.parametrize(
    ("text", "value"),
    [("48Gi", 48 * 2**30), ("500m", 0.5), ("2", 2), (8, 8), ("1e3", 1000), ("1.5G", 1.5e9), ("", 0), ("lots", 0)],
)
def test_quantities(text: object, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_a_limit_counts_as_the_request_that_is_missing() -> None:
    containers = [
        {"resources": {"limits": {"cpu": "2", "memory": "4Gi"}, "requests": {"cpu": "1"}}},
        {"resources": {"limits": {"cpu": "500m"}}},
        {},
    ]
    assert requests_of({"containers": containers}) == {"cpu": 1.5, "memory": 4 * 2**30}


def test_pods_are_packed_so_that_whole_nodes_stay_free() -> None:
    nodes = [
        Node("a", {}, (), {"nvidia.com/gpu": 8.0}, used={"nvidia.com/gpu": 1.0}),
        Node("b", {}, (), {"nvidia.com/gpu": 8.0}, used={"nvidia.com/gpu": 5.0}),
        Node("c", {}, (), {"nvidia.com/gpu": 8.0}),
    ]
    spec = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    assert place(spec, nodes).node == "b"
    spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "8"
    assert place(spec, nodes).node == "c"


def test_a_taint_needs_its_toleration() -> None:
    taint = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}
    nodes = [Node("a", {}, (taint,), {"cpu": 4.0})]
    spec: Object = {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    assert place(spec, nodes).message.startswith("0/1 nodes are available: 1 node(s) had untolerated taint(s).")
    spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Equal", "value": "false"}]
    assert place(spec, nodes).node is None
    spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Equal", "value": "true"}]
    assert place(spec, nodes).node == "a"


def test_back_off_doubles_up_to_five_minutes() -> None:
    assert [back_off_seconds(count) for count in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def _pod(number: int, template_hash: str, ready: bool) -> Pod:
    pod = Pod("n", f"p{number}", "s", "r", "u", template_hash, {"containers": [{}]}, {}, {}, 0.0, number)
    pod.stage = Stage.READY if ready else Stage.LOADING
    return pod


_PODS = st.lists(st.tuples(st.sampled_from(["old", "new"]), st.booleans()), max_size=8)
_SHARE = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda share: f"{share}%"))


@given(_PODS, st.integers(0, 6), _SHARE, _SHARE)
def test_a_rolling_step_keeps_its_promises(
    pods: list[tuple[str, bool]], replicas: int, surge: int | str, unavailable: int | str
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    existing = [_pod(number, *one) for number, one in enumerate(pods)]
    step = next_step(existing, "new", replicas, strategy)
    most, missing = limits(strategy, replicas)
    if step.create:
        assert len(existing) + step.create <= replicas + most
    ready = sum(pod.is_ready for pod in existing)
    left = sum(pod.is_ready for pod in existing if pod not in step.remove)
    removed_old = [pod for pod in step.remove if pod.hash == "old" and pod.is_ready]
    if removed_old:
        assert left >= replicas - missing or left >= ready - len(step.remove)
        assert ready - len(removed_old) >= replicas - missing


@given(st.integers(1, 6), _SHARE, _SHARE, st.booleans())
def test_every_rollout_comes_to_its_end(
    replicas: int, surge: int | str, unavailable: int | str, recreate: bool
) -> None:
    strategy: Object = {"type": "Recreate"}
    if not recreate:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    pods = [_pod(number, "old", True) for number in range(replicas)]
    for number in range(100, 200):
        step = next_step(pods, "new", replicas, strategy)
        if not step.create and not step.remove:
            break
        pods = [pod for pod in pods if pod not in step.remove]
        pods += [_pod(1000 * number + count, "new", True) for count in range(step.create)]
    assert [pod.hash for pod in pods] == ["new"] * replicas


@given(st.floats(0, 5), st.floats(0, 0.95), st.text(max_size=5), st.floats(0, 2e9), st.floats(0, 60))
def test_the_integral_of_the_load_grows_by_its_value(
    base: float, swing: float, key: str, start: float, seconds: float
) -> None:
    wave = Wave(base, swing, key)
    steps = 400
    width = seconds / steps
    summed = math.fsum(wave.value(start + (step + 0.5) * width) * width for step in range(steps))
    assert wave.integral(start, start + seconds) == pytest.approx(summed, rel=1e-3, abs=1e-3)
    assert wave.integral(start, start + seconds) >= 0
    assert wave.integral(start + 1, start) == 0


_TEXT = st.text(alphabet="abc-=:/@{}.9", max_size=8)
_CONTAINER = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["kserve-container", "other"]),
        "image": st.one_of(_TEXT, st.sampled_from([reference(), "registry.demo:5000/vllm/vllm-openai"])),
        "args": st.one_of(st.none(), st.lists(st.one_of(_TEXT, st.sampled_from(["--model", "--max-model-len=x"])))),
        "command": st.one_of(st.none(), st.lists(_TEXT, max_size=2), st.just(["vllm", "serve"])),
        "env": st.one_of(st.none(), st.lists(st.fixed_dictionaries({"name": _TEXT}))),
        "ports": st.one_of(st.none(), st.just([]), st.just([{"containerPort": 8000}])),
        "resources": st.one_of(
            st.none(),
            st.dictionaries(
                st.sampled_from(["limits", "requests"]),
                st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), _TEXT | st.integers(-1, 9)),
            ),
        ),
    },
)
_PREDICTOR = st.fixed_dictionaries(
    {},
    optional={
        "containers": st.lists(_CONTAINER, max_size=2),
        "model": st.fixed_dictionaries({}, optional={"runtime": _TEXT, "args": st.none(), "storageUri": _TEXT}),
        "minReplicas": st.one_of(st.none(), st.integers(-1, 3)),
        "deploymentStrategy": st.one_of(st.none(), st.just({}), st.just({"type": "Recreate"})),
        "nodeSelector": st.one_of(st.none(), st.just({"a": "b"})),
        "tolerations": st.one_of(st.none(), st.just([{"operator": "Exists"}])),
    },
)


@settings(max_examples=30, deadline=None)
@given(st.lists(_PREDICTOR, min_size=1, max_size=3))
def test_whatever_a_client_writes_the_control_plane_goes_on(predictors: list[Object]) -> None:
    cluster = Cluster()
    for predictor in predictors:
        cluster.apply({"metadata": {"name": "odd", "namespace": "llm-prod"}, "spec": {"predictor": predictor}})
        cluster.advance(20)
        for pod in cluster.pods("odd"):
            name = pod["metadata"]["name"]
            cluster.demo.logs("llm-prod", name, None, False, 5)
            cluster.demo.proxy("llm-prod", name, 8000, "/metrics")
    cluster.apply(service())
    cluster.advance(10)
    assert cluster.ready("chat") == 1 or cluster.events("FailedScheduling")
