"""Anchors: the ledger's head, noted outside of the database, so that a cut or a replaced database is found out."""

from __future__ import annotations

import os
import re
import syslog
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from backend.core.errors import StoreUnwritableError, UsageError
from backend.core.views import AnchorView
from backend.store.connection import Database
from backend.store.ledger import GENESIS

_HASH: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z")
#: The end of an anchor file, in bytes: some thousands of anchors.
_LOOKED_AT: Final = 1024 * 1024


async def head(database: Database, yard: str, now: datetime) -> AnchorView:
    """The ledger's head now.

    Args:
        yard: its name, so that anchors of several yards are told apart.

    Raises:
        StoreError: the database cannot be read.
    """
    row = await database.fetch_one("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1")
    if row is None:
        return AnchorView(yard=yard, seq=0, at=now, hash=GENESIS)
    return AnchorView(yard=yard, seq=row["seq"], at=now, hash=row["hash"])


def append_anchor(file: Path, anchor: AnchorView) -> None:
    """Note an anchor in a file, a JSON object a line. Blocks.

    Raises:
        StoreUnwritableError: it cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(descriptor, msgspec.json.encode(anchor) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreUnwritableError(
            f"anchor file {file}", error.strerror or str(error), "name a file that may be appended to in [audit]"
        ) from error


def log_anchor(anchor: AnchorView) -> None:
    """Send an anchor to the system's log (facility auth), which may forward it to another machine. Blocks."""
    syslog.openlog("modelyard", facility=syslog.LOG_AUTH)
    try:
        syslog.syslog(syslog.LOG_NOTICE, f"ledger of {anchor.yard}: entry {anchor.seq} is {anchor.hash}")
    finally:
        syslog.closelog()


def newest_anchor(file: Path, yard: str) -> AnchorView | None:
    """The last anchor of a yard in a file; None: there is none. Blocks.

    What is no anchor is passed over: others may write to the file too.

    Raises:
        UsageError: the file is there and cannot be read.
    """
    try:
        with file.open("rb") as data:
            data.seek(max(0, file.stat().st_size - _LOOKED_AT))
            lines = data.read(_LOOKED_AT).splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"anchor file {file}", error.strerror or str(error), "make it readable") from error
    for line in reversed(lines):
        try:
            anchor = msgspec.json.decode(line, type=AnchorView)
        except msgspec.DecodeError:
            continue
        if anchor.yard == yard and _HASH.match(anchor.hash):
            return anchor
    return None


def read_anchor(text: str) -> str:
    """The hash of an anchor as a person noted it: the hash with or without `sha256:`, or what `audit head` printed.

    Raises:
        UsageError: it is neither.
    """
    text = text.strip()
    if match := _HASH.match(text.lower()):
        return f"sha256:{match.group(1)}"
    try:
        noted = msgspec.json.decode(text.encode(), type=dict[str, object]).get("hash", "")
    except (msgspec.DecodeError, UnicodeEncodeError):
        noted = ""
    match = _HASH.match(noted) if isinstance(noted, str) else None
    if match is None:
        raise UsageError(
            "anchor", "it holds no hash of a ledger entry", "give sha256: and 64 characters, or a file of audit head"
        )
    return f"sha256:{match.group(1)}"
