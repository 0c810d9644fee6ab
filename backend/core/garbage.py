"""The cyclic garbage collector, which the console script switches off while it starts."""

from __future__ import annotations

import gc


def collect_from_now_on() -> None:
    """Look for garbage again, but not among what is there now: what was imported stays. Does nothing when it is on."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
