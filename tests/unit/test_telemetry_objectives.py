"""What services promise, and how fast they use up what they may miss."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.views import LatencyView, ServiceMetricsView
from backend.telemetry.alert_config import ObjectiveConfig
from backend.telemetry.objectives import AVAILABILITY, TTFT, Burn, Promise, judged, promises, share_above

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = ObjectiveConfig.model_validate({"services": ["llm-prod/*"], "ttft_p95": "1s"})
PROMISED = promises([SECOND], "llm-prod", "llama")
IDLE = ServiceMetricsView(
    context="prod", namespace="llm-prod", service="llama", replicas=2, note="no traffic", requests_per_second=0.0
)


def metrics(p95: float, *, requests: float = 4.0) -> ServiceMetricsView:
    return msgspec.structs.replace(
        IDLE,
        ttft=LatencyView(p50=p95 / 3, p95=p95, p99=p95 * 2),
        requests_per_second=requests,
        waiting=41.0,
        kv_cache=0.97,
        note="",
    )


def test_a_slow_service_is_told_with_what_it_promised_and_what_waits() -> None:
    view = judged(metrics(2.9), PROMISED, Burn(), NOW)
    assert view.slow == "TTFT p95 2.9 s (objective 1.0 s), queue 41, KV cache 97 %"
    assert [one.met for one in view.objectives] == [False]


def test_without_traffic_nothing_is_slow_and_nothing_is_called_kept() -> None:
    view = judged(IDLE, PROMISED, Burn(), NOW)
    assert (view.slow, view.objectives[0].met, view.objectives[0].measured) == ("", None, None)
    assert "no traffic" in view.objectives[0].sentence


def test_the_first_table_that_names_a_service_counts() -> None:
    loose = ObjectiveConfig.model_validate({"services": ["*/*"], "ttft_p95": "9s", "error_rate": 0.1})
    found = dict(promises([SECOND, loose], "llm-prod", "llama"))
    assert found == {"ttft_p95": 1.0, "error_rate": 0.1}
    assert dict(promises([SECOND], "llm-dev", "llama")) == {}


def test_a_latency_beyond_the_highest_bucket_is_at_least_that() -> None:
    far = msgspec.structs.replace(metrics(5.0), ttft=LatencyView(p50=1, p95=5, p99=5, at_least=("p95", "p99")))
    assert judged(far, PROMISED, Burn(), NOW).slow.startswith("TTFT p95 at least 5.0 s")


def test_the_budget_of_an_hour_is_used_up_as_requests_miss_the_promise() -> None:
    burn, promise, now = Burn(), Promise(TTFT, 1.0), NOW
    told = None
    for _ in range(60):
        told = burn.add("llama", promise, 0.10, 4.0, now)
        now += timedelta(seconds=30)
    assert told == pytest.approx(2.0), "twice the 5 % that may be slower"
    for _ in range(130):
        told = burn.add("llama", promise, 0.0, 4.0, now)
        now += timedelta(seconds=30)
    assert told == pytest.approx(0.0), "what is older than an hour does not count"


def test_a_burn_is_not_told_before_enough_is_known() -> None:
    burn, promise = Burn(), Promise(AVAILABILITY, 0.999)
    assert burn.add("llama", promise, 1.0, 1.0, NOW) is None
    assert burn.add("llama", promise, 1.0, 1.0, NOW + timedelta(seconds=30)) is None


def test_time_that_nobody_looked_at_counts_for_a_minute_at_most() -> None:
    burn, promise = Burn(), Promise(AVAILABILITY, 0.9)
    burn.add("llama", promise, 0.0, 1.0, NOW)
    burn.add("llama", promise, 0.0, 1.0, NOW + timedelta(minutes=1))
    told = burn.add("llama", promise, 1.0, 1.0, NOW + timedelta(minutes=50))
    assert told == pytest.approx(0.5 / 0.1)


def test_a_clock_that_goes_back_neither_breaks_nor_counts() -> None:
    burn, promise = Burn(), Promise(TTFT, 1.0)
    burn.add("llama", promise, 1.0, 1.0, NOW)
    assert burn.add("llama", promise, 1.0, 1.0, NOW - timedelta(hours=3)) is None
    assert burn.add("llama", promise, 0.0, 1.0, NOW - timedelta(hours=3) + timedelta(minutes=1)) is None


@given(
    quantiles=st.tuples(*(st.floats(0, 100, allow_nan=False) for _ in range(3))).map(sorted),
    limit=st.floats(0, 200, allow_nan=False),
)
def test_the_share_above_a_limit_is_a_share_that_falls_with_the_limit(quantiles: list[float], limit: float) -> None:
    latency = LatencyView(p50=quantiles[0], p95=quantiles[1], p99=quantiles[2])
    share = share_above(latency, limit)
    assert 0.0 <= share <= 1.0
    assert share_above(latency, limit + 1.0) <= share + 1e-9
    if limit >= latency.p95:
        assert share <= 0.05 + 1e-9


@given(p95=st.floats(0.001, 100))
def test_a_promise_is_met_exactly_up_to_its_limit(p95: float) -> None:
    assert judged(metrics(p95), PROMISED, Burn(), NOW).objectives[0].met is (p95 <= 1.0)
