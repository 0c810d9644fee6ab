"""The cyclic garbage collector, which the console script switches off while it starts."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

#: Views and samples come by thousands and go without the collector: it looks more seldom than Python's own 700, 10, 10.
_THRESHOLDS: Final = (10_000, 10, 10)
#: `mallopt` of glibc: how many pools of memory there are, of which each thread takes one and gives nothing back.
_ARENAS: Final = -8


def collect_from_now_on() -> None:
    """Look for garbage again, but not among what is there now: what was imported stays. Does nothing when it is on."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()


def share_one_pool() -> None:
    """Have all threads take memory from one pool. Call it before there are threads: each would keep what it freed."""
    _call("mallopt", _ARENAS, 1)


def leave_what_is_here() -> None:
    """Look for garbage no more among what is there now, such as lists of thousands: they hold no cycles, and to look
    through them takes a tenth of a second in which nothing else is done.
    """
    if gc.isenabled():
        gc.freeze()
        # Reading long lists takes much that is free again.
        _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    """Call a function of glibc; other libraries for C have none of these, and manage memory in ways of their own."""
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)
