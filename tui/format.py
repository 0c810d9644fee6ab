"""Numbers, ages and names as the screen writes them: short, and steady enough that nothing flickers."""

from __future__ import annotations

from datetime import datetime

UNKNOWN = "–"
_FRESH_SECONDS = 15
_HOURS_UNTIL = 48 * 3600


def age(since: datetime | None, now: datetime) -> str:
    """How long ago: `now` below 15 seconds, `<1m`, then minutes, hours below two days, days; unknown is a dash."""
    if since is None:
        return UNKNOWN
    return span_of((now - since).total_seconds())


def ago(since: datetime | None, now: datetime) -> str:
    """The same as a phrase: `now`, `5m ago`."""
    told = age(since, now)
    return told if told in {"now", UNKNOWN} else f"{told} ago"


def span_of(seconds: float | None) -> str:
    """A span of time as `age` writes it."""
    if seconds is None:
        return UNKNOWN
    if seconds < _FRESH_SECONDS:
        return "now"
    if seconds < 60:
        return "<1m"
    if seconds < 3600:
        return f"{int(seconds // 60)}m"
    if seconds < _HOURS_UNTIL:
        return f"{int(seconds // 3600)}h"
    return f"{int(seconds // 86400)}d"


def duration(seconds: float | None) -> str:
    """A measured span: `0.4s`, `12s`, `3m 05s`, `2h 10m`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m {int(seconds % 60):02d}s"
    return f"{int(seconds // 3600)}h {int(seconds % 3600 // 60):02d}m"


def clock_time(at: datetime | None) -> str:
    """Hours and minutes in UTC."""
    return UNKNOWN if at is None else at.strftime("%H:%M")


def moment(at: datetime | None) -> str:
    """Date and time in UTC to the second."""
    return UNKNOWN if at is None else at.strftime("%Y-%m-%d %H:%M:%S")


def size(count: int | None) -> str:
    """Bytes in binary units, three digits: `812 MiB`, `4.1 GiB`."""
    if count is None:
        return UNKNOWN
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return _digits(value, unit)
        value /= 1024
    return _digits(value, "TiB")


def _digits(value: float, unit: str) -> str:
    if value >= 100 or unit == "B":
        return f"{value:.0f} {unit}"
    return f"{value:.3g} {unit}" if value >= 1 else f"{value:.2f} {unit}"


def digest(value: str, characters: int = 12) -> str:
    """The first digits of a digest, without its algorithm."""
    return value.partition(":")[2][:characters] or value[:characters]


def last_six(value: str) -> str:
    """The last six digits of a digest: what an approver types."""
    return value[-6:]


def count(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun: `1 pod`, `3 pods`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}".replace(",", " ")


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """A measured number, or a dash."""
    return UNKNOWN if value is None else f"{value:.{digits}f}{unit}"
