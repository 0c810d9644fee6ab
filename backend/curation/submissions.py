"""Many images put before gates and people at once, as a synchronisation does that takes in thousands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from backend.core.actors import Actor, ActorSource
from backend.core.ports import timestamp
from backend.curation.archive import row_hash
from backend.curation.decisions import evidence_hash
from backend.curation.store import submit
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.store import ledger
from backend.store.connection import SqlValue, Transaction


async def submit_many(
    transaction: Transaction,
    images: Sequence[ImageFacts],
    *,
    actor: Actor,
    at: datetime,
    rule: str = "",
    rule_author: str = "",
) -> None:
    """Put images before gates and people that were not before; the same as `backend.curation.store.submit` of each.

    Args:
        actor, rule, rule_author: as there.

    Raises:
        StoreError: of its kind.
    """
    unique = {facts.digest: facts for facts in reversed(images)}
    digests = msgspec.json.encode(sorted(unique)).decode()
    known = await _among(transaction, "candidate", digests)
    told_of = await _among(transaction, "evidence", digests)
    told_of |= await _among(transaction, "correction", digests)
    new: list[ImageFacts] = []
    for facts in images:
        if facts.digest in known or unique[facts.digest] is not facts:
            continue
        if facts.digest in told_of:
            await submit(transaction, facts, actor=actor, at=at, rule=rule, rule_author=rule_author)
        else:
            new.append(facts)
    await _submit_new(transaction, new, actor=actor, at=at, rule=rule, rule_author=rule_author)


async def _submit_new(
    transaction: Transaction, images: Sequence[ImageFacts], *, actor: Actor, at: datetime, rule: str, rule_author: str
) -> None:
    """Submit what nothing is known of: no evidence, no decision, no waiver, no correction."""
    if not images:
        return
    hashes = {facts.digest: evidence_hash(facts.digest, (), ()) for facts in images}
    summaries = evidence_store.encode_summaries(())
    await transaction.execute_many(
        "INSERT INTO candidate (digest, registry, host, repository, evidence_hash, summaries)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (facts.digest, facts.registry, facts.host, facts.repository, hashes[facts.digest], summaries)
            for facts in images
        ],
    )
    await transaction.execute_many(
        "INSERT INTO evidence_set (hash, digest, evidence, waivers, at) VALUES (?, ?, '[]', '[]', ?)"
        " ON CONFLICT (hash) DO NOTHING",
        [(found, digest, timestamp(at)) for digest, found in hashes.items()],
    )
    rows: list[dict[str, SqlValue]] = [
        {
            "digest": facts.digest, "registry": facts.registry, "repository": facts.repository, "rule": rule,
            "rule_author": rule_author, "submitted_by": actor.name,
            "by_worker": int(actor.source is ActorSource.WORKER), "after_seq": 0, "at": timestamp(at),
        }
        for facts in images
    ]  # fmt: skip
    await transaction.execute_many(
        f"INSERT INTO submission ({', '.join(rows[0])}) VALUES ({', '.join('?' * len(rows[0]))})",  # noqa: S608 - names of this function
        [tuple(row.values()) for row in rows],
    )
    await ledger.append_many(
        transaction, at=at, actor=actor, action="queue.submit", outcome="done",
        entries=[
            (facts.reference, {"rule": rule, "again": False, "row": row_hash(row)})
            for facts, row in zip(images, rows, strict=True)
        ],
    )  # fmt: skip


async def _among(transaction: Transaction, table: str, digests: str) -> set[str]:
    """Those of the digests, a JSON list, that a table has rows of."""
    # The table is one of a few constants.
    rows = await transaction.fetch_all(
        f"SELECT value FROM json_each(?) WHERE value IN (SELECT digest FROM {table})",  # noqa: S608
        (digests,),
    )
    return {row["value"] for row in rows}
