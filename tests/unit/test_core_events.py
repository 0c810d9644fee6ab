"""Events reach every subscriber; only topics of high rate may skip what is outdated."""

from __future__ import annotations

from datetime import UTC, datetime

from backend.core.events import (
    DecisionRecorded,
    Event,
    EventHub,
    LibraryChanged,
    ServiceChanged,
    ServiceRemoved,
    ServicesReset,
    Topic,
)
from backend.core.views import DecisionView, ServiceView, Verdict


def _service(name: str, reason: str = "") -> ServiceView:
    return ServiceView(
        context="prod",
        namespace="llm",
        name=name,
        verdict=Verdict.SERVING,
        reason=reason,
        next_step="",
        since=None,
        ready_replicas=1,
        wanted_replicas=1,
        gpus=1,
    )


def _decision(number: int) -> DecisionView:
    return DecisionView(
        id=str(number),
        digest="sha256:0",
        reference="r",
        verdict="approve",
        actor="robin",
        at=datetime(2026, 11, 20, tzinfo=UTC),
        reason="fine",
        evidence_hash="h",
        policy_hash="p",
    )


async def _drain(hub: EventHub, *topics: Topic, publish: list[tuple[Topic, Event]]) -> list[Event]:
    subscription = hub.subscribe(topics)
    for topic, event in publish:
        hub.publish(topic, event)
    subscription.close()
    return [event async for event in subscription]


async def test_sequence_numbers_only_grow() -> None:
    events = await _drain(
        EventHub(), Topic.QUEUE, publish=[(Topic.QUEUE, DecisionRecorded(decision=_decision(n))) for n in range(5)]
    )
    assert [event.seq for event in events] == sorted({event.seq for event in events})


async def test_decisions_are_never_dropped() -> None:
    events = await _drain(
        EventHub(),
        Topic.QUEUE,
        publish=[(Topic.QUEUE, DecisionRecorded(key="same", decision=_decision(n))) for n in range(100)],
    )
    assert len(events) == 100


async def test_a_slow_reader_sees_the_latest_state_of_a_service() -> None:
    changes: list[tuple[Topic, Event]] = [
        (Topic.SERVICES, ServiceChanged(key="prod/llm/a", service=_service("a", str(n)))) for n in range(1000)
    ]
    events = await _drain(EventHub(), Topic.SERVICES, publish=changes)
    assert len(events) == 1
    assert isinstance(events[0], ServiceChanged)
    assert events[0].service.reason == "999"


async def test_a_removal_outlives_the_change_before_it() -> None:
    events = await _drain(
        EventHub(),
        Topic.SERVICES,
        publish=[
            (Topic.SERVICES, ServiceChanged(key="prod/llm/a", service=_service("a"))),
            (Topic.SERVICES, ServiceRemoved(key="prod/llm/a")),
        ],
    )
    assert [type(event) for event in events] == [ServiceRemoved]


async def test_a_reset_outdates_what_came_before_it_and_not_what_comes_after() -> None:
    events = await _drain(
        EventHub(),
        Topic.SERVICES,
        publish=[
            (Topic.SERVICES, ServiceChanged(key="prod/llm/a", service=_service("a"))),
            (Topic.SERVICES, ServicesReset(key="prod", services=())),
            (Topic.SERVICES, ServiceChanged(key="prod/llm/b", service=_service("b"))),
        ],
    )
    assert [type(event) for event in events] == [ServicesReset, ServiceChanged]


async def test_only_subscribed_topics_arrive() -> None:
    events = await _drain(
        EventHub(), Topic.LIBRARY, publish=[(Topic.QUEUE, LibraryChanged()), (Topic.LIBRARY, LibraryChanged())]
    )
    assert len(events) == 1
