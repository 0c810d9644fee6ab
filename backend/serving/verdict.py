"""What state a service is really in, why, and what to do: from the service, its Deployments, pods and events. Pure.

`Ready` and `modelStatus` do not tell the truth alone. The order of judgement: stopped, an invalid spec, the newest
pod, a Knative revision, a failed load, the Deployment's progress, Ready. The traps that each step avoids are named
where it avoids them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Deployment, Event, Pod, parsed_time
from backend.core.text import sanitise
from backend.core.views import Verdict
from backend.serving.case import Case, Judgement, judgement, pods_text
from backend.serving.manifests import STOP
from backend.serving.pods import Trouble, trouble_of
from backend.serving.revision_verdict import judge_revision
from backend.serving.rollout_verdict import (
    is_replacement,
    judge_not_ready,
    judge_progress,
    judge_ready,
    judge_unnoticed,
)

_DEADLOCK: Final = (
    "free a GPU, or apply with strategy Recreate (an outage) or, with more replicas, maxSurge 0: the old pod holds what"
    " the new one waits for"
)

__all__ = ["Case", "Judgement", "judge", "judge_case"]


def judge(
    service: InferenceService,
    deployments: Sequence[Deployment],
    pods: Sequence[Pod],
    events: Iterable[Event],
    now: datetime,
) -> Judgement:
    """Judge a service.

    Args:
        deployments: of its predictor.
        pods: with the label `serving.kserve.io/inferenceservice` of its name.
        events: on its pods, and on the service itself.
    """
    by_pod: dict[str, list[Event]] = {}
    own: list[Event] = []
    for event in events:
        if event.involved_object.kind == "Pod":
            by_pod.setdefault(event.involved_object.name, []).append(event)
        else:
            own.append(event)
    case = Case(service=service, deployments=deployments, pods=pods, events=by_pod, own_events=own, now=now)
    return judge_case(case)


def judge_case(case: Case) -> Judgement:
    """Judge a service whose events are sorted by what they are on."""
    for step in _STEPS:
        found = step(case)
        if found is not None:
            return found
    return judgement(case, Verdict.UNKNOWN, "nothing tells its state", "look at it with kubectl describe")


def _deleted(case: Case) -> Judgement | None:
    at = parsed_time(case.service.metadata.deletion_timestamp)
    if at is None:
        return None
    if case.now - at > timedelta(minutes=5):
        return judgement(case, Verdict.STUCK, "is being deleted and something holds it", "look at its finalizers", at)
    return judgement(case, Verdict.STOPPED, "is being deleted", since=at, settled=False)


def _stopped(case: Case) -> Judgement | None:
    condition = case.condition("Stopped")
    if case.service.metadata.annotation(STOP) != "true":
        return None
    since = parsed_time(condition.last_transition_time) if condition else None
    if case.pods:
        return judgement(
            case, Verdict.STOPPED, f"stopped by hand; {pods_text(len(case.pods))} still ending", since=since
        )
    return judgement(case, Verdict.STOPPED, "stopped by hand", "start it when it is needed", since)


def _invalid(case: Case) -> Judgement | None:
    """Only under InvalidSpec does lastFailureInfo speak of now."""
    model = case.service.status.model_status if case.service.status else None
    if model is None or model.transition_status != "InvalidSpec":
        return None
    info = model.last_failure_info
    told = sanitise(info.message, 300) if info else ""
    steps = {
        "NoSupportingRuntime": "name a runtime that serves this model format",
        "RuntimeNotRecognized": "make the runtime, or correct its name",
        "RuntimeDisabled": "enable the runtime, or name another",
        "InvalidPredictorSpec": "correct the predictor's spec",
    }
    reason = info.reason if info else ""
    return judgement(
        case,
        Verdict.FAILED,
        f"KServe refuses the spec: {told or reason or 'no reason given'}",
        steps.get(reason, "correct the spec"),
        parsed_time(info.time) if info else None,
    )


def _pod_trouble(case: Case) -> Judgement | None:
    """Pods tell what KServe hides: pull failures, memory, scheduling and crashes read as Pending, or even Ready."""
    ailing: list[tuple[Pod, Trouble]] = []
    for pod in case.newest:
        trouble = trouble_of(pod, case.events_of(pod), case.last_words.get(pod.metadata.name, ""))
        if trouble is not None:
            ailing.append((pod, trouble))
    if not ailing:
        return None
    pod, trouble = ailing[0]
    if case.ready == 0:
        return judgement(
            case,
            trouble.verdict,
            trouble.reason,
            trouble.next_step,
            trouble.since,
            settled=trouble.verdict is not Verdict.STARTING,
        )
    # A failing rollout stays Ready while old pods serve.
    newest = case.newest[0]
    replaces = pod is newest and is_replacement(case, newest)
    head = "the new pod" if replaces else pods_text(len(ailing), "ails", "ail")
    short = case.ready < case.wanted
    serving = f"{case.ready} of {case.wanted} serve" if short else pods_text(case.ready, "serves", "serve")
    step = trouble.next_step
    if replaces and trouble.wants_gpus:
        # With the default strategy the new pod waits for GPUs that only the end of the old one would free.
        head, step = "the rollout cannot go on: the new pod", _DEADLOCK
    return judgement(case, Verdict.DEGRADED, f"{serving}; {head}: {trouble.reason}", step, trouble.since)


def _failed_load(case: Case) -> Judgement | None:
    """lastFailureInfo outlives success: it counts under BlockedByFailedLoad alone, and not for a pod that came later.

    A load that was failed by the wrong clock, while its pod has neither ended nor been restarted, is slow.
    """
    model = case.service.status.model_status if case.service.status else None
    if model is None or model.transition_status != "BlockedByFailedLoad":
        return None
    info = model.last_failure_info
    if case.loading is not None and not any(one.restart_count for one in case.loading.status.container_statuses or ()):
        return None
    told = sanitise(info.message, 300) if info else ""
    reason = f"the model does not load: {told or (info.reason if info else '') or 'no reason given'}"
    since = parsed_time(info.time) if info else None
    if case.ready:
        return judgement(
            case,
            Verdict.DEGRADED,
            f"{pods_text(case.ready, 'serves', 'serve')} the version before; {reason}",
            "look at the new pod's log, or roll back",
            since,
        )
    return judgement(case, Verdict.FAILED, reason, "look at the pod's log", since)


_STEPS: Final[tuple[Callable[[Case], Judgement | None], ...]] = (
    _deleted,
    _stopped,
    _invalid,
    _pod_trouble,
    judge_revision,
    _failed_load,
    judge_progress,
    judge_unnoticed,
    judge_ready,
    judge_not_ready,
)
