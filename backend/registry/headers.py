"""Headers that registries write loosely: challenges, links, when to come back, what is left, types. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

_SINCE_1970: Final = 1_000_000_000
#: What is read of a header; more than this no registry has reason to send.
_LONGEST: Final = 16_384
_MOST_CHALLENGES: Final = 16

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]++"  # noqa: S105 - RFC 9110's word for a name, not a secret
_SEPARATORS: Final = re.compile(r"[\s,]*")
_WORD: Final = re.compile(rf"({_TOKEN})(\s|,|\Z)?")
_NAME: Final = re.compile(rf"({_TOKEN})\s*=\s*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\Z)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
# An unquoted scope holds commas (`repository:x:pull,push`): a comma ends the value only where a parameter follows, or
# a scheme with a parameter.
_UNQUOTED: Final = re.compile(rf"(?:[^,]|,(?!\s*(?:{_TOKEN}\s+)?{_TOKEN}\s*=))*")


_COUNT: Final = re.compile(r"\s*(\d{1,12})(?![\d.])")
_WINDOW: Final = re.compile(r";\s*w\s*=\s*\"?(\d{1,9})(?!\d)", re.IGNORECASE)


class Challenge(NamedTuple):
    """How a server wants to be authenticated to (RFC 9110, 11.6.1). Scheme and parameter names are lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Read the `WWW-Authenticate` headers of one answer, as they are found and not only as RFC 9110 wants them.

    Takes unquoted values with commas, colons and equals signs, missing commas, unterminated quotes and several
    challenges in one header. What cannot be read is passed over; of a repeated parameter the first counts.
    """
    challenges: list[Challenge] = []
    for value in values:
        _read_challenges(value[:_LONGEST], challenges)
    return challenges[:_MOST_CHALLENGES]


def _read_challenges(text: str, challenges: list[Challenge]) -> None:
    position = 0
    current: Challenge | None = None
    while len(challenges) <= _MOST_CHALLENGES:
        separators = _SEPARATORS.match(text, position)
        position = separators.end() if separators else position
        if position >= len(text):
            return
        if name := _NAME.match(text, position):
            value, position = _read_value(text, name.end())
            if current is not None:
                current.parameters.setdefault(name.group(1).lower(), value)
        elif word := _WORD.match(text, position):
            if word.group(2) is not None:
                current = Challenge(word.group(1).lower(), {})
                challenges.append(current)
            position = word.end()
        else:
            position += 1


def _read_value(text: str, position: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, position):
        return _ESCAPED.sub(r"\1", quoted.group(1)), quoted.end()
    unquoted = _UNQUOTED.match(text, position)
    if unquoted is None:
        return "", position
    return unquoted.group().strip(), unquoted.end()


def next_link(values: Iterable[str]) -> str | None:
    """The target of the first link with the relation `next` (RFC 8288), exactly as written; None: there is none."""
    for value in values:
        text = value[:_LONGEST]
        start = text.find("<")
        while start >= 0:
            end = text.find(">", start)
            if end < 0:
                break
            following = _end_of_link(text, end + 1)
            if _relation_is_next(text[end + 1 : following]):
                return text[start + 1 : end]
            start = text.find("<", following)
    return None


def _end_of_link(text: str, position: int) -> int:
    quoted = False
    for index in range(position, len(text)):
        if text[index] == '"':
            quoted = not quoted
        elif text[index] == "," and not quoted:
            return index
    return len(text)


def _relation_is_next(parameters: str) -> bool:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "rel":
            return "next" in value.strip().strip("\"'").lower().split()
    return False


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date), at least 0.

    Args:
        now: the current instant, aware.

    Returns:
        None when there is no header, or it is neither.
    """
    if value is None:
        return None
    text = value.strip()[:64]
    if text.isascii() and text.isdigit():
        seconds = float(int(text))
        # Nobody asks to come back in thirty years: some write the instant itself, in seconds since 1970.
        return seconds if seconds < _SINCE_1970 else max(0.0, seconds - now.timestamp())
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


class Allowance(NamedTuple):
    """How much a server still lets one do.

    Attributes:
        limit: of what may be done in a window; `remaining`: what is left of it.
        window: seconds; None: not told.
    """

    limit: int
    remaining: int
    window: int | None


def read_allowance(limit: str | None, remaining: str | None) -> Allowance | None:
    """Read `RateLimit-Limit` and `RateLimit-Remaining`: `100;w=21600`, as Docker Hub writes them.

    The form is that of draft-ietf-httpapi-ratelimit-headers-03, of which `100` and `100, 100;w=60` are cases too.

    Returns:
        None where one of them is missing or is something else, or the limit is 0.
    """
    most, left = _COUNT.match((limit or "")[:200]), _COUNT.match((remaining or "")[:200])
    if limit is None or remaining is None or most is None or left is None:
        return None
    if int(most.group(1)) == 0:
        return None
    window = _WINDOW.search(limit[:200]) or _WINDOW.search(remaining[:200])
    return Allowance(int(most.group(1)), int(left.group(1)), int(window.group(1)) if window else None)


def media_type(content_type: str | None) -> str:
    """A `Content-Type` without its parameters, lower case; empty when there is none."""
    return (content_type or "").partition(";")[0].strip().lower()
