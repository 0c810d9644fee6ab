"""GPUs and model servers read from a real Prometheus, which scrapes pages that move."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiohttp import web

from backend.core.errors import MalformedDataError
from backend.core.ports import SystemClock
from backend.flows.prometheus import direct
from backend.telemetry.prometheus import Prometheus
from backend.telemetry.prometheus_config import PrometheusConfig
from backend.telemetry.prometheus_history import prometheus_series
from backend.telemetry.prometheus_source import PrometheusSource
from backend.telemetry.series_metrics import METRICS, SeriesKind
from tests.fakes.cli import Place
from tests.fakes.cli_cluster import ThreadedCluster
from tests.fakes.cluster_server import serving
from tests.fakes.telemetry import dcgm_page

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="there is no prometheus")

_CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
  - job_name: dcgm
    static_configs: [{{targets: ["{target}"], labels: {{namespace: gpu-operator, pod: dcgm-x}}}}]
  - job_name: servers
    metrics_path: /server
    static_configs: [{{targets: ["{target}"], labels: {{namespace: llm-prod, pod: llama-0}}}}]
"""


class Pages:
    """An exporter's page and a model server's, which counts a hundred tokens at every scrape."""

    def __init__(self) -> None:
        self.scrapes = 0

    async def exporter(self, request: web.Request) -> web.Response:
        gpu = {
            "gpu": "0", "UUID": "GPU-0", "Hostname": "gpu-01", "pod": "llama-0", "namespace": "llm-prod",
            "container": "kserve-container", "PROF_GR_ENGINE_ACTIVE": 0.5, "DEV_POWER_USAGE": 300 + self.scrapes,
        }  # fmt: skip
        return web.Response(body=dcgm_page(gpu), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def server(self, request: web.Request) -> web.Response:
        self.scrapes += 1
        text = f"""vllm:num_requests_running{{model_name="m"}} 2
vllm:generation_tokens_total{{model_name="m"}} {self.scrapes}00
vllm:time_to_first_token_seconds_bucket{{model_name="m",le="0.5"}} {self.scrapes}
vllm:time_to_first_token_seconds_bucket{{model_name="m",le="+Inf"}} {self.scrapes}
"""
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    pages = Pages()
    app = web.Application()
    app.add_routes([web.get("/metrics", pages.exporter), web.get("/server", pages.server)])
    async with serving(app) as url, prometheus(tmp_path, _CONFIG.format(target=url.removeprefix("http://"))) as found:
        yield found


@asynccontextmanager
async def prometheus(folder: Path, configuration: str) -> AsyncIterator[str]:
    """A Prometheus on a free port; gives its address."""
    (folder / "prometheus.yml").write_text(configuration)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await _until_ready(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _until_ready(url: str) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(30):
        while True:
            with suppress(httpx.HTTPError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.05)


async def _has_history(prometheus: Prometheus) -> None:
    """Every chart that is read from it is an expression that it takes."""
    end = SystemClock().now() + timedelta(seconds=15)
    for kind, key in ((SeriesKind.GPU, "GPU-0"), (SeriesKind.SERVICE, "prod/llm-prod/llama")):
        for metric in METRICS[kind]:
            found = await prometheus_series(
                prometheus, kind, key, metric.name, start=end - timedelta(minutes=5), end=end, step=15
            )
            if metric.name == "engine_active":
                assert found is not None
                assert {(point.low, point.mean, point.high) for point in found.points} == {(50, 50, 50)}


async def test_a_real_prometheus_tells_of_gpus_and_model_servers(address: str, tmp_path: Path) -> None:
    clock = SystemClock()
    prometheus = Prometheus(direct(PrometheusConfig(url=address, insecure=True), tmp_path))
    source = PrometheusSource(prometheus)
    services = {("llm-prod", "llama-0"): "llama"}
    async with asyncio.timeout(30):
        while True:
            await source.read(clock)
            assert source.failure == ""
            replicas = source.replicas(clock.monotonic(), services)
            if replicas and replicas[0].metrics is not None and replicas[0].metrics.generation_rate:
                break
            await asyncio.sleep(0.2)
    (replica,), (gpu,) = replicas, source.measured(clock.monotonic())
    assert replica.metrics is not None
    assert (replica.service, replica.metrics.engine, replica.metrics.gauges.running) == ("llama", "vllm", 2)
    assert 50 < replica.metrics.generation_rate < 1000
    assert replica.age is not None
    assert replica.age < 5
    reading = gpu.reading
    assert (reading.uuid, reading.node, reading.source, reading.engine_active) == ("GPU-0", "gpu-01", "prometheus", 50)
    # The exporter's own `pod` collides with the target's, and Prometheus renames it.
    assert [(holder.namespace, holder.pod) for holder in reading.holders] == [("llm-prod", "llama-0")]
    assert gpu.age < 10
    now = clock.now()
    (line,) = await prometheus.query_range("DCGM_FI_DEV_POWER_USAGE", now - timedelta(minutes=1), now, 1.0)
    assert line.points
    assert all(300 <= value < 400 for _, value in line.points)
    with pytest.raises(MalformedDataError, match="parse error"):
        await prometheus.query("sum(")
    await _has_history(prometheus)
    await source.close()


_THROUGH_THE_CLUSTER = """
global: {{scrape_interval: 1s}}
scrape_configs:
{jobs}
"""
_JOB = """
  - job_name: {pod}
    metrics_path: /api/v1/namespaces/gpu-operator/pods/{pod}:9400/proxy/metrics
    authorization: {{credentials: {token}}}
    static_configs: [{{targets: ["{host}"]}}]
"""


async def test_a_command_reads_prometheus_before_it_asks_exporters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadedCluster(registry_host="nowhere") as cluster:
        (tmp_path / "kubeconfig").write_text(cluster.kubeconfig())
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        known = yaml.safe_load(cluster.kubeconfig())
        host = known["clusters"][0]["cluster"]["server"].removeprefix("http://")
        token = known["users"][0]["user"]["token"]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
            pods = (await client.get(f"http://{host}/api/v1/namespaces/gpu-operator/pods")).json()["items"]
        jobs = "".join(_JOB.format(pod=pod["metadata"]["name"], token=token, host=host) for pod in pods)
        async with prometheus(tmp_path, _THROUGH_THE_CLUSTER.format(jobs=jobs)) as url:
            place = Place(tmp_path / "place", f'[telemetry]\nprometheus = {{ url = "{url}", insecure = true }}\n')
            async with asyncio.timeout(60):
                gpus: list[dict[str, Any]] = []
                while len([gpu for gpu in gpus if gpu["source"] == "prometheus"]) < 32:
                    gpus = await asyncio.to_thread(place.json, "gpu")
            checks = {check["name"]: check for check in await asyncio.to_thread(place.json, "doctor")}
    assert len(gpus) == 32
    assert {gpu["node"] for gpu in gpus} == {"gpu-01", "gpu-02", "gpu-03", "gpu-04"}
    assert (checks["GPUs by Prometheus"]["state"], checks["GPUs by dcgm-exporter"]["state"]) == ("ok", "ok")
    assert "32 GPUs" in checks["GPUs by Prometheus"]["detail"]
