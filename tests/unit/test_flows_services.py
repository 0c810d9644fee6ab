"""What the watches of a context come to for its source and its rows."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from backend.core.errors import AccessDeniedError, UnreachableError
from backend.core.events import EventHub
from backend.core.views import SourceState
from backend.flows.cluster_link import ClusterLink
from backend.flows.context_services import ContextServices
from backend.serving.board import Approval
from tests.fakes.ports import FixedClock
from tests.fakes.serving_objects import service

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AWAY = UnreachableError("watch", "connection refused", "wait")
FORBIDDEN = AccessDeniedError("watch", "RBAC says no", "ask")


def followed(clock: FixedClock, *namespaces: str) -> tuple[ContextServices, ClusterLink]:
    link = ClusterLink("prod", namespaces, clock=clock, hub=EventHub(), changed=lambda: None)
    link.followed = True
    foundation = cast(Any, SimpleNamespace(clock=clock, database=None))
    services = ContextServices(
        foundation, link, cast(Any, SimpleNamespace(judge=lambda digests: None)), cast(Any, None)
    )
    return services, link


def test_one_namespace_that_is_forbidden_is_told_of_and_the_context_lives() -> None:
    clock = FixedClock(START)
    services, link = followed(clock, "a", "b")
    services._heard("inferenceservices", "a", None)
    services._heard("inferenceservices", "b", FORBIDDEN)
    assert (link.source.state, link.source.detail) == (SourceState.LIVE, "inferenceservices in b: RBAC says no")
    services._heard("inferenceservices", "a", AWAY)
    assert (link.source.state, link.source.detail) == (SourceState.LOST, "connection refused")
    services._heard("inferenceservices", "a", None)
    services._heard("inferenceservices", "b", None)
    assert (link.source.state, link.source.detail) == (SourceState.LIVE, "")


def test_rows_age_from_when_the_first_of_the_watches_that_they_rest_on_was_lost() -> None:
    clock = FixedClock(START)
    services, _ = followed(clock)
    services._listed |= {("inferenceservices", ""), ("pods", "")}
    services.board.reset_services([service(ready="True")])
    services.board.set_approver(lambda digests: Approval(True, ""))
    services.board.refresh(clock.now())
    services._heard("deployments", "", FORBIDDEN)  # never seen: verdicts rest on what is left
    services._heard("pods", "", AWAY)
    clock.advance(seconds=7)
    services._heard("inferenceservices", "", AWAY)
    services._mark_lost()
    (row,) = services.board.refresh(clock.now()).rows
    assert row.as_of == START
    services._heard("pods", "", None)
    services._heard("inferenceservices", "", None)
    (row,) = services.board.refresh(clock.now()).rows
    assert row.as_of is None


def test_a_single_request_tells_of_a_cluster_only_where_no_watch_does() -> None:
    link = ClusterLink("prod", (), clock=FixedClock(START), hub=EventHub(), changed=lambda: None)
    link.answered(AWAY)
    assert link.source.state is SourceState.LOST
    link.heard(None)
    link.followed = True
    link.answered(AWAY)
    assert link.source.state is SourceState.LIVE
