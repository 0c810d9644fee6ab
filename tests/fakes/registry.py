"""What the registry room's tests share: a clock that is set by hand, scripted answers, small manifests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from backend.core.settings import SecretReference
from backend.registry.client import RegistryClient
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credential, Credentials
from backend.registry.manifests import OCI_INDEX, OCI_MANIFEST, digest_of
from tests.fakes.ports import FixedClock

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
USER, PASSWORD = "robin", "s3cret-pa55word"


class PausableClock(FixedClock):
    """A clock whose `sleep` moves it, and which remembers how long was slept."""

    def __init__(self) -> None:
        super().__init__(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds=seconds)


class FixedCredentials(Credentials):
    """Hands out one credential, and counts how often it is asked."""

    def __init__(self, credential: Credential | None) -> None:
        super().__init__(Path("/nonexistent"))
        self.credential = credential
        self.asked = 0

    async def of(self, config: RegistryConfig) -> Credential | None:
        self.asked += 1
        return self.credential


class Script:
    """Records every request and answers it by a function; use it as the handler of `httpx.MockTransport`."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self.handler = handler
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.handler(request)

    @property
    def lines(self) -> list[str]:
        return [f"{request.method} {request.url}" for request in self.requests]


def configured(url: str = "https://registry.example", **values: Any) -> RegistryConfig:
    """A registry called `reg`; with `username` its password comes from the environment variable REG_PASSWORD."""
    if "username" in values:
        values.setdefault("password", SecretReference(env="REG_PASSWORD"))
    return RegistryConfig(name="reg", url=url, insecure=url.startswith("http://"), **values)


def client_of(
    handler: Handler,
    *,
    clock: PausableClock | None = None,
    credential: Credential | None = None,
    config: RegistryConfig | None = None,
) -> RegistryClient:
    """A client whose requests are answered by the function."""
    clock = clock or PausableClock()
    return RegistryClient(
        config or configured(),
        credentials=FixedCredentials(credential),
        clock=clock,
        transport=httpx.MockTransport(handler),  # type: ignore[arg-type]
        sleep=clock.sleep,
    )


def image_manifest(**fields: Any) -> bytes:
    """A small image manifest, as bytes."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], **fields}
    return json.dumps(document).encode()


def index_manifest(*children: dict[str, Any], **fields: Any) -> bytes:
    """A small index, as bytes."""
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **fields}).encode()


def answer_manifest(raw: bytes, kind: str = OCI_MANIFEST, **headers: str) -> httpx.Response:
    """A registry's answer to a request for a manifest."""
    told = {"Content-Type": kind, "Docker-Content-Digest": digest_of(raw), **headers}
    return httpx.Response(200, content=raw, headers=told)
