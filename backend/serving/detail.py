"""A service with all that explains its verdict: conditions, pods, events, the steps of its start, addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from backend.cluster.objects import Condition, Event, parsed_time
from backend.core.views import (
    ConditionView,
    EndpointView,
    KubeEventView,
    ServiceDetailView,
    ServiceView,
)
from backend.serving.case import Case
from backend.serving.display import display_yaml
from backend.serving.owners import owner_chain
from backend.serving.pods import newest_first, pod_view
from backend.serving.starts import Usual, timeline


def detail_view(
    row: ServiceView,
    case: Case,
    manifest: Mapping[str, Any],
    events: Iterable[Event] = (),
    endpoints: Iterable[EndpointView] = (),
    usual: Usual | None = None,
    weights_at: datetime | None = None,
    conditions: Iterable[Condition] | None = None,
) -> ServiceDetailView:
    """Everything about one service.

    Args:
        row: its row.
        manifest: the object as the API gives it, with all fields.
        events: on the service itself, beside those on its pods.
        endpoints: where it is reached.
        usual: what starts of its newest pod's image took before.
        weights_at: when the newest pod's log said that its weights are loaded.
        conditions: instead of the service's own.
    """
    newest = case.newest[0] if case.newest else None
    on_pods = [*case.own_events, *(event for listed in case.events.values() for event in listed)]
    own = (case.service.status.conditions if case.service.status else None) or ()
    return ServiceDetailView(
        service=row,
        conditions=tuple(condition_view(condition) for condition in (own if conditions is None else conditions)),
        pods=tuple(
            pod_view(pod, case.events_of(pod), case.last_words.get(pod.metadata.name, ""))
            for pod in newest_first(case.pods)
        ),
        events=event_views([*events, *on_pods]),
        timeline=timeline(
            newest, case.events_of(newest) if newest is not None else (), usual=usual, weights_at=weights_at
        ),
        endpoints=tuple(endpoints),
        manifest=display_yaml(manifest),
        owners=owner_chain(case, manifest),
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
