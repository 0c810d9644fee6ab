"""How far a rollout has come: still going on, there, or failed. Pure.

The Deployment's controller says how many pods are of the newest template; until KServe's controller has written the
Deployment anew, its numbers are those of the rollout before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from backend.cluster.objects import Pod
from backend.core.views import ServiceView, Verdict
from backend.serving.case import Case
from backend.serving.pods import is_ready, newest_first

REVISION_LABEL: Final = "serving.knative.dev/revision"
#: How long KServe's controller is given to pass an apply on before the Deployment is believed.
_PASSED_ON: Final = timedelta(seconds=5)
#: A failure has to last this long: containers crash once while they find each other.
_LASTS: Final = timedelta(seconds=20)
#: While old pods serve nothing is urgent.
_LASTS_BESIDE: Final = timedelta(seconds=60)
#: Beyond what the startup probe allows: to be scheduled, to pull, and the pod after it.
_BEYOND: Final = timedelta(minutes=15)


class Stage(StrEnum):
    """How far a rollout has come."""

    GOING_ON = "going on"
    THERE = "there"
    FAILED = "failed"
    NOTHING_RUNS = "nothing runs"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The stage of a rollout, why, and the pods that are to be asked, newest first."""

    stage: Stage
    reason: str
    pods: tuple[Pod, ...] = ()
    before_traffic: bool = False


def progress(case: Case, row: ServiceView, started_at: datetime, startup: timedelta) -> Progress:
    """How far the rollout of a service has come.

    Args:
        started_at: when it was applied. startup: how long a replica may take to start.
    """
    age = case.now - started_at
    if row.verdict in {Verdict.STOPPED, Verdict.SCALED_TO_ZERO}:
        return Progress(stage=Stage.NOTHING_RUNS, reason=f"it is {row.verdict.value}: no pod can be asked")
    if age < _PASSED_ON:
        return Progress(stage=Stage.GOING_ON, reason="was applied just now")
    waiting = unrouted_revision(case)
    ready = tuple(pod for pod in newest_first(case.pods) if is_ready(pod) and _is_of(pod, waiting))
    if waiting and ready:
        return Progress(stage=Stage.THERE, reason=f"revision {waiting} is ready", pods=ready, before_traffic=True)
    if row.verdict is Verdict.SERVING and not waiting and _is_complete(case):
        if not ready:
            return Progress(stage=Stage.NOTHING_RUNS, reason="none of its pods may be seen")
        return Progress(stage=Stage.THERE, reason=row.reason, pods=ready)
    lasting = None if row.since is None else case.now - max(row.since, started_at)
    if row.verdict is Verdict.FAILED and (lasting is None or lasting >= _LASTS):
        return Progress(stage=Stage.FAILED, reason=row.reason)
    if row.verdict is Verdict.DEGRADED and (lasting is None or lasting >= _LASTS_BESIDE) and not _is_complete(case):
        return Progress(stage=Stage.FAILED, reason=row.reason)
    if age > startup + _BEYOND:
        return Progress(
            stage=Stage.FAILED, reason=f"it did not come up in time; it is {row.verdict.value}: {row.reason}"
        )
    return Progress(stage=Stage.GOING_ON, reason=f"{row.verdict.value}: {row.reason}")


def unrouted_revision(case: Case) -> str:
    """The newest Knative revision while it gets no traffic and another does; empty: there is no such."""
    status = case.service.status
    predictor = (status.components or {}).get("predictor") if status else None
    if predictor is None or case.service.spec.predictor.canary_traffic_percent != 0:
        return ""
    newest = predictor.latest_created_revision
    return newest if newest and newest != predictor.latest_rolledout_revision else ""


def _is_of(pod: Pod, revision: str) -> bool:
    return not revision or pod.metadata.label(REVISION_LABEL) == revision


def _is_complete(case: Case) -> bool:
    """Whether every Deployment runs its newest template alone, as its controller says of its newest generation."""
    if not case.deployments:
        status = case.service.status
        predictor = (status.components or {}).get("predictor") if status else None
        return predictor is None or predictor.latest_created_revision == predictor.latest_ready_revision
    return all(
        each.status.observed_generation >= each.metadata.generation
        and each.status.updated_replicas >= each.spec.replicas
        and each.status.replicas <= each.status.updated_replicas
        and each.status.ready_replicas >= each.spec.replicas
        for each in case.deployments
    )
