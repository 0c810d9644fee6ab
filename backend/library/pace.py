"""How fast a run goes, and how long the rest may take."""

from __future__ import annotations

from collections import deque
from typing import Final

#: Seconds that a rate is taken over: long enough to be calm, short enough to tell of a registry that slows down.
_WINDOW: Final = 5.0
#: Seconds before which a rate would be a guess.
_LEAST: Final = 0.5


class Pace:
    """What was done over the last seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, now: float, done: int) -> None:
        """So much is done by now.

        Args:
            now: seconds by the monotonic clock.
        """
        self._marks.append((now, done))
        # One mark from before the window is kept, so that the rate is always taken over the whole of it.
        while len(self._marks) > 2 and now - self._marks[1][0] >= _WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float | None:
        """How many a second; None: not known yet."""
        if not self._marks:
            return None
        (since, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - since) if now - since >= _LEAST else None

    def remaining(self, total: int | None) -> float | None:
        """Seconds that the rest of `total` may take at this pace; None: not known."""
        rate = self.rate
        if total is None or not rate:
            return None
        return max(total - self._marks[-1][1], 0) / rate
