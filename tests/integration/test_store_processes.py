"""Several processes on one database: nothing is lost, nothing happens twice."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from backend.store.ledger import GENESIS, entry_hash
from tests.fakes.store import names, open_database

ROOT = Path(__file__).parents[2]


def race(job: str, path: Path, arguments: Sequence[str]) -> list[str]:
    """Start a process for each argument, let them all go at once, and return what each printed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.store_process", job, str(path), argument],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for argument in arguments
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        answers.append(out.strip())
    return answers


async def test_concurrent_appends_lose_nothing_and_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    assert race("append", path, [f"50:{name}" for name in "abcd"]) == ["ok"] * 4
    async with open_database(path) as database:
        rows = [dict(row) for row in await database.fetch_all("SELECT * FROM ledger ORDER BY seq")]
    assert [row["seq"] for row in rows] == list(range(1, 201))
    previous = GENESIS
    for row in rows:
        assert row["previous"] == previous
        previous = row.pop("hash")
        assert previous == entry_hash(**row)
    for name in "abcd":
        assert sum(row["actor"] == f"50:{name}" for row in rows) == 50


def test_of_several_processes_one_takes_the_lease(tmp_path: Path) -> None:
    answers = race("lease", tmp_path / "modelyard.db", ["a", "b", "c", "d", "e"])
    assert sorted(answers) == ["not"] * 4 + ["taken"]


async def test_processes_that_migrate_at_once_migrate_once(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path):
        pass
    assert race("migrate", path, ["3"] * 4) == ["3"] * 4
    copies = [name for name in names(tmp_path) if "before" in name]
    assert len(copies) == 3 and not any(name.endswith("partial") for name in copies)
    # Each copy is of the version before its migration, not of what a faster process had made.
    for steps, name in enumerate(copies):
        connection = sqlite3.connect(tmp_path / name)
        tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'extra%'").fetchone()
        connection.close()
        assert tables == (steps,)


@pytest.mark.parametrize("limit", [0, 20_000, 400_000])
async def test_a_disk_that_fills_up_is_told_and_what_was_committed_stands(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "modelyard.db"
    assert race("small-disk", path, [str(limit)]) == ["StoreUnwritableError"]
    async with open_database(path) as database:
        rows = await database.fetch_all("SELECT seq FROM ledger ORDER BY seq")
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        check = await database.fetch_one("PRAGMA integrity_check")
        assert check is not None and check[0] == "ok"
