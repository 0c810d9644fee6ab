"""A file that a person keeps and the program may write: whether it may, and how it is replaced without being lost."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.core.errors import ConflictError, StoreUnwritableError

# How often, and after how many seconds, somebody who holds the file is asked again.
_TRIES: Final = 50
_PAUSE: Final = 0.1


def why_unwritable(path: Path) -> str:
    """Why the file may not be replaced by us, in a clause; empty: it may. Blocks."""
    try:
        target = path.resolve(strict=True)
        found = target.stat()
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, RuntimeError) as error:
        return f"it cannot be looked at: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(found.st_mode):
        return "it is no ordinary file"
    if os.geteuid() not in (0, found.st_uid):
        return "it belongs to somebody else"
    # Root may write whatever it likes; whoever made a file read-only meant it.
    if not found.st_mode & stat.S_IWUSR or not os.access(target, os.W_OK):
        return "it is read-only"
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return f"nothing may be written in {target.parent}"
    return ""


def replace_file(path: Path, data: bytes, *, seen: bytes) -> None:
    """Put other bytes in place of those that were seen: all of them or none, whatever happens meanwhile. Blocks.

    Mode, owner, group and extended attributes are kept. A link stays one: what it leads to is replaced.

    Args:
        seen: what the file held when its owner decided.

    Raises:
        ConflictError: it holds something else by now, or is gone.
        StoreUnwritableError: it cannot be written.
    """
    try:
        target = path.resolve(strict=True)
        with _locked(target):
            if target.read_bytes() != seen:
                raise changed_meanwhile(path)
            _replace(target, data)
    except FileNotFoundError as error:
        raise changed_meanwhile(path) from error
    except OSError as error:
        raise StoreUnwritableError(
            str(path), error.strerror or str(error), "make file and folder writable, or edit it with an editor"
        ) from error


def changed_meanwhile(path: Path) -> ConflictError:
    """The conflict of two who write the same file."""
    return ConflictError(
        str(path),
        "the file was changed since it was read",
        "open it again and edit what it holds now; nothing was written",
    )


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keeps other processes of this program from writing the file; other programs do not know of it."""
    with target.open("rb") as held:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == _TRIES - 1:
                    raise OSError(error.errno, "another program holds it") from error
                time.sleep(_PAUSE)
            except OSError as error:
                # Some file systems have no locks.
                if error.errno not in (errno.ENOTSUP, errno.ENOLCK):
                    raise
                break
        yield


def _replace(target: Path, data: bytes) -> None:
    found = target.stat()
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    written = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            own = os.fstat(file.fileno())
            if (own.st_uid, own.st_gid) != (found.st_uid, found.st_gid):
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
            _copy_attributes(target, file.fileno())
            os.fsync(file.fileno())
        written.replace(target)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy_attributes(target: Path, number: int) -> None:
    """Access lists and labels, as far as they may be set."""
    if not hasattr(os, "listxattr"):
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(target):
            with contextlib.suppress(OSError):
                os.setxattr(number, name, os.getxattr(target, name))
