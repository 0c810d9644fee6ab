"""A Prometheus reached by its address, and as a service through the API server."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.core.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    MalformedDataError,
    ModelyardError,
    UnreachableError,
)
from backend.core.events import EventHub
from backend.core.ports import SystemClock
from backend.flows.cluster_link import ClusterLink
from backend.flows.clusters import Clusters
from backend.flows.foundation import Foundation
from backend.flows.prometheus import direct, prometheus_of
from backend.telemetry.config import TelemetryConfig
from backend.telemetry.prometheus import Prometheus
from backend.telemetry.prometheus_config import PrometheusConfig
from tests.fakes.cluster_server import says, scripted

UP = {"metric": {"__name__": "up", "job": "x"}, "value": [1000.5, "1"]}
ANSWER = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [UP]}}).encode()


_FORBIDDEN = (
    'services "prometheus:9090" is forbidden: User "mira" cannot get resource "services/proxy" in API group "" in the '
    'namespace "monitoring"'
)


def refusal(code: int, reason: str, message: str) -> Any:
    told = {"status": "Failure", "code": code, "reason": reason, "message": message}
    return says({"kind": "Status", "apiVersion": "v1", **told}, code)


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def lead_to(url: str) -> None:
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        }  # fmt: skip
        (tmp_path / "kubeconfig").write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    return lead_to


def foundation_of(folder: Path, *tables: dict[str, Any]) -> Foundation:
    link = ClusterLink("prod", (), clock=SystemClock(), hub=EventHub(), changed=lambda: None)
    telemetry = TelemetryConfig.model_validate({"prometheus": list(tables)})
    configuration = SimpleNamespace(settings=SimpleNamespace(telemetry=telemetry), folder=folder)
    return cast(Foundation, SimpleNamespace(clusters=Clusters([link]), cluster=link, configuration=configuration))


async def test_a_service_is_asked_through_the_api_server(tmp_path: Path, kubeconfig: Any) -> None:
    async with scripted() as server:
        kubeconfig(server.url)
        server.then(says(ANSWER))
        foundation = foundation_of(tmp_path, {"service": "monitoring/prometheus:9090"})
        prometheus = prometheus_of(foundation)
        assert prometheus is not None
        (value,) = await prometheus.query("up")
        assert (value.value, value.at, prometheus.name) == (1, 1000.5, "monitoring/prometheus:9090")
        asked = server.requests[-1]
        assert asked.path == "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query"
        assert asked.query == {"query": "up"}
        await prometheus.close()
        await foundation.clusters.close()


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (refusal(403, "Forbidden", _FORBIDDEN), AccessDeniedError, "`get` on `services/proxy` in monitoring"),
        (refusal(503, "ServiceUnavailable", "no endpoints available"), UnreachableError, "no endpoints"),
        (says(b"<html></html>", 502, "text/html"), UnreachableError, "502"),
        (says(b'{"status":"error","error":"parse error"}', 400), MalformedDataError, "parse error"),
    ],
)
async def test_what_the_api_server_refuses_is_told(
    tmp_path: Path, kubeconfig: Any, answer: Any, kind: type[ModelyardError], text: str
) -> None:
    async with scripted() as server:
        kubeconfig(server.url)
        server.then(answer)
        foundation = foundation_of(tmp_path, {"service": "monitoring/prometheus:9090"})
        prometheus = prometheus_of(foundation, "prod")
        assert prometheus is not None
        with pytest.raises(kind) as told:
            await prometheus.query("up")
        assert text in told.value.why
        await foundation.clusters.close()


async def test_an_address_is_asked_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", "word")
    async with scripted() as server:
        server.then(says(ANSWER), says(b"", 401), says(b"", 302), says(b"x" * 10, 500))
        config = PrometheusConfig.model_validate(
            {"url": f"{server.url}/prom/", "insecure": True, "token": {"env": "PROMETHEUS_TOKEN"}}
        )
        prometheus = Prometheus(direct(config, tmp_path))
        await prometheus.query("up")
        assert server.requests[0].path == "/prom/api/v1/query"
        assert server.requests[0].headers["Authorization"] == "Bearer word"
        for kind in (AuthenticationError, UnreachableError, UnreachableError):
            with pytest.raises(kind):
                await prometheus.query("up")
        await prometheus.close()
    with pytest.raises(UnreachableError):
        await prometheus.query("up")
    await prometheus.close()


async def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    prometheus = Prometheus(direct(PrometheusConfig(url="https://127.0.0.1:1", ca=Path("none.pem")), tmp_path))
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        await prometheus.query("up")


def test_a_context_without_one_has_none(tmp_path: Path) -> None:
    other = {"url": "https://other.example.org", "context": "other"}
    assert prometheus_of(foundation_of(tmp_path)) is None
    assert prometheus_of(foundation_of(tmp_path, other)) is None
    assert prometheus_of(foundation_of(tmp_path, other), "other") is None
    assert prometheus_of(foundation_of(tmp_path, {"url": "https://a.example.org"}), "prod") is not None
