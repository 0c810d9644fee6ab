"""History of a yard: recorded, read after a restart, priced; without it everything else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from backend.config import load_configuration
from backend.core.errors import ConfigurationError, NotFoundError, StoreError, UnreachableError, UsageError
from backend.core.views import GpuSnapshotView, GpuState, ServiceMetricsView
from backend.flows.alerts import LONGEST_SILENCE
from backend.flows.recording import Recording
from backend.telemetry.prometheus import Prometheus
from backend.yard import Yard, YardOptions
from tests.fakes.ports import FixedClock
from tests.unit.test_telemetry_prometheus_history import Answers
from tests.unit.test_telemetry_recording import H100, gpu

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
PRICES = '[[price]]\ngpu = "*h100*"\nper_hour = 3.0\n'


class Room:
    """A yard whose GPUs say what a test lets them say, every ten seconds."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.clock = folder, FixedClock(NOW)
        (folder / "config.toml").write_text(
            f'[telemetry]\ninterval = "10s"\n[[cluster]]\ncontext = "none"\n{text}', encoding="utf-8"
        )
        self.sampled = asyncio.Event()
        self.gpus = (gpu(), gpu(1, state=GpuState.IDLE, engine_active=0.0, utilisation=0.0))

    @property
    def file(self) -> Path:
        return self.folder / "telemetry.db"

    async def open(self) -> None:
        config = self.folder / "config.toml"
        configuration = await asyncio.to_thread(load_configuration, config, system_policy=self.folder / "none.toml")
        options = YardOptions(database=self.folder / "modelyard.db")
        self.yard = await Yard.open(configuration, options, clock=self.clock)
        self.recording = Recording(self.yard._foundation, self._sample)

    async def _sample(self) -> GpuSnapshotView:
        self.sampled.set()
        service = ServiceMetricsView(
            namespace="llm", service="chat", replicas=1, age=1.0, generation_tokens_per_second=1000.0, running=4.0
        )
        return GpuSnapshotView(at=self.clock.now(), gpus=self.gpus, servers=(), services=(service,), notes=())

    async def record(self, **time: float) -> None:
        """Let so much time pass, sampled all the while."""
        end = self.clock.now() + timedelta(**time)
        while self.clock.now() < end:
            await self.recording.round(True)
            self.clock.advance(seconds=10)
        await self.recording.write()


@asynccontextmanager
async def room(folder: Path, text: str = PRICES) -> AsyncIterator[Room]:
    made = Room(folder, text)
    await made.open()
    try:
        yield made
    finally:
        await made.yard.close()


async def test_what_was_recorded_is_read_after_a_restart_and_thinned_out(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.record(hours=2)
        await here.yard.close()
        await here.open()
        await here.recording.keep()
        telemetry = here.yard.telemetry
        for window, points in ((timedelta(minutes=15), 90), (timedelta(hours=3), 120)):
            (series,) = await telemetry.series(["GPU-0"], "engine_active", window)
            assert (series.unit, series.source) == ("percent", "modelyard")
            assert len(series.points) == pytest.approx(points, abs=2)
            assert {round(point.mean, 3) for point in series.points} == {80.0}
        assert await telemetry.find("gpu", "n1/0", timedelta(hours=3)) == "GPU-0"
        assert await telemetry.find("service", "llm/chat", timedelta(hours=3)) == "/llm/chat"
        (tenure,) = await telemetry.tenures("GPU-0", timedelta(days=1))
        assert (tenure.holder, tenure.since) == ("llm/chat", NOW)
        state = await telemetry.state()
        assert (state.problem, state.since) == ("", NOW)


async def test_costs_are_of_what_was_held_and_measured(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.record(hours=2)
        rows = {row.key: row for row in await here.yard.telemetry.cost(timedelta(hours=4))}
        chat = rows["/llm/chat"]
        assert chat.gpu_hours == pytest.approx(4, rel=0.02)
        assert chat.idle_hours == pytest.approx(2, rel=0.02)
        assert chat.cost == pytest.approx(12, rel=0.02)
        assert chat.tokens == pytest.approx(7_200_000, rel=0.02)
        assert chat.measured == pytest.approx(0.5, abs=0.02)
        assert set(rows) == {"/llm/chat", "total"}
        by_team = await here.yard.telemetry.cost(timedelta(hours=4), "team")
        assert [row.key for row in by_team] == ["nlp", "total"]
        with pytest.raises(UsageError):
            await here.yard.telemetry.cost(timedelta(hours=4), "colour")


async def test_supply_and_demand_of_what_is_recorded(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.record(minutes=30)
        (found,) = await here.yard.telemetry.capacity(timedelta(hours=1))
        assert (found.key, found.supply, found.allocated, found.idle, found.peak) == (H100, 2, 2, 1, 2)
        assert "not enough history" in found.trend.sentence
        assert [one.advised for one in await here.yard.telemetry.advice()] == [None]


async def test_a_database_that_is_damaged_while_it_is_recorded_is_replaced_and_told(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.record(minutes=5)
        await here.yard._foundation.telemetry.close()
        here.file.write_bytes(b"\0garbage" * 1000)
        await here.record(minutes=5)
        (series,) = await here.yard.telemetry.series(["GPU-0"], "power", timedelta(minutes=15))
        assert series.points
        state = await here.yard.telemetry.state()
        assert "was damaged: it was moved to telemetry.db.damaged-2026-03-02" in state.notes[0]
        assert (tmp_path / "telemetry.db.damaged-2026-03-02").exists()


async def test_what_was_sampled_last_is_written_when_recording_ends(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        running = asyncio.create_task(here.recording.run(lambda: True))
        await here.sampled.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        here.clock.advance(seconds=10)
        (series,) = await here.yard.telemetry.series(["GPU-0"], "power", timedelta(minutes=15))
        assert [point.mean for point in series.points] == [500.0]


async def test_whoever_does_not_hold_the_lease_records_nothing(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.recording.round(False)
        assert here.recording._recorder.pending() == []


async def test_a_database_that_cannot_be_written_stops_nothing_else(tmp_path: Path) -> None:
    here = Room(tmp_path, "")
    here.file.mkdir()
    await here.open()
    try:
        with pytest.raises(StoreError):
            await here.record(minutes=2)
        # It goes on for whoever runs it, told once.
        running = asyncio.create_task(here.recording.run(lambda: True))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        with pytest.raises(StoreError):
            await here.yard.telemetry.series(["GPU-0"], "power", timedelta(hours=1))
        assert (await here.yard.telemetry.state()).problem
        assert [check.state for check in await here.yard.telemetry.check()] == ["failed"]
        # A decision, with its entry in the ledger.
        await here.yard.alerts.silence("llm/chat", until=here.clock.now() + LONGEST_SILENCE, reason="tried")
        assert [one.object for one in await here.yard.alerts.silences()] == ["llm/chat"]
    finally:
        await here.yard.close()


async def test_nothing_recorded_yet_is_said_and_makes_no_file(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        with pytest.raises(StoreError, match="nothing was recorded yet"):
            await here.yard.telemetry.series(["GPU-0"], "power", timedelta(hours=1))
        assert [check.state for check in await here.yard.telemetry.check()] == ["absent"]
        await here.recording.keep()
        assert not here.file.exists()


async def test_prometheus_history_comes_first_and_ours_stands_in_for_one_that_is_away(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.record(minutes=5)
        at = here.clock.now().timestamp()
        telemetry = here.yard.telemetry
        telemetry._prometheus = [Prometheus(Answers([(at, "0.11")], [(at, "0.1")], [(at, "0.2")]))]
        (series,) = await telemetry.series(["GPU-0"], "power", timedelta(minutes=15))
        assert (series.source, [point.mean for point in series.points]) == ("Prometheus prom", [0.11])
        # It has nothing of the second GPU, which we recorded.
        (series,) = await telemetry.series(["GPU-1"], "power", timedelta(minutes=15))
        assert series.source == "modelyard"
        away = Away()
        telemetry._prometheus = [Prometheus(away)]
        for _ in range(2):
            (series,) = await telemetry.series(["GPU-0"], "power", timedelta(minutes=15))
            assert (series.source, bool(series.points)) == ("modelyard", True)
            (note,) = (await telemetry.state()).notes
        assert away.tried == 1, "one that hangs holds up one chart, not each"
        here.clock.advance(seconds=31)
        await telemetry.series(["GPU-0"], "power", timedelta(minutes=15))
        assert away.tried == 2
        assert "no answer" in note and "recorded here" in note


class Away(Answers):
    """A Prometheus that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        self.tried += 1
        raise UnreachableError("Prometheus prom", "no answer within 20 s", "see whether it is up")


async def test_wrong_questions_are_told(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        await here.record(minutes=1)
        telemetry = here.yard.telemetry
        with pytest.raises(UsageError, match="no metric 'colour'"):
            await telemetry.series(["GPU-0"], "colour", timedelta(hours=1))
        with pytest.raises(UsageError, match="no time to look back over"):
            await telemetry.series(["GPU-0"], "power", timedelta(0))
        with pytest.raises(NotFoundError, match="n1/0"):
            await telemetry.find("gpu", "n9/9", timedelta(hours=1))
        assert await telemetry.series(["nothing of that name"], "power", timedelta(hours=1)) == []


async def test_idle_gpus_have_a_cost_where_there_is_a_price(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        idle = msgspec.structs.replace(here.gpus[1], wasted_hours=2.0)
        from backend.telemetry.prices import with_costs

        snapshot = GpuSnapshotView(at=NOW, gpus=(idle,), servers=(), notes=())
        prices = here.yard._foundation.configuration.settings.price
        (told,) = with_costs(prices, "USD", snapshot).gpus
        assert (told.idle_cost, told.price, told.currency) == (6.0, 3.0, "USD")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[telemetry]\nmax_size = "1MB"\n', "config.toml:2: 'telemetry.max_size': leave it at least 10MB"),
        ('[telemetry]\nmax_size = "plenty"\n', "config.toml:2: 'telemetry.max_size': write a size"),
        ('[telemetry]\ncurrency = "many moneys"\n', "config.toml:2: 'telemetry.currency'"),
        ('[[price]]\ngpu = "*"\nper_hour = -1\n', "config.toml:3: 'price.0.per_hour'"),
        ('[[price]]\ngpu = "*"\nper_hour = inf\n', "config.toml:3: 'price.0.per_hour'"),
        ('[[price]]\ngpu = "*"\n', "'price.0.per_hour' is missing"),
        ('[[price]]\ngpu = "*"\nper_hour = 1\nper_day = 2\n', "config.toml:4: unknown key 'price.0.per_day'"),
    ],
)
def test_wrong_prices_and_bounds_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(tmp_path / "config.toml", system_policy=tmp_path / "none.toml")
    assert told in str(refused.value)
