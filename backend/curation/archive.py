"""What was decided, row by row as it is stored, for those who check it or take it away."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from backend.evidence.store import Reader

#: The tables that hold what people did, each with the order of recording.
TABLES: Final = {"submissions": "submission", "decisions": "decision", "waivers": "waiver"}


class RecordedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as its row has it. `verdict` is the second part of the ledger's action, such as approve."""

    id: str
    digest: str
    verdict: str
    actor: str
    evidence_hash: str
    policy_hash: str


class EvidenceSet(msgspec.Struct, frozen=True, kw_only=True):
    """What an evidence hash stands for: identifiers of evidence and of waivers."""

    hash: str
    digest: str
    evidence: tuple[str, ...]
    waivers: tuple[str, ...]


async def recorded_decisions(reader: Reader) -> list[RecordedDecision]:
    """All decisions, oldest first.

    Raises:
        StoreError: of its kind.
    """
    rows = await reader.fetch_all(
        "SELECT id, digest, verdict, actor, evidence_hash, policy_hash FROM decision ORDER BY seq"
    )
    return [RecordedDecision(**dict(row)) for row in rows]


async def rows_of(reader: Reader, name: str, after: int, limit: int) -> list[dict[str, Any]]:
    """Some rows of one of `TABLES`, with all columns.

    Args:
        name: a key of `TABLES`.
        after: only rows whose `seq` is greater.
    """
    rows = await reader.fetch_all(
        f"SELECT * FROM {TABLES[name]} WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 - a name out of TABLES
        (after, limit),
    )
    return [dict(row) for row in rows]


async def evidence_sets(reader: Reader) -> list[EvidenceSet]:
    """What the evidence hashes of all decisions stand for.

    Raises:
        StoreError: of its kind.
    """
    rows = await reader.fetch_all(
        "SELECT hash, digest, evidence, waivers FROM evidence_set"
        " WHERE hash IN (SELECT evidence_hash FROM decision) ORDER BY at, hash"
    )
    decode = msgspec.json.Decoder(tuple[str, ...]).decode
    return [
        EvidenceSet(
            hash=row["hash"], digest=row["digest"], evidence=decode(row["evidence"]), waivers=decode(row["waivers"])
        )
        for row in rows
    ]
