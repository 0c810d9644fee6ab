"""When a server may be asked again after it said that there are too many requests, and what it still allows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from backend.core.errors import UnreachableError
from backend.core.ports import Clock
from backend.core.settings import duration_text
from backend.registry.headers import Allowance, read_allowance

#: Seconds that a request waits because a server asks it to; who is told to wait longer is told so instead.
LONGEST_PAUSE: Final = 90.0
#: Seconds of a server's refusals in a row after which requests fail at once instead of waiting for the next one.
_PATIENCE: Final = 120.0
_A_YEAR: Final = 31_536_000.0
#: Seconds after which what a server told of its allowance is not shown any more where it names no window.
_SHOWN: Final = 3600


class Throttle:
    """What one server said to requests of one method. Waiting ends with a plain failure that says when to come back.

    A server that refuses for an hour must not hold up a run for that hour, and is not asked again meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._resume_at = float("-inf")
        self._refused_since: float | None = None
        self._status = 429

    def delay(self, where: str) -> float:
        """Seconds to wait before the next request goes out; 0: none.

        Raises:
            UnreachableError: they are too many, or the server refused for too long already.
        """
        now = self._clock.monotonic()
        seconds = self._resume_at - now
        if seconds <= 0:
            return 0.0
        refused = 0.0 if self._refused_since is None else now - self._refused_since
        if seconds > LONGEST_PAUSE or refused + seconds > _PATIENCE:
            # A hostile number of seconds must not overflow the date.
            until = self._clock.now() + timedelta(seconds=min(seconds, _A_YEAR))
            raise UnreachableError(
                where,
                f"the registry answered HTTP {self._status} and asks to wait until {_instant(until)}",
                "try again then; if it happens often, lower max_concurrency or set requests_per_second",
            )
        return seconds

    def refused(self, status: int, seconds: float) -> None:
        """The server said that there are too many requests, and to come back in so many seconds."""
        now = self._clock.monotonic()
        if self._refused_since is None or now > self._resume_at + _PATIENCE:
            self._refused_since = now
        self._status = status
        self._resume_at = max(self._resume_at, now + seconds)

    def accepted(self) -> None:
        """The server took a request."""
        self._refused_since = None


class Quota:
    """What a registry still allows of pulls, as its headers tell (Docker Hub: `ratelimit-limit: 100;w=21600`).

    A pull is a GET of a manifest; a HEAD is none. A tenth of the limit is left alone: clusters pull under the same
    account or address, and are worth more than a library that is complete some hours earlier.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: Allowance | None = None
        self._told_at = float("-inf")

    @property
    def text(self) -> str:
        """The same for people; empty: the registry told nothing, or too long ago."""
        told = self._current()
        if told is None:
            return ""
        window = f" in {_window(told)}" if told.window else ""
        return f"{told.remaining} of {told.limit} pulls{window} left"

    def note(self, headers: Mapping[str, str]) -> None:
        """Read an answer of the registry."""
        told = read_allowance(headers.get("ratelimit-limit"), headers.get("ratelimit-remaining"))
        if told is not None:
            self._told, self._told_at = told, self._clock.monotonic()

    def take(self, where: str) -> float:
        """Count a pull that is about to be made.

        Returns:
            seconds to wait before it; 0: none.

        Raises:
            UnreachableError: what is left is kept for others, and comes back too late to be waited for.
        """
        told = self._current()
        if told is None or told.window is None:
            # Without a window it is told of requests of any kind, and a 429 will say when to come back.
            return 0.0
        if told.remaining > max(1, told.limit // 10):
            self._told = told._replace(remaining=told.remaining - 1)
            return 0.0
        seconds = max(0.0, self._told_at + told.window - self._clock.monotonic())
        if seconds <= LONGEST_PAUSE:
            return seconds
        raise UnreachableError(
            where,
            f"the registry lets us make {self.text}, and these are kept for the clusters that pull from it",
            f"try again, at the latest at {_instant(self._clock.now() + timedelta(seconds=seconds))}, or give username"
            " and password of an account that may pull more",
        )

    def _current(self) -> Allowance | None:
        if self._told is None:
            return None
        age = self._clock.monotonic() - self._told_at
        return self._told if age < (self._told.window or _SHOWN) else None


def _window(told: Allowance) -> str:
    return duration_text(timedelta(seconds=told.window or 0))


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
