"""A verdict for every trap that the reference on KServe names, from objects as an API server gives them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Event, Pod
from backend.cluster.resources import EVENTS, INFERENCE_SERVICES, PODS, REVISIONS
from backend.core.ports import instant
from backend.core.views import Verdict
from backend.serving.case import Case
from backend.serving.verdict import Judgement, judge, judge_case
from tests.fakes.demo_cluster import shared
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

NO_GPU = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available"
STANDARD_AND_READY: dict[str, Any] = {"ready": "True", "model_status": {"transitionStatus": "UpToDate"}}
PENDING = {"transitionStatus": "InProgress", "states": {"activeModelState": "", "targetModelState": "Pending"}}


def _judge(service_: Any, deployments: Any = (), pods: Any = (), events: Any = ()) -> Judgement:
    return judge(service_, deployments, pods, events, NOW)


# ---------------------------------------------------------------- as recorded


def _recorded(name: str) -> dict[str, Any]:
    path = shared("wire", "kube-apiserver-1.36", f"{name}.json")
    if not path.exists():
        pytest.skip("the recorded exchanges are not here")
    body: dict[str, Any] = json.loads(path.read_text())["response"]["body"]
    return body


def _service() -> InferenceService:
    return INFERENCE_SERVICES.items.decode(json.dumps(_recorded("24-status-patch")))


def _pod() -> Pod:
    (found,) = _recorded("35-pods-of-inferenceservice")["items"]
    return PODS.items.decode(json.dumps(found))


def _events() -> list[Event]:
    return [EVENTS.items.decode(json.dumps(item)) for item in _recorded("53-events-of-pod")["items"]]


def test_a_recorded_service_that_says_ready_while_its_only_pod_cannot_pull() -> None:
    recorded = _service()
    assert recorded.status is not None and recorded.status.model_status is not None
    assert recorded.status.model_status.transition_status == "UpToDate"
    judged = judge(recorded, [], [_pod()], [], instant("2026-11-20T23:00:00Z"))
    assert judged.verdict is Verdict.FAILED
    assert judged.reason.startswith("the image cannot be pulled")


def test_a_recorded_pod_that_no_node_takes_is_told_by_the_scheduler_s_event() -> None:
    raw = _recorded("35-pods-of-inferenceservice")["items"][0]
    (told,) = _events()
    raw["spec"].pop("nodeName")
    raw["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": told.message}],
    }
    judged = judge(_service(), [], [PODS.items.decode(json.dumps(raw))], [told], instant("2026-11-20T23:00:00Z"))
    assert judged.verdict is Verdict.STUCK
    assert judged.reason == "no node has 2 free nvidia.com/gpu (of 2 nodes, 2 lack it)"


def test_the_observed_generation_is_the_deployment_s_and_is_compared_with_nothing() -> None:
    recorded = _service()
    ready = pod(service_name="llama-8b", ready=True)
    judged = judge(recorded, [deployment("llama-8b", ready=1)], [ready], [], NOW)
    assert recorded.metadata.generation == 4 and judged.verdict is Verdict.SERVING
    moved = msgspec.structs.replace(recorded.metadata, generation=99)
    again = judge(
        msgspec.structs.replace(recorded, metadata=moved), [deployment("llama-8b", ready=1)], [ready], [], NOW
    )
    assert again == judged


def test_a_recorded_stop_is_stopped() -> None:
    stopped = INFERENCE_SERVICES.items.decode(json.dumps(_recorded("49-stop-annotation")))
    assert judge(stopped, [], [], [], NOW).verdict is Verdict.STOPPED


# ---------------------------------------------------------------- rollouts


def test_one_replica_that_surges_without_a_free_gpu_deadlocks_and_the_way_out_is_named() -> None:
    old = pod("old", ready=True, owner="rs-1", age=9000)
    new = pod("new", owner="rs-2", scheduled=condition("PodScheduled", "False", 60, "Unschedulable", NO_GPU))
    judged = _judge(service(**STANDARD_AND_READY), [deployment(ready=1)], [old, new])
    assert judged.verdict is Verdict.DEGRADED
    assert "the rollout cannot go on" in judged.reason and "free nvidia.com/gpu" in judged.reason
    assert "Recreate" in judged.next_step and "maxSurge 0" in judged.next_step


def test_a_rollout_that_drops_replicas_is_told_as_such() -> None:
    rolling = msgspec.structs.replace(
        deployment(replicas=3, ready=1),
        status=msgspec.structs.replace(deployment(replicas=3, ready=1).status, updated_replicas=2),
    )
    pods = [pod("a", ready=True), pod("b", owner="rs-2", age=30), pod("c", owner="rs-2", age=30)]
    judged = _judge(service(**STANDARD_AND_READY), [rolling], pods)
    assert judged.verdict is Verdict.DEGRADED
    assert judged.reason == "1 of 3 replicas serve during a rollout: 2 of 3 are new"


def test_a_large_model_past_the_deadline_is_slow_even_where_kserve_says_that_it_failed() -> None:
    blocked = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": {"reason": "ModelLoadFailed"}}
    late = condition("Progressing", "False", 100, "ProgressDeadlineExceeded")
    judged = _judge(service(ready="False", model_status=blocked), [deployment(conditions=[late])], [pod(age=700)])
    assert judged.verdict is Verdict.SLOW_TO_LOAD
    crashed = pod(age=700, restarts=3, state=terminated(1, "boom"))
    assert _judge(service(ready="False", model_status=blocked), [], [crashed]).verdict is Verdict.FAILED


def test_a_canary_that_is_not_ready_is_told_beside_what_serves() -> None:
    asked = INFERENCE_SERVICES.items.decode(
        json.dumps(
            {
                "metadata": {"name": "llama", "namespace": "llm-prod", "creationTimestamp": ago(3600)},
                "spec": {"predictor": {"minReplicas": 1}, "canary": {"predictor": {}, "trafficPercent": 10}},
                "status": {
                    "conditions": [
                        condition("PredictorReady", "True"),
                        condition("CanaryPredictorReady", "False", message="no image"),
                        condition("Ready", "True"),
                    ]
                },
            }
        )
    )
    judged = _judge(asked, [deployment(ready=1)], [pod(ready=True)])
    assert (judged.verdict, judged.reason) == (
        Verdict.DEGRADED,
        "1 of 1 replicas serve; its canary is not ready: no image",
    )


# ---------------------------------------------------------------- what nobody tells


def test_a_name_that_is_too_long_passes_admission_and_fails_in_the_controller() -> None:
    name = "a-very-long-name-for-a-model-server-of-llama-3"
    long = service(name, conditions=[condition("PredictorReady", "Unknown"), condition("Ready", "Unknown")])
    judged = _judge(long)
    assert judged.verdict is Verdict.STUCK
    assert f"{len(name) + len('llm-prod')} characters together" in judged.reason
    assert judged.next_step == "deploy it under a shorter name"


def test_what_the_controller_fails_over_is_told_by_events_on_the_service() -> None:
    told = event("InternalError", "fails to reconcile predictor: quota", on="llama", kind="InferenceService")
    judged = _judge(service(), [], [], [told])
    assert judged.verdict is Verdict.STUCK
    assert "fails to reconcile predictor: quota" in judged.reason
    assert _judge(service(**STANDARD_AND_READY), [deployment(ready=1)], [pod(ready=True)], [told]).verdict is (
        Verdict.SERVING
    )


def test_pending_for_ever_while_it_serves() -> None:
    serving = _judge(service(ready="True", model_status=PENDING), [deployment(ready=1)], [pod(ready=True, age=9000)])
    assert serving.verdict is Verdict.SERVING
    unseen = _judge(service(ready="False", model_status=PENDING), [deployment(ready=1)], [pod(ready=True, age=9000)])
    assert unseen.verdict is Verdict.DEGRADED
    assert "KServe has not seen it" in unseen.reason and "controller" in unseen.next_step
    fresh = _judge(service(ready="False", model_status=PENDING), [deployment(ready=1)], [pod(ready=True, age=60)])
    assert fresh.verdict is Verdict.STARTING


def test_a_pod_that_was_ready_and_answers_no_more_does_not_load() -> None:
    said = event("Unhealthy", "Readiness probe failed: context deadline exceeded")
    hung = _judge(service(ready="False"), [deployment()], [pod(age=9000, unready=300)], [said])
    assert hung.verdict is Verdict.FAILED
    assert "answers no more: Readiness probe failed" in hung.reason
    loading = _judge(service(ready="False"), [deployment()], [pod(age=300)], [said])
    assert loading.verdict is Verdict.STARTING


def test_a_pod_on_a_node_that_is_gone_does_not_load() -> None:
    lost = _judge(service(ready="False"), [deployment()], [pod(age=9000, unready=300, containers_ready=True)])
    assert lost.verdict is Verdict.STUCK
    assert "its node gpu-0 does not answer" in lost.reason


def test_a_node_that_the_autoscaler_adds_is_waited_for() -> None:
    unscheduled = pod(scheduled=condition("PodScheduled", "False", 30, "Unschedulable", NO_GPU))
    coming = _judge(service(ready="False"), [], [unscheduled], [event("TriggeredScaleUp", "pod triggered scale-up")])
    assert coming.verdict is Verdict.STARTING
    assert "autoscaler" in coming.reason


def test_a_service_that_gets_no_pod_is_stuck_after_a_while() -> None:
    told = [condition("PredictorReady", "Unknown"), condition("Ready", "Unknown", message="waits for nothing")]
    assert _judge(service(age=60, conditions=told)).verdict is Verdict.STARTING
    late = _judge(service(age=3600, conditions=told))
    assert late.verdict is Verdict.STUCK and "no pod was made for 60 min" in late.reason


def test_out_of_memory_and_a_slow_probe_are_not_told_by_kserve() -> None:
    for state, events, words in (
        (waiting("CrashLoopBackOff"), [], "killed at its memory limit"),
        (waiting("CrashLoopBackOff"), [event("Unhealthy", "Liveness probe failed: timeout")], "liveness probe"),
    ):
        reason = "OOMKilled" if "memory" in words else "Error"
        ailing = pod(state=state, last=terminated(137, reason=reason), restarts=4)
        judged = _judge(service(ready="True", model_status={"transitionStatus": "InProgress"}), [], [ailing], events)
        assert judged.verdict is Verdict.FAILED and words in judged.reason


# ---------------------------------------------------------------- Knative


def _knative(ready: str) -> InferenceService:
    return service(ready=ready, annotations={"serving.kserve.io/deploymentMode": "Knative"}, model_status=PENDING)


def _revision(*conditions: Any, age: float = 600, name: str = "llama-predictor-00002") -> Any:
    raw = {
        "metadata": {"name": name, "namespace": "llm-prod", "creationTimestamp": ago(age)},
        "status": {"conditions": list(conditions)},
    }
    return REVISIONS.items.decode(json.dumps(raw))


def _knative_case(ready: str, *revisions: Any, pods: Any = ()) -> Judgement:
    return judge_case(Case(service=_knative(ready), pods=pods, revisions=revisions, now=NOW))


def test_a_revision_without_traffic_is_scaled_to_zero_while_the_model_reads_pending() -> None:
    asleep = _revision(condition("Ready", "True"), condition("Active", "False", 300, "NoTraffic"))
    judged = _knative_case("True", asleep)
    assert judged.verdict is Verdict.SCALED_TO_ZERO
    assert judged.next_step == "the first request waits for a cold start"


def test_a_revision_whose_image_cannot_be_resolved_has_no_pod_that_could_tell() -> None:
    missing = _revision(
        condition("Ready", "False", 60, "ContainerMissing", 'failed to resolve image to digest: "r/x": not found')
    )
    judged = _knative_case("False", missing)
    assert judged.verdict is Verdict.FAILED
    assert "the registry does not have the image" in judged.reason
    rollout = _knative_case("True", _revision(condition("Ready", "True"), age=9000, name="old"), missing,
                            pods=[pod(ready=True)])  # fmt: skip
    assert rollout.verdict is Verdict.DEGRADED and rollout.reason.startswith("1 of 1 serve; revision")


def test_a_revision_past_its_deadline_with_a_pod_still_loading_is_slow() -> None:
    late = _revision(condition("Ready", "False", 60, "ProgressDeadlineExceeded"))
    judged = _knative_case("False", late, pods=[pod(age=700)])
    assert judged.verdict is Verdict.SLOW_TO_LOAD


# ---------------------------------------------------------------- how long it takes


def test_a_start_is_told_with_what_such_starts_took_before_and_what_the_log_says() -> None:
    case = Case(
        service=service(ready="False"),
        pods=[pod(age=180)],
        progress="weights 61%",
        usual=timedelta(minutes=5),
        now=NOW,
    )
    judged = judge_case(case)
    assert (judged.verdict, judged.reason) == (Verdict.STARTING, "weights 61%, 3 of ~5 min")
    quick = judge_case(msgspec.structs.replace(case, pods=[pod(age=20)], usual=timedelta(seconds=80), progress=""))
    assert quick.reason == "loading the model, 20 of ~80 s"
