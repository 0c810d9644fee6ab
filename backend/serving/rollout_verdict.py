"""The verdict where no pod ails: by the Deployment's progress, and by what KServe says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.cluster.objects import Event, Pod, condition_of, parsed_time
from backend.core.text import sanitise
from backend.core.views import INFERENCE_SERVICE, Verdict
from backend.serving.case import Case, Judgement, age_of, duration_text, judgement
from backend.serving.pods import is_ready, ready_since

#: KServe's controller writes a first status within seconds; after this long without one it is not there.
_UNNOTICED: Final = timedelta(minutes=1)
#: After this long without a pod nobody is about to make one.
_PODLESS: Final = timedelta(minutes=10)
#: KServe sees a pod that became ready within seconds.
_UNSEEN: Final = timedelta(minutes=2)
_DEFAULT_DEADLINE: Final = timedelta(seconds=600)
#: Of name and namespace in Standard mode; not checked at admission.
_LONGEST_NAMES: Final = 52
_RECONCILE_FAILED: Final = frozenset({"InternalError", "UpdateFailed", "CreateFailed", "ReconcileError"})


def judge_progress(case: Case) -> Judgement | None:
    """What the Deployment says: pods that may not be made, and a deadline that has passed."""
    for deployment in case.deployments:
        failure = condition_of(deployment.status.conditions, "ReplicaFailure")
        if failure is not None and failure.status == "True":
            return judgement(
                case,
                Verdict.DEGRADED if case.ready else Verdict.STUCK,
                f"pods cannot be made: {sanitise(failure.message, 300)}",
                "check quotas and admission policies",
                parsed_time(failure.last_transition_time),
            )
    loading = case.loading
    for deployment in case.deployments:
        progress = condition_of(deployment.status.conditions, "Progressing")
        if progress is None or progress.reason != "ProgressDeadlineExceeded":
            continue
        since = parsed_time(progress.last_transition_time)
        if loading is not None:
            return _slow(case, loading, since)
        verdict = Verdict.DEGRADED if case.ready else Verdict.STUCK
        head = f"{case.ready} of {case.wanted} serve; " if case.ready else ""
        return judgement(
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
    return judgement(
        case,
        Verdict.SLOW_TO_LOAD,
        f"{head}still loading after {age_of(loading, case.now)}, past the usual deadline",
        "wait while its log moves; a cache for the weights makes later starts faster",
        since,
        settled=False,
    )


def judge_unnoticed(case: Case) -> Judgement | None:
    """Nothing was made of it: no controller runs, or the controller fails over it, which no condition tells."""
    refused = _unreconciled(case)
    if refused is not None:
        return refused
    if case.service.status is not None and case.service.status.conditions:
        return None
    created = parsed_time(case.service.metadata.creation_timestamp)
    if case.pods or case.deployments:
        return None
    if created is not None and case.now - created > _UNNOTICED:
        return judgement(
            case, Verdict.STUCK, "no controller has taken it up", "check that KServe's controller runs", created
        )
    return judgement(case, Verdict.STARTING, "waits for KServe's controller", since=created, settled=False)


def _unreconciled(case: Case) -> Judgement | None:
    """Names that are too long pass admission and fail when the controller makes the Deployment: events alone tell."""
    if case.pods or case.deployments or case.wanted == 0 or case.is_knative:
        return None
    metadata = case.service.metadata
    created = parsed_time(metadata.creation_timestamp)
    length = len(metadata.name) + len(metadata.namespace)
    if length > _LONGEST_NAMES and case.kind == INFERENCE_SERVICE:
        return judgement(
            case,
            Verdict.STUCK,
            f"its name and namespace have {length} characters together, of which KServe can use {_LONGEST_NAMES}",
            "deploy it under a shorter name",
            created,
        )
    warning = _last_warning(case.own_events)
    if warning is None or (case.condition("Ready") is not None and case.condition("PredictorReady") is None):
        return None
    return judgement(
        case,
        Verdict.STUCK,
        f"KServe's controller makes nothing of it: {sanitise(warning.message, 300) or warning.reason}",
        "correct what it names, and look at the controller's log",
        warning.at or created,
    )


def _last_warning(events: Sequence[Event]) -> Event | None:
    found = [event for event in events if event.type == "Warning" and event.reason in _RECONCILE_FAILED]
    return max(found, key=lambda event: event.at.timestamp() if event.at else 0.0, default=None)


def judge_ready(case: Case) -> Judgement | None:
    """Ready is true; whether it serves is told by its pods."""
    condition = case.condition("Ready")
    if condition is None or condition.status != "True":
        return None
    since = parsed_time(condition.last_transition_time)
    if case.wanted == 0 and case.ready == 0:
        # targetModelState reads Pending then, and transitionStatus InProgress.
        return _at_zero(case, since)
    if case.deployments or case.pods:
        return _served(case, since)
    if case.is_knative:
        return _at_zero(case, since)
    return judgement(case, Verdict.SERVING, "ready, though none of its pods may be seen", since=since)


def _at_zero(case: Case, since: datetime | None) -> Judgement:
    step = "the first request waits for a cold start" if case.is_knative else "scale it up when it is needed"
    return judgement(case, Verdict.SCALED_TO_ZERO, "scaled to zero", step, since)


def _served(case: Case, since: datetime | None) -> Judgement:
    loading = case.loading
    canary = case.condition("CanaryPredictorReady")
    if case.ready == 0:
        # Ready lags behind a rollout that stopped every replica.
        if loading is not None:
            return _starting(case, loading)
        return judgement(
            case,
            Verdict.DEGRADED,
            "says ready while no replica is",
            "look at its pods",
            _short_since(case),
            settled=False,
        )
    if case.ready < case.wanted:
        told = _rollout_told(case) or (f"; another has been loading for {age_of(loading, case.now)}" if loading else "")
        return judgement(
            case,
            Verdict.DEGRADED,
            f"{case.ready} of {case.wanted} replicas serve{told}",
            "wait while it loads" if loading else "look at its events",
            _short_since(case),
            settled=False,
        )
    if canary is not None and canary.status == "False" and case.service.spec.canary is not None:
        said = sanitise(canary.message or canary.reason, 200)
        return judgement(
            case,
            Verdict.DEGRADED,
            f"{case.ready} of {case.wanted} replicas serve; its canary is not ready{': ' if said else ''}{said}",
            "look at the canary's pods, or take it back",
            parsed_time(canary.last_transition_time),
            settled=False,
        )
    return judgement(case, Verdict.SERVING, f"{case.ready} of {case.wanted} replicas serve", since=since)


def _short_since(case: Case) -> datetime | None:
    """Since when a replica is missing: the service itself stays ready all the while, and does not tell."""
    missing = [
        ready_since(pod) or parsed_time(pod.metadata.creation_timestamp) for pod in case.newest if not is_ready(pod)
    ]
    return min((at for at in missing if at is not None), default=None)


def _rollout_told(case: Case) -> str:
    """That replicas are missing because of a rollout, which drops them where nothing may be surged."""
    for deployment in case.deployments:
        status = deployment.status
        if 0 < status.updated_replicas < deployment.spec.replicas and status.replicas:
            return f" during a rollout: {status.updated_replicas} of {deployment.spec.replicas} are new"
    return ""


def judge_not_ready(case: Case) -> Judgement | None:
    """PredictorReady False is a first load as well as a failure: it is a start until something failed."""
    predictor, ingress = case.condition("PredictorReady"), case.condition("IngressReady")
    created = parsed_time(case.service.metadata.creation_timestamp)
    if case.ready and predictor is not None and predictor.status == "True":
        told = sanitise(ingress.message or ingress.reason, 200) if ingress else ""
        return judgement(
            case,
            Verdict.DEGRADED,
            f"serves inside the cluster alone: its ingress is not ready{': ' if told else ''}{told}",
            "check the gateway and its routes",
            parsed_time(ingress.last_transition_time) if ingress else None,
        )
    loading = case.loading
    if loading is not None:
        return _starting(case, loading)
    if case.ready:
        seen = [ready_since(pod) for pod in case.newest if is_ready(pod)]
        last = max((at for at in seen if at is not None), default=None)
        if last is not None and case.now - last > _UNSEEN:
            # KServe may say pending for ever of what serves; without its word no route is made.
            return judgement(
                case,
                Verdict.DEGRADED,
                f"{case.ready} of {case.wanted} replicas serve inside the cluster; KServe has not seen it for"
                f" {duration_text(case.now - last)}",
                "look at the log of KServe's controller",
                last,
                settled=False,
            )
        return judgement(
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
    if created is not None and case.now - created > _PODLESS and not case.pods and not case.is_knative:
        return judgement(
            case,
            Verdict.STUCK,
            f"no pod was made for {duration_text(case.now - created)}: {told}",
            "look at its events and at KServe's controller",
            created,
        )
    return judgement(case, Verdict.STARTING, told, since=created, settled=False)


def _starting(case: Case, loading: Pod) -> Judgement:
    since = parsed_time(loading.metadata.creation_timestamp)
    if since is not None and case.now - since > _deadline(case):
        return _slow(case, loading, since)
    if not loading.spec.node_name:
        told = "waits to be scheduled"
    elif any(status.state.running for status in loading.status.container_statuses or ()):
        told = case.progress or "loading the model"
    elif any(status.state.running for status in loading.status.init_container_statuses or ()):
        told = "fetching the weights"
    else:
        told = f"pulling the image on {loading.spec.node_name}"
    return judgement(case, Verdict.STARTING, told + so_far(case, loading), since=since, settled=False)


def so_far(case: Case, loading: Pod) -> str:
    """How long a start has taken, and how long such starts took before: `, 3 of ~5 min`, or else ` for 3 min`."""
    created = parsed_time(loading.metadata.creation_timestamp)
    if created is None or case.usual is None:
        return f" for {age_of(loading, case.now)}"
    gone, usual = max(0.0, (case.now - created).total_seconds()), case.usual.total_seconds()
    if usual < 120:
        return f", {gone:.0f} of ~{usual:.0f} s"
    return f", {gone / 60:.0f} of ~{usual / 60:.0f} min"


def _deadline(case: Case) -> timedelta:
    told = [d.spec.progress_deadline_seconds for d in case.deployments if d.spec.progress_deadline_seconds]
    return timedelta(seconds=min(max(told), 86_400)) if told else _DEFAULT_DEADLINE


def is_replacement(case: Case, newest: Pod) -> bool:
    """Whether the pod is of a newer template than those that serve."""
    owners = {reference.uid or reference.name for reference in newest.metadata.owner_references or ()}
    others = {
        reference.uid or reference.name
        for pod in case.pods
        if is_ready(pod)
        for reference in pod.metadata.owner_references or ()
    }
    return bool(owners and others and not owners & others)
