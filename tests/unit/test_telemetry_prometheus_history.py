"""Series asked of a Prometheus: what is asked, and how its answers are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from backend.core.errors import MalformedDataError
from backend.telemetry.prometheus import Prometheus
from backend.telemetry.prometheus_history import prometheus_series
from backend.telemetry.series_metrics import SeriesKind

END = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
START = END - timedelta(hours=1)


class Answers:
    """A Prometheus that answers one expression after the other."""

    name = "prom"

    def __init__(self, *answers: list[tuple[float, str]]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        assert path == "api/v1/query_range"
        self.asked.append(params["query"])
        values = self._answers.pop(0) if self._answers else []
        result = [{"metric": {}, "values": values}] if values else []
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()

    async def close(self) -> None: ...


async def asked(answers: Answers, kind: SeriesKind, key: str, metric: str, step: float = 60) -> object:
    prometheus = Prometheus(answers, {"cluster": "eu"})
    return await prometheus_series(prometheus, kind, key, metric, start=START, end=END, step=step)


async def test_a_gpu_is_asked_by_its_uuid_for_mean_and_extremes() -> None:
    at = END.timestamp()
    answers = Answers([(at, "80")], [(at, "10")], [(at, "99")])
    found = await asked(answers, SeriesKind.GPU, 'GPU-1"x/3', "engine_active")
    assert found is not None
    assert (found.unit, found.source, found.step) == ("percent", "Prometheus prom", 60)  # type: ignore[attr-defined]
    (point,) = found.points  # type: ignore[attr-defined]
    # A mean looks back: it is of the step before its time.
    assert point.at == END - timedelta(seconds=60)
    assert (point.low, point.mean, point.high) == (10, 80, 99)
    assert answers.asked[0].startswith("100 * max(avg_over_time({")
    for part in ('cluster="eu"', 'UUID="GPU-1\\"x"', 'GPU_I_ID="3"', "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "[120s]"):
        assert part in answers.asked[0]


async def test_a_services_quantiles_are_of_buckets_summed_over_its_pods() -> None:
    answers = Answers([(END.timestamp(), "0.8"), (END.timestamp() + 60, "NaN")])
    found = await asked(answers, SeriesKind.SERVICE, "prod/llm/chat.v1", "ttft_p95")
    assert found is not None
    assert [point.mean for point in found.points] == [0.8]  # type: ignore[attr-defined]
    (expression,) = answers.asked
    assert "histogram_quantile(0.95, sum by (le) (rate({" in expression
    assert 'namespace="llm"' in expression and 'pod=~"chat\\\\.v1-predictor.*"' in expression
    assert "vllm:time_to_first_token_seconds_bucket" in expression and " or " in expression


@pytest.mark.parametrize(
    ("kind", "key", "metric"),
    [
        (SeriesKind.GPU, "GPU-1", "busy"), (SeriesKind.SERVICE, "prod/llm/chat", "replicas"),
        (SeriesKind.SERVICE, "odd", "running"), (SeriesKind.TYPE, "H100", "allocated"),
    ],
)  # fmt: skip
async def test_what_prometheus_does_not_have_is_not_asked(kind: SeriesKind, key: str, metric: str) -> None:
    answers = Answers()
    assert await asked(answers, kind, key, metric) is None
    assert answers.asked == []


async def test_nothing_found_is_none() -> None:
    assert await asked(Answers(), SeriesKind.GPU, "GPU-1", "power") is None


async def test_what_is_no_prometheus_is_told() -> None:
    class Odd(Answers):
        async def get(self, path: str, params: Mapping[str, str]) -> bytes:
            return b"<html>"

    with pytest.raises(MalformedDataError):
        await asked(Odd(), SeriesKind.GPU, "GPU-1", "power")
