"""What SQLite's result codes mean to a user (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backend.core.errors import (
    MalformedDataError,
    StoreConstraintError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreUnwritableError,
)

_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_UNWRITABLE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOLFS,
    }
)
# The primary code is the low byte of an extended one.
_PRIMARY: Final = 0xFF


def is_locked(error: sqlite3.Error) -> bool:
    """Whether the error says that another connection holds the database."""
    return _code(error) in _LOCKED


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """The error of our tree for an error of the driver."""
    what = f"database {path}"
    code = _code(error)
    if code in _LOCKED:
        return locked(path)
    if code in _DAMAGED:
        return StoreDamagedError(
            what,
            f"it is damaged or no database ({error})",
            "put a backup in its place (modelyard.db.before-*), or name another file with --db",
        )
    if code in _UNWRITABLE:
        return StoreUnwritableError(
            what,
            f"it cannot be opened, read or written ({error})",
            "check free space on its disk and the permissions of the file and its folder",
        )
    if code == sqlite3.SQLITE_CONSTRAINT:
        return StoreConstraintError(what, f"a rule of the database refuses the change ({error})", "read it again")
    return StoreError(what, f"the statement failed ({error})", "report this with the output of --debug")


def locked(path: Path) -> StoreLockedError:
    """Another process holds the database for longer than is waited for."""
    return StoreLockedError(
        f"database {path}", "another process holds it for too long", "wait for that process or end it, then try again"
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the driver's errors into those of our tree.

    Raises:
        StoreError: what the driver raised, by its result code.
        MalformedDataError: a value has no form in the database (a lone surrogate, a number beyond 64 bits).
    """
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise MalformedDataError(
            "a value to be stored", f"the database has no form for it ({error})", "leave it out or correct its source"
        ) from error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY
