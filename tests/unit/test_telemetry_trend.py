"""Trends, costs and forecasts say how sure they are, and say nothing where they cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.views import GpuSnapshotView, GpuState
from backend.telemetry.advice import advise
from backend.telemetry.capacity import capacity
from backend.telemetry.config import PriceConfig
from backend.telemetry.costs import amount, costs
from backend.telemetry.prices import idle_cost, is_profile, price_of, price_of_type, share_of, with_costs
from backend.telemetry.series_points import DAY, HOUR, Step
from backend.telemetry.series_samples import Holding
from backend.telemetry.store import milliseconds
from backend.telemetry.trend import LEAST_DAYS, full_in, line_through, trend
from tests.unit.test_telemetry_recording import H100, gpu

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PRICES = (PriceConfig(gpu="*h100*", per_hour=2.0), PriceConfig(gpu="*A100*", per_hour=1.0))


# ------------------------------------------------------------ trends


@pytest.mark.parametrize("count", range(LEAST_DAYS))
def test_too_little_history_tells_no_trend(count: int) -> None:
    found = trend([float(day) for day in range(count)], [1.0] * count, "GPUs")
    assert found.per_day is None
    assert found.expected is None
    assert "not enough history" in found.sentence
    assert full_in(found, 1, 10) == ""


def test_growth_is_found_in_spite_of_odd_days() -> None:
    values = [10.0 + day for day in range(20)]
    values[7], values[13] = 100.0, 0.0
    line = line_through([float(day) for day in range(20)], values)
    assert line is not None
    assert line.slope == pytest.approx(1.0, abs=0.05)
    assert line.slope_low <= line.slope <= line.slope_high


def test_noise_has_no_direction() -> None:
    found = trend([float(day) for day in range(14)], [10.0, 12.0] * 7, "GPUs")
    assert "no clear direction" in found.sentence
    assert full_in(found, 11, 16) in {"demand does not grow", "not within 13 days"} or "or never" in full_in(
        found, 11, 16
    )


def test_the_day_when_supply_is_used_up_is_an_interval() -> None:
    found = trend([float(day) for day in range(20)], [10.0 + day + 0.3 * (day % 3) for day in range(20)], "GPUs")
    assert full_in(found, 29, 36).startswith("in ")
    assert full_in(found, 40, 36) == "demand exceeds the supply now"
    assert full_in(found, 29, 900).startswith("not within")


@given(st.lists(st.floats(0, 1000), min_size=LEAST_DAYS, max_size=40))
def test_an_expectation_lies_within_its_own_bounds(values: list[float]) -> None:
    found = trend([float(day) for day in range(len(values))], values, "GPUs")
    assert found.expected is not None
    assert found.expected_low is not None
    assert found.expected_high is not None
    assert 0 <= found.expected_low <= found.expected <= found.expected_high
    assert found.horizon <= found.basis


# ------------------------------------------------------------ prices and costs


def test_the_first_price_whose_pattern_matches_counts() -> None:
    assert price_of(PRICES, H100) == 2.0
    assert price_of(PRICES, "NVIDIA A100-SXM4-80GB") == 1.0
    assert price_of(PRICES, "NVIDIA L4") is None
    assert price_of((), H100) is None


def test_an_instance_costs_its_share_unless_it_has_a_price_of_its_own() -> None:
    assert price_of(PRICES, H100, "1g.10gb") == pytest.approx(2 / 7)
    own = (PriceConfig(gpu="*H100* 1g.10gb", per_hour=0.5), *PRICES)
    assert price_of(own, H100, "1g.10gb") == 0.5
    assert price_of_type(own, f"{H100} 1g.10gb") == 0.5
    assert price_of_type(own, H100) == 2.0


@given(st.text(max_size=12))
def test_shares_are_shares_whatever_the_profile_says(profile: str) -> None:
    assert 0 <= share_of(profile) <= 1
    is_profile(profile)


def test_idle_costs_what_was_wasted_and_nothing_without_a_price() -> None:
    idle = gpu(state=GpuState.IDLE, wasted_hours=3.0)
    assert idle_cost(PRICES, idle) == 6.0
    assert idle_cost((), idle) is None
    assert idle_cost(PRICES, gpu()) is None
    told = with_costs(PRICES, "USD", GpuSnapshotView(at=NOW, gpus=(idle, gpu(1)), servers=(), notes=()))
    assert [each.idle_cost for each in told.gpus] == [6.0, None]


def steps(values: list[float], step: int = HOUR, start: int = 0) -> list[Step]:
    return [
        Step(start + number * step, value * 100, int(value * 100), int(value * 100), 1800, step)
        for number, value in enumerate(values)
    ]


CHAT = Holding("", "llm", "chat", "nlp", H100)
ODD = Holding("", "dev", "try", "", "NVIDIA L4")


def test_costs_are_told_by_service_and_together() -> None:
    rows = costs(
        {CHAT: (steps([2, 2]), steps([0, 1]))}, {"/llm/chat": 4e6}, PRICES, by="service", currency="USD", measured=0.5,
        resolution=0.01,
    )  # fmt: skip
    assert [row.key for row in rows] == ["/llm/chat", "total"]
    first = rows[0]
    assert (first.gpu_hours, first.idle_hours, first.cost, first.idle_cost) == (4, 1, 8, 2)
    assert first.per_million_tokens == 2
    assert first.measured == 0.5


def test_without_a_price_there_are_hours_and_no_cost_and_no_total_that_leaves_something_out() -> None:
    rows = costs(
        {CHAT: (steps([1]), []), ODD: (steps([1]), [])}, {}, PRICES, by="type", currency="USD", measured=1,
        resolution=0.01,
    )  # fmt: skip
    told = {row.key: row for row in rows}
    assert told[H100].cost == 2
    assert (told["NVIDIA L4"].gpu_hours, told["NVIDIA L4"].cost, told["NVIDIA L4"].currency) == (1, None, "")
    assert (told["total"].gpu_hours, told["total"].cost) == (2, None)


def test_a_rate_is_summed_over_what_was_measured_only() -> None:
    assert amount([Step(0, 10.0, 10, 10, 30, 60_000), Step(3_600_000, 10.0, 10, 10, 15, 30_000)]) == 900


# ------------------------------------------------------------ capacity and advice


def test_demand_is_what_is_held_and_what_waits() -> None:
    over_time = {
        "allocatable": steps([8, 8]),
        "allocated": steps([6, 8]),
        "pending": steps([0, 4]),
        "idle": steps([1, 0]),
    }
    found = capacity(H100, over_time, {}, over_time, 3600)
    assert [point.mean for point in found.demand.points] == [6, 12]
    assert (found.supply, found.allocated, found.pending, found.peak) == (8, 8, 4, 12)
    assert "not enough history" in found.trend.sentence
    assert found.full == ""


def test_advice_says_that_it_is_a_forecast_and_rests_on_what_a_replica_took() -> None:
    start = milliseconds(NOW - timedelta(days=4)) // DAY * DAY
    busy = [2.0 if hour % 24 < 12 else 8.0 for hour in range(96)]
    by_hour = {
        "running": [each._replace(mean=each.mean / 10) for each in steps(busy, start=start)],
        "waiting": [each._replace(mean=0) for each in steps(busy, start=start)],
        "replicas": steps([2.0] * 96, start=start),
    }
    found = advise("/llm/chat", by_hour, NOW)
    assert found.advised == 3
    assert found.sentence.startswith("forecast from history, advice only")
    assert advise("/llm/chat", {name: values[:30] for name, values in by_hour.items()}, NOW).advised is None
    assert advise("/llm/chat", {}, NOW).advised is None
