"""Reading JSON that somebody else wrote: bounded in size and depth, checked by type, safe to store."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from backend.core.errors import LimitExceededError, MalformedDataError, NotFoundError, UsageError

#: The largest report or SBOM that is read, in bytes. Scans of CUDA images with every layer's packages stay far below.
REPORT_LIMIT: Final = 128 * 1024 * 1024
#: The most findings or packages that are taken from one document.
COUNT_LIMIT: Final = 200_000
# Values that a document may hold: what they become in memory is far larger than their text. Commas separate them.
_MOST_VALUES: Final = 8_000_000
_TEXT_LIMIT: Final = 1_000

T = TypeVar("T")


def decode(data: bytes, decoder: msgspec.json.Decoder[T], what: str, limit: int = REPORT_LIMIT) -> T:
    """The document as the decoder's type.

    Args:
        data: UTF-8 JSON.
        what: what is read, for errors ("report trivy.json").
        limit: the most bytes that are taken.

    Raises:
        LimitExceededError: there are more bytes or values, or the document is nested too deeply.
        MalformedDataError: it is no JSON, or has a field of another type than its format says.
    """
    if len(data) > limit:
        raise too_large(what, len(data), limit)
    if len(data) > _MOST_VALUES and data.count(b",") > _MOST_VALUES:
        raise LimitExceededError(
            what, f"it holds more than {_MOST_VALUES:,} values", "check what wrote it; nothing was taken in"
        )
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(what, str(error)) from error
    except RecursionError as error:
        raise LimitExceededError(
            what, "it is nested too deeply to be read", "check what wrote it; nothing was taken in"
        ) from error


def read_file(path: Path, what: str, limit: int = REPORT_LIMIT) -> bytes:
    """The bytes of a regular file. Blocks: call it off the event loop.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no regular file, or may not be read.
        LimitExceededError: it holds more than `limit` bytes; it is not read then.
    """
    try:
        # Without O_NONBLOCK opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(what, "there is no such file", "check the path") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(what, f"it cannot be read: {reason}", "check the path and who may read it") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(what, "it is not a regular file", "give the path of a report")
        if status.st_size > limit:
            raise too_large(what, status.st_size, limit)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # A file that grows while it is read is caught by reading one byte more than is taken.
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise too_large(what, len(data), limit)
    return data


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a field that is kept as raw JSON is there and not null."""
    return bytes(raw) not in {b"", b"null"}


def check_count(count: int, what: str, things: str) -> None:
    """Make sure that a list is not longer than is taken.

    Raises:
        LimitExceededError: it is.
    """
    if count > COUNT_LIMIT:
        raise LimitExceededError(
            what, f"it lists {count} {things}, more than the {COUNT_LIMIT} that are taken", "check what wrote it"
        )


def clean(text: str | None, limit: int = _TEXT_LIMIT) -> str:
    """Text that can be stored: at most `limit` characters, without NUL and unpaired surrogates; None is empty."""
    if not text:
        return ""
    kept = text[:limit]
    if kept.isascii() and "\0" not in kept:
        return kept
    return kept.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def moment(text: str | None) -> datetime | None:
    """The aware UTC instant of an RFC 3339 text; None for none, for nonsense, and for Go's zero time."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text.strip())
        parsed = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # Go writes year 1 where a time was never set; no scanner is older than the first CVE list.
    return parsed if parsed.year >= 1999 else None


def malformed(what: str, why: str) -> MalformedDataError:
    """The error for a document that is not what it should be."""
    return MalformedDataError(what, clean(why, 300), "make it again with the tool that wrote it; nothing was taken in")


def too_large(what: str, size: int, limit: int) -> LimitExceededError:
    """The error for more bytes than are taken."""
    return LimitExceededError(
        what,
        f"it has {size / 2**20:.1f} MiB, more than the {limit / 2**20:.0f} MiB that are taken",
        "check what wrote it; nothing was taken in",
    )
