"""The verdict on services in every state that `Ready` and `modelStatus` hide."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.resources import DEPLOYMENTS, INFERENCE_SERVICES, PODS
from backend.core.views import Verdict
from backend.serving.verdict import Judgement, judge
from tests.fakes.serving_objects import (
    NOW,
    ago,
    condition,
    deployment,
    event,
    pod,
    service,
    terminated,
    waiting,
)

KV_CACHE = (
    "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed,"
    " which is larger than the available KV cache memory (7.50 GiB). Based on the available memory, the estimated"
    " maximum model length is 61440."
)
NO_GPU = (
    "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: 4 No preemption"
    " victims found for incoming pod."
)
DEADLINE = condition("Progressing", "False", 100, "ProgressDeadlineExceeded", "has timed out progressing")
FAILED_BEFORE = {"lastFailureInfo": {"reason": "ModelLoadFailed", "message": "old trouble"}}


def _judge(service_: Any, deployments: Any = (), pods: Any = (), events: Any = ()) -> Judgement:
    return judge(service_, deployments, pods, events, NOW)


def test_a_serving_service() -> None:
    pods = [pod("a", ready=True), pod("b", ready=True)]
    judged = _judge(service(ready="True"), [deployment(replicas=2, ready=2)], pods)
    assert (judged.verdict, judged.reason) == (Verdict.SERVING, "2 of 2 replicas serve")
    assert (judged.ready, judged.wanted) == (2, 2)
    assert judged.settled


def test_stopped_by_annotation_whatever_else_is_said() -> None:
    stopped = service(ready="True", annotations={"serving.kserve.io/stop": "true"})
    assert _judge(stopped).verdict is Verdict.STOPPED
    ending = _judge(stopped, [], [pod(ready=True)])
    assert ending.verdict is Verdict.STOPPED
    assert "1 pod still ending" in ending.reason
    assert ending.wanted == 0


def test_an_invalid_spec_says_why() -> None:
    judged = _judge(
        service(
            ready="False",
            model_status={
                "transitionStatus": "InvalidSpec",
                "lastFailureInfo": {
                    "reason": "RuntimeNotRecognized",
                    "message": "Waiting for runtime to become available",
                },
            },
        )
    )
    assert judged.verdict is Verdict.FAILED
    assert "Waiting for runtime" in judged.reason
    assert judged.next_step == "make the runtime, or correct its name"


@pytest.mark.parametrize("transition", ["UpToDate", "InProgress"])
def test_a_failure_that_was_overcome_is_not_shown(transition: str) -> None:
    judged = _judge(
        service(ready="True", model_status={"transitionStatus": transition, **FAILED_BEFORE}),
        [deployment(ready=1)],
        [pod(ready=True)],
    )
    assert judged.verdict is Verdict.SERVING
    assert "old trouble" not in judged.reason


def test_a_failed_load_is_shown_while_it_blocks() -> None:
    blocked = service(ready="False", model_status={"transitionStatus": "BlockedByFailedLoad", **FAILED_BEFORE})
    assert _judge(blocked).verdict is Verdict.FAILED
    assert "old trouble" in _judge(blocked).reason
    serving = _judge(blocked, [deployment(ready=1)], [pod(ready=True)])
    assert serving.verdict is Verdict.DEGRADED


@pytest.mark.parametrize(
    ("message", "words", "step"),
    [
        ('failed to resolve reference "r.example/x@sha256:1": not found', "does not have the image", "digest"),
        ("pull access denied, repository does not exist or may require authorization", "refuses", "imagePullSecrets"),
        ("dial tcp: lookup r.example: no such host", "cannot reach the registry", "network"),
        ("429 Too Many Requests - toomanyrequests", "limits the rate", "mirror"),
        ("x509: certificate signed by unknown authority", "certificate", "authority"),
    ],
)
def test_an_image_that_cannot_be_pulled_reads_as_pending_and_is_a_failure(message: str, words: str, step: str) -> None:
    judged = _judge(
        service(ready="False", model_status={"transitionStatus": "InProgress"}),
        [deployment()],
        [pod(phase="Pending", state=waiting("ImagePullBackOff", message))],
    )
    assert judged.verdict is Verdict.FAILED
    assert words in judged.reason
    assert step in judged.next_step


def test_a_pull_failure_is_found_in_the_events_when_the_pod_only_backs_off() -> None:
    judged = _judge(
        service(ready="False"),
        [],
        [pod(phase="Pending", state=waiting("ImagePullBackOff"))],
        [event("Failed", "Failed to pull image: manifest unknown")],
    )
    assert "does not have the image" in judged.reason


def test_no_free_gpu_reads_as_pending_and_is_stuck() -> None:
    judged = _judge(
        service(ready="False"),
        [deployment()],
        [pod(phase="Pending", gpus=2, scheduled=condition("PodScheduled", "False", 300, "Unschedulable", NO_GPU))],
    )
    assert judged.verdict is Verdict.STUCK
    assert judged.reason == "no node has 2 free nvidia.com/gpu (of 4 nodes, 4 lack it)"
    assert judged.since is not None


def test_a_pod_held_back_for_quota_is_stuck() -> None:
    gated = condition("PodScheduled", "False", 300, "SchedulingGated", "Scheduling is blocked")
    judged = _judge(service(ready="False"), [], [pod(phase="Pending", scheduled=gated)])
    assert judged.verdict is Verdict.STUCK
    assert "quota" in judged.reason


def test_a_crash_loop_says_what_the_server_said_last() -> None:
    judged = _judge(
        service(ready="False"),
        [deployment()],
        [pod(state=waiting("CrashLoopBackOff", "back-off 5m0s"), last=terminated(1, KV_CACHE), restarts=4)],
    )
    assert judged.verdict is Verdict.FAILED
    assert judged.reason == "crash loop: KV cache too small for max-model-len 131072"
    assert "--max-model-len" in judged.next_step


def test_out_of_memory_is_told_as_such() -> None:
    judged = _judge(
        service(ready="False"),
        [deployment()],
        [pod(state=waiting("CrashLoopBackOff"), last=terminated(137, reason="OOMKilled"), restarts=2)],
    )
    assert "memory limit" in judged.reason
    assert judged.next_step == "raise resources.memory"


def test_a_pod_that_crashed_while_the_service_still_says_ready() -> None:
    judged = _judge(
        service(ready="True"),
        [deployment(replicas=2, ready=1)],
        [pod("a", ready=True), pod("b", state=waiting("CrashLoopBackOff"), last=terminated(1, "boom"), restarts=3)],
    )
    assert judged.verdict is Verdict.DEGRADED
    assert judged.reason.startswith("1 of 2 serve; 1 pod ails: crash loop: exit code 1: boom")


def test_a_failing_rollout_while_the_old_pods_serve() -> None:
    judged = _judge(
        service(ready="True"),
        [deployment(replicas=1, ready=1)],
        [
            pod("old", ready=True, age=9000, owner="rs-1"),
            pod("new", age=100, owner="rs-2", phase="Pending", state=waiting("ErrImagePull", "not found")),
        ],
    )
    assert judged.verdict is Verdict.DEGRADED
    assert judged.reason.startswith("1 pod serves; the new pod: the image cannot be pulled")


def test_one_crash_is_no_loop_yet() -> None:
    judged = _judge(service(ready="False"), [deployment()], [pod(restarts=1, last=terminated(1, "boom"))])
    assert judged.verdict is Verdict.STARTING
    assert judged.reason == "starting again after a crash: exit code 1: boom"


def test_a_pod_that_recovered_is_well() -> None:
    recovered = pod(ready=True, restarts=5, last=terminated(137, reason="OOMKilled"))
    assert _judge(service(ready="True"), [deployment(ready=1)], [recovered]).verdict is Verdict.SERVING


def test_a_kill_by_the_liveness_probe_is_told_from_the_events() -> None:
    judged = _judge(
        service(ready="False"),
        [deployment()],
        [pod(state=waiting("CrashLoopBackOff"), last=terminated(137), restarts=3)],
        [event("Unhealthy", "Liveness probe failed: context deadline exceeded")],
    )
    assert "killed by its liveness probe" in judged.reason


def test_weights_that_cannot_be_loaded_are_told_from_the_init_container() -> None:
    init = {
        "name": "storage-initializer",
        "ready": False,
        "restartCount": 3,
        "state": waiting("CrashLoopBackOff"),
        "lastState": terminated(1, "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error"),
    }
    judged = _judge(
        service(ready="False"),
        [deployment()],
        [pod(phase="Pending", state=waiting("PodInitializing"), init=[init])],
    )
    assert judged.verdict is Verdict.FAILED
    assert judged.reason.startswith("loading the weights fails: there are no weights")


def test_a_missing_secret_is_stuck_with_its_name() -> None:
    judged = _judge(
        service(ready="False"),
        [],
        [pod(phase="Pending", state=waiting("CreateContainerConfigError", 'secret "hf-secret" not found'))],
    )
    assert judged.verdict is Verdict.STUCK
    assert 'secret "hf-secret" not found' in judged.reason


def test_a_volume_that_does_not_mount_is_told_from_the_events() -> None:
    judged = _judge(
        service(ready="False"),
        [],
        [pod(phase="Pending", state=waiting("ContainerCreating"))],
        [event("FailedMount", 'MountVolume.SetUp failed for volume "cache"')],
    )
    assert judged.verdict is Verdict.STUCK
    assert "cache" in judged.reason


def test_an_evicted_pod_that_was_replaced_matters_no_more() -> None:
    evicted = pod("gone", age=9000, phase="Failed", reason="Evicted", message="low on memory", state={})
    assert _judge(service(ready="True"), [deployment(ready=1)], [evicted, pod(ready=True)]).verdict is Verdict.SERVING
    alone = _judge(service(ready="False"), [deployment()], [evicted])
    assert alone.verdict is Verdict.FAILED
    assert "Evicted: low on memory" in alone.reason


def test_a_first_load_is_a_start_and_no_failure() -> None:
    judged = _judge(service(ready="False", predictor_ready="False", age=200), [deployment()], [pod(age=180)])
    assert judged.verdict is Verdict.STARTING
    assert judged.reason == "loading the model for 3 min"
    assert not judged.settled


def test_the_image_is_being_pulled() -> None:
    judged = _judge(
        service(ready="False", age=60),
        [deployment()],
        [pod(age=50, phase="Pending", state=waiting("ContainerCreating"))],
    )
    assert judged.reason == "pulling the image on gpu-0 for 50 s"


def test_past_the_deadline_with_a_pod_still_loading_is_slow_and_not_failed() -> None:
    judged = _judge(service(ready="False", age=1000), [deployment(conditions=[DEADLINE], deadline=600)], [pod(age=700)])
    assert judged.verdict is Verdict.SLOW_TO_LOAD
    without_condition = _judge(service(ready="False", age=1000), [deployment(deadline=600)], [pod(age=700)])
    assert without_condition.verdict is Verdict.SLOW_TO_LOAD
    longer = _judge(service(ready="False", age=1000), [deployment(deadline=1800)], [pod(age=700)])
    assert longer.verdict is Verdict.STARTING


def test_past_the_deadline_without_a_pod_is_stuck() -> None:
    judged = _judge(service(ready="False"), [deployment(conditions=[DEADLINE])])
    assert judged.verdict is Verdict.STUCK


def test_pods_that_may_not_be_made_are_told() -> None:
    failure = condition("ReplicaFailure", "True", 60, "FailedCreate", 'pods "x" is forbidden: exceeded quota: gpus')
    judged = _judge(service(ready="False"), [deployment(conditions=[failure])])
    assert judged.verdict is Verdict.STUCK
    assert "exceeded quota" in judged.reason


def test_scaled_to_zero_while_the_model_reads_as_pending() -> None:
    idle = {"transitionStatus": "InProgress", "states": {"activeModelState": "", "targetModelState": "Pending"}}
    judged = _judge(service(ready="True", model_status=idle), [deployment(replicas=0)])
    assert judged.verdict is Verdict.SCALED_TO_ZERO
    knative = service(ready="True", model_status=idle, annotations={"serving.kserve.io/deploymentMode": "Knative"})
    assert _judge(knative).verdict is Verdict.SCALED_TO_ZERO
    assert "first request" in _judge(knative).next_step


def test_fewer_replicas_than_wanted() -> None:
    judged = _judge(
        service(ready="True"),
        [deployment(replicas=3, ready=2)],
        [pod("a", ready=True), pod("b", ready=True), pod("c", age=90)],
    )
    assert judged.verdict is Verdict.DEGRADED
    assert judged.reason == "2 of 3 replicas serve; another has been loading for 90 s"
    assert judged.since == NOW - timedelta(seconds=90), "and not as long as the service says that it is ready"


def test_ready_lags_behind_a_rollout_that_stopped_the_only_replica() -> None:
    judged = _judge(service(ready="True"), [deployment(replicas=1)], [pod(age=20)])
    assert judged.verdict is Verdict.STARTING


def test_serving_inside_while_the_ingress_is_not_ready() -> None:
    told = [
        condition("PredictorReady", "True"),
        condition("IngressReady", "False", 30, "NoRoute", "no gateway accepts it"),
        condition("Ready", "False"),
    ]
    judged = _judge(service(conditions=told), [deployment(ready=1)], [pod(ready=True)])
    assert judged.verdict is Verdict.DEGRADED
    assert "no gateway accepts it" in judged.reason


def test_a_service_that_no_controller_takes_up() -> None:
    assert _judge(service(age=10)).verdict is Verdict.STARTING
    left = _judge(service(age=600))
    assert left.verdict is Verdict.STUCK
    assert "controller" in left.next_step


def test_a_service_that_is_being_deleted() -> None:
    assert _judge(service(ready="True", deletionTimestamp=ago(10))).verdict is Verdict.STOPPED
    assert _judge(service(ready="True", deletionTimestamp=ago(900))).verdict is Verdict.STUCK


def test_ready_without_leave_to_see_pods() -> None:
    assert _judge(service(ready="True")).verdict is Verdict.SERVING


def test_hostile_messages_are_neutralised() -> None:
    judged = _judge(
        service(ready="False"),
        [],
        [pod(state=waiting("CrashLoopBackOff"), last=terminated(1, "\x1b[2Jboom\x07"), restarts=3)],
    )
    assert "\x1b" not in judged.reason
    assert "boom" in judged.reason


_WORDS = st.sampled_from(["", "True", "False", "Unknown", "CrashLoopBackOff", "OOMKilled", "Failed", "Pending", "x"])
_JSON = st.recursive(
    _WORDS | st.none(),
    lambda inner: st.dictionaries(
        st.sampled_from(["waiting", "terminated", "running", "reason", "message", "type", "status"]), inner, max_size=3
    ),
    max_leaves=5,
)


@given(
    ready=st.sampled_from([None, "True", "False", "Unknown"]),
    phases=st.lists(
        st.tuples(
            st.sampled_from(["Pending", "Running", "Failed", "Succeeded", "Unknown"]),
            st.booleans(),
            st.integers(0, 5),
            st.booleans(),
            st.sampled_from([{}, waiting("CrashLoopBackOff"), waiting("ErrImagePull"), waiting("x"), terminated(1)]),
            st.sampled_from([{}, terminated(137, reason="OOMKilled"), terminated(0), terminated(1, KV_CACHE)]),
        ),
        max_size=4,
    ),
    replicas=st.integers(0, 3),
    has_deployment=st.booleans(),
    transition=st.sampled_from(["", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"]),
)
def test_every_service_gets_a_verdict_with_a_reason(
    ready: str | None, phases: list[Any], replicas: int, has_deployment: bool, transition: str
) -> None:
    pods = [
        pod(f"p{number}", phase=phase, ready=is_ready, restarts=restarts, deleted=deleted, state=state, last=last)
        for number, (phase, is_ready, restarts, deleted, state, last) in enumerate(phases)
    ]
    judged = _judge(
        service(ready=ready, model_status={"transitionStatus": transition}),
        [deployment(replicas=replicas)] if has_deployment else [],
        pods,
    )
    assert judged.reason
    if judged.verdict is Verdict.SERVING:
        assert ready == "True"
        assert transition not in {"InvalidSpec", "BlockedByFailedLoad"}


@given(_JSON)
def test_nothing_that_an_api_gives_breaks_the_judgement(tree: Any) -> None:
    for resource in (INFERENCE_SERVICES, PODS, DEPLOYMENTS):
        body = json.dumps({"metadata": {"name": "x"}, "status": tree, "spec": {}}).encode()
        try:
            decoded = resource.items.decode(body)
        except ValueError:
            continue
        if resource is INFERENCE_SERVICES:
            assert _judge(decoded).reason
        elif resource is PODS:
            assert _judge(service(ready="False"), [], [decoded]).reason
