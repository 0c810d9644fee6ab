"""What a Knative revision tells that neither pods nor KServe's conditions do. Pure.

A revision whose image cannot be resolved to a digest, or whose pods may not be made, has no pod that could tell. One
that serves nobody is scaled to zero, while KServe's modelStatus reads Pending and InProgress.
"""

from __future__ import annotations

from typing import Final

from backend.cluster.objects import Condition, condition_of, parsed_time
from backend.cluster.platform_objects import Revision
from backend.core.text import sanitise
from backend.core.views import Verdict
from backend.serving.case import Case, Judgement, judgement
from backend.serving.causes import pull_cause

#: Reasons of Knative's serving controller, with what to do.
_STEPS: Final = {
    "ContainerMissing": "check that the digest is in the registry, and the pull secret",
    "ResolvingDigests": "wait; the registry is asked for the digest",
    "ProgressDeadlineExceeded": "look at the log; raise progress-deadline where the model is large",
    "ImagePullBackOff": "check imagePullSecrets of the service and its secret",
    "Unschedulable": "free GPUs, or lower what it asks for",
}


def judge_revision(case: Case) -> Judgement | None:
    """Judge by the revision that was made last; None where it tells nothing, or there is none."""
    if not case.is_knative or not case.revisions:
        return None
    newest = max(case.revisions, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))
    ready = condition_of(newest.status.conditions if newest.status else None, "Ready")
    if ready is not None and ready.status == "False" and ready.reason not in {"NoTraffic", "Deploying"}:
        return _failed(case, newest, ready)
    active = condition_of(newest.status.conditions if newest.status else None, "Active")
    asleep = active is not None and active.status == "False" and active.reason == "NoTraffic"
    if asleep and case.ready == 0 and case.loading is None and ready is not None and ready.status != "False":
        return judgement(
            case,
            Verdict.SCALED_TO_ZERO,
            "scaled to zero: no requests came",
            "the first request waits for a cold start",
            parsed_time(active.last_transition_time) if active else None,
        )
    return None


def _failed(case: Case, newest: Revision, ready: Condition) -> Judgement | None:
    since = parsed_time(ready.last_transition_time)
    told = sanitise(ready.message, 300) or ready.reason or "no reason given"
    step = _STEPS.get(ready.reason, "look at the revision with kubectl describe")
    if ready.reason == "ContainerMissing":
        cause = pull_cause(ready.message)
        told, step = f"the image cannot be resolved: {cause.reason}", cause.next_step
    if ready.reason == "ProgressDeadlineExceeded" and case.loading is not None:
        # A pod that still loads is slow: the Deployment's progress tells how long.
        return None
    if case.ready:
        reason = f"{case.ready} of {case.wanted} serve; revision {newest.metadata.name}: {told}"
        return judgement(case, Verdict.DEGRADED, reason, step, since)
    waits = ready.reason in {"Unschedulable", "ResolvingDigests"}
    verdict = Verdict.STUCK if waits else Verdict.FAILED
    return judgement(case, verdict, f"revision {newest.metadata.name}: {told}", step, since)
