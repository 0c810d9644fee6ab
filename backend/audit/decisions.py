"""Whether the decisions in the database are those that the ledger tells of.

The chain holds the ledger together, not the other tables: what is approved is derived from the decisions, so a decision
that somebody wrote past the program has to be found as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from backend.curation.archive import RecordedDecision, recorded_decisions
from backend.store.connection import Database


class ToldDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as an entry of the ledger tells it."""

    seq: int
    actor: str
    action: str
    decision: str
    digest: str
    evidence_hash: str
    policy_hash: str


async def check_decisions(database: Database) -> tuple[int, str]:
    """Compare the decisions with the ledger.

    Returns:
        number of the entry that does not hold (0: none, and a decision is told by no entry), and what is wrong, empty
        when all holds.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await database.fetch_all(
        "SELECT seq, actor, action, json_extract(detail, '$.decision') AS decision,"
        " json_extract(detail, '$.digest') AS digest, json_extract(detail, '$.evidence_hash') AS evidence_hash,"
        " json_extract(detail, '$.policy_hash') AS policy_hash FROM ledger"
        " WHERE action GLOB 'queue.*' AND outcome = 'done' AND json_valid(detail)"
        " AND json_extract(detail, '$.decision') IS NOT NULL ORDER BY seq"
    )
    told = []
    for row in rows:
        seq, *texts = row
        actor, action, decision, digest, evidence_hash, policy_hash = map(str, texts)
        told.append(
            ToldDecision(
                seq=seq, actor=actor, action=action, decision=decision, digest=digest, evidence_hash=evidence_hash,
                policy_hash=policy_hash,
            )
        )  # fmt: skip
    return compare(await recorded_decisions(database), told)


def compare(recorded: Sequence[RecordedDecision], told: Iterable[ToldDecision]) -> tuple[int, str]:
    """The same, pure: the first entry or decision that has no equal on the other side."""
    left = {one.id: one for one in recorded}
    for entry in told:
        decision = left.pop(entry.decision, None)
        if decision is None:
            return entry.seq, f"the decision of entry {entry.seq} is no more in the database"
        changed = [
            name
            for name in ("actor", "digest", "evidence_hash", "policy_hash")
            if getattr(decision, name) != getattr(entry, name)
        ]
        if entry.action.rpartition(".")[2].replace("_", "-") != decision.verdict.replace("_", "-"):
            changed.append("verdict")
        if changed:
            return entry.seq, f"the decision of entry {entry.seq} was changed in the database: {', '.join(changed)}"
    for decision in left.values():
        return 0, f"a decision to {decision.verdict} by {decision.actor} stands in the database, and in no entry"
    return 0, ""
