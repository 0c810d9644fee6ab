"""The cyclic garbage collector, which the console script switches off while it starts."""

from __future__ import annotations

import gc
from typing import Final

#: Views and samples come by thousands and go without the collector: it looks more seldom than Python's own 700, 10, 10.
_THRESHOLDS: Final = (10_000, 10, 10)


def collect_from_now_on() -> None:
    """Look for garbage again, but not among what is there now: what was imported stays. Does nothing when it is on."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()


def leave_what_is_here() -> None:
    """Look for garbage no more among what is there now, such as lists of thousands: they hold no cycles, and to look
    through them takes a tenth of a second in which nothing else is done.
    """
    if gc.isenabled():
        gc.freeze()
