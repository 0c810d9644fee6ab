"""A database that is locked, damaged, newer or foreign, a disk that is full, output that cannot be written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from backend.store.connection import Database
from tests.fakes.cli import Place, ended
from tests.fakes.cli_registry import answering, image_registry, place_of


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Another process holds the database for itself."""
    script = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "held.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()
            holder.wait()


def test_a_locked_database_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Database.open.__func__.__kwdefaults__  # type: ignore[attr-defined]
    monkeypatch.setitem(waits, "patience", timedelta(seconds=0.5))
    with answering(image_registry) as url:
        place = place_of(tmp_path, url)
        place.json("sync")
        with held(place.database):
            assert len(place.json("images", "list")) == 1
            locked = place.run("sync")
        assert locked.code == 1 and "another process holds it" in locked.error
        assert place.json("sync")["unchanged"] == 1
    assert place.json("audit", "verify")["intact"]


def test_a_damaged_database_is_told_and_not_touched(tmp_path: Path) -> None:
    with answering(image_registry) as url:
        place = place_of(tmp_path, url)
        place.json("sync")
    connection = sqlite3.connect(place.database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'ledger'").fetchone()
    connection.close()
    whole = place.database.read_bytes()
    at = (page - 1) * size
    for damaged in (
        b"this is no database" * 100, whole[: len(whole) // 2], whole[:at] + b"\xff" * size + whole[at + size :]
    ):  # fmt: skip
        place.database.write_bytes(damaged)
        told = place.run("audit", "verify")
        assert told.code == 1 and str(place.database) in told.error and "damaged" in told.error
        assert place.database.read_bytes() == damaged


def test_a_newer_database_and_another_programs_are_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.json("images", "list")
    connection = sqlite3.connect(place.database)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for words in (["images", "list"], ["images", "list", "--read-only"], ["doctor"]):
        newer = place.run(*words)
        assert newer.code == 1 and "newer program" in newer.error and "999" in newer.error
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = foreign.read_bytes()
    other = place.run("images", "list", "--db", foreign)
    assert other.code == 1 and "another program" in other.error and foreign.read_bytes() == before


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from backend.cli.entry import run
sys.exit(run(sys.argv[2:], lambda request: 1))
"""


def test_a_full_disk_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    """No file of the process may grow beyond what the database already has, which is how a full disk looks to it."""
    with answering(lambda path: image_registry(path, tags=tuple(f"1.{minor}" for minor in range(200)))) as url:
        place = place_of(tmp_path, url)
        place.json("images", "list")
        limit = place.database.stat().st_size + 16_384
        command = [sys.executable, "-c", LIMITED, str(limit), "sync", "--config", str(place.config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        full = ended(process)
        assert full.code == 1 and "free space" in full.error, full
        assert place.json("audit", "verify")["intact"]
        recorded = place.json("images", "list")
        complete = place.json("sync")
        assert len(complete["new"]) + len(recorded) == 200 and complete["unchanged"] == len(recorded)
    assert place.json("audit", "verify")["intact"]


@pytest.mark.parametrize("where", ["/proc/nowhere/modelyard.db", "/dev/full"])
def test_a_place_that_cannot_hold_a_database(tmp_path: Path, where: str) -> None:
    refused = Place(tmp_path).run("images", "list", "--db", where)
    assert refused.code == 1 and where in refused.error


def test_output_that_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with Path("/dev/full").open("w") as full:
        told = ended(place.start("rules", "list", "-o", "json", stdout=full))
    assert told.code == 1 and "space" in told.error


def test_a_state_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    refused = Place(tmp_path / "place").run("images", "list")
    assert refused.code == 1 and "XDG_STATE_HOME" in refused.error
