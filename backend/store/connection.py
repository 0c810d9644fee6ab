"""The database: one writer, one reader, transactions that end whole.

SQLite in WAL mode: readers never wait for the writer; writers of all processes take turns (`BEGIN IMMEDIATE`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import aiosqlite

from backend.core.errors import ReadOnlyError, StoreError, StoreUnwritableError
from backend.core.ports import Clock
from backend.store.failures import is_locked, locked, store_error, translated
from backend.store.location import create_file, refuse_network_file_system, refuse_world_writable, unwritable
from backend.store.migration import Migration, check_version, migrate, shipped, version_of

SqlValue: TypeAlias = str | int | float | bytes | None
T = TypeVar("T")

#: How long a writer waits for another process before it gives up.
PATIENCE: Final = timedelta(seconds=10)
# A wait inside SQLite cannot be cancelled, so the writer waits in slices of this many seconds.
_SLICE: Final = 0.5
_READER_WAIT: Final = 5.0
_OLDEST_SQLITE: Final = (3, 37)  # STRICT tables


class Transaction:
    """Statements that take effect together or not at all. Made by `Database.transaction`."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._open = True

    async def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> int:
        """Run one statement.

        Returns:
            the number of rows that it inserted, changed or deleted; -1 for other statements.

        Raises:
            StoreError: of its kind, as for every method here.
            MalformedDataError: a value has no form in the database.
        """
        with translated(self._path):
            async with self._live().execute(sql, parameters) as cursor:
                return cursor.rowcount

    async def execute_many(self, sql: str, rows: Iterable[Sequence[SqlValue]]) -> None:
        """Run one statement for each row."""
        with translated(self._path):
            async with self._live().executemany(sql, rows):
                return

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[sqlite3.Row]:
        """All rows of a query, with what this transaction changed."""
        with translated(self._path):
            return list(await self._live().execute_fetchall(sql, parameters))

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    def end(self) -> None:
        """Refuse further statements; they would take effect by themselves."""
        self._open = False

    def _live(self) -> aiosqlite.Connection:
        if not self._open:
            raise StoreError(f"database {self._path}", "the transaction has ended", "report this: it is a defect")
        return self._connection


class Database:
    """One yard's database, opened by one event loop.

    Attributes:
        path: the file.
        read_only: opened without leave to change anything.
    """

    def __init__(
        self, path: Path, *, read_only: bool, patience: timedelta, reader: aiosqlite.Connection, synchronous: str
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._synchronous = synchronous
        self._attempts = max(1, round(patience.total_seconds() / _SLICE))
        self._reader: aiosqlite.Connection | None = reader
        self._writer: aiosqlite.Connection | None = None
        self._turn = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        read_only: bool = False,
        patience: timedelta = PATIENCE,
        migrations: Sequence[Migration] | None = None,
        durable: bool = True,
    ) -> Database:
        """Open a database; make it when it is missing, and migrate it when it is older than the program.

        Args:
            path: the file; its folder is made when it is missing.
            clock: stamps a new database.
            read_only: make, migrate and change nothing. SQLite still keeps its shared-memory file beside a database.
            patience: how long a transaction waits for another process.
            migrations: instead of those of the yard's own database.
            durable: what was committed outlives a power cut. Without it commits are cheap, and the last may be lost.

        Raises:
            StoreLockedError: another process holds it for too long.
            StoreDamagedError: it is no database, or one of another program.
            StoreTooNewError: a newer program made it.
            StoreUnwritableError: it cannot be made or written, or lies on a network file system.
            StoreError: everyone may write it, or SQLite is too old.
        """
        path = await _finish(asyncio.to_thread(_prepare, path, migrations, clock.now(), read_only=read_only))
        synchronous = "synchronous = FULL" if durable else "synchronous = NORMAL"
        reader = await _connect(path, synchronous, "query_only = ON", read_only=read_only, wait=_READER_WAIT)
        return cls(path, read_only=read_only, patience=patience, reader=reader, synchronous=synchronous)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction: committed when its block ends, rolled back when the block raises or is cancelled.

        Transactions of this process take turns, and so do those of all processes. They do not nest.

        Raises:
            ReadOnlyError: the database was opened read-only.
            StoreLockedError: another process held the database for longer than `patience`.
            StoreError: of its kind.
        """
        return self._transaction()

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[sqlite3.Row]:
        """All rows of a query over what is committed.

        Raises:
            StoreError: of its kind.
            MalformedDataError: a value has no form in the database.
        """
        if self._reader is None:
            raise self._closed()
        with translated(self.path):
            return list(await self._reader.execute_fetchall(sql, parameters))

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> sqlite3.Row | None:
        """The first row of a query over what is committed, or None."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def data_version(self) -> int:
        """A number that changes when anyone, this process included, committed a change."""
        row = await self.fetch_one("PRAGMA data_version")
        return int(row[0]) if row is not None else 0

    async def compact(self) -> None:
        """Give the room of what was deleted back to the disk. Rewrites the file, for which it needs that room again.

        Raises:
            StoreError: of its kind; nothing is lost.
        """
        async with self._turn:
            if self._writer is None:
                self._writer = await _connect(self.path, self._synchronous, read_only=False, wait=_SLICE)
            with translated(self.path):
                await _finish(self._writer.execute_fetchall("VACUUM"))

    async def close(self) -> None:
        """Wait for the transaction in progress, then close. Closing again does nothing."""
        async with self._turn:
            reader, self._reader = self._reader, None
            writer, self._writer = self._writer, None
            with translated(self.path):
                try:
                    if writer is not None:
                        await _finish(writer.close())
                finally:
                    if reader is not None:
                        await _finish(reader.close())

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        if self.read_only:
            raise ReadOnlyError(
                f"database {self.path}", "the yard was opened read-only", "start again without --read-only"
            )
        task = asyncio.current_task()
        if task is not None and task is self._owner:
            raise StoreError(f"database {self.path}", "transactions do not nest", "report this: it is a defect")
        async with self._turn:
            self._owner = task
            try:
                connection = await self._begin()
                transaction = Transaction(connection, self.path)
                try:
                    yield transaction
                    transaction.end()
                    with translated(self.path):
                        await _finish(connection.execute_fetchall("COMMIT"))
                finally:
                    transaction.end()
                    await self._roll_back(connection)
            finally:
                self._owner = None

    async def _begin(self) -> aiosqlite.Connection:
        if self._reader is None:
            raise self._closed()
        if self._writer is None:
            self._writer = await _connect(self.path, self._synchronous, read_only=False, wait=_SLICE)
        connection = self._writer
        for _ in range(self._attempts):
            try:
                await _finish(connection.execute_fetchall("BEGIN IMMEDIATE"))
            except sqlite3.Error as error:
                if not is_locked(error):
                    raise store_error(self.path, error) from error
            except asyncio.CancelledError:
                await self._roll_back(connection)
                raise
            else:
                return connection
        raise locked(self.path)

    async def _roll_back(self, connection: aiosqlite.Connection) -> None:
        """Undo what is not committed; a connection that cannot even do that is dropped, which undoes it as well."""
        if not connection.in_transaction:
            return
        try:
            await _finish(connection.execute_fetchall("ROLLBACK"))
        except sqlite3.Error:
            # SQLite rolls back by itself on a full disk and on an I/O error.
            if connection.in_transaction:
                self._writer = None
                await _finish(connection.close())

    def _closed(self) -> StoreError:
        return StoreError(f"database {self.path}", "it is closed", "start the program again")


async def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Await the work to its end even when the caller is cancelled meanwhile; the cancellation is raised afterwards.

    A statement that was handed to the connection's thread runs anyway: what it did has to be known.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


async def _connect(path: Path, *pragmas: str, read_only: bool, wait: float) -> aiosqlite.Connection:
    """A connection in autocommit mode, so that transactions begin and end only where they are told to."""
    mode = "ro" if read_only else "rw"
    with translated(path):
        connection = await aiosqlite.connect(
            f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=wait
        )
        try:
            connection.row_factory = sqlite3.Row
            for pragma in ("foreign_keys = ON", *pragmas):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
        except BaseException:
            await _finish(connection.close())
            raise
    return connection


def _prepare(path: Path, migrations: Sequence[Migration] | None, now: datetime, *, read_only: bool) -> Path:
    """See to everything that has to hold before a database is used, and return its absolute path; blocks."""
    path = path.expanduser().absolute()
    steps = shipped() if migrations is None else tuple(migrations)
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version}", "it is too old", "install SQLite 3.37 or later")
    refuse_network_file_system(path)
    if not path.exists():
        if read_only:
            raise StoreUnwritableError(
                f"database {path}",
                "it does not exist, and the yard was opened read-only",
                "open it once without --read-only, or name another file with --db",
            )
        create_file(path)
    try:
        refuse_world_writable(path)
    except OSError as error:
        raise unwritable(path, error) from error
    mode = "ro" if read_only else "rw"
    with translated(path):
        connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=_SLICE)
    with closing(connection):
        version = version_of(connection, path)
        newest = steps[-1].number if steps else 0
        check_version(path, version, newest, may_migrate=not read_only)
        if not read_only:
            _use_log(connection, path)
            migrate(connection, path, steps, now)
    return path


def _use_log(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to WAL. While another process makes the switch SQLite answers busy at once, so it is tried again."""
    attempts = round(PATIENCE.total_seconds() / _SLICE)
    for _ in range(attempts):
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.Error as error:
            if not is_locked(error):
                raise store_error(path, error) from error
            continue
        if mode == "wal":
            return
        raise StoreUnwritableError(
            f"database {path}",
            f"its file system cannot hold a write-ahead log (SQLite stays with {mode})",
            "name a file on a local disk with --db or [yard] database",
        )
    raise locked(path)
