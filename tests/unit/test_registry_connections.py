"""Which way requests go: proxies, certificates, and how the configuration names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from backend.core.errors import ConfigurationError, MalformedDataError
from backend.registry.config import RegistryConfig
from backend.registry.connections import Connections
from tests.fakes.registry import Script, answer_manifest, client_of, configured, image_manifest

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield


@pytest.mark.parametrize(
    ("environment", "config", "url", "proxy"),
    [
        ({}, {}, "https://registry.example/v2/", None),
        ({"HTTPS_PROXY": "http://p:1"}, {}, "https://registry.example/v2/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, {}, "https://registry.example/v2/", None),
        ({"ALL_PROXY": "http://p:1"}, {}, "https://registry.example/v2/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, {}, "https://registry.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "registry.example"}, {}, "https://auth.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, {}, "https://registry.example/", None),
        ({"HTTPS_PROXY": "http://p:1"}, {"proxy": "none"}, "https://registry.example/", None),
        ({"HTTPS_PROXY": "http://p:1"}, {"proxy": "http://own:3128"}, "https://registry.example/", "http://own:3128"),
        ({"NO_PROXY": "*"}, {"proxy": "https://own:3128"}, "https://registry.example/", "https://own:3128"),
    ],
)
def test_the_way_is_the_configurations_else_the_environments(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], config: dict[str, Any], url: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    connections = Connections(configured(**config), Path("/"), None)
    for _ in range(2):
        assert connections.proxy_for(httpx.URL(url)) == proxy


@pytest.mark.parametrize(
    "values",
    [
        {"proxy": "gopher://p:1"},
        {"proxy": "p:3128"},
        {"proxy": "http://user:secret@p:3128"},
        {"proxy": "http://p:3128/path"},
        {"proxy": "http://p:3128?x=1"},
        {"proxy": ""},
        {"client_key": Path("key.pem")},
        {"kind": "artifactory"},
    ],
)
def test_what_cannot_be_a_way_is_refused_without_repeating_a_secret(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        RegistryConfig(name="reg", url="https://registry.example", **values)
    assert "secret@" not in str(caught.value)


async def test_a_client_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    missing = Connections(configured(client_certificate=Path("me.pem")), tmp_path, None)
    with pytest.raises(ConfigurationError, match=r"me\.pem of registry reg cannot be used: No such file"):
        await missing.make(None)
    (tmp_path / "me.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="no PEM certificate"):
        await Connections(configured(client_certificate=Path("me.pem")), tmp_path, None).make(None)


async def test_connections_are_used_again_before_others_are_made() -> None:
    connections = Connections(configured(), Path("/"), httpx.MockTransport(lambda request: httpx.Response(200)))
    first, second = connections.take(), connections.take()
    assert first is not second
    connections.give_back(first)
    assert connections.take() is first
    assert (await second.send(httpx.Request("GET", "https://registry.example/"))).status_code == 200
    await connections.close()


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
async def test_docker_hub_goes_by_the_name_that_clusters_know_it_by(host: str) -> None:
    script = Script(lambda request: answer_manifest(image_manifest()))
    config = RegistryConfig(name="hub", url=f"https://{host}")
    await client_of(script, config=config).resolve("library/python", "3.13")
    assert config.host == host
    with pytest.raises(MalformedDataError, match="write library/python"):
        await client_of(script, config=config).tags("python")
    assert script.lines == ["HEAD https://registry-1.docker.io/v2/library/python/manifests/3.13"]
