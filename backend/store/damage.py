"""Puts a damaged database out of the way, where what it held may be lost."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from backend.core.errors import StoreUnwritableError

_MOST_ASIDE: Final = 100


def move_aside(path: Path, now: datetime) -> Path | None:
    """Rename a damaged database and its logs to `NAME.damaged-DATE`. Blocks.

    Returns:
        the new path; None where there is nothing damaged by now, as another process did the same meanwhile.

    Raises:
        StoreUnwritableError: it cannot be renamed.
    """
    try:
        with _alone(path):
            if not path.exists() or _is_sound(path):
                return None
            aside = _free_name(path, now)
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                log = path.with_name(path.name + suffix)
                if log.exists():
                    log.rename(aside.with_name(aside.name + suffix))
            return aside
    except OSError as error:
        raise StoreUnwritableError(
            f"database {path}",
            f"it is damaged and cannot be moved aside ({error.strerror or error})",
            "remove it, or make its folder writable",
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps the yard's other processes from doing the same."""
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")] == ["ok"]
    except sqlite3.DatabaseError:
        return False


def _free_name(path: Path, now: datetime) -> Path:
    first = path.with_name(f"{path.name}.damaged-{now:%Y-%m-%d}")
    names = [first, *(first.with_name(f"{first.name}.{number}") for number in range(2, _MOST_ASIDE))]
    for name in names:
        if not name.exists():
            return name
    # So many in one day are of no use to anybody: the last one is replaced.
    return names[-1]
