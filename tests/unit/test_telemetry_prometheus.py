"""A Prometheus as a source, by answers as its API gives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.core.errors import MalformedDataError, ModelyardError, UnreachableError
from backend.telemetry.collector import Collector
from backend.telemetry.config import TelemetryConfig
from backend.telemetry.prometheus import MOST_POINTS, Prometheus
from backend.telemetry.prometheus_source import PrometheusSource
from tests.fakes.ports import FixedClock
from tests.fakes.telemetry import SmallCluster, exporter, node, pod

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GPU = {
    "UUID": "GPU-0", "gpu": "0", "Hostname": "gpu-01", "job": "dcgm", "instance": "10.0.0.1:9400",
    "exported_pod": "llama-0", "exported_namespace": "llm-prod", "pod": "dcgm-x", "namespace": "gpu-operator",
}  # fmt: skip
SERVER = {"job": "pods", "instance": "10.1.0.1:8000", "namespace": "llm-prod", "pod": "llama-0"}


class Recorded:
    """Answers by what is asked for: series as `(name, labels, value)`, scraped at a time."""

    name = "prometheus.example.org"

    def __init__(self) -> None:
        self.series: list[tuple[str, Mapping[str, str], float]] = []
        self.scraped = 1000.0
        self.now = 1000.0
        self.failure: ModelyardError | None = None
        self.asked: list[Mapping[str, str]] = []
        self.closed = False

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        self.asked.append(params)
        if self.failure is not None:
            raise self.failure
        query = params["query"]
        if query.startswith("timestamp("):
            targets = {(labels["job"], labels["instance"]): labels for _, labels, _ in self.series}
            return answer([({"job": job, "instance": at}, self.scraped) for job, at in targets], self.now)
        names = query.partition('__name__=~"')[2].partition('"')[0].split("|")
        return answer([({"__name__": n, **labels}, value) for n, labels, value in self.series if n in names], self.now)

    async def close(self) -> None:
        self.closed = True


def answer(series: Sequence[tuple[Mapping[str, str], float]], at: float = 0.0) -> bytes:
    result = [{"metric": dict(labels), "value": [at, str(value)]} for labels, value in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


class Says:
    """Answers always the same."""

    name = "x"

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.asked: list[Mapping[str, str]] = []

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        self.asked.append({"path": path, **params})
        return self.body

    async def close(self) -> None:
        pass


def small(clock: FixedClock) -> tuple[Recorded, SmallCluster, Collector]:
    recorded = Recorded()
    cluster = SmallCluster([node("gpu-01", 1)], [exporter("gpu-01"), pod("llama-0", gpus=1, service="llama")])
    source = PrometheusSource(Prometheus(recorded))
    return recorded, cluster, Collector(cluster, clock=clock, prometheus=source)


def told(generated: float, energy: float) -> list[tuple[str, Mapping[str, str], float]]:
    return [
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", GPU, 0.8),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", GPU, energy),
        ("vllm:num_requests_running", SERVER, 2),
        ("vllm:generation_tokens_total", SERVER, generated),
    ]


async def test_what_prometheus_has_is_not_asked_of_exporters_and_pods() -> None:
    clock = FixedClock(NOON)
    recorded, cluster, collector = small(clock)
    recorded.series, recorded.scraped = told(100, 1), 995.0
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.source, gpu.service, gpu.engine_active, gpu.age) == ("prometheus", "llama", 80, 5)
    assert cluster.asked == []
    recorded.series, recorded.scraped, recorded.now = told(400, 2), 1025.0, 1030.0
    clock.advance(seconds=30)
    snapshot = await collector.sample()
    (server,), (gpu,) = snapshot.servers, snapshot.gpus
    assert (server.engine, server.generation_tokens_per_second, server.age) == ("vllm", 10, 5)
    assert (gpu.tokens_per_second, gpu.age) == (10, 5)
    assert cluster.asked == []
    await collector.close()
    assert recorded.closed


async def test_between_two_scrapes_nothing_is_taken_for_no_traffic() -> None:
    clock = FixedClock(NOON)
    recorded, _, collector = small(clock)
    for step in range(5):
        scrapes = step // 2
        recorded.series = told(300 * scrapes, scrapes)
        recorded.scraped, recorded.now = 1000.0 + 30 * scrapes, 1000.0 + 15 * step
        snapshot = await collector.sample()
        clock.advance(seconds=15)
    await collector.close()
    assert snapshot.servers[0].generation_tokens_per_second == 10


async def test_a_prometheus_that_hangs_is_told_and_exporters_are_asked() -> None:
    class Hangs(Recorded):
        async def get(self, path: str, params: Mapping[str, str]) -> bytes:
            self.asked.append(params)
            await asyncio.Event().wait()
            return b""

    clock, hung = FixedClock(NOON), Hangs()
    _, cluster, _ = small(clock)
    source = PrometheusSource(Prometheus(hung, {}), patience=0.01)
    collector = Collector(cluster, clock=clock, prometheus=source)
    try:
        for after in (0, 15, 60):
            clock.advance(seconds=after)
            snapshot = await collector.sample()
            assert len(hung.asked) == (2 if after == 60 else 1), "it is left alone for a minute"
    finally:
        await collector.close()
    assert any("is not read: it did not answer within 0.01 s" in note for note in snapshot.notes)
    assert cluster.asked, "exporters are asked instead"


async def test_a_prometheus_that_is_away_is_told_and_exporters_are_asked() -> None:
    clock = FixedClock(NOON)
    recorded, cluster, collector = small(clock)
    recorded.failure = UnreachableError("x", "connection refused", "look")
    snapshot = await collector.sample()
    assert any("Prometheus prometheus.example.org is not read: connection refused" in note for note in snapshot.notes)
    assert any(address.startswith("gpu-operator/dcgm-gpu-01:9400") for address in cluster.asked)
    await collector.close()


async def test_what_it_had_grows_old_until_exporters_are_asked_again() -> None:
    clock = FixedClock(NOON)
    recorded, cluster, collector = small(clock)
    recorded.series = told(1, 1)
    await collector.sample()
    recorded.failure = UnreachableError("x", "gone", "look")
    clock.advance(seconds=60)
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.source, gpu.age, cluster.asked) == ("prometheus", 60, [])
    clock.advance(seconds=60)
    await collector.sample()
    assert cluster.asked
    await collector.close()


async def test_series_of_other_clusters_are_left_out() -> None:
    says = Says(answer([]))
    prometheus = Prometheus(says, {"cluster": 'a"b'})
    await prometheus.query(prometheus.selector(["up"], job="x"))
    assert says.asked[0]["query"] == '{__name__=~"up",cluster="a\\"b",job="x"}'


async def test_a_range_has_no_more_points_than_prometheus_gives() -> None:
    result = [{"metric": {"a": "b"}, "values": [[1, "1.5"], [2, "NaN"], [3, "+Inf"]]}]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    says = Says(json.dumps(body).encode())
    (line,) = await Prometheus(says).query_range("x", NOON - timedelta(days=30), NOON, 1.0)
    assert line.points == ((1, 1.5), (3, float("inf")))
    asked = says.asked[0]
    assert (float(asked["end"]) - float(asked["start"])) / float(asked["step"]) < MOST_POINTS


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>", b"", b"\xff", b"[]", b'{"status":"success"}', b"[" * 100_000,
        b'{"status":"success","data":{"resultType":"scalar","result":[]}}',
        b'{"status":"error","errorType":"bad_data","error":"parse error"}',
    ],
)  # fmt: skip
async def test_what_is_no_answer_of_prometheus_is_said_so(body: bytes) -> None:
    with pytest.raises(MalformedDataError):
        await Prometheus(Says(body)).query("up")


@given(st.recursive(st.none() | st.text(max_size=5) | st.floats(), lambda inner: st.lists(inner, max_size=3)))
async def test_no_answer_breaks_the_reader(result: Any) -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
    with contextlib.suppress(ModelyardError):
        await Prometheus(Says(body)).query("up")


@pytest.mark.parametrize(
    "table",
    [
        {"url": "https://p.example.org", "token": {"env": "T"}, "ca": "ca.pem"},
        {"service": "monitoring/prometheus:9090"},
        {"service": "monitoring/https:prometheus:web"},
        {"url": "http://127.0.0.1:9090", "insecure": True, "labels": {"cluster": "a"}},
    ],
)
def test_a_prometheus_is_named_by_address_or_service(table: dict[str, Any]) -> None:
    assert len(TelemetryConfig.model_validate({"prometheus": table}).prometheus) == 1


@pytest.mark.parametrize(
    "table",
    [
        {}, {"url": "https://p", "service": "a/b:1"}, {"url": "http://p"}, {"url": "ftp://p"}, {"service": "p"},
        {"url": "https://user:word@p"}, {"service": "a/b:1", "token": {"env": "T"}}, {"url": "https://p", "token": "x"},
        {"url": "https://p", "labels": {"a-b": "c"}}, [{"url": "https://p"}, {"url": "https://q"}],
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_meant_is_refused(table: Any) -> None:
    with pytest.raises(ValidationError):
        TelemetryConfig.model_validate({"prometheus": table})
