"""One process of the yard samples GPUs, and the others read what it found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.config import Configuration
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from backend.flows.foundation import Foundation
from backend.flows.gpus import GpusFlow
from backend.telemetry.store import TelemetryStore
from tests.fakes.ports import FixedClock

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Sampler:
    """A collector that counts how often it is asked."""

    def __init__(self, clock: FixedClock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.asked = 0
        self.remembered: list[str] = []

    def remember(self, before: GpuSnapshotView) -> None:
        self.remembered.append(before.gpus[0].node)

    async def sample(self) -> GpuSnapshotView:
        self.asked += 1
        gpu = GpuView(
            key="GPU-0", node=self.name, index=0, uuid="GPU-0", product="", state=GpuState.BUSY, utilisation=1.0,
            engine_active=None, memory_used=None, memory_total=None, power=None, temperature=None, source="dcgm", age=0,
        )  # fmt: skip
        return GpuSnapshotView(at=self.clock.now(), gpus=(gpu,), servers=(), notes=())

    async def close(self) -> None:
        pass


class Process:
    """One process of the yard: its flow, with a collector in place of the cluster."""

    def __init__(self, path: Path, clock: FixedClock, name: str, *, context: str = "prod") -> None:
        self.store = TelemetryStore(path, clock)
        link = SimpleNamespace(context=context, namespaces=())
        settings = Configuration.model_validate({})
        foundation = SimpleNamespace(
            clock=clock, telemetry=self.store, configuration=SimpleNamespace(settings=settings),
            clusters=SimpleNamespace(links=(link,)), cluster=link,
        )  # fmt: skip
        self.flow = GpusFlow(cast(Foundation, foundation), cast(Any, None), dict)
        self.flow._shared._me = name
        self.sampler = Sampler(clock, name)
        self.flow._ready = self._ready  # type: ignore[method-assign,assignment]

    async def _ready(self, place: Any) -> Sampler:
        return self.sampler

    async def look(self) -> str:
        """By whom what it shows was found."""
        return (await self.flow.snapshot()).gpus[0].node

    async def close(self) -> None:
        await self.flow.close()
        await self.store.close()


@pytest.fixture
async def yard(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Any]:
    opened: list[Process] = []

    def opens(name: str, **more: Any) -> Process:
        opened.append(Process(tmp_path / "telemetry.db", clock, name, **more))
        return opened[-1]

    yield opens
    for process in opened:
        await process.close()


async def test_one_samples_and_the_others_read(yard: Any, clock: FixedClock) -> None:
    one, two = yard("one"), yard("two")
    for _ in range(3):
        await one.look()
        clock.advance(seconds=2)
    before = two.sampler.asked
    for _ in range(6):
        assert await one.look() == "one"
        assert await two.look() == "one"
        clock.advance(seconds=2)
    assert (one.sampler.asked, two.sampler.asked) == (9, before)


async def test_who_asks_once_reads_what_is_there_and_takes_no_task(yard: Any, clock: FixedClock) -> None:
    alone = yard("alone")
    assert await alone.look() == "alone"
    assert not alone.store.path.exists()
    one = yard("one")
    for _ in range(2):
        await one.look()
        clock.advance(seconds=2)
    once = yard("once")
    assert await once.look() == "one"
    assert once.sampler.asked == 0


async def test_when_the_sampler_falls_silent_or_ends_another_takes_over(yard: Any, clock: FixedClock) -> None:
    one, two = yard("one"), yard("two")
    for _ in range(3):
        await one.look()
        clock.advance(seconds=2)
    shown = []
    for _ in range(10):
        shown.append(await two.look())
        clock.advance(seconds=2)
    assert shown[0] == "one"
    assert shown[-1] == "two"
    await two.flow.close()
    shown = []
    for _ in range(3):
        shown.append(await one.look())
        clock.advance(seconds=2)
    assert shown[-1] == "one"


async def test_what_is_of_other_clusters_is_not_taken_for_ours(yard: Any, clock: FixedClock) -> None:
    one, other = yard("one"), yard("other", context="test")
    for _ in range(3):
        await one.look()
        assert await other.look() == "other"
        clock.advance(seconds=2)


async def test_without_the_database_each_samples_for_itself(yard: Any, clock: FixedClock) -> None:
    one = yard("one")
    one.store.path.mkdir()
    for _ in range(3):
        assert await one.look() == "one"
        clock.advance(seconds=2)
    assert one.sampler.asked == 3


async def test_what_another_version_wrote_is_left_alone(yard: Any, clock: FixedClock) -> None:
    one, two = yard("one"), yard("two")
    for _ in range(2):
        await one.look()
        clock.advance(seconds=2)
    await one.store.put_latest(b"\x00", clock.now())
    assert await two.look() == "two"


async def test_who_is_started_anew_goes_on_from_what_was_left(yard: Any, clock: FixedClock) -> None:
    one = yard("one")
    for _ in range(2):
        await one.look()
        clock.advance(seconds=2)
    await one.flow.close()
    clock.advance(minutes=5)
    again, later = yard("again"), yard("later")
    for _ in range(2):
        await again.look()
        clock.advance(seconds=2)
    assert again.sampler.remembered == ["one"]
    clock.advance(minutes=40)
    await later.look()
    assert later.sampler.remembered == []
