"""Where a database may lie: its folder, its permissions, its file system. Everything here blocks."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from backend.core.errors import StoreError, StoreUnwritableError

# SQLite's write-ahead log shares memory between processes, which no network file system gives to several hosts
# (https://www.sqlite.org/wal.html, "disadvantages").
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.beegfs", "fuse.ceph", "fuse.cephfs",
        "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs",
        "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "pvfs2", "smb", "smb2", "smb3", "smbfs",
    }
)  # fmt: skip
_MOUNTS: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_FILE_MODE: Final = 0o660
_FOLDER_MODE: Final = 0o2770


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system that holds a path.

    Args:
        path: absolute, without symbolic links.
        mountinfo: text of `/proc/self/mountinfo` (proc(5)); lines that do not parse are passed over.

    Returns:
        the type as the kernel names it, or an empty string when no mount holds the path.
    """
    found, longest = "", -1
    for line in mountinfo.splitlines():
        mount, separator, source = line.partition(" - ")
        fields, kinds = mount.split(" "), source.split(" ")
        if not separator or len(fields) < 6:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match.group(1), 8)), fields[4]))
        # A later mount on the same point covers the earlier one.
        if len(point.parts) >= longest and path.is_relative_to(point):
            found, longest = kinds[0], len(point.parts)
    return found


def refuse_network_file_system(path: Path, mountinfo: str | None = None) -> None:
    """Refuse a database on a file system that other hosts share.

    Args:
        path: the database; neither it nor its folder need exist.
        mountinfo: text to read instead of the kernel's.

    Raises:
        StoreUnwritableError: it lies on a network file system.
    """
    if mountinfo is None:
        try:
            mountinfo = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return  # Not Linux: nothing tells.
    kind = file_system_of(path.resolve(), mountinfo)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreUnwritableError(
            f"database {path}",
            f"it lies on a network file system ({kind}), which cannot hold it safely",
            "name a file on a local disk with --db or [yard] database",
        )


def refuse_world_writable(path: Path) -> None:
    """Refuse a database that everyone on the machine may rewrite.

    Raises:
        StoreError: the file's mode lets others write.
    """
    if stat.S_IMODE(path.stat().st_mode) & stat.S_IWOTH:
        raise StoreError(
            f"database {path}", "everyone may write it, so nothing in it proves anything", f"run chmod o-w {path}"
        )


def create_file(path: Path) -> None:
    """Make the folder (its last part 0770, set-group-id) and an empty file (0660) where they are missing.

    Raises:
        StoreUnwritableError: the folder or the file cannot be made.
    """
    try:
        if not path.parent.is_dir():
            path.parent.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            path.parent.chmod(_FOLDER_MODE)
        make_private_file(path)
    except FileExistsError:
        return
    except OSError as error:
        raise unwritable(path, error) from error


def make_private_file(path: Path) -> None:
    """Make an empty file of mode 0660 whatever the umask.

    Raises:
        FileExistsError: there is something of that name.
        OSError: it cannot be made.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, _FILE_MODE)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> StoreUnwritableError:
    """The error of our tree for a file that cannot be made, read or written."""
    return StoreUnwritableError(
        f"database {path}",
        error.strerror or str(error),
        "check free space and the permissions of the folder, or name another file with --db",
    )
