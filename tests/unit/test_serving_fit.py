"""Runtimes that suit an image, a deployment as the scheduler sees it, and what quotas and queues say against it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import pytest

from backend.cluster.capacity_objects import ClusterQueue, LocalQueue
from backend.cluster.platform_objects import PriorityClass, ResourceQuota
from backend.serving.deployment import DeploymentFile
from backend.serving.fit_ask import ask_of, fit_view, gpu_type
from backend.serving.fit_limits import queue_refusal, quota_refusals
from backend.serving.model_size import model_size
from backend.serving.runtime_fit import ServedImage, runtime_fits
from backend.telemetry.fit import check
from backend.telemetry.fit_types import UNIT, Host, Tenant
from tests.fakes.serving_objects import runtime as serving_runtime

GPU = "nvidia.com/gpu"
DIGEST = "sha256:" + "4f" * 32
_T = TypeVar("_T")


def _of(kind: type[_T], name: str, **fields: Any) -> _T:
    return msgspec.convert({"metadata": {"name": name, "namespace": "n"}, **fields}, kind)


def _file(**more: Any) -> DeploymentFile:
    base = {"name": "chat", "namespace": "n", "image": f"r.example/vllm-openai@{DIGEST}", "resources": {"gpu": 2}}
    return DeploymentFile.model_validate({**base, **more})


def _host(name: str, free: int, **more: Any) -> Host:
    labels = {"nvidia.com/gpu.compute.major": "9", "nvidia.com/gpu.compute.minor": "0", **more.pop("labels", {})}
    room = {GPU: free * UNIT, "pods": 100 * UNIT}
    return Host(name=name, allocatable={GPU: 8 * UNIT, "pods": 110 * UNIT}, free=room, labels=labels, **more)


# ------------------------------------------------------------ runtimes


def test_runtimes_that_suit_come_first_and_the_others_say_why_not() -> None:
    runtimes = [
        serving_runtime("vllm-0.26", containers=[{"name": "kserve-container", "image": "r.example/vllm-openai:1"}]),
        serving_runtime("vllm-0.27", containers=[{"name": "kserve-container", "image": "r.example/vllm-openai:1"}]),
        serving_runtime("vllm-0.28", disabled=True, containers=[{"image": "r.example/vllm-openai:1"}]),
        serving_runtime("vllm-0.1", "n", containers=[{"image": "r.example/vllm-openai:1"}]),
        serving_runtime("vllm-other", "elsewhere", containers=[{"image": "r.example/vllm-openai:1"}]),
        serving_runtime("triton", containers=[{"image": "r.example/tritonserver:1"}]),
        serving_runtime("odd", containers=[{"image": "r.example/odd:1"}]),
    ]
    image = ServedImage(image=f"r.example/org/server@{DIGEST}", framework="vllm", type="chat")
    fits = runtime_fits(image, "n", runtimes)
    assert [fit.name for fit in fits if not fit.wrong] == ["vllm-0.1", "vllm-0.27", "vllm-0.26"]
    why = {fit.name: fit.wrong for fit in fits}
    assert why["vllm-0.28"] == "it is disabled, and KServe will not use it"
    assert why["triton"] == "it starts triton, and the image is vllm"
    assert why["odd"] == "it does not tell that it starts vllm"
    assert "vllm-other" not in why
    several = {fit.name: fit.wrong for fit in runtime_fits(image, "n", runtimes, several_nodes=True)}
    assert "no workerSpec" in several["vllm-0.27"]


def test_a_namespaces_runtime_hides_the_clusters_of_the_same_name() -> None:
    image = ServedImage(image="r.example/vllm:1")
    both = [
        serving_runtime("r", containers=[{"image": "r.example/vllm:1"}]),
        serving_runtime("r", "n", disabled=True, containers=[{"image": "r.example/vllm:1"}]),
    ]
    for runtimes in (both, both[::-1]):
        (fit,) = runtime_fits(image, "n", runtimes)
        assert (fit.namespace, bool(fit.wrong)) == ("n", True)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (ServedImage(image="r.example/x:1", kind="modelpack"), "holds weights and no server"),
        (
            ServedImage(image="r.example/x:1", framework="tgi", type="embedding"),
            "tgi does not serve models for embedding",
        ),
        (ServedImage(image="r.example/x:1", framework="tgi", type="chat"), ""),
        (ServedImage(image="r.example/x:1"), "nothing tells that the image is that"),
    ],
)
def test_kind_framework_and_type_have_to_suit(image: ServedImage, words: str) -> None:
    (fit,) = runtime_fits(image, "n", [serving_runtime("tgi-3", containers=[{"image": "r.example/tgi:1"}])])
    assert words in fit.wrong if words else not fit.wrong


# ------------------------------------------------------------ what is asked


def test_a_file_becomes_what_the_scheduler_sees() -> None:
    classes = [
        _of(PriorityClass, "high", value=1000, preemptionPolicy="Never"),
        _of(PriorityClass, "usual", value=10, globalDefault=True),
    ]
    file = _file(
        replicas={"min": 3}, priorityClass="high", nodeSelector={"zone": "a"},
        tolerations=[{"key": "k", "effect": "NoSchedule"}],
        topologySpread=[{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}, {"topologyKey": "host"}],
        resources={"gpu": 2, "cpu": "500m", "memory": "1Gi", "ephemeralStorage": "10Gi"},
    )  # fmt: skip
    ask = ask_of(file, priorities=classes)
    assert ask.amounts == {
        GPU: 2 * UNIT, "cpu": 500, "memory": (1 << 30) * UNIT, "ephemeral-storage": (10 << 30) * UNIT, "pods": UNIT,
    }  # fmt: skip
    assert (ask.pods, ask.gpus, ask.priority, ask.preempts) == (3, 2, 1000, False)
    assert [each.key for each in ask.spread] == ["zone"]
    assert [each.key for each in ask.tolerations] == ["k", GPU]
    assert ask_of(_file(), priorities=classes).priority == 10
    workers = _file(
        runtime="r", model={"storageUri": "pvc://a/b"}, resources={"gpu": 8}, replicas={"min": 2},
        workers={"pipelineParallelSize": 2, "tensorParallelSize": 8},
    )  # fmt: skip
    assert ask_of(workers).pods == 4
    assert ask_of(_file(resources={"gpu": 1, "gpuResource": "nvidia.com/mig-1g.10gb"})).tolerations[-1].key == GPU


@pytest.mark.parametrize(
    ("more", "pods", "replaces"),
    [
        ({"replicas": {"min": 0}}, 0, "n/chat"),
        ({"replicas": {"min": 0}, "mode": "Knative"}, 1, ""),
        ({"replicas": {"min": 2}, "mode": "Knative"}, 2, ""),
        ({"replicas": {"min": 2}}, 2, "n/chat"),
    ],
)
def test_the_first_pod_after_zero_and_a_revision_beside_the_old_one_need_room(
    more: dict[str, Any], pods: int, replaces: str
) -> None:
    ask = ask_of(_file(**more))
    assert (ask.pods, ask.replaces) == (pods, replaces)


def test_the_gpus_that_it_would_get_are_those_with_the_least_memory() -> None:
    hosts = [
        _host("a", 8, gpu_memory=80 << 30, product="H100", labels={"zone": "a"}),
        _host("b", 8, gpu_memory=40 << 30, product="A100", labels={"zone": "b"}),
        _host("c", 8, gpu_memory=None),
    ]
    found = gpu_type(ask_of(_file()), hosts)
    assert found is not None
    assert (found.product, found.memory, found.compute, found.per_node) == ("A100", 40 << 30, (9, 0), 8)
    chosen = gpu_type(ask_of(_file(nodeSelector={"zone": "a"})), hosts)
    assert chosen is not None
    assert chosen.product == "H100"
    assert gpu_type(ask_of(_file()), hosts[2:]) is None


# ------------------------------------------------------------ what comes of it


def test_what_would_have_to_go_is_told_by_service() -> None:
    tenants = [
        Tenant(namespace="n", pod=f"old-{n}", node="a", amounts={GPU: 4 * UNIT}, service="old", idle=timedelta(hours=5))
        for n in range(2)
    ]
    found = check(ask_of(_file(resources={"gpu": 8})), [_host("a", 0)], tenants)
    view = fit_view(found, size=None)
    assert (view.verdict, view.sentence) == ("waits", "8 GPUs: none free")
    (room,) = view.goes
    assert (room.namespace, room.name, room.pods, room.gpus, room.reason) == (
        "n",
        "old",
        2,
        8,
        "idle for 5 h, priority 0",
    )
    assert not view.by_itself


def test_a_model_that_is_too_large_for_the_gpus_is_told() -> None:
    size = model_size(parameters="70b", family="llama")
    view = fit_view(check(ask_of(_file(), size=size), [_host("a", 8, gpu_memory=40 << 30)]), size=size)
    assert view.verdict == "never"
    assert "its GPUs hold 40 GiB each" in view.sentence
    assert view.memory.startswith("70 billion parameters of bf16 take 130 GiB: each GPU has to have")


def test_room_on_the_nodes_is_not_enough_where_a_quota_says_no() -> None:
    view = fit_view(check(ask_of(_file()), [_host("a", 8)]), size=None, quota=("quota q leaves 1 GPU",))
    assert (view.verdict, view.sentence) == ("waits", "the nodes have room, but quota q leaves 1 GPU")


# ------------------------------------------------------------ quotas and queues


def _quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> ResourceQuota:
    return _of(ResourceQuota, "q", spec={"hard": hard, **spec}, status={"hard": hard, "used": used})


@pytest.mark.parametrize(
    ("hard", "used", "words"),
    [
        ({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "7"}, "leaves 1 GPU of 8 GPUs"),
        ({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "6"}, ""),
        ({"pods": "3"}, {"pods": "3"}, "leaves 0 pods of 3 pods"),
        ({"limits.memory": "4Gi"}, {"limits.memory": "3Gi"}, "(limits.memory), and 2 GiB memory are asked for"),
        ({"memory": "4Gi"}, {"memory": "3Gi"}, ""),
        ({"configmaps": "1"}, {"configmaps": "1"}, ""),
    ],
)
def test_what_a_quota_leaves_is_counted(hard: dict[str, str], used: dict[str, str], words: str) -> None:
    file = _file(resources={"gpu": 2, "memory": "1Gi", "memoryLimit": "2Gi"})
    told = quota_refusals(file, ask_of(file), [_quota(hard, used)])
    assert words in told[0] if words else told == ()


def test_a_quota_counts_by_its_scope_and_gives_back_what_is_replaced() -> None:
    file = _file()
    full = _quota({"requests.nvidia.com/gpu": "2"}, {"requests.nvidia.com/gpu": "2"})
    present = [Tenant(namespace="n", pod="p", node="a", amounts={GPU: 2 * UNIT}, service="chat")]
    assert quota_refusals(file, ask_of(file), [full])
    assert quota_refusals(file, ask_of(file), [full], present) == ()
    scoped = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
    of_class = _quota({"pods": "0"}, {}, scopeSelector=scoped)
    assert quota_refusals(file, ask_of(file), [of_class]) == ()
    high = _file(priorityClass="high")
    assert quota_refusals(high, ask_of(high), [of_class])
    assert quota_refusals(file, ask_of(file), [_quota({"pods": "0"}, {}, scopes=["Terminating"])]) == ()


def _queues(nominal: str, used: str, **more: Any) -> tuple[LocalQueue, ClusterQueue]:
    flavor = {"name": "f", "resources": [{"name": GPU, "nominalQuota": nominal}]}
    usage = {"name": "f", "resources": [{"name": GPU, "total": used}]}
    above = {
        "spec": {"resourceGroups": [{"coveredResources": [GPU], "flavors": [flavor]}], **more},
        "status": {"flavorsReservation": [usage], "pendingWorkloads": 2},
    }
    return _of(LocalQueue, "q", spec={"clusterQueue": "cq"}), _of(ClusterQueue, "cq", **above)


def test_what_a_queue_has_left_is_counted() -> None:
    file = _file(queue="q", replicas={"min": 2})
    local, above = _queues("8", "5")
    told = queue_refusal(file, ask_of(file), [local], [above])
    assert told == ("queue q has 3 GPUs left in cluster queue cq, and 4 GPUs are asked for, and 2 wait there already")
    assert queue_refusal(file, ask_of(file), *([each] for each in _queues("8", "4"))) == ""
    assert "what its cohort c could lend" in queue_refusal(
        file, ask_of(file), *([each] for each in _queues("8", "8", cohortName="c"))
    )
    assert "is on hold" in queue_refusal(file, ask_of(file), *([each] for each in _queues("8", "0", stopPolicy="Hold")))
    assert queue_refusal(file, ask_of(file), [], []) == "the namespace has no queue q"
    assert "cannot be seen" in queue_refusal(file, ask_of(file), [local], [])
    assert queue_refusal(_file(), ask_of(_file()), [], []) == ""
