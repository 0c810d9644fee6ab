"""What a decision on an image binds to: its evidence, its waivers, and what people corrected of it."""

from __future__ import annotations

from datetime import datetime

from backend.core.canonical import canonical_json
from backend.core.ports import timestamp
from backend.curation.decisions import evidence_hash
from backend.evidence import store as evidence_store
from backend.store.connection import Transaction


async def refresh(transaction: Transaction, digest: str, at: datetime) -> str:
    """Bring a candidate's evidence hash and summaries up to date, and keep what the hash stands for.

    Returns:
        the hash. Where it changed, the candidate is judged anew.

    Raises:
        StoreError: of its kind.
    """
    stored = await evidence_store.summaries_of(transaction, digest)
    granted = await transaction.fetch_all("SELECT id FROM waiver WHERE digest = ? ORDER BY seq", (digest,))
    granted_ids: list[str] = [row["id"] for row in granted]
    said = await transaction.fetch_all("SELECT name, value FROM correction WHERE digest = ? ORDER BY name", (digest,))
    corrections: dict[str, str] = {row["name"]: row["value"] for row in said}
    new_hash = evidence_hash(digest, stored, granted_ids, corrections)
    await transaction.execute(
        "INSERT INTO evidence_set (hash, digest, evidence, waivers, corrections, at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (hash) DO NOTHING",
        (
            new_hash, digest, canonical_json([each.id for each in stored.values()]).decode(),
            canonical_json(granted_ids).decode(), canonical_json(corrections).decode(), timestamp(at),
        ),
    )  # fmt: skip
    await transaction.execute(
        "UPDATE candidate SET judged = iif(evidence_hash = ?1, judged, 0), evidence_hash = ?1, summaries = ?2"
        " WHERE digest = ?3",
        (new_hash, evidence_store.encode_summaries(stored.values()), digest),
    )
    return new_hash


async def refresh_if_submitted(transaction: Transaction, digest: str, at: datetime) -> None:
    """The same of an image that may never have been submitted, such as after a correction.

    Raises:
        StoreError: of its kind.
    """
    if await transaction.fetch_one("SELECT 1 FROM candidate WHERE digest = ?", (digest,)) is not None:
        await refresh(transaction, digest, at)
