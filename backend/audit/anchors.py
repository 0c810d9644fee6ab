"""Anchors: the ledger's head, noted outside of the database, so that a cut or a replaced database is found out."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec

from backend.core.errors import UsageError
from backend.core.views import AnchorView
from backend.store.connection import Database
from backend.store.ledger import GENESIS

_HASH: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z")


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
