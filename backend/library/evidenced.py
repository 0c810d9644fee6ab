"""A value with what says so."""

from __future__ import annotations

import msgspec


class Classification(msgspec.Struct, frozen=True):
    """A property's value, what says so, and how sure that is, from 0 (a guess) to 1 (declared)."""

    value: str
    evidence: str
    confidence: float
