"""The ledger's append: a hash-chained audit log, grown in the transaction of the change that it tells of.

Each entry's hash covers all its columns, its number and the hash before it, so a change, a removal or an insertion
anywhere breaks the chain from there on (`backend.audit.verification` finds where).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from backend.core.actors import Actor
from backend.core.canonical import Json, canonical_json, sha256_hex
from backend.core.errors import LedgerError
from backend.core.ports import instant, timestamp
from backend.core.views import LedgerEntryView
from backend.store.connection import Transaction

#: What the first entry has for the hash before it.
GENESIS: Final = "sha256:" + "0" * 64
OUTCOMES: Final = frozenset({"done", "refused", "failed", "started"})
# Writers read their clocks before they wait for their turn, so neighbours may stand out of order by this much.
_CLOCK_TOLERANCE: Final = timedelta(minutes=1)
_quote: Final = json.encoder.encode_basestring


def entry_hash(
    *,
    seq: int,
    at: str,
    actor: str,
    actor_source: str,
    action: str,
    object: str,
    outcome: str,
    detail: str,
    previous: str,
) -> str:
    """The hash of an entry: SHA-256 over the canonical JSON object of all its columns but the hash.

    Args:
        seq: 1 for the first entry.
        at: as stored (`backend.core.ports.timestamp`).
        detail: the JSON text as stored, hashed as text.
        previous: hash of the entry before, `GENESIS` for the first.

    Returns:
        `sha256:` and 64 hexadecimal characters.
    """
    # Written out instead of by `canonical_json`, which takes three times as long: a verification does this for every
    # entry. Keys stand in order and texts are quoted as there, so the bytes are the same.
    text = (
        f'{{"action":{_quote(action)},"actor":{_quote(actor)},"actor_source":{_quote(actor_source)},"at":{_quote(at)},'
        f'"detail":{_quote(detail)},"object":{_quote(object)},"outcome":{_quote(outcome)},'
        f'"previous":{_quote(previous)},"seq":{seq}}}'
    )
    return f"sha256:{sha256_hex(text.encode())}"


async def append(
    transaction: Transaction,
    *,
    at: datetime,
    actor: Actor,
    action: str,
    object: str,
    outcome: str,
    detail: Mapping[str, Json],
) -> LedgerEntryView:
    """Append an entry; it stands when the caller's transaction commits.

    Args:
        at: aware instant. When it lies more than a minute before the last entry, the clock went back: the entry says so
            in `clock_went_back_from`.
        action: what was done, such as `sync` or `approve`.
        object: what it was done to; text from outside is stored as given, lone surrogates replaced.
        outcome: `done`, `refused`, `failed` or `started`.
        detail: JSON-able facts; never a secret.

    Raises:
        ValueError: the outcome is none of these, the instant is naive, or the detail holds what JSON has no form for.
        StoreError: of its kind.
    """
    (columns,) = await _append(transaction, [(object, detail)], at=at, actor=actor, action=action, outcome=outcome)
    return entry_view(columns)


async def append_many(
    transaction: Transaction,
    *,
    at: datetime,
    actor: Actor,
    action: str,
    outcome: str,
    entries: Sequence[tuple[str, Mapping[str, Json]]],
) -> None:
    """Append entries that tell the same of several objects, one after the other.

    Args:
        entries: object and detail of each; otherwise as for `append`.

    Raises:
        ValueError, StoreError: as `append`.
    """
    await _append(transaction, entries, at=at, actor=actor, action=action, outcome=outcome)


async def _append(
    transaction: Transaction,
    entries: Sequence[tuple[str, Mapping[str, Json]]],
    *,
    at: datetime,
    actor: Actor,
    action: str,
    outcome: str,
) -> list[dict[str, Any]]:
    if outcome not in OUTCOMES:
        raise ValueError(f"a ledger entry's outcome is not {outcome!r}")
    row = await transaction.fetch_one("SELECT seq, at, hash FROM ledger ORDER BY seq DESC LIMIT 1")
    head: Mapping[str, Any] | None = None if row is None else dict(row)
    rows: list[dict[str, Any]] = []
    for object, detail in entries:
        head = _columns(head, at=at, actor=actor, action=action, object=object, outcome=outcome, detail=detail)
        rows.append(head)
    await transaction.execute_many(
        "INSERT INTO ledger (seq, at, actor, actor_source, action, object, outcome, detail, previous, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [tuple(columns.values()) for columns in rows],
    )
    return rows


def _columns(
    head: Mapping[str, Any] | None,
    *,
    at: datetime,
    actor: Actor,
    action: str,
    object: str,
    outcome: str,
    detail: Mapping[str, Json],
) -> dict[str, Any]:
    """The columns of the entry that follows the head, in the order of the table."""
    facts: dict[str, Any] = dict(detail)
    if head is not None and timestamp(at + _CLOCK_TOLERANCE) < head["at"]:
        facts["clock_went_back_from"] = head["at"]
    columns: dict[str, Any] = {
        "seq": 1 if head is None else head["seq"] + 1,
        "at": timestamp(at),
        "actor": _storable(actor.name),
        "actor_source": actor.source.value,
        "action": _storable(action),
        "object": _storable(object),
        "outcome": outcome,
        "detail": canonical_json(facts).decode("utf-8", errors="replace"),
        "previous": GENESIS if head is None else head["hash"],
    }
    columns["hash"] = entry_hash(**columns)
    return columns


def entry_view(row: Mapping[str, Any]) -> LedgerEntryView:
    """An entry as it is shown, from its columns by name; a detail that is no JSON object is shown as its text.

    Raises:
        LedgerError: its time is no time.
    """
    try:
        at = instant(row["at"])
    except ValueError as error:
        raise LedgerError(
            f"ledger entry {row['seq']}",
            f"its time {row['at'][:40]!r} is no time",
            "run modelyard audit verify",
            first_bad=row["seq"],
        ) from error
    try:
        detail = json.loads(row["detail"])
    except ValueError:
        detail = None
    return LedgerEntryView(
        seq=row["seq"],
        at=at,
        actor=row["actor"],
        actor_source=row["actor_source"],
        action=row["action"],
        object=row["object"],
        outcome=row["outcome"],
        detail=detail if isinstance(detail, dict) else {"text": row["detail"]},
        previous=row["previous"],
        hash=row["hash"],
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")
