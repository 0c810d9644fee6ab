"""`doctor` on the sources of telemetry."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from backend.core.errors import AccessDeniedError, UnreachableError
from backend.core.views import CheckView
from backend.telemetry.collector import Collector
from backend.telemetry.prometheus import Prometheus
from backend.telemetry.prometheus_source import PrometheusSource
from tests.fakes.ports import FixedClock
from tests.fakes.telemetry import SmallCluster, dcgm_page, exporter, node, pod

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EXPORTER = "gpu-operator/dcgm-gpu-01:9400/metrics"


def small() -> SmallCluster:
    page = dcgm_page({"gpu": "0", "UUID": "GPU-0", "DEV_GPU_UTIL": 1})
    pages = {EXPORTER: page, "llm-prod/llama-0:8000/metrics": b"vllm:num_requests_running 1\n"}
    return SmallCluster([node("gpu-01", 1)], [exporter("gpu-01"), pod("llama-0", gpus=1, service="llama")], pages)


async def checked(
    cluster: SmallCluster | None, place: str = "", prometheus: PrometheusSource | None = None
) -> dict[str, CheckView]:
    collector = Collector(cluster, clock=FixedClock(NOON), prometheus=prometheus)
    await collector.sample()
    checks = collector.checks(place)
    await collector.close()
    return {check.name: check for check in checks}


async def test_each_source_has_a_line_of_its_own() -> None:
    checks = await checked(small())
    assert {name: check.state for name, check in checks.items()} == {
        "GPUs by Prometheus": "absent", "GPUs by dcgm-exporter": "ok", "GPUs by nodes and pods": "ok",
        "GPUs by resource slices": "absent", "model servers": "ok",
    }  # fmt: skip
    assert checks["GPUs by nodes and pods"].detail == "nodes: 1; GPUs: 1, held 1; pods that wait for some: 0"
    assert checks["model servers"].detail == "1 vllm"


async def test_a_server_that_does_not_serve_yet_is_no_fault_of_the_sources() -> None:
    cluster = small()
    starting = pod("llama-1", gpus=1, service="llama")
    cluster.pod_list.append(
        msgspec.structs.replace(starting, status=msgspec.structs.replace(starting.status, conditions=[]))
    )
    servers = (await checked(cluster))["model servers"]
    assert (servers.state, servers.detail) == ("ok", "1 vllm; 1 of 2 are not ready")


async def test_what_is_refused_names_the_verb_and_the_port() -> None:
    cluster = small()
    refused = AccessDeniedError("x", "you may not", "ask")
    cluster.pages = {EXPORTER: refused, "llm-prod/llama-0:8000/metrics": refused}
    cluster.failing["nodes"] = refused
    checks = await checked(cluster, "prod")
    exporters = checks["GPUs by dcgm-exporter in prod"]
    assert (exporters.state, "`get` on `pods/proxy` in gpu-operator" in exporters.detail) == ("failed", True)
    assert "port 9400" in exporters.action
    books = checks["GPUs by nodes and pods in prod"]
    assert (books.state, "`list` on `nodes`" in books.detail) == ("failed", True)
    servers = checks["model servers in prod"]
    assert (servers.state, "`get` on `pods/proxy` in llm-prod" in servers.detail) == ("warning", True)


async def test_a_prometheus_that_fails_is_told_with_what_to_see() -> None:
    class Away:
        name = "monitoring/prometheus:9090"

        async def get(self, path: str, params: object) -> bytes:
            raise UnreachableError("x", "no endpoints available", "look")

        async def close(self) -> None:
            pass

    checks = await checked(small(), prometheus=PrometheusSource(Prometheus(Away())))
    assert checks["GPUs by Prometheus"].state == "failed"
    assert "no endpoints available" in checks["GPUs by Prometheus"].detail


async def test_without_a_cluster_nothing_is_claimed_of_one() -> None:
    assert await checked(None) == {}
