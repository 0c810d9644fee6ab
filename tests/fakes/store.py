"""A clock that stands still until told, and databases for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.store.connection import Database


class FixedClock:
    """Time that moves only by `advance`."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, **parts: float) -> None:
        """Move on by the parts of a `timedelta`; may be negative, as a clock that is set back."""
        step = timedelta(**parts)
        self._now += step
        self._monotonic += max(step.total_seconds(), 0.0)


@asynccontextmanager
async def open_database(path: Path, *, read_only: bool = False) -> AsyncIterator[Database]:
    """A database at the path, closed at the end."""
    database = await Database.open(path, clock=FixedClock(), read_only=read_only)
    try:
        yield database
    finally:
        await database.close()


def names(folder: Path) -> list[str]:
    """The names in a folder, in order."""
    return sorted(entry.name for entry in folder.iterdir())
