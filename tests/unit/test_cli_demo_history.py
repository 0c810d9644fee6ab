"""The demo's made-up days: the same for the same seed, plausible, and said to be made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.cli.demo_history import make_up, make_up_when_known
from backend.core.views import GpuSnapshotView, GpuState
from backend.telemetry.series_metrics import SeriesKind
from backend.telemetry.series_store import SeriesStore
from backend.telemetry.store import TelemetryStore
from tests.fakes import screen_data as data
from tests.fakes.store import FixedClock

NOON = datetime(2026, 3, 2, 12, 20, tzinfo=UTC)


async def load(folder: Path, now: datetime, seed: int) -> tuple[list[float], str]:
    """Means of a GPU's engine by hour over ten days, and what is said of them."""
    telemetry = TelemetryStore(folder / f"{seed}-{now:%d%H%M}.db", FixedClock(now))
    store = SeriesStore(telemetry)
    try:
        await make_up(store, data.gpus(), now, seed)
        await store.thin_out(now)
        busy = next(gpu for gpu in data.gpus().gpus if gpu.state is GpuState.BUSY)
        found = await store.read(
            SeriesKind.GPU, [busy.key], ["engine_active"], start=now - timedelta(days=10), end=now, step=3600
        )
        return [step.mean for step in found[busy.key]["engine_active"]], (await store.extent())[2]
    finally:
        await telemetry.close()


# Whatever the hour: the day that has just begun, and the hour.
@pytest.mark.parametrize("now", [NOON, NOON.replace(hour=0, minute=0), NOON.replace(hour=0, minute=30)])
async def test_every_hour_of_the_last_days_has_a_plausible_load(tmp_path: Path, now: datetime) -> None:
    means, told = await load(tmp_path, now, 1)
    assert len(means) >= 9 * 24
    assert all(0 <= mean <= 1000 for mean in means)
    assert max(means) - min(means) > 200
    assert "made up" in told


async def test_the_same_seed_makes_the_same_days(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    assert await load(tmp_path, NOON, 1) == await load(tmp_path / "again", NOON, 1)
    assert await load(tmp_path, NOON, 2) != await load(tmp_path / "again", NOON, 1)


async def test_what_was_recorded_before_is_left_as_it_is(tmp_path: Path) -> None:
    telemetry = TelemetryStore(tmp_path / "telemetry.db", FixedClock(NOON))
    store = SeriesStore(telemetry)

    async def snapshot() -> GpuSnapshotView:
        return data.gpus()

    await make_up_when_known(store, snapshot, lambda: NOON, 1)
    size = await store.size()
    await make_up_when_known(store, snapshot, lambda: NOON + timedelta(days=1), 2)
    assert await store.size() == size
    await telemetry.close()
