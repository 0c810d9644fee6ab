"""A service with all that explains its verdict: conditions, pods, events, the steps of its start, addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from backend.cluster.objects import Condition, Event, Pod, condition_of, parsed_time
from backend.core.views import (
    ConditionView,
    EndpointView,
    KubeEventView,
    ServiceDetailView,
    ServiceView,
    StepView,
)
from backend.serving.case import Case
from backend.serving.display import display_yaml
from backend.serving.pods import newest_first, pod_view


def detail_view(
    row: ServiceView,
    case: Case,
    manifest: Mapping[str, Any],
    events: Iterable[Event] = (),
    endpoints: Iterable[EndpointView] = (),
) -> ServiceDetailView:
    """Everything about one service.

    Args:
        row: its row.
        manifest: the object as the API gives it, with all fields.
        events: on the service itself, beside those on its pods.
        endpoints: where it is reached.
    """
    on_pods = [event for listed in case.events.values() for event in listed]
    conditions = (case.service.status.conditions if case.service.status else None) or ()
    return ServiceDetailView(
        service=row,
        conditions=tuple(condition_view(condition) for condition in conditions),
        pods=tuple(pod_view(pod, case.events_of(pod)) for pod in newest_first(case.pods)),
        events=event_views([*events, *on_pods]),
        timeline=timeline(case.newest, case.events),
        endpoints=tuple(endpoints),
        manifest=display_yaml(manifest),
    )


def condition_view(condition: Condition) -> ConditionView:
    """A condition as it is shown."""
    return ConditionView(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        since=parsed_time(condition.last_transition_time),
    )


def event_views(events: Iterable[Event]) -> tuple[KubeEventView, ...]:
    """Events as they are shown, newest first, each once."""
    once = {(event.metadata.namespace, event.metadata.name): event for event in events}
    ordered = sorted(once.values(), key=lambda event: event.at.timestamp() if event.at else 0.0, reverse=True)
    return tuple(
        KubeEventView(
            at=event.at,
            type=event.type,
            reason=event.reason,
            object=f"{event.involved_object.kind} {event.involved_object.name}",
            message=event.message,
            count=event.times,
        )
        for event in ordered
    )


def timeline(pods: Sequence[Pod], events: Mapping[str, Sequence[Event]]) -> tuple[StepView, ...]:
    """The steps of the newest pod's start, each with how long it took after the one before; none without a pod."""
    if not pods:
        return ()
    pod = pods[0]
    created = parsed_time(pod.metadata.creation_timestamp)
    scheduled = _since(pod, "PodScheduled")
    pulled = _pulled(events.get(pod.metadata.name, ()))
    started = _started(pod)
    ready = _since(pod, "Ready")
    steps = [
        ("created", created),
        ("scheduled", scheduled),
        ("pulled", pulled or started),
        ("loading", started),
        ("ready", ready),
    ]
    views: list[StepView] = []
    previous: datetime | None = None
    for name, at in steps:
        seconds = (at - previous).total_seconds() if at is not None and previous is not None else None
        views.append(StepView(name=name, at=at, seconds=None if seconds is None else max(0.0, seconds)))
        previous = at or previous
    return tuple(views)


def cold_start(pods: Iterable[Pod]) -> timedelta | None:
    """How long the newest pod that serves took from its creation to its readiness; None when none tells."""
    for pod in newest_first(pods):
        created, ready = parsed_time(pod.metadata.creation_timestamp), _since(pod, "Ready")
        restarted = any(status.restart_count for status in pod.status.container_statuses or ())
        if created is not None and ready is not None and not restarted and ready >= created:
            return ready - created
    return None


def _since(pod: Pod, type_: str) -> datetime | None:
    condition = condition_of(pod.status.conditions, type_)
    if condition is None or condition.status != "True":
        return None
    return parsed_time(condition.last_transition_time)


def _started(pod: Pod) -> datetime | None:
    for status in pod.status.container_statuses or ():
        if status.state.running is not None and status.state.running.started_at:
            return parsed_time(status.state.running.started_at)
    return None


def _pulled(events: Sequence[Event]) -> datetime | None:
    pulled = [event.at for event in events if event.reason == "Pulled" and event.at is not None]
    return max(pulled) if pulled else None
