"""Readings of one source over time: how old they are, what their counters tell, since when an error stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from backend.telemetry.readings import Differences, Freshness, GpuReading


class Measured(NamedTuple):
    """A reading, how old it is, and since when it tells of an error.

    Attributes:
        age: seconds since it was last known true.
        xid_at: when its XID appeared; None: it has none, or had it when it was first looked at.
    """

    reading: GpuReading
    age: float
    xid_at: datetime | None = None


class _Seen(NamedTuple):
    reading: GpuReading
    at: float
    xid_at: datetime | None


class Followed:
    """What one source told last.

    Args:
        live: the source measures when it is asked; others repeat themselves until they sample again.
    """

    def __init__(self, *, live: bool = False) -> None:
        self._live = live
        self._freshness = Freshness()
        self._differences = Differences()
        self._seen: dict[str, _Seen] = {}

    def update(self, readings: Sequence[GpuReading], at: float, now: datetime) -> None:
        """Take what the source tells now; what it does not tell of any more is gone.

        Args:
            at: when it was read, in monotonic seconds. now: the same by the calendar.
        """
        seen: dict[str, _Seen] = {}
        for reading in readings:
            sampled = at if self._live else self._freshness.changed_at(reading.key, _sampled(reading), at)
            # Who holds the GPU is looked up at every scrape, sampled or not.
            bare = msgspec.structs.replace(reading, holders=())
            told = msgspec.structs.replace(self._differences.applied(bare, sampled), holders=reading.holders)
            seen[reading.key] = _Seen(told, sampled, self._xid_at(reading, now))
        self._seen = seen
        self._freshness.keep(seen)
        self._differences.keep(seen)

    def measured(self, now: float) -> list[Measured]:
        """The readings with their ages at `now`, in monotonic seconds."""
        return [Measured(seen.reading, max(0.0, now - seen.at), seen.xid_at) for seen in self._seen.values()]

    def _xid_at(self, reading: GpuReading, now: datetime) -> datetime | None:
        before = self._seen.get(reading.key)
        # An error that was there at the first look may be of last month.
        if not reading.xid or before is None:
            return None
        return before.xid_at if before.reading.xid == reading.xid else now


def _sampled(reading: GpuReading) -> tuple[object, ...]:
    """What changes when the source samples."""
    return msgspec.structs.astuple(msgspec.structs.replace(reading, holders=()))
