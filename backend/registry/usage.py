"""What requests cost, by whoever they are sent for: a synchronisation tells it of each repository."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final


class Usage:
    """Requests that were sent, and the bytes of bodies that came back."""

    __slots__ = ("bytes", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0


_COUNTED: Final[ContextVar[Usage | None]] = ContextVar("usage", default=None)


def count_for(usage: Usage | None) -> None:
    """Count what this task, and the tasks that it makes, send from now on."""
    _COUNTED.set(usage)


def count(*, requests: int = 0, received: int = 0) -> None:
    """Requests were sent, or bytes came."""
    usage = _COUNTED.get()
    if usage is not None:
        usage.requests += requests
        usage.bytes += received
