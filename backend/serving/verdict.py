"""What state a service is really in, why, and what to do: from the service, its Deployments, pods and events. Pure.

`Ready` and `modelStatus` do not tell the truth alone. The order of judgement: stopped, an invalid spec, the newest
pod, a failed load, the Deployment's progress, Ready. The traps that each step avoids are named where it avoids them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import msgspec

from backend.cluster.kserve_objects import InferenceService
from backend.cluster.objects import Condition, Deployment, Event, Pod, condition_of, parsed_time
from backend.core.text import sanitise
from backend.core.views import Verdict
from backend.serving.manifests import STOP
from backend.serving.pods import Trouble, is_ready, newest_first, trouble_of

#: KServe's controller writes a first status within seconds; after this long without one it is not there.
_UNNOTICED: Final = timedelta(minutes=1)
_DEFAULT_DEADLINE: Final = timedelta(seconds=600)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with its reason and next step.

    Attributes:
        since: when it became so; None: not told.
        ready, wanted: replicas that serve, and that shall.
        settled: time alone does not change it.
    """

    verdict: Verdict
    reason: str
    next_step: str = ""
    since: datetime | None = None
    ready: int
    wanted: int
    settled: bool = True


class Case(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that is known of one service.

    Attributes:
        events: on its pods, by the pod's name.
        last_words: the end of a crashed pod's log, by the pod's name, where the pod itself tells nothing.
    """

    service: InferenceService
    deployments: Sequence[Deployment] = ()
    pods: Sequence[Pod] = ()
    events: Mapping[str, Sequence[Event]] = msgspec.field(default_factory=dict)
    last_words: Mapping[str, str] = msgspec.field(default_factory=dict)
    now: datetime

    @cached_property
    def newest(self) -> list[Pod]:
        """Pods that are to stay, newest first; ended ones lie about after eviction, and count if nothing followed."""
        staying = [pod for pod in newest_first(self.pods) if pod.metadata.deletion_timestamp is None]
        alive = [pod for pod in staying if pod.status.phase not in {"Failed", "Succeeded"}]
        return alive or staying[:1]

    @cached_property
    def wanted(self) -> int:
        """Replicas that shall serve: none when stopped, else the Deployment's, since an autoscaler writes there."""
        if self.service.metadata.annotation(STOP) == "true":
            return 0
        if self.deployments:
            return sum(deployment.spec.replicas for deployment in self.deployments)
        least = self.service.spec.predictor.min_replicas
        return 1 if least is None else max(0, least)

    @cached_property
    def ready(self) -> int:
        """Replicas that serve: pods, or what the Deployment says where no pod is seen."""
        if self.pods:
            return sum(is_ready(pod) for pod in self.pods)
        return sum(deployment.status.ready_replicas for deployment in self.deployments)

    def condition(self, type_: str) -> Condition | None:
        """A condition of the service."""
        return condition_of(self.service.status.conditions if self.service.status else None, type_)

    def events_of(self, pod: Pod) -> Sequence[Event]:
        """Events on a pod."""
        return self.events.get(pod.metadata.name, ())


def judge(
    service: InferenceService,
    deployments: Sequence[Deployment],
    pods: Sequence[Pod],
    events: Iterable[Event],
    now: datetime,
) -> Judgement:
    """Judge a service.

    Args:
        deployments: of its predictor; none in Knative mode.
        pods: with the label `serving.kserve.io/inferenceservice` of its name.
        events: on its pods.
    """
    by_pod: dict[str, list[Event]] = {}
    for event in events:
        by_pod.setdefault(event.involved_object.name, []).append(event)
    return judge_case(Case(service=service, deployments=deployments, pods=pods, events=by_pod, now=now))


def judge_case(case: Case) -> Judgement:
    """Judge a service whose events are sorted by pod."""
    for step in (_deleted, _stopped, _invalid, _pod_trouble, _failed_load, _progress, _unnoticed, _ready, _not_ready):
        found = step(case)
        if found is not None:
            return found
    return _judgement(case, Verdict.UNKNOWN, "nothing tells its state", "look at it with kubectl describe")


def _judgement(
    case: Case,
    verdict: Verdict,
    reason: str,
    next_step: str = "",
    since: datetime | None = None,
    *,
    settled: bool = True,
) -> Judgement:
    return Judgement(
        verdict=verdict,
        reason=reason,
        next_step=next_step,
        since=since,
        ready=case.ready,
        wanted=case.wanted,
        settled=settled,
    )


def _deleted(case: Case) -> Judgement | None:
    at = parsed_time(case.service.metadata.deletion_timestamp)
    if at is None:
        return None
    if case.now - at > timedelta(minutes=5):
        return _judgement(case, Verdict.STUCK, "is being deleted and something holds it", "look at its finalizers", at)
    return _judgement(case, Verdict.STOPPED, "is being deleted", since=at, settled=False)


def _stopped(case: Case) -> Judgement | None:
    condition = case.condition("Stopped")
    if case.service.metadata.annotation(STOP) != "true":
        return None
    since = parsed_time(condition.last_transition_time) if condition else None
    if case.pods:
        return _judgement(case, Verdict.STOPPED, f"stopped by hand; {_pods(len(case.pods))} still ending", since=since)
    return _judgement(case, Verdict.STOPPED, "stopped by hand", "start it when it is needed", since)


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
    return _judgement(
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
        return _judgement(
            case,
            trouble.verdict,
            trouble.reason,
            trouble.next_step,
            trouble.since,
            settled=trouble.verdict is not Verdict.STARTING,
        )
    # A failing rollout stays Ready while old pods serve.
    newest = case.newest[0]
    head = "the new pod" if pod is newest and _replaces(case, newest) else _pods(len(ailing), "ails", "ail")
    short = case.ready < case.wanted
    serving = f"{case.ready} of {case.wanted} serve" if short else _pods(case.ready, "serves", "serve")
    return _judgement(case, Verdict.DEGRADED, f"{serving}; {head}: {trouble.reason}", trouble.next_step, trouble.since)


def _replaces(case: Case, newest: Pod) -> bool:
    """Whether the pod is of a newer template than those that serve."""
    owners = {reference.uid or reference.name for reference in newest.metadata.owner_references or ()}
    others = {
        reference.uid or reference.name
        for pod in case.pods
        if is_ready(pod)
        for reference in pod.metadata.owner_references or ()
    }
    return bool(owners and others and not owners & others)


def _failed_load(case: Case) -> Judgement | None:
    """lastFailureInfo outlives success: it counts under BlockedByFailedLoad alone."""
    model = case.service.status.model_status if case.service.status else None
    if model is None or model.transition_status != "BlockedByFailedLoad":
        return None
    info = model.last_failure_info
    told = sanitise(info.message, 300) if info else ""
    reason = f"the model does not load: {told or (info.reason if info else '') or 'no reason given'}"
    since = parsed_time(info.time) if info else None
    if case.ready:
        return _judgement(
            case,
            Verdict.DEGRADED,
            f"{_pods(case.ready, 'serves', 'serve')} the version before; {reason}",
            "look at the new pod's log, or roll back",
            since,
        )
    return _judgement(case, Verdict.FAILED, reason, "look at the pod's log", since)


def _progress(case: Case) -> Judgement | None:
    for deployment in case.deployments:
        failure = condition_of(deployment.status.conditions, "ReplicaFailure")
        if failure is not None and failure.status == "True":
            return _judgement(
                case,
                Verdict.DEGRADED if case.ready else Verdict.STUCK,
                f"pods cannot be made: {sanitise(failure.message, 300)}",
                "check quotas and admission policies",
                parsed_time(failure.last_transition_time),
            )
    loading = _loading(case)
    for deployment in case.deployments:
        progress = condition_of(deployment.status.conditions, "Progressing")
        if progress is None or progress.reason != "ProgressDeadlineExceeded":
            continue
        since = parsed_time(progress.last_transition_time)
        if loading is not None:
            return _slow(case, loading, since)
        verdict = Verdict.DEGRADED if case.ready else Verdict.STUCK
        head = f"{case.ready} of {case.wanted} serve; " if case.ready else ""
        return _judgement(
            case,
            verdict,
            f"{head}the rollout made no progress before its deadline",
            "look at the events, or roll back",
            since,
        )
    return None


def _slow(case: Case, loading: Pod, since: datetime | None) -> Judgement:
    """A startup probe may allow longer than the Deployment's deadline: past it a loading pod is slow, not failed."""
    head = f"{case.ready} of {case.wanted} serve; " if case.ready else ""
    return _judgement(
        case,
        Verdict.SLOW_TO_LOAD,
        f"{head}still loading after {_age(loading, case.now)}, past the usual deadline",
        "wait while its log moves; a cache for the weights makes later starts faster",
        since,
        settled=False,
    )


def _loading(case: Case) -> Pod | None:
    """The newest pod that runs, has not crashed, and is not ready."""
    for pod in case.newest:
        if pod.status.phase in {"Running", "Pending"} and not is_ready(pod):
            return pod
    return None


def _unnoticed(case: Case) -> Judgement | None:
    if case.service.status is not None and case.service.status.conditions:
        return None
    created = parsed_time(case.service.metadata.creation_timestamp)
    if case.pods or case.deployments:
        return None
    if created is not None and case.now - created > _UNNOTICED:
        return _judgement(
            case, Verdict.STUCK, "no controller has taken it up", "check that KServe's controller runs", created
        )
    return _judgement(case, Verdict.STARTING, "waits for KServe's controller", since=created, settled=False)


def _ready(case: Case) -> Judgement | None:
    condition = case.condition("Ready")
    if condition is None or condition.status != "True":
        return None
    since = parsed_time(condition.last_transition_time)
    if case.wanted == 0 and case.ready == 0:
        # targetModelState reads Pending then, and transitionStatus InProgress.
        return _at_zero(case, since)
    if case.deployments or case.pods:
        return _served(case, since)
    if _is_knative(case):
        return _at_zero(case, since)
    return _judgement(case, Verdict.SERVING, "ready, though none of its pods may be seen", since=since)


def _at_zero(case: Case, since: datetime | None) -> Judgement:
    step = "the first request waits for a cold start" if _is_knative(case) else "scale it up when it is needed"
    return _judgement(case, Verdict.SCALED_TO_ZERO, "scaled to zero", step, since)


def _served(case: Case, since: datetime | None) -> Judgement:
    loading = _loading(case)
    if case.ready == 0:
        # Ready lags behind a rollout that stopped every replica.
        if loading is not None:
            return _starting(case, loading)
        return _judgement(
            case, Verdict.DEGRADED, "says ready while no replica is", "look at its pods", since, settled=False
        )
    if case.ready < case.wanted:
        told = f"; another has been loading for {_age(loading, case.now)}" if loading else ""
        return _judgement(
            case,
            Verdict.DEGRADED,
            f"{case.ready} of {case.wanted} replicas serve{told}",
            "wait while it loads" if loading else "look at its events",
            since,
            settled=False,
        )
    return _judgement(case, Verdict.SERVING, f"{case.ready} of {case.wanted} replicas serve", since=since)


def _not_ready(case: Case) -> Judgement | None:
    """PredictorReady False is a first load as well as a failure: it is a start until something failed."""
    predictor, ingress = case.condition("PredictorReady"), case.condition("IngressReady")
    created = parsed_time(case.service.metadata.creation_timestamp)
    if case.ready and predictor is not None and predictor.status == "True":
        told = sanitise(ingress.message or ingress.reason, 200) if ingress else ""
        return _judgement(
            case,
            Verdict.DEGRADED,
            f"serves inside the cluster alone: its ingress is not ready{': ' if told else ''}{told}",
            "check the gateway and its routes",
            parsed_time(ingress.last_transition_time) if ingress else None,
        )
    loading = _loading(case)
    if loading is not None:
        return _starting(case, loading)
    if case.ready:
        return _judgement(
            case,
            Verdict.STARTING,
            f"{case.ready} of {case.wanted} replicas are ready, which KServe has not seen yet",
            since=created,
            settled=False,
        )
    if case.wanted == 0:
        return _at_zero(case, created)
    other = next((c for c in (predictor, case.condition("Ready")) if c is not None and c.message), None)
    told = sanitise(other.message, 200) if other else "waits for its first pod"
    return _judgement(case, Verdict.STARTING, told, since=created, settled=False)


def _starting(case: Case, loading: Pod) -> Judgement:
    since = parsed_time(loading.metadata.creation_timestamp)
    if since is not None and case.now - since > _deadline(case):
        return _slow(case, loading, since)
    if not loading.spec.node_name:
        told = "waits to be scheduled"
    elif any(status.state.running for status in loading.status.container_statuses or ()):
        told = f"loading the model for {_age(loading, case.now)}"
    else:
        told = f"pulling the image on {loading.spec.node_name} for {_age(loading, case.now)}"
    return _judgement(case, Verdict.STARTING, told, since=since, settled=False)


def _deadline(case: Case) -> timedelta:
    told = [d.spec.progress_deadline_seconds for d in case.deployments if d.spec.progress_deadline_seconds]
    return timedelta(seconds=min(max(told), 86_400)) if told else _DEFAULT_DEADLINE


def _is_knative(case: Case) -> bool:
    status = case.service.status
    told = (status.deployment_mode if status else "") or case.service.metadata.annotation(
        "serving.kserve.io/deploymentMode"
    )
    return told in {"Knative", "Serverless"}


def _age(pod: Pod | None, now: datetime) -> str:
    created = parsed_time(pod.metadata.creation_timestamp) if pod else None
    if created is None:
        return "some time"
    seconds = max(0, int((now - created).total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _pods(count: int, one: str = "", more: str = "") -> str:
    noun = "1 pod" if count == 1 else f"{count} pods"
    verb = one if count == 1 else more
    return f"{noun} {verb}".rstrip()
