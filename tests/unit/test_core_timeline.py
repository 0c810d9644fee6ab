"""The change nearest before a failure is pointed at, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backend.core.timeline import newest_first, suspects, with_suspects
from backend.core.views import ChangeView, ServiceView, Verdict

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = "prod/llm/llama"


def change(minutes: float, *, key: str = KEY, kind: str = "apply", **more: str) -> ChangeView:
    at = NOW - timedelta(minutes=minutes)
    return ChangeView(at=at, actor="robin", what="apply", object=key, kind=kind, services=(key,), **more)


def service(minutes: float | None, verdict: Verdict = Verdict.FAILED) -> ServiceView:
    since = None if minutes is None else NOW - timedelta(minutes=minutes)
    return ServiceView(
        context="prod", namespace="llm", name="llama", verdict=verdict, reason="", next_step="", since=since,
        ready_replicas=0, wanted_replicas=1, gpus=1,
    )  # fmt: skip


def test_the_nearest_before_the_failure_is_pointed_at() -> None:
    changes = [change(1), change(10), change(30), change(9, key="prod/llm/other"), change(9, kind="refused")]
    assert list(suspects(changes, [service(8)])) == [1]
    assert [one.suspected for one in with_suspects(changes, [service(8)])] == ["", "llm/llama failed", "", "", ""]


def test_a_node_is_pointed_at_for_what_ran_on_it() -> None:
    node = ChangeView(
        at=NOW - timedelta(minutes=9), actor="gpu-1", what="NodeNotReady", object="gpu-1", services=(KEY,)
    )
    assert list(suspects([change(20), node], [service(8)])) == [1]


def test_nothing_is_guessed_without_a_failure_or_its_time_or_long_before_it() -> None:
    assert not suspects([change(10)], [service(8, Verdict.SERVING)])
    assert not suspects([change(10)], [service(None)])
    assert not suspects([change(60 * 25)], [service(8)])


@given(st.lists(st.integers(0, 2000)), st.integers(0, 2000))
def test_what_is_pointed_at_comes_before_and_nothing_stands_between(ages: list[int], failed: int) -> None:
    changes = newest_first([change(age) for age in ages])
    found = suspects(changes, [service(failed)])
    assert len(found) <= 1
    for at in found:
        assert changes[at].at <= NOW - timedelta(minutes=failed)
        assert not any(changes[at].at < one.at <= NOW - timedelta(minutes=failed) for one in changes)
