"""What others change is noticed once, whoever looks: autoscalers, deletions, nodes, and who made a service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from backend.cluster.resources import EVENTS
from backend.core.actors import WORKER
from backend.core.events import EventHub
from backend.core.views import ServiceView, Verdict
from backend.flows.observing import Observer
from backend.serving.observed import observed
from backend.store import ledger
from backend.store.connection import Database
from tests.fakes.store import FixedClock

KEY = "prod/llm/llama"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def database(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "modelyard.db", clock=clock)
    yield database
    await database.close()


def observer(database: Database, clock: FixedClock) -> Observer:
    foundation: Any = SimpleNamespace(database=database, clock=clock, hub=EventHub(), clusters=None)
    return Observer(foundation, lambda _context, node: (KEY,) if node == "gpu-1" else ())


def row(clock: FixedClock, *, wanted: int = 1, **more: Any) -> ServiceView:
    return ServiceView(
        context="prod", namespace="llm", name="llama", verdict=Verdict.SERVING, reason="", next_step="", since=None,
        ready_replicas=wanted, wanted_replicas=wanted, gpus=wanted, **{"generation": 1, **more},
    )  # fmt: skip


async def seen(database: Database, clock: FixedClock) -> list[tuple[str, str, str]]:
    found = await observed(database, clock.now() - timedelta(hours=1))
    return [(one.actor, one.what, one.detail) for one in found]


async def test_an_autoscaler_is_told_from_our_own_changes(database: Database, clock: FixedClock) -> None:
    one, other = observer(database, clock), observer(database, clock)
    for each in (one, other):
        await each._take([row(clock)])
    clock.advance(minutes=2)
    for each in (one, other):
        await each._take([row(clock, wanted=3)])
    assert await seen(database, clock) == [("autoscaler", "scaled", "1 > 3 replicas")], "both saw it, it is kept once"
    # Somebody changed the service: what follows within the minute is of that change.
    await one._take([row(clock, wanted=3, generation=2)])
    await one._take([row(clock, wanted=5, generation=2)])
    assert len(await seen(database, clock)) == 1
    clock.advance(minutes=2)
    await one._take([row(clock, wanted=3, generation=2)])
    assert (await seen(database, clock))[0] == ("autoscaler", "scaled", "5 > 3 replicas")


async def test_a_deletion_by_others_is_told_and_ours_is_in_the_ledger(database: Database, clock: FixedClock) -> None:
    await observer(database, clock)._removed(KEY)
    assert await seen(database, clock) == [("somebody else", "deleted", "")]
    async with database.transaction() as transaction:
        await ledger.append(
            transaction, at=clock.now(), actor=WORKER, action="deploy.delete", object="prod/llm/ours", outcome="done",
            detail={},
        )  # fmt: skip
    await observer(database, clock)._removed("prod/llm/ours")
    assert len(await seen(database, clock)) == 1


async def test_who_made_services_is_told_of_the_newest_and_old_ones_are_no_news(
    database: Database, clock: FixedClock
) -> None:
    made = [
        msgspec.structs.replace(row(clock, edited_by="argocd", edited_at=at, created_at=at), name=f"model-{number}")
        for number in range(300)
        if (at := clock.now() - timedelta(minutes=number // 10))
    ]
    old = clock.now() - timedelta(days=3)
    await observer(database, clock)._take([*made, row(clock, edited_by="kubectl", edited_at=old, created_at=old)])
    found = await observed(database, clock.now() - timedelta(days=7))
    assert len(found) == 200 and {(one.actor, one.what) for one in found} == {("argocd", "created")}


async def test_events_of_nodes_touch_what_runs_there(database: Database, clock: FixedClock) -> None:
    def event(node: str, reason: str, type_: str, minutes: float) -> Any:
        at = (clock.now() - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = {
            "metadata": {"name": f"{node}.{reason}", "uid": f"{node}.{reason}"}, "type": type_, "reason": reason,
            "message": "x", "lastTimestamp": at, "involvedObject": {"kind": "Node", "name": node},
        }  # fmt: skip
        return EVENTS.items.decode(json.dumps(told))

    told = [
        event("gpu-1", "NodeNotReady", "Normal", 1),
        event("gpu-2", "OOMKilling", "Warning", 2),
        event("gpu-1", "NodeHasSufficientMemory", "Normal", 1),
        event("gpu-1", "Rebooted", "Warning", 60 * 30),
    ]
    for _ in range(2):
        await observer(database, clock)._take_events("prod", told)
    found = await observed(database, clock.now() - timedelta(hours=1))
    assert [(one.object, one.what, one.services) for one in found] == [
        ("gpu-1", "NodeNotReady", (KEY,)), ("gpu-2", "OOMKilling", ()),
    ]  # fmt: skip
    assert [one.object for one in await observed(database, clock.now() - timedelta(hours=1), service=KEY)] == ["gpu-1"]
