"""Numbered migrations: what brings a database to the form that this program reads. Everything here blocks.

Each migration and its number (`PRAGMA user_version`) are committed together; before an existing database is changed a
copy of it is put beside it. The write lock is held from looking at the number to the commit, so that of several
processes one migrates and the others find it done.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from backend.core.errors import StoreError, StoreForeignError, StoreTooNewError, StoreUnwritableError
from backend.core.ports import timestamp
from backend.store.failures import is_locked, locked, translated
from backend.store.location import make_private_file, unwritable

#: "MODY": tells our databases from others (https://www.sqlite.org/fileformat.html, offset 68).
APPLICATION_ID: Final = 0x4D4F4459
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")
_ATTEMPTS: Final = 24


class Migration(NamedTuple):
    """A step: its number, which becomes the database's version, a name, and its SQL statements."""

    number: int
    name: str
    sql: str


def shipped(room: str = "backend.store") -> tuple[Migration, ...]:
    """The migrations that come with the program, in order.

    Args:
        room: the package whose folder `migrations` has them.

    Raises:
        StoreError: two of them have one number.
    """
    found: dict[int, Migration] = {}
    for entry in (resources.files(room) / "migrations").iterdir():
        if match := _NAME.match(entry.name):
            number = int(match.group(1))
            if number in found:
                raise StoreError(f"migration {entry.name}", f"{number} is taken", "install the program again")
            found[number] = Migration(number, match.group(2), entry.read_text(encoding="utf-8"))
    return tuple(found[number] for number in sorted(found))


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one; triggers with statements of their own stay whole.

    Raises:
        ValueError: the script ends within a statement.
    """
    pending = ""
    for piece in re.findall(r"[^;]*;|[^;]+\Z", script):
        pending += piece
        if sqlite3.complete_statement(pending):
            yield pending.strip()
            pending = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
        raise ValueError("the script ends within a statement")


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The number of the last migration that the database has; 0 for an empty one. Reads the header and the schema.

    Raises:
        StoreDamagedError: it is no database. StoreForeignError: it is one of another program.
        StoreError: it cannot be read.
    """
    with translated(path):
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if application != APPLICATION_ID and (version or application or tables):
        raise StoreForeignError(
            f"database {path}", "it belongs to another program", "name another file with --db or [yard] database"
        )
    return version


def check_version(path: Path, version: int, newest: int, *, may_migrate: bool) -> None:
    """Refuse a version that this program cannot work with.

    Raises:
        StoreTooNewError: a newer program made the database.
        StoreUnwritableError: it is older, and may not be migrated.
    """
    if version > newest:
        raise StoreTooNewError(
            f"database {path}",
            f"a newer program made it (version {version}, this one knows {newest})",
            "use the newer program, or name another file with --db",
        )
    if version < newest and not may_migrate:
        raise StoreUnwritableError(
            f"database {path}",
            f"it has version {version}, needs {newest}, and was opened read-only",
            "open it once without --read-only",
        )


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration], now: datetime) -> None:
    """Bring a database to the newest of the migrations.

    Args:
        connection: writable, in autocommit mode (`isolation_level=None`).
        path: of the database; copies are put beside it as `NAME.before-NNNN`.
        migrations: in order.
        now: recorded as the time a new database was made.

    Raises:
        StoreError: of its kind; nothing of a step that failed stays.
    """
    newest = migrations[-1].number if migrations else 0
    while (version := version_of(connection, path)) != newest:
        check_version(path, version, newest, may_migrate=True)
        _begin(connection, path)
        try:
            _step(connection, path, migrations, now)
            with translated(path):
                connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _step(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration], now: datetime) -> None:
    # Read again: another process may have migrated while this one waited for the lock.
    version = version_of(connection, path)
    pending = [migration for migration in migrations if migration.number > version]
    if version == 0:
        with translated(path):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for migration in pending:
            _apply(connection, path, migration)
        with translated(path):
            connection.execute("INSERT INTO meta (name, value) VALUES ('created_at', ?)", (timestamp(now),))
    elif pending:
        _back_up(path, pending[0])
        _apply(connection, path, pending[0])


def _begin(connection: sqlite3.Connection, path: Path) -> None:
    for _ in range(_ATTEMPTS):
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not is_locked(error):
                with translated(path):
                    raise
        else:
            return
    raise locked(path)


def _apply(connection: sqlite3.Connection, path: Path, migration: Migration) -> None:
    with translated(path):
        for statement in statements(migration.sql):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {migration.number}")


def _back_up(path: Path, migration: Migration) -> None:
    """Copy what is committed; the caller holds the write lock, so that nothing is committed meanwhile."""
    target = path.with_name(f"{path.name}.before-{migration.number:04d}")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        make_private_file(partial)
        source = sqlite3.connect(path, isolation_level=None)
        with translated(path), closing(source), closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
            # One file that stands by itself, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        partial.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
