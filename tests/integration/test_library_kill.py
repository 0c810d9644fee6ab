"""A synchronisation killed at any statement leaves a whole library and ledger, and the next run completes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backend.audit.verification import verify
from backend.library import catalogue
from tests.fakes.library_listing import images_of
from tests.fakes.library_snapshot import snapshot
from tests.fakes.store import open_database

ROOT = Path(__file__).parents[2]
NEVER = 0


def synchronise(path: Path, at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fakes.library_process", str(path), str(at)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A library that a run was left alone with, and how many statements that took."""
    path = tmp_path_factory.mktemp("clean") / "clean.db"
    ran = synchronise(path, NEVER)
    assert ran.returncode == 0, ran.stderr
    return path, int(ran.stdout)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.7, 0.9])
async def test_killed_at_a_statement(clean: tuple[Path, int], tmp_path: Path, part: float) -> None:
    path, statements = clean
    at = max(1, round(part * statements))
    async with open_database(path) as database:
        expected = await snapshot(database)
    path = tmp_path / "killed.db"
    assert synchronise(path, at).returncode == -9
    async with open_database(path) as database:
        assert (await verify(database)).intact
        for image in await images_of(database):
            await catalogue.detail(database, image)
        broken = await database.fetch_all("PRAGMA foreign_key_check")
        assert broken == []
    assert synchronise(path, NEVER).returncode == 0
    async with open_database(path) as database:
        assert await snapshot(database) == expected
        assert (await verify(database)).intact
