"""Quantiles from buckets, of one server and of several."""

from __future__ import annotations

import bisect
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.telemetry.quantiles import Quantile, latency, merged, quantile

BOUNDS = (0.1, 0.5, 1.0)
OTHER = (0.05, 0.5, 2.0, 4.0)


def counted(values: list[float], bounds: tuple[float, ...] = BOUNDS) -> dict[float, float]:
    return {bound: float(sum(value <= bound for value in values)) for bound in (*bounds, math.inf)}


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_that_holds_it(values: list[float], share: float) -> None:
    found = quantile(counted(values), share)
    assert found is not None
    true = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    bucket = bisect.bisect_left(BOUNDS, true)
    assert found.at_least == (bucket == len(BOUNDS))
    assert (0, *BOUNDS)[bucket] <= found.value <= (*BOUNDS, BOUNDS[-1])[bucket]


@example({math.nan: 0.0, math.inf: 1.0}, 0.0)
@example({math.inf: 0.0, -math.inf: 1.0}, 0.0)
@given(st.dictionaries(st.floats(), st.floats(), max_size=5), st.floats(0, 1))
def test_no_buckets_break_the_quantile(buckets: dict[float, float], share: float) -> None:
    found = quantile(buckets, share)
    assert found is None or not math.isnan(found.value)


def test_a_bucket_that_falls_short_of_a_lower_one_is_taken_for_it() -> None:
    assert quantile({0.1: 4, 0.5: 3, 1.0: 8, math.inf: 8}, 0.5) == Quantile(0.1, at_least=False)


def test_no_observations_are_no_latency() -> None:
    assert latency({}) is None
    assert latency(counted([])) is None
    assert latency(merged([counted([]), {}])) is None


def test_a_latency_names_the_quantiles_that_lie_beyond_the_highest_bound() -> None:
    found = latency(counted([0.05] * 96 + [3.0] * 4))
    assert found is not None
    assert found.at_least == ("p99",)
    assert found.p99 == 1.0
    assert found.p50 < 0.1


@given(st.lists(st.lists(st.floats(0, 3), max_size=30), min_size=1, max_size=4))
def test_replicas_with_the_same_bounds_are_one(replicas: list[list[float]]) -> None:
    together = merged([counted(values) for values in replicas])
    everything = counted([value for values in replicas for value in values])
    assert together == everything or not any(replicas)


@given(st.lists(st.floats(0, 5), max_size=40), st.lists(st.floats(0, 5), max_size=40), st.floats(0.01, 1))
def test_replicas_with_other_bounds_tell_nothing_false(one: list[float], two: list[float], share: float) -> None:
    together = merged([counted(one), counted(two, OTHER)])
    counts = [together[bound] for bound in sorted(together)]
    assert counts == sorted(counts)
    found = quantile(together, share)
    if found is not None and found.at_least:
        # What is said to be the least is no more than what it is, but for the bucket that was interpolated.
        values = sorted([*one, *two])
        true = values[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
        assert found.value <= next((bound for bound in OTHER if bound >= true), math.inf)


def test_a_replica_that_saw_more_than_its_highest_bound_ends_what_can_be_told() -> None:
    fast, beyond = counted([0.3] * 50, OTHER), counted([7.0] * 50)
    assert quantile(merged([fast, beyond]), 0.95) == Quantile(1.0, at_least=True)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_bound_in_common_is_exact(share: float) -> None:
    found = quantile(merged([counted([0.3] * 50), counted([0.3] * 50, OTHER)]), share)
    assert found is not None
    assert 0.05 <= found.value <= 0.5
