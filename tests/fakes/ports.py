"""Time and identifiers that tests set."""

from __future__ import annotations

from datetime import datetime, timedelta


class FixedClock:
    """Stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, **delta: float) -> None:
        """Move on (or back) by what `timedelta` takes; the monotonic clock never goes back."""
        step = timedelta(**delta)
        self._now += step
        self._elapsed += max(0.0, step.total_seconds())


class NumberedIds:
    """Counts up from 1, as 32 hexadecimal characters."""

    def __init__(self) -> None:
        self._last = 0

    def new_id(self) -> str:
        self._last += 1
        return f"{self._last:032x}"
