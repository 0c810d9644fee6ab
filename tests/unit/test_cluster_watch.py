"""List and watch against a server that pages, expires, breaks off, falls silent and talks nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.cluster.client import ClusterClient
from backend.cluster.connection import ClusterConnection
from backend.cluster.resources import INFERENCE_SERVICES
from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed
from backend.core.errors import AuthenticationError, ConflictError, MalformedDataError
from tests.fakes.cluster_server import (
    ScriptedServer,
    breaks_off,
    listing,
    says,
    scripted,
    service,
    streams,
    write_kubeconfig,
)
from tests.fakes.ports import FixedClock

EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "the continue token is too old"}


class Watched:
    """A client on a scripted server, and how long it waited between attempts."""

    def __init__(self, server: ScriptedServer, client: ClusterClient, waits: list[float]) -> None:
        self.server = server
        self.client = client
        self.waits = waits

    async def take(self, count: int) -> list[Any]:
        """The first events of a watch over all namespaces."""
        taken: list[Any] = []
        async with aclosing(self.client.watch(INFERENCE_SERVICES)) as events:
            async for event in events:
                taken.append(event)
                if len(taken) == count:
                    break
        return taken


@pytest.fixture
async def watched(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Watched]:
    async with _watched(tmp_path, clock) as made:
        yield made


@asynccontextmanager
async def _watched(folder: Path, clock: FixedClock, silence: float = 30.0) -> AsyncIterator[Watched]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    async with scripted() as server:
        path = write_kubeconfig(folder / "config", server.url, {"me": {"token": "t"}})
        connection = await ClusterConnection.open(None, path, clock=clock)
        try:
            yield Watched(server, ClusterClient(connection, clock=clock, sleep=sleep, silence=silence), waits)
        finally:
            await connection.close()


def _names(event: Any) -> list[str]:
    return [item.metadata.name for item in event.objects]


async def test_a_list_is_read_in_pages(watched: Watched) -> None:
    watched.server.then(says(listing([service("a", "1")], "9", "more")), says(listing([service("b", "2")], "9")))
    objects, version = await watched.client.list(INFERENCE_SERVICES, "llm-prod", label_selector="x=y")
    assert [item.metadata.name for item in objects] == ["a", "b"]
    assert version == "9"
    first, second = (request.query for request in watched.server.requests)
    assert dict(first) == {"labelSelector": "x=y", "limit": "2000"}
    assert second["continue"] == "more"


async def test_a_list_whose_pages_expire_begins_again(watched: Watched) -> None:
    watched.server.then(
        says(listing([service("a", "1")], "9", "more")), says(GONE, 410), says(listing([service("b", "2")], "12"))
    )
    objects, version = await watched.client.list(INFERENCE_SERVICES)
    assert [item.metadata.name for item in objects] == ["b"]
    assert version == "12"


async def test_a_list_that_always_expires_ends(watched: Watched) -> None:
    watched.server.then(says(GONE, 410))
    with pytest.raises(ConflictError):
        await watched.client.list(INFERENCE_SERVICES)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"items": 3}', b'{"items": [{"metadata": {"name": 3}}]}', b'{"items": [{}]}', b"\xff"]
)
async def test_a_list_that_cannot_be_read_is_told(watched: Watched, body: bytes) -> None:
    watched.server.then(says(body))
    with pytest.raises(MalformedDataError):
        await watched.client.list(INFERENCE_SERVICES)


async def test_changes_come_after_the_list(watched: Watched) -> None:
    watched.server.then(
        says(listing([service("a", "1")], "5")),
        streams(
            [
                {"type": "MODIFIED", "object": service("a", "6", minReplicas=2)},
                {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}},
                {"type": "ADDED", "object": service("b", "9")},
                {"type": "DELETED", "object": service("a", "10")},
            ]
        ),
    )
    listed, changed, added, removed = await watched.take(4)
    assert isinstance(listed, Listed)
    assert _names(listed) == ["a"]
    assert isinstance(changed, Changed)
    assert changed.object.spec.predictor.min_replicas == 2
    assert isinstance(added, Changed)
    assert added.object.key == ("llm-prod", "b")
    assert isinstance(removed, Removed)
    query = watched.server.requests[1].query
    assert query["resourceVersion"] == "5"
    assert query["allowWatchBookmarks"] == "true"
    assert int(query["timeoutSeconds"]) < 300


async def test_a_watch_that_ends_goes_on_from_the_last_bookmark_without_a_word(watched: Watched) -> None:
    watched.server.then(
        says(listing([], "5")),
        streams([{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}}]),
        streams([{"type": "ADDED", "object": service("b", "78")}]),
    )
    _, added = await watched.take(2)
    assert isinstance(added, Changed)
    assert watched.server.requests[2].query["resourceVersion"] == "77"
    assert watched.waits == []


@pytest.mark.parametrize("expiry", [streams([EXPIRED]), says(GONE, 410)])
async def test_an_expired_watch_lists_again(watched: Watched, expiry: Any) -> None:
    watched.server.then(
        says(listing([service("a", "1")], "5")), expiry, says(listing([service("b", "2")], "90")), streams([])
    )
    first, second = await watched.take(2)
    assert _names(first) == ["a"]
    assert _names(second) == ["b"]
    assert "watch" not in watched.server.requests[2].query


async def test_a_broken_watch_is_told_and_taken_up_where_it_was(watched: Watched) -> None:
    watched.server.then(
        says(listing([], "5")),
        breaks_off([{"type": "ADDED", "object": service("a", "6")}]),
        says({"kind": "Status", "code": 503, "message": "down"}, 503),
        streams([{"type": "ADDED", "object": service("b", "7")}]),
    )
    _, added, lost, regained, next_one = await watched.take(5)
    assert isinstance(added, Changed)
    assert isinstance(lost, Lost)
    assert "cannot be reached" in lost.reason
    assert isinstance(regained, Regained)
    assert next_one.object.metadata.name == "b"
    assert [request.query.get("resourceVersion") for request in watched.server.requests] == [None, "5", "6", "6"]
    assert watched.waits == [0.5, 1.0]


async def test_waits_grow_and_stay_bounded(watched: Watched) -> None:
    watched.server.then(*[says({}, 503)] * 12, says(listing([], "1")))
    events = await watched.take(3)
    assert [type(event) for event in events] == [Lost, Regained, Listed]
    assert watched.waits == sorted(watched.waits)
    assert max(watched.waits) == 30.0


async def test_refused_credentials_are_told_and_asked_for_rarely(watched: Watched) -> None:
    watched.server.then(says({"kind": "Status", "code": 401, "message": "Unauthorized"}, 401), says(listing([], "1")))
    lost, regained, _ = await watched.take(3)
    assert isinstance(lost.error, AuthenticationError)
    assert isinstance(regained, Regained)
    assert watched.waits[0] >= 15


async def test_a_silent_watch_counts_as_lost(tmp_path: Path, clock: FixedClock) -> None:
    async with _watched(tmp_path, clock, silence=0.2) as watched:
        for_ever = asyncio.Event()
        watched.server.then(
            says(listing([], "5")),
            streams([], for_ever.wait),
            says(listing([service("a", "6")], "6")),
        )
        try:
            _, lost, regained, listed = await watched.take(4)
        finally:
            for_ever.set()
    assert "sent nothing for 0.2 s" in lost.reason
    assert isinstance(regained, Regained)
    assert _names(listed) == ["a"]


async def test_nonsense_in_a_watch_is_told_and_the_list_read_anew(watched: Watched) -> None:
    watched.server.then(
        says(listing([], "5")), streams([b"{not json"]), says(listing([service("a", "9")], "9")), streams([])
    )
    _, lost, regained, listed = await watched.take(4)
    assert isinstance(lost.error, MalformedDataError)
    assert isinstance(regained, Regained)
    assert _names(listed) == ["a"]


async def test_an_event_of_an_unknown_type_is_passed_over(watched: Watched) -> None:
    watched.server.then(
        says(listing([], "5")),
        streams([{"type": "NEWS", "object": {}}, {"type": "ADDED", "object": service("a", "6")}]),
    )
    _, added = await watched.take(2)
    assert added.object.metadata.name == "a"


async def test_a_server_that_always_expires_is_not_stormed(watched: Watched) -> None:
    answers: list[Any] = []
    for _ in range(4):
        answers += [says(listing([], "5")), streams([EXPIRED])]
    watched.server.then(*answers, says(listing([], "6")), streams([]))
    assert len(await watched.take(5)) == 5
    assert len(watched.waits) >= 2
