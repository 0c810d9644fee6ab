"""Alerts over time: lasting, hysteresis, lost sources, clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backend.telemetry.alert_config import AlertConfig, AlertKind, Severity
from backend.telemetry.conditions import Condition, Findings
from backend.telemetry.episodes import Episode, State, Step, advance
from tests.fakes.ports import NumberedIds

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULE = AlertConfig.model_validate({"kind": "gpu-throttled", "for": "5m", "clear": "2m"})
HOT = Condition(kind=AlertKind.GPU_THROTTLED, object="gpu-01", summary="thermal")
WRONG = Findings(conditions=(HOT,))
FINE = Findings(conditions=())


class Course:
    """Looks at one thing after the other."""

    def __init__(self, *rules: AlertConfig) -> None:
        self.rules, self.ids, self.now = rules or (RULE,), NumberedIds(), NOW
        self.going: tuple[Episode, ...] = ()

    def look(self, findings: Findings, **after: float) -> Step:
        self.now += timedelta(**after)
        step = advance(self.going, findings, self.rules, self.now, self.ids.new_id)
        self.going = step.going
        return step


def test_it_fires_once_it_lasted_long_enough_and_only_once() -> None:
    course = Course()
    assert [one.state for one in course.look(WRONG).begun] == [State.PENDING]
    assert not course.look(WRONG, minutes=4).fired
    assert [one.object for one in course.look(WRONG, minutes=1).fired] == ["gpu-01"]
    assert not course.look(WRONG, minutes=1).moved


def test_what_was_over_before_it_lasted_is_told_nobody() -> None:
    course = Course()
    course.look(WRONG)
    step = course.look(FINE, minutes=1)
    assert (len(step.dropped), step.going, step.resolved) == (1, (), ())


def test_it_is_over_only_after_it_was_fine_for_a_while() -> None:
    course = Course()
    course.look(WRONG)
    course.look(WRONG, minutes=5)
    assert not course.look(FINE, minutes=1).resolved
    course.look(WRONG, minutes=1)
    assert not course.look(FINE, minutes=1).resolved, "it came back: the wait begins anew"
    assert not course.look(FINE, minutes=1).resolved
    (over,) = course.look(FINE, minutes=1).resolved
    assert (over.state, over.resolved_at) == (State.RESOLVED, course.now)
    (again,) = course.look(WRONG, minutes=1).begun
    assert again.id != over.id


def test_a_value_between_the_limits_begins_nothing_and_ends_nothing() -> None:
    between = Findings(conditions=(msgspec.structs.replace(HOT, standing=True),))
    course = Course()
    assert not course.look(between).going
    course.look(WRONG)
    course.look(WRONG, minutes=5)
    assert [one.state for one in course.look(between, hours=1).going] == [State.FIRING]


def test_a_source_that_is_lost_ends_nothing() -> None:
    course = Course()
    course.look(WRONG)
    course.look(WRONG, minutes=5)
    blind = Findings(conditions=(), blind=frozenset({AlertKind.GPU_THROTTLED}))
    assert [one.state for one in course.look(blind, hours=9).going] == [State.FIRING]
    unknown = Findings(conditions=(), unknown=frozenset({(AlertKind.GPU_THROTTLED, "gpu-01")}))
    assert [one.state for one in course.look(unknown, hours=9).going] == [State.FIRING]


def test_a_beginning_that_is_known_counts() -> None:
    since = NOW - timedelta(hours=2)
    step = Course().look(Findings(conditions=(msgspec.structs.replace(HOT, since=since),)))
    assert [(one.state, one.since) for one in step.fired] == [(State.FIRING, since)]


def test_a_clock_that_is_set_back_makes_nothing_wait_for_ever() -> None:
    course = Course()
    course.look(WRONG)
    course.look(WRONG, hours=-5)
    assert course.look(WRONG, minutes=5).fired


def test_a_rule_of_some_services_says_nothing_of_others() -> None:
    rule = AlertConfig.model_validate({"kind": "gpu-throttled", "for": "0s", "services": ["llm-prod/*"]})
    prod = msgspec.structs.replace(HOT, object="gpu-02", services=("ctx/llm-prod/llama",))
    dev = msgspec.structs.replace(HOT, object="gpu-03", services=("ctx/llm-dev/llama",))
    step = Course(rule).look(Findings(conditions=(HOT, prod, dev)))
    assert [one.object for one in step.fired] == ["gpu-02"]


def test_a_condition_may_matter_less_than_its_rule_unless_the_rule_says_how_much() -> None:
    mild = msgspec.structs.replace(HOT, severity=Severity.INFO)
    at_once = AlertConfig.model_validate({"kind": "gpu-throttled", "for": "0s"})
    said = AlertConfig.model_validate({"kind": "gpu-throttled", "for": "0s", "severity": "critical"})
    assert Course(at_once).look(Findings(conditions=(mild,))).fired[0].severity is Severity.INFO
    assert Course(said).look(Findings(conditions=(mild,))).fired[0].severity is Severity.CRITICAL


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=40))
def test_firing_and_resolving_alternate_and_each_lasted(course: list[tuple[bool, int]]) -> None:
    looks = Course()
    told: list[str] = []
    for wrong, seconds in course:
        step = looks.look(WRONG if wrong else FINE, seconds=seconds)
        told += ["fired"] * len(step.fired) + ["resolved"] * len(step.resolved)
        for one in step.fired:
            assert one.fired_at is not None
            assert one.fired_at - one.since >= RULE.wait
        for one in step.resolved:
            assert one.clear_since is not None
            assert looks.now - one.clear_since >= RULE.clear
        assert len({one.key for one in step.going}) == len(step.going)
    assert told == ["fired", "resolved"] * (len(told) // 2) + ["fired"] * (len(told) % 2)


def test_a_cluster_that_is_away_ends_no_alert_of_its_services_and_keeps_no_other() -> None:
    def down(context: str) -> Condition:
        key = f"{context}/llm/chat"
        return Condition(kind=AlertKind.SERVICE_DOWN, object=key, summary="stuck", services=(key,))

    far, near = "arn:eks:1:cluster/far", "near"
    rule = AlertConfig.model_validate({"kind": "service-down", "for": "5m", "clear": "2m"})
    course = Course(rule)
    for minutes in (0, 6):
        course.look(Findings(conditions=(down(far), down(near))), minutes=minutes)
    for minutes in (1, 3):
        course.look(Findings(conditions=(), away=frozenset({far})), minutes=minutes)
    assert [one.object for one in course.going] == [f"{far}/llm/chat"]
