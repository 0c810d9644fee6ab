"""Alerts of a yard: kept once, taken up, silenced, told, read from an Alertmanager, over a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from backend.config import load_configuration
from backend.core.errors import ConflictError, NotFoundError, RoleError, UsageError
from backend.core.views import GpuSnapshotView, GpuState, ServiceView, SourceState
from backend.flows.alert_keeping import AlertKeeping
from backend.flows.notifications import Notifications
from backend.telemetry import alert_store, alertmanager
from backend.yard import Yard, YardOptions
from tests.fakes.ports import FixedClock, NumberedIds
from tests.unit.test_telemetry_conditions import GPU, PAGE, SERVICE

RULES = """
[[alert]]
kind = "unapproved-running"
for = "0s"
[[alert]]
kind = "gpu-fault"
clear = "1m"
[[alert]]
kind = "gpu-throttled"
for = "2m"
"""


class Room:
    """A yard whose GPUs say what a test lets them say."""

    def __init__(self, folder: Path, clock: FixedClock, text: str) -> None:
        self.folder, self.clock, self.ids = folder, clock, NumberedIds()
        (folder / "config.toml").write_text(f'[[cluster]]\ncontext = "none"\n{RULES}{text}', encoding="utf-8")
        self.snapshot = GpuSnapshotView(at=clock.now(), gpus=(GPU,), servers=(), notes=())
        self.services: list[ServiceView] | None = []

    async def open(self) -> None:
        file = self.folder / "config.toml"
        configuration = await asyncio.to_thread(load_configuration, file, system_policy=self.folder / "none.toml")
        options = YardOptions(database=self.folder / "yard.db")
        self.yard = await Yard.open(configuration, options, clock=self.clock, ids=self.ids)
        self.keeping = AlertKeeping(self.yard._foundation, self._sample, self._watched)

    async def _sample(self) -> GpuSnapshotView:
        return self.snapshot

    async def _watched(self) -> list[ServiceView] | None:
        return self.services

    def break_gpu(self) -> None:
        broken = msgspec.structs.replace(GPU, state=GpuState.FAULT, error="fallen off the bus")
        self.snapshot = msgspec.structs.replace(self.snapshot, gpus=(broken,))

    def mend_gpu(self) -> None:
        self.snapshot = msgspec.structs.replace(self.snapshot, gpus=(GPU,))

    async def look(self, **after: float) -> None:
        self.clock.advance(**after)
        await self.keeping.round()

    async def actions(self) -> list[str]:
        return [entry.action for entry in await self.yard.audit.entries() if entry.action.startswith("alert.")]


@asynccontextmanager
async def room(tmp_path: Path, clock: FixedClock, text: str = "") -> AsyncIterator[Room]:
    here = Room(tmp_path, clock, text)
    await here.open()
    try:
        yield here
    finally:
        await here.yard.close()


async def test_an_alert_fires_is_taken_up_and_is_over_and_the_ledger_tells(tmp_path: Path, clock: FixedClock) -> None:
    async with room(tmp_path, clock) as here:
        here.break_gpu()
        await here.look()
        (alert,) = await here.yard.alerts.alerts()
        assert (alert.state, alert.severity, alert.object) == ("firing", "critical", "prod/gpu-03 GPU 4")
        taken = await here.yard.alerts.acknowledge(alert.id, note="draining it", hand_to="night shift")
        assert (taken.note, taken.handed_to, bool(taken.acknowledged_by)) == ("draining it", "night shift", True)
        here.mend_gpu()
        await here.look(seconds=5)
        await here.look(minutes=1)
        assert await here.yard.alerts.alerts() == []
        (over,) = await here.yard.alerts.alerts(clock.now() - timedelta(hours=1))
        assert (over.state, over.note) == ("resolved", "draining it")
        assert await here.actions() == ["alert.resolved", "alert.acknowledge", "alert.fired"]


async def test_a_restart_goes_on_with_what_fires_and_tells_nobody_twice(tmp_path: Path, clock: FixedClock) -> None:
    hook = '[[notify.target]]\nkind = "command"\nname = "page"\ncommand = ["/bin/true"]\nevents = ["alert"]\n'
    async with room(tmp_path, clock, hook) as here:
        here.break_gpu()
        await here.look()
        await Notifications(here.yard._foundation).round()
        before = await here.yard.alerts.alerts()
        await here.yard.close()
        await here.open()
        await here.look(seconds=5)
        assert await here.yard.alerts.alerts() == before
        await Notifications(here.yard._foundation).round()
        here.mend_gpu()
        await here.look(seconds=5)
        await here.look(minutes=2)
        await Notifications(here.yard._foundation).round()
        rows = await here.yard._foundation.database.fetch_all("SELECT body FROM notice ORDER BY at, id")
        told = [json.loads(row["body"])["text"] for row in rows]
        assert [text.partition(":")[0] for text in told] == ["critical", "over"]


async def test_what_is_silenced_is_shown_counted_and_told_nobody(tmp_path: Path, clock: FixedClock) -> None:
    hook = '[[notify.target]]\nkind = "command"\nname = "page"\ncommand = ["/bin/true"]\nevents = ["alert"]\n'
    async with room(tmp_path, clock, hook) as here:
        until = clock.now() + timedelta(hours=2)
        await here.yard.alerts.silence("prod/gpu-03 *", until=until, reason="maintenance")
        here.break_gpu()
        await here.look()
        (alert,) = await here.yard.alerts.alerts()
        assert (alert.state, alert.silenced_until, alert.silence_reason) == ("firing", until, "maintenance")
        await Notifications(here.yard._foundation).round()
        assert await here.yard._foundation.database.fetch_all("SELECT id FROM notice") == []
        await here.yard._status.refresh()
        assert here.yard.status().alerts == 0
        assert await here.yard.alerts.lift("prod/gpu-03 *") == 1
        await here.yard._status.refresh()
        assert (here.yard.status().alerts, here.yard.status().alerts_open) == (1, 1)
        with pytest.raises(NotFoundError):
            await here.yard.alerts.lift("prod/gpu-03 *")


async def test_a_silence_ends_by_itself_and_needs_a_reason_and_an_end(tmp_path: Path, clock: FixedClock) -> None:
    async with room(tmp_path, clock) as here:
        silence = here.yard.alerts.silence
        await silence("**", until=clock.now() + timedelta(minutes=5), reason="drill")
        clock.advance(minutes=6)
        assert await here.yard.alerts.silences() == []
        for wrong in (
            silence("x", until=clock.now() + timedelta(days=31), reason="r"),
            silence("x", until=clock.now() - timedelta(days=1), reason="r"),
            silence("x", until=clock.now() + timedelta(days=1), reason=" \x1b "),
            silence(" ", until=clock.now() + timedelta(days=1), reason="r"),
            silence("x", until=clock.now() + timedelta(days=1), reason="r", rule="gpu-on-fire"),
        ):
            with pytest.raises(UsageError):
                await wrong


async def test_only_who_may_takes_alerts_up(tmp_path: Path, clock: FixedClock) -> None:
    roles = '[[role]]\nname = "viewer"\nusers = ["root", "nobody"]\n'
    async with room(tmp_path, clock, roles) as here:
        here.break_gpu()
        await here.look()
        with pytest.raises(RoleError):
            await here.yard.alerts.acknowledge("prod/gpu-03 GPU 4", note="mine")
        assert (await here.actions())[0] == "alert.acknowledge", "the refusal is told"


async def test_an_alert_that_is_not_there_or_not_one_is_refused(tmp_path: Path, clock: FixedClock) -> None:
    async with room(tmp_path, clock) as here:
        with pytest.raises(NotFoundError):
            await here.yard.alerts.acknowledge("gpu-99", note="?")
        here.break_gpu()
        hot = msgspec.structs.replace(
            here.snapshot.gpus[0], throttle=("thermal",), node="prod/gpu-03 GPU 4", context=""
        )
        here.snapshot = msgspec.structs.replace(here.snapshot, gpus=(*here.snapshot.gpus, hot))
        await here.look()
        with pytest.raises(ConflictError):
            await here.yard.alerts.acknowledge("prod/gpu-03 GPU 4", note="which?")
        with pytest.raises(UsageError, match="lacks a note"):
            await here.yard.alerts.acknowledge((await here.yard.alerts.alerts())[0].id, note=" ")


async def test_an_alertmanagers_alerts_come_and_go_and_stay_while_it_is_away(tmp_path: Path, clock: FixedClock) -> None:
    answers = [json.dumps(PAGE).encode(), b"<html>", b"[]"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"Authorization: Bearer a-token" in request.replace(b"authorization", b"Authorization")
        body = answers.pop(0)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "token").write_text("a-token\n", encoding="utf-8")
    text = f'[alertmanager]\nurl = "http://127.0.0.1:{port}"\ninsecure = true\ntoken = {{ file = "token" }}\n'
    try:
        async with room(tmp_path, clock, text) as here:
            await here.look()
            told = await here.yard.alerts.alerts()
            assert [(one.rule, one.object) for one in told] == [
                ("alertmanager", "GpuRemap gpu-03"), ("alertmanager", "Slow llm-prod"),
            ]  # fmt: skip
            await here.look(seconds=31)
            assert await here.yard.alerts.alerts() == told, "an answer that cannot be read ends nothing"
            await here.yard._status.refresh()
            away = [one for one in here.yard.status().sources if one.kind == "alertmanager"]
            assert [(one.state, "cannot be read" in one.detail) for one in away] == [(SourceState.LOST, True)]
            await here.look(seconds=31)
            assert await here.yard.alerts.alerts() == []
            await here.yard._status.refresh()
            assert not [one for one in here.yard.status().sources if one.kind == "alertmanager"]
    finally:
        server.close()
        await server.wait_closed()


async def test_what_an_alertmanager_told_is_over_once_it_is_read_no_more(tmp_path: Path, clock: FixedClock) -> None:
    async with room(tmp_path, clock) as here:
        await here.look()
        async with here.yard._foundation.database.transaction() as transaction:
            told = alertmanager.read(json.dumps(PAGE).encode(), "old:9093", "prod", clock.now())
            await alert_store.replace_foreign(transaction, "old:9093", told, clock.now())
        assert len(await here.yard.alerts.alerts()) == 2
    async with room(tmp_path, clock) as here:
        await here.look()
        assert await here.yard.alerts.alerts() == []


async def test_one_more_service_that_runs_unapproved_opens_what_was_taken_up(tmp_path: Path, clock: FixedClock) -> None:
    async with room(tmp_path, clock) as here:
        first = msgspec.structs.replace(SERVICE, approved=False)
        here.services = [first]
        await here.look()
        (alert,) = await here.yard.alerts.alerts()
        await here.yard.alerts.acknowledge(alert.id, note="known")
        await here.look(seconds=5)
        assert (await here.yard.alerts.alerts())[0].note == "known"
        here.services = [first, msgspec.structs.replace(first, name="another")]
        await here.look(seconds=5)
        (grown,) = await here.yard.alerts.alerts()
        assert (grown.id, grown.acknowledged_by, len(grown.services)) == (alert.id, "", 2)
        here.services = [first]
        await here.yard.alerts.acknowledge(alert.id, note="both known")
        await here.look(seconds=5)
        assert (await here.yard.alerts.alerts())[0].note == "both known", "fewer is no news"
