"""The telemetry database: apart from the yard's own, so that nothing of telemetry ever stops a decision.

Whatever is wrong with it is told and tried again later. A damaged file is moved aside, and a new one begun.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from backend.core.errors import StoreDamagedError, StoreError, StoreForeignError
from backend.core.ports import Clock
from backend.store.connection import Database
from backend.store.damage import move_aside
from backend.store.migration import shipped

_LOG = logging.getLogger(__name__)
#: After a failure the file is left alone for so many seconds.
_TRY_AGAIN: Final = 15.0
_PATIENCE: Final = timedelta(seconds=2)
#: Larger than the snapshot of any cluster: what is larger is not ours.
_MOST_SNAPSHOT: Final = 256 * 2**20


def telemetry_path(database: Path) -> Path:
    """Where the telemetry of the yard with this database is: `telemetry.db` beside `modelyard.db`."""
    return database.with_name("telemetry.db" if database.stem == "modelyard" else f"{database.stem}.telemetry.db")


class TelemetryStore:
    """The database of series and of the last snapshot, opened when it is first needed. Belongs to one event loop.

    Every method raises a `StoreError` that says why there is no telemetry for now; callers go on without.

    Args:
        path: of the file.
        read_only: never make, migrate or change it.
    """

    def __init__(self, path: Path, clock: Clock, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._clock = clock
        self._database: Database | None = None
        self._file: tuple[int, int] | None = None
        self._opening = asyncio.Lock()
        self._failed_at = float("-inf")
        self._failure: StoreError | None = None
        self._told: list[str] = []

    @property
    def problem(self) -> str:
        """Why there is no telemetry for now, in a clause; empty: as far as is known there is."""
        return self._failure.why if self._failure is not None else ""

    @property
    def told(self) -> tuple[str, ...]:
        """What a person should know of this file, such as that a damaged one was moved aside."""
        return tuple(self._told)

    @asynccontextmanager
    async def using(self, *, making: bool = False) -> AsyncIterator[Database]:
        """The open database while the block runs; what fails in it is remembered.

        Args:
            making: make it where there is none.

        Raises:
            StoreError: of its kind, from opening it or from the block.
        """
        database = await self._opened(making=making)
        try:
            yield database
        except StoreDamagedError as error:
            await self._recover(error)
            raise
        except StoreError as error:
            self._failure = error
            raise
        self._failure = None

    async def put_latest(self, snapshot: bytes, at: datetime) -> None:
        """Keep the last snapshot for the yard's other processes, in place of the one before.

        Args:
            at: when it was taken.

        Raises:
            StoreError: of its kind.
        """
        packed = await asyncio.to_thread(zlib.compress, snapshot, 1)
        async with self.using(making=True) as database, database.transaction() as transaction:
            await transaction.execute(
                "INSERT INTO latest (id, at, snapshot) VALUES (1, ?1, ?2)"
                " ON CONFLICT (id) DO UPDATE SET at = ?1, snapshot = ?2",
                (milliseconds(at), packed),
            )

    async def latest(self, after: datetime | None = None) -> tuple[datetime, bytes] | None:
        """When the last snapshot was taken, and the snapshot; None: there is none.

        Args:
            after: None as well where it is not younger than this, which costs less than reading it.

        Raises:
            StoreError: of its kind.
        """
        if not await asyncio.to_thread(self.path.exists):
            return None
        async with self.using() as database:
            row = await database.fetch_one(
                "SELECT at, snapshot FROM latest WHERE at > ?", (-(2**62) if after is None else milliseconds(after),)
            )
            if row is None:
                return None
            at, packed = row["at"], row["snapshot"]
        try:
            unpacker = zlib.decompressobj()
            snapshot = await asyncio.to_thread(unpacker.decompress, packed, _MOST_SNAPSHOT)
        except zlib.error as error:
            _LOG.warning("the last snapshot in %s cannot be unpacked: %s", self.path, error)
            return None
        return instant_of(at), snapshot

    async def close(self) -> None:
        """Close it; the next use opens it again."""
        async with self._opening:
            database, self._database = self._database, None
            if database is not None:
                await database.close()

    # ------------------------------------------------------------ opening

    async def _opened(self, *, making: bool) -> Database:
        async with self._opening:
            file = await asyncio.to_thread(_file_at, self.path)
            if self._database is not None:
                if file == self._file:
                    return self._database
                # It was removed, or another process moved it aside.
                await self._database.close()
                self._database = None
            if self._failure is not None and self._clock.monotonic() - self._failed_at < _TRY_AGAIN:
                raise self._failure
            if not making and file is None:
                raise StoreError(
                    f"database {self.path}", "nothing was recorded yet", "keep a screen open, or run modelyard worker"
                )
            try:
                self._database = await self._open()
                self._file = await asyncio.to_thread(_file_at, self.path)
            except StoreError as error:
                self._failure, self._failed_at = error, self._clock.monotonic()
                raise
            return self._database

    async def _open(self) -> Database:
        try:
            return await self._open_once()
        except StoreForeignError:
            raise
        except StoreDamagedError as error:
            if self.read_only:
                raise
            await self._put_aside(error)
            return await self._open_once()

    async def _open_once(self) -> Database:
        return await Database.open(
            self.path, clock=self._clock, read_only=self.read_only, patience=_PATIENCE,
            migrations=await asyncio.to_thread(shipped, "backend.telemetry"), durable=False,
        )  # fmt: skip

    async def _recover(self, error: StoreDamagedError) -> None:
        """Damage that showed only while the file was used: begin a new one at the next use."""
        await self.close()
        self._failure = error
        if self.read_only or isinstance(error, StoreForeignError):
            self._failed_at = self._clock.monotonic()
            return
        try:
            await self._put_aside(error)
        except StoreError as problem:
            self._failure, self._failed_at = problem, self._clock.monotonic()

    async def _put_aside(self, error: StoreDamagedError) -> None:
        aside = await asyncio.to_thread(move_aside, self.path, self._clock.now())
        if aside is None:
            return
        self._told.append(f"{self.path.name} was damaged: it was moved to {aside.name}, and a new one was begun")
        _LOG.warning("%s; it was moved to %s, and a new one is begun", error, aside)


def milliseconds(at: datetime) -> int:
    """An instant as the telemetry database has it."""
    return round(at.timestamp() * 1000)


def instant_of(at: int) -> datetime:
    """The instant of such a number."""
    return datetime.fromtimestamp(at / 1000, UTC)


def _file_at(path: Path) -> tuple[int, int] | None:
    """What tells the file from another one of its name; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
