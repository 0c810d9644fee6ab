"""The telemetry database may be damaged, foreign, locked, full or gone: that is told, and nothing else suffers."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.core.errors import ReadOnlyError, StoreError, StoreForeignError, StoreLockedError, StoreUnwritableError
from backend.telemetry.store import TelemetryStore, telemetry_path
from tests.fakes.store import FixedClock, names

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def store(path: Path, clock: FixedClock | None = None, *, read_only: bool = False) -> TelemetryStore:
    return TelemetryStore(path, clock or FixedClock(NOW), read_only=read_only)


def test_it_lies_beside_the_yards_database() -> None:
    assert telemetry_path(Path("/a/modelyard.db")) == Path("/a/telemetry.db")
    assert telemetry_path(Path("/a/other.db")) == Path("/a/other.telemetry.db")


async def test_the_last_snapshot_is_seen_by_other_processes(tmp_path: Path) -> None:
    writer, reader = store(tmp_path / "telemetry.db"), store(tmp_path / "telemetry.db", read_only=True)
    assert await reader.latest() is None
    await writer.put_latest(b"one", NOW)
    await writer.put_latest(b"two" * 1000, NOW + timedelta(seconds=2))
    assert await reader.latest() == (NOW + timedelta(seconds=2), b"two" * 1000)
    assert await reader.latest(after=NOW + timedelta(seconds=2)) is None
    await writer.close()
    await reader.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(damage)
    telemetry = store(path)
    await telemetry.put_latest(b"after", NOW)
    assert telemetry.problem == ""
    assert telemetry.told == ("telemetry.db was damaged: it was moved to telemetry.db.damaged-2026-03-02, and a new one"
                              " was begun",)  # fmt: skip
    assert (tmp_path / "telemetry.db.damaged-2026-03-02").read_bytes() == damage
    await telemetry.close()


async def test_damage_that_shows_while_it_is_used_is_met_in_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    telemetry = store(path)
    await telemetry.put_latest(b"x" * 100_000, NOW)
    await telemetry.close()
    data = bytearray(path.read_bytes())
    size = 4096
    # The schema stays, every other page is garbage.
    path.write_bytes(data[:size] + b"\xa5" * (len(data) - size))
    with pytest.raises(StoreError):
        await telemetry.put_latest(b"y", NOW)
    await telemetry.put_latest(b"z", NOW)
    assert await telemetry.latest() == (NOW, b"z")
    assert any("damaged" in text for text in telemetry.told)
    await telemetry.close()


async def test_a_read_only_yard_moves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(b"no database at all" * 100)
    telemetry = store(path, read_only=True)
    with pytest.raises(StoreError):
        await telemetry.latest()
    assert names(tmp_path) == ["telemetry.db"]
    assert "damaged" in telemetry.problem


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (value)")
    other.close()
    telemetry = store(path)
    with pytest.raises(StoreForeignError):
        await telemetry.put_latest(b"x", NOW)
    assert "telemetry.db.damaged-2026-03-02" not in names(tmp_path)
    assert telemetry.problem == "it belongs to another program"


async def test_a_failure_is_told_and_tried_again_later(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("a file where the folder should be")
    clock = FixedClock(NOW)
    telemetry = store(folder / "telemetry.db", clock)
    with pytest.raises(StoreUnwritableError):
        await telemetry.put_latest(b"x", NOW)
    assert telemetry.problem
    folder.unlink()
    with pytest.raises(StoreUnwritableError):
        await telemetry.put_latest(b"x", NOW)
    clock.advance(seconds=20)
    await telemetry.put_latest(b"x", NOW)
    assert telemetry.problem == ""
    await telemetry.close()


async def test_a_disk_that_is_full_is_told_until_there_is_room(tmp_path: Path) -> None:
    telemetry = store(tmp_path / "telemetry.db")
    await telemetry.put_latest(b"x", NOW)
    async with telemetry.using() as database, database.transaction() as transaction:
        await transaction.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreUnwritableError):
        await telemetry.put_latest(bytes(range(256)) * 4096, NOW)
    assert "full" in telemetry.problem
    async with telemetry.using() as database, database.transaction() as transaction:
        await transaction.execute("PRAGMA max_page_count = 100000")
    await telemetry.put_latest(b"y", NOW)
    assert telemetry.problem == ""
    await telemetry.close()


async def test_a_file_that_is_held_is_told_and_waited_for_only_shortly(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    telemetry = store(path)
    await telemetry.put_latest(b"x", NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError):
        await telemetry.put_latest(b"y", NOW)
    assert await telemetry.latest() == (NOW, b"x")
    other.execute("ROLLBACK")
    other.close()
    await telemetry.put_latest(b"y", NOW)
    await telemetry.close()


async def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    telemetry = store(path)
    await telemetry.put_latest(b"x", NOW)
    for name in names(tmp_path):
        (tmp_path / name).unlink()
    assert await telemetry.latest() is None
    await telemetry.put_latest(b"y", NOW)
    assert await telemetry.latest() == (NOW, b"y")
    await telemetry.close()


async def test_reading_makes_no_file(tmp_path: Path) -> None:
    telemetry = store(tmp_path / "telemetry.db")
    assert await telemetry.latest() is None
    with pytest.raises(StoreError, match="nothing was recorded yet"):
        async with telemetry.using():
            pass
    assert names(tmp_path) == []


async def test_a_read_only_yard_writes_nothing(tmp_path: Path) -> None:
    await (first := store(tmp_path / "telemetry.db")).put_latest(b"x", NOW)
    telemetry = store(tmp_path / "telemetry.db", read_only=True)
    with pytest.raises(ReadOnlyError):
        await telemetry.put_latest(b"y", NOW)
    await telemetry.close()
    await first.close()
