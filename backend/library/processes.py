"""Which process works on something, so that another can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

_SEPARATOR: Final = " "
#: Field 22 of /proc/PID/stat (proc(5)): when the process started, in ticks since the machine did. Counted from the
#: state, the first field behind the command's name.
_START: Final = 19


def this_process() -> str:
    """A mark of this process: host, number, and when it started where the system tells it. Reads a file."""
    return _SEPARATOR.join((socket.gethostname(), str(os.getpid()), _started(os.getpid())))


def is_alive(mark: str) -> bool:
    """Whether the process that made a mark still runs on this machine. Reads a file.

    All processes of a database run on one machine; of another host name they are containers, whose processes cannot
    be seen from here, and are taken for dead: what they do is merged all the same.
    """
    host, _, rest = mark.partition(_SEPARATOR)
    number, _, started = rest.partition(_SEPARATOR)
    if host != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except PermissionError:
        pass
    except (OSError, OverflowError):
        return False
    return started == _started(int(number))


def _started(number: int) -> str:
    try:
        stat = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The command's name stands in parentheses and may hold anything.
    return stat.rpartition(")")[2].split()[_START]
