"""Migrations: in order, whole or not at all, with a copy before each change of an existing database."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from backend.core.errors import StoreError, StoreUnwritableError
from backend.store.connection import Database
from backend.store.migration import Migration, shipped, statements
from tests.fakes.store import FixedClock, names

FIRST = Migration(1, "first", "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT); CREATE TABLE a (x INTEGER);")
SECOND = Migration(2, "second", "ALTER TABLE a ADD COLUMN y TEXT DEFAULT 'new';\nINSERT INTO a (x) VALUES (2);")
BROKEN = Migration(3, "broken", "CREATE TABLE b (x INTEGER);\nINSERT INTO nowhere VALUES (1);")


async def open_with(path: Path, *migrations: Migration, read_only: bool = False) -> Database:
    return await Database.open(path, clock=FixedClock(), migrations=migrations, read_only=read_only)


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


async def test_an_existing_database_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    database = await open_with(path, FIRST)
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO a VALUES (1)")
    await database.close()
    database = await open_with(path, FIRST, SECOND)
    rows = await database.fetch_all("SELECT x, y FROM a ORDER BY x")
    assert [tuple(row) for row in rows] == [(1, "new"), (2, "new")]
    await database.close()
    copy = tmp_path / "modelyard.db.before-0002"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o660
    assert version(copy) == 1
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]
    connection.close()
    assert names(tmp_path) == ["modelyard.db", "modelyard.db.before-0002"]


async def test_what_the_log_still_holds_is_in_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    database = await open_with(path, FIRST)
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO a VALUES (7)")
    # The first connection stays open, so nothing was moved from the log to the file.
    newer = await open_with(path, FIRST, SECOND)
    await newer.close()
    await database.close()
    connection = sqlite3.connect(tmp_path / "modelyard.db.before-0002")
    assert connection.execute("SELECT x FROM a").fetchall() == [(7,)]
    connection.close()


async def test_a_new_database_needs_no_copy(tmp_path: Path) -> None:
    database = await open_with(tmp_path / "modelyard.db", FIRST, SECOND)
    await database.close()
    assert names(tmp_path) == ["modelyard.db"]


async def test_a_migration_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    await (await open_with(path, FIRST)).close()
    with pytest.raises(StoreError):
        await open_with(path, FIRST, SECOND, BROKEN)
    assert version(path) == 2
    database = await open_with(path, FIRST, SECOND)
    assert await database.fetch_all("SELECT name FROM sqlite_schema WHERE name = 'b'") == []
    await database.close()


async def test_a_copy_that_cannot_be_made_stops_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    await (await open_with(path, FIRST)).close()
    (tmp_path / "modelyard.db.before-0002").mkdir()
    with pytest.raises(StoreUnwritableError):
        await open_with(path, FIRST, SECOND)
    assert version(path) == 1


async def test_read_only_does_not_migrate(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    await (await open_with(path, FIRST)).close()
    with pytest.raises(StoreUnwritableError, match="needs 2"):
        await open_with(path, FIRST, SECOND, read_only=True)
    assert version(path) == 1


def test_the_shipped_migrations_parse_and_count_up() -> None:
    migrations = shipped()
    assert migrations[0][:2] == (1, "foundation")
    assert [migration.number for migration in migrations] == sorted({migration.number for migration in migrations})
    for migration in migrations:
        assert list(statements(migration.sql))


def test_statements_keep_triggers_and_texts_whole() -> None:
    script = """
-- a comment; with a semicolon
CREATE TABLE a (x TEXT DEFAULT 'one;two');
CREATE TRIGGER t BEFORE DELETE ON a
BEGIN
    SELECT RAISE(ABORT, 'no;');
END;
"""
    found = list(statements(script))
    assert len(found) == 2
    assert found[1].startswith("CREATE TRIGGER") and found[1].endswith("END;")
    with pytest.raises(ValueError, match="ends within"):
        list(statements("CREATE TABLE a (x"))
