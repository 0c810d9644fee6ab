"""Time and identifiers come in through these ports, so that nothing reads the machine's clock by itself."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""


class IdSource(Protocol):
    """Where identifiers come from."""

    def new_id(self) -> str:
        """A new identifier, unique in the yard: 32 lower-case hexadecimal characters."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class RandomIds:
    """Random identifiers."""

    def new_id(self) -> str:
        return uuid.uuid4().hex


def timestamp(instant: datetime) -> str:
    """An aware instant as it is stored and hashed: RFC 3339 in UTC with microseconds and a `Z`.

    Raises:
        ValueError: the instant is naive.
    """
    if instant.tzinfo is None:
        raise ValueError("a stored instant needs a time zone")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(text: str) -> datetime:
    """The aware UTC instant of an RFC 3339 text (any offset; naive text counts as UTC).

    Raises:
        ValueError: the text is not a time.
    """
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
