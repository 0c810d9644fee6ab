"""What was decided, row by row as it is stored, for those who check it or take it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from backend.core.canonical import hash_of
from backend.evidence.store import Reader

#: The tables that hold what people did, each with the order of recording.
TABLES: Final = {"submissions": "submission", "decisions": "decision", "waivers": "waiver"}


def row_hash(columns: Mapping[str, Any]) -> str:
    """Hash over all that a row of one of `TABLES` says, as the ledger's entry of it tells.

    The order of recording (`seq`) is no part of it, and neither are empty columns, so that a column which a later
    program adds changes no hash.
    """
    return hash_of({name: value for name, value in columns.items() if name != "seq" and value not in (None, "", 0)})


class EvidenceSet(msgspec.Struct, frozen=True, kw_only=True):
    """What an evidence hash stands for: identifiers of evidence and of waivers, and what people corrected."""

    hash: str
    digest: str
    evidence: tuple[str, ...]
    waivers: tuple[str, ...]
    corrections: dict[str, str] = {}


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
        "SELECT hash, digest, evidence, waivers, corrections FROM evidence_set"
        " WHERE hash IN (SELECT evidence_hash FROM decision) ORDER BY at, hash"
    )
    decode = msgspec.json.Decoder(tuple[str, ...]).decode
    return [
        EvidenceSet(
            hash=row["hash"],
            digest=row["digest"],
            evidence=decode(row["evidence"]),
            waivers=decode(row["waivers"]),
            corrections=msgspec.json.decode(row["corrections"], type=dict[str, str]),
        )
        for row in rows
    ]
