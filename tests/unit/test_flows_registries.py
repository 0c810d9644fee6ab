"""What a registry last said, as everyone else hears of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backend.core.errors import AuthenticationError, NotFoundError, UnreachableError
from backend.core.events import EventHub, SourceChanged, Topic
from backend.core.views import SourceState
from backend.flows.registries import Registries
from backend.registry.config import RegistryConfig
from backend.registry.credentials import Credentials
from tests.fakes.registry import PausableClock, answer_manifest, client_of, image_manifest

HEADERS = {
    "ratelimit-limit": "100;w=21600",
    "ratelimit-remaining": "76;w=21600",
    "Warning": '299 - "moves to new.example"',
}


def registries(*configs: RegistryConfig, hub: EventHub | None = None) -> Registries:
    return Registries(configs, credentials=Credentials(Path("/")), clock=PausableClock(), hub=hub or EventHub())


async def test_a_source_tells_what_may_still_be_pulled_and_what_the_registry_wants_shown() -> None:
    config = RegistryConfig(name="hub", url="https://docker.io")
    hub = EventHub()
    known = registries(config, hub=hub)
    client = client_of(lambda request: answer_manifest(image_manifest(), **HEADERS), config=config)
    known._clients["hub"] = client
    for _ in range(2):
        await client.resolve("a/b", "1")
    subscription = hub.subscribe([Topic.SOURCES])
    known.heard("hub", None)
    event = await anext(aiter(subscription))
    assert isinstance(event, SourceChanged)
    assert event.source.state is SourceState.LIVE
    assert event.source.detail == '76 of 100 pulls in 6h left; 299 - "moves to new.example"'
    assert known.sources == (event.source,)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (UnreachableError("x", "no answer", "wait"), SourceState.LOST),
        (AuthenticationError("x", "no answer", "log in"), SourceState.REFUSED),
    ],
)
def test_a_source_that_fails_tells_why(error: UnreachableError, state: SourceState) -> None:
    known = registries(RegistryConfig(name="hub", url="https://docker.io"))
    known.heard("hub", error)
    assert [(source.state, source.detail) for source in known.sources] == [(state, "no answer")]


@pytest.mark.parametrize("name", ["hub", "docker.io", "registry-1.docker.io"])
def test_a_registry_is_known_by_its_name_and_its_hosts(name: str) -> None:
    known = registries(
        RegistryConfig(name="ngc", url="https://nvcr.io"), RegistryConfig(name="hub", url="https://docker.io")
    )
    assert known.config(name).name == "hub"
    with pytest.raises(NotFoundError, match="ngc, hub"):
        known.config("quay.io")


async def test_a_registry_that_makes_a_run_wait_is_seen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    known = registries(RegistryConfig(name="slow", url="https://slow.example"))
    client = known.client("slow")
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(client._transport, "_sleep", sleep)
    await asyncio.gather(*(client._transport.wait(40.0) for _ in range(8)))
    assert waited == [40.0] * 8
    assert [source.detail for source in known.sources] == ["asks to wait until 12:00:40 UTC"]
    await known.close()
