"""What ails a pod, if anything does: waiting and terminated containers, scheduling, eviction. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from backend.cluster.objects import (
    Container,
    ContainerStatus,
    ContainerTerminated,
    Event,
    Pod,
    Quantity,
    condition_of,
    parsed_time,
)
from backend.core.text import sanitise
from backend.core.views import ContainerView, PodView, Verdict
from backend.serving.causes import Cause, pull_cause, schedule_cause, server_cause

_PULLING: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "SignatureValidationFailed",
    }
)
_CONFIGURATION: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreStartHookError",
        "PostStartHookError",
    }
)
_LOOP: Final = "crash loop"
#: A server that is started tells that it is not ready yet within this time; later it has been ready before.
_FIRST_READINESS: Final = timedelta(seconds=20)
_MOUNTING: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a pod from serving.

    Attributes:
        verdict: FAILED when it ends again and again or cannot start, STUCK when it waits for something.
        since: when it began, as far as the pod tells.
        wants_gpus: it waits for GPUs that no node has free.
    """

    verdict: Verdict
    reason: str
    next_step: str
    since: datetime | None
    wants_gpus: bool = False


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What others say of a pod."""

    events: tuple[Event, ...]
    last_words: str


def is_ready(pod: Pod) -> bool:
    """Whether the pod takes requests."""
    condition = condition_of(pod.status.conditions, "Ready")
    return condition is not None and condition.status == "True" and pod.metadata.deletion_timestamp is None


def ready_since(pod: Pod) -> datetime | None:
    """Since when the pod takes requests, or when it last did not."""
    condition = condition_of(pod.status.conditions, "Ready")
    return parsed_time(condition.last_transition_time) if condition is not None else None


def newest_first(pods: Iterable[Pod]) -> list[Pod]:
    """Pods by creation, those that are being deleted last."""
    return sorted(
        pods,
        key=lambda pod: (pod.metadata.deletion_timestamp is None, pod.metadata.creation_timestamp or ""),
        reverse=True,
    )


def trouble_of(pod: Pod, events: Iterable[Event] = (), last_words: str = "") -> Trouble | None:
    """What ails the pod; None when it serves or is on its way.

    Args:
        events: of the cluster on this pod, for what a pod does not tell itself (mounts, probes).
        last_words: end of the log of its crashed container, for when the pod does not keep a termination message.
    """
    if pod.metadata.deletion_timestamp is not None:
        return None
    told = _Told(events=tuple(events), last_words=last_words)
    if pod.status.phase == "Failed":
        return _ended(pod, told)
    for status, initial in _statuses(pod):
        found = _waiting(pod, status, initial, told) or _terminated(status, initial, told)
        if found is not None:
            return found
    return _unscheduled(pod, told.events) or _mounting(pod, told.events) or _silenced(pod, told.events)


def silent_crash(pod: Pod) -> tuple[str, int] | None:
    """The container that crashed without a termination message, and its restarts; None when none did."""
    for status in pod.status.container_statuses or ():
        ended = status.state.terminated or status.last_state.terminated
        if ended is not None and ended.exit_code != 0 and not status.ready and not ended.message:
            return (status.name, status.restart_count) if ended.reason != "OOMKilled" else None
    return None


def gpus_of(pod: Pod) -> int:
    """GPUs and MIG instances that the pod's containers ask for."""
    return sum(gpus_in(container) for container in pod.spec.containers)


def gpus_in(container: Container | None) -> int:
    """GPUs and MIG instances that a container asks for; every vendor's resource ends in `/gpu` or names `/mig-`."""
    if container is None or container.resources is None:
        return 0
    asked = container.resources.limits or container.resources.requests or {}
    return sum(_whole(value) for name, value in asked.items() if name.endswith("/gpu") or "/mig-" in name)


def pod_view(pod: Pod, events: Iterable[Event] = (), last_words: str = "") -> PodView:
    """The pod as it is shown; events and last words as for `trouble_of`."""
    trouble = trouble_of(pod, events, last_words)
    statuses = pod.status.container_statuses or ()
    return PodView(
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        node=pod.spec.node_name,
        phase=pod.status.phase,
        state=_state(pod),
        ready=is_ready(pod),
        restarts=sum(status.restart_count for status in statuses),
        gpus=gpus_of(pod),
        image_ids=tuple(status.image_id for status in statuses if status.image_id),
        message=trouble.reason if trouble else "",
        started_at=parsed_time(pod.status.start_time),
        containers=tuple(_containers(pod)),
        owner=next((f"{one.kind} {one.name}" for one in pod.metadata.owner_references or ()), ""),
    )


def _containers(pod: Pod) -> Iterator[ContainerView]:
    """Those that serve first, then those that ran before them."""
    for specs, statuses, initial in (
        (pod.spec.containers, pod.status.container_statuses, False),
        (pod.spec.init_containers or (), pod.status.init_container_statuses, True),
    ):
        told = {status.name: status for status in statuses or ()}
        for container in specs:
            status = told.get(container.name, ContainerStatus(name=container.name))
            running, ended = status.state.running, status.state.terminated
            yield ContainerView(
                name=container.name,
                image=container.image,
                state=_container_state(status),
                ready=status.ready,
                restarts=status.restart_count,
                gpus=gpus_in(container),
                image_id=status.image_id,
                last=_ending(status.last_state.terminated),
                initial=initial,
                since=parsed_time(running.started_at if running else ended.finished_at if ended else None),
            )


def _container_state(status: ContainerStatus) -> str:
    if status.state.waiting is not None:
        return status.state.waiting.reason or "waiting"
    if status.state.terminated is not None:
        return _ending(status.state.terminated)
    return "running" if status.state.running is not None else "not started"


def _ending(ended: ContainerTerminated | None) -> str:
    if ended is None:
        return ""
    reason = ended.reason or ("Completed" if ended.exit_code == 0 else "Error")
    return reason if ended.exit_code == 0 else f"{reason}, exit code {ended.exit_code}"


def _state(pod: Pod) -> str:
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    for status, _ in _statuses(pod):
        if status.state.waiting is not None and status.state.waiting.reason:
            return status.state.waiting.reason
        if status.state.terminated is not None and status.state.terminated.exit_code != 0:
            return status.state.terminated.reason or "Error"
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return scheduled.reason or "Unschedulable"
    return pod.status.reason or pod.status.phase


def _statuses(pod: Pod) -> Iterator[tuple[ContainerStatus, bool]]:
    for status in pod.status.init_container_statuses or ():
        yield status, True
    for status in pod.status.container_statuses or ():
        yield status, False


def _ended(pod: Pod, others: _Told) -> Trouble:
    reason = pod.status.reason
    told = sanitise(pod.status.message, 200)
    steps = {
        "Evicted": "free memory or disk on the node, or raise what it requests",
        "UnexpectedAdmissionError": "check the node's GPUs and device plugin",
        "NodeLost": "check the node",
    }
    since = parsed_time(pod.status.start_time)
    if not reason:
        for status, initial in _statuses(pod):
            found = _terminated(status, initial, others)
            if found is not None:
                return found
    return Trouble(
        verdict=Verdict.FAILED,
        reason=f"pod {pod.metadata.name} ended: {reason or 'Failed'}{': ' if told else ''}{told}",
        next_step=steps.get(reason, "look at the pod's log"),
        since=since,
    )


def _waiting(pod: Pod, status: ContainerStatus, initial: bool, told: _Told) -> Trouble | None:
    waiting = status.state.waiting
    if waiting is None:
        return None
    since = parsed_time(pod.metadata.creation_timestamp)
    if waiting.reason in _PULLING:
        cause = pull_cause(waiting.message or _message(told.events, "Failed"))
        return Trouble(
            verdict=Verdict.FAILED,
            reason=f"the image cannot be pulled: {cause.reason}",
            next_step=cause.next_step,
            since=since,
        )
    if waiting.reason in _CONFIGURATION:
        said = sanitise(waiting.message, 200)
        return Trouble(
            verdict=Verdict.STUCK,
            reason=f"the container cannot be made: {said or waiting.reason}",
            next_step="make the secret, config map or key that it names, or correct the name",
            since=since,
        )
    if waiting.reason == "CrashLoopBackOff":
        return _crashing(status, initial, told)
    return None


def _terminated(status: ContainerStatus, initial: bool, told: _Told) -> Trouble | None:
    ended = status.state.terminated
    if ended is not None and ended.exit_code != 0:
        return _crashing(status, initial, told)
    # Running again after a crash and not ready: the crash is what matters, until it serves.
    last = status.last_state.terminated
    if status.restart_count == 0 or status.ready or status.state.running is None or last is None or not last.exit_code:
        return None
    found = _crashing(status, initial, told)
    if found is not None and status.restart_count == 1:
        return msgspec.structs.replace(
            found, verdict=Verdict.STARTING, reason=found.reason.replace(_LOOP, "starting again after a crash", 1)
        )
    return found


def _crashing(status: ContainerStatus, initial: bool, told: _Told) -> Trouble | None:
    ended = status.state.terminated or status.last_state.terminated
    if ended is None:
        return None
    words = ended.message or told.last_words
    cause = server_cause(words, ended.exit_code, ended.reason)
    killed = ended.exit_code in {137, 143} and ended.reason != "OOMKilled"
    if killed and _message(told.events, "Unhealthy", "Liveness"):
        cause = Cause(
            "killed by its liveness probe",
            "raise the probe's timeout; a busy engine answers slowly (10 s are advisable)",
        )
    if cause is None:
        said = _last_line(words)
        reason = f"exit code {ended.exit_code}{': ' if said else ''}{said}"
        cause = Cause(reason, "look at the log of the run before (logs --previous)")
    if initial:
        head = "loading the weights fails" if status.name == "storage-initializer" else f"{status.name} fails"
    elif status.restart_count > 0:
        head = _LOOP if ended.reason != "OOMKilled" else "killed again and again"
    else:
        head = "the server ended"
    return Trouble(
        verdict=Verdict.FAILED,
        reason=f"{head}: {cause.reason}",
        next_step=cause.next_step,
        since=parsed_time(ended.finished_at),
    )


def _silenced(pod: Pod, events: Sequence[Event]) -> Trouble | None:
    """A pod that was ready and is no more reads as one that still loads, though nothing in it was started anew."""
    statuses = pod.status.container_statuses or ()
    condition = condition_of(pod.status.conditions, "Ready")
    if pod.status.phase != "Running" or condition is None or condition.status == "True" or not statuses:
        return None
    if not all(status.state.running is not None for status in statuses):
        return None
    since = ready_since(pod)
    if all(status.ready for status in statuses):
        # The node's controller takes the pod's readiness away and leaves its containers' as they were.
        return Trouble(
            verdict=Verdict.STUCK,
            reason=f"its node {pod.spec.node_name} does not answer, or a readiness gate is closed",
            next_step=f"look at node {pod.spec.node_name}",
            since=since,
        )
    started = [parsed_time(status.state.running.started_at) for status in statuses if status.state.running]
    last = max((at for at in started if at is not None), default=None)
    if last is None or since is None or since - last <= _FIRST_READINESS:
        return None
    said = _message(events, "Unhealthy", "Readiness")
    return Trouble(
        verdict=Verdict.FAILED,
        reason="its server answers no more" + (f": {sanitise(said, 200)}" if said else ": its readiness probe fails"),
        next_step="look at its log and load; restart the pod if it hangs",
        since=since,
    )


def _unscheduled(pod: Pod, events: Sequence[Event]) -> Trouble | None:
    condition = condition_of(pod.status.conditions, "PodScheduled")
    if condition is None or condition.status != "False":
        return None
    since = parsed_time(condition.last_transition_time)
    if condition.reason == "SchedulingGated":
        return Trouble(
            verdict=Verdict.STUCK,
            reason="waits for quota (the pod is held back by a scheduling gate)",
            next_step="look at its queue in Kueue",
            since=since,
        )
    gpus = gpus_of(pod)
    cause = schedule_cause(condition.message, gpus)
    if any(event.reason == "TriggeredScaleUp" for event in events):
        return Trouble(
            verdict=Verdict.STARTING,
            reason=f"waits for a node that the cluster's autoscaler adds: {cause.reason}",
            next_step="wait; a new node takes some minutes",
            since=since,
        )
    wants_gpus = bool(gpus) and "free" in cause.reason
    return Trouble(
        verdict=Verdict.STUCK, reason=cause.reason, next_step=cause.next_step, since=since, wants_gpus=wants_gpus
    )


def _mounting(pod: Pod, events: Sequence[Event]) -> Trouble | None:
    if pod.status.phase != "Pending":
        return None
    found = [event for event in events if event.reason in _MOUNTING]
    if not found:
        return None
    last = max(found, key=lambda event: event.at.timestamp() if event.at else 0.0)
    return Trouble(
        verdict=Verdict.STUCK,
        reason=sanitise(last.message, 200) or last.reason,
        next_step="check the volume, its claim or secret",
        since=parsed_time(pod.metadata.creation_timestamp),
    )


def _message(events: Sequence[Event], reason: str, contains: str = "") -> str:
    found = [event.message for event in events if event.reason == reason and contains in event.message]
    return found[-1] if found else ""


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return sanitise(lines[-1], 200) if lines else ""


def _whole(value: Quantity) -> int:
    try:
        return max(0, int(value))
    except (ValueError, OverflowError):
        return 0
