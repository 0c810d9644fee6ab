"""What all views share."""

from __future__ import annotations

import msgspec


class View(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all views: immutable, comparable, printable.

    Frozen views cannot form cycles, so the garbage collector need not look at the thousands of them that a list holds.
    """
