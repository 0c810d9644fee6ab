"""When a GPU that somebody holds is idle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.telemetry.idle import SETTLES_AFTER, UNSEEN_FOR, Quiet, Work, does_nothing, follow, idle_since

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("work", "nothing"),
    [
        (Work(0), True),
        (Work(0.9), True),
        (Work(1.0), False),
        (Work(95), False),
        (Work(None), None),
        (Work(0, running=0, waiting=0, tokens_per_second=0), True),
        (Work(0, running=1), False),
        (Work(0, waiting=1), False),
        (Work(0, tokens_per_second=0.1), False),
        (Work(None, running=2), False),
        (Work(None, running=0, waiting=0, tokens_per_second=0), None),
    ],
)
def test_a_gpu_does_nothing_when_nothing_says_otherwise(work: Work, nothing: bool | None) -> None:
    assert does_nothing(work) is nothing


def test_who_was_never_seen_working_is_idle_from_the_first_sample() -> None:
    quiet = follow(None, "a/p", True, NOON)
    assert idle_since(quiet, NOON) == NOON


def test_a_pause_between_requests_is_not_idle_and_a_long_one_is_since_its_start() -> None:
    quiet = follow(follow(None, "a/p", False, NOON), "a/p", True, NOON)
    assert idle_since(quiet, NOON + SETTLES_AFTER / 2) is None
    quiet = follow(quiet, "a/p", True, NOON + SETTLES_AFTER)
    assert idle_since(quiet, NOON + SETTLES_AFTER) == NOON


def test_another_pod_starts_anew() -> None:
    quiet = follow(follow(None, "a/p", True, NOON), "a/q", True, NOON + timedelta(hours=1))
    assert quiet.since == NOON + timedelta(hours=1)


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=30))
def test_idle_since_is_the_start_of_the_last_unbroken_quiet(samples: list[bool | None]) -> None:
    quiet: Quiet | None = None
    for minute, nothing in enumerate(samples):
        quiet = follow(quiet, "a/p", nothing, NOON + timedelta(minutes=minute))
    assert quiet is not None
    since, unseen = None, 0
    for minute, nothing in enumerate(samples):
        if nothing is None:
            unseen += since is not None
            continue
        if not nothing or unseen > UNSEEN_FOR / timedelta(minutes=1):
            since = None
        unseen = 0
        if nothing and since is None:
            since = minute
    assert quiet.since == (None if since is None else NOON + timedelta(minutes=since))
    if samples[-1] is not True:
        assert idle_since(quiet, NOON + timedelta(hours=1)) is None


def test_a_short_silence_of_its_exporter_ends_no_idleness_and_a_long_one_does() -> None:
    quiet = follow(None, "a/p", True, NOON)
    silent = follow(quiet, "a/p", None, NOON + timedelta(minutes=1))
    assert idle_since(silent, NOON + timedelta(minutes=1)) is None
    for minutes, since in ((3, NOON), (9, NOON + timedelta(minutes=9))):
        now = NOON + timedelta(minutes=minutes)
        assert idle_since(follow(silent, "a/p", True, now), now) == since
