"""What has to be done once in a yard as time and policy go on: ends are noted, images judged anew, policy acts.

The worker does it. That an approval, a break-glass or a waiver ended is noted, so that a clock that is set back brings
none of them back. A change of policy is told with what flips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.core.actors import WORKER
from backend.core.ports import IdSource, timestamp
from backend.core.views import ImageState
from backend.curation import assessments, automatic, queue, recording
from backend.curation.assessments import Assessment
from backend.curation.automatic import Act, Case
from backend.curation.candidates import QueueData, load
from backend.curation.decisions import Standing, Verdict
from backend.curation.passing import needed_waiver
from backend.curation.policy import Policy
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.store import ledger, meta
from backend.store.connection import Database, SqlValue, Transaction

#: Name of the fact that tells by which policy images were last judged.
_JUDGED_BY: Final = "policy.judged"
_MOST_NAMED: Final = 50
_ENDED: Final = (
    "SELECT id, digest, reference, verdict AS kind, actor AS whose, expires_at AS ended FROM decision AS made"
    " WHERE expires_at <= ?1 AND verdict IN ('approve', 'break-glass')"
    " AND NOT EXISTS (SELECT 1 FROM lapse WHERE lapse.id = made.id)"
    " AND NOT EXISTS (SELECT 1 FROM decision AS later WHERE later.digest = made.digest AND later.seq > made.seq"
    "  AND later.verdict IN ('reject', 'revoke'))"
    " UNION ALL SELECT id, digest, finding, 'waiver', owner, until FROM waiver"
    " WHERE until <= ?1 AND NOT EXISTS (SELECT 1 FROM lapse WHERE lapse.id = waiver.id)"
)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An image as it was judged, and what policy makes of it.

    Attributes:
        before: whether it passed when it was judged last; None: it was not.
    """

    facts: ImageFacts
    evidence_hash: str
    assessment: Assessment
    before: bool | None
    standing: Standing
    act: Act | None


async def note_ends(database: Database, now: datetime) -> int:
    """Note approvals, break-glass and waivers whose time is over, each with a ledger entry.

    Returns:
        how many there were.

    Raises:
        StoreError: of its kind.
    """
    if not await database.fetch_all(_ENDED, (timestamp(now),)):
        return 0
    async with database.transaction() as transaction:
        # Read again: another process may have noted them while this one waited for its turn.
        rows = await transaction.fetch_all(_ENDED, (timestamp(now),))
        last = await transaction.fetch_one("SELECT coalesce(max(seq), 0) AS seq FROM decision")
        after = int(last["seq"]) if last is not None else 0
        for row in rows:
            await transaction.execute(
                "INSERT INTO lapse (id, after_seq, at) VALUES (?, ?, ?)", (row["id"], after, timestamp(now))
            )
            await transaction.execute("UPDATE candidate SET judged = 0 WHERE digest = ?", (row["digest"],))
            of = row["reference"] if row["kind"] != "waiver" else row["digest"]
            detail = {"kind": row["kind"], "id": row["id"], "of": row["whose"], "ended": row["ended"]}
            if row["kind"] == "waiver":
                detail["finding"] = row["reference"]
            await ledger.append(
                transaction, at=now, actor=WORKER, action="queue.lapse", object=of, outcome="done", detail=detail
            )
        return len(rows)


async def to_judge(database: Database, policy: Policy, now: datetime) -> dict[str, bool | None]:
    """The digests that have to be judged anew, and whether each passed when it last was.

    All after a change of policy; else those whose evidence or waivers changed, or of which time changed something.
    """
    if await meta.get(database, _JUDGED_BY) != policy.hash:
        condition = "1"
    else:
        condition = "made.digest IN (SELECT digest FROM candidate WHERE judged = 0 UNION ALL"
        condition += " SELECT digest FROM assessment WHERE until <= ?)"
    rows = await database.fetch_all(
        "SELECT made.digest, kept.passes FROM candidate AS made"  # noqa: S608 - conditions of this function
        f" LEFT JOIN assessment AS kept ON kept.digest = made.digest WHERE {condition}",
        (timestamp(now),) if condition != "1" else (),
    )
    return {row["digest"]: None if row["passes"] is None else bool(row["passes"]) for row in rows}


def judge(
    data: QueueData,
    wanted: Mapping[str, bool | None],
    facts: Mapping[str, ImageFacts],
    *,
    policy: Policy,
    now: datetime,
) -> list[Judged]:
    """Judge images, and see what policy decides on them by itself. Takes long for thousands: call it in a thread.

    Args:
        wanted: digests, and whether each passed before.
        facts: of the library's images, by digest.
    """
    judged = []
    for record in data.candidates:
        if record.digest not in wanted:
            continue
        known = facts.get(record.digest) or record.facts()
        assessment = queue.assessed(record, known, data, policy, now)
        current = recording.where_it_stands(record, policy, now)
        case = Case(
            facts=known,
            standing=current,
            decisions=record.decisions,
            gates=assessment.gates,
            findings=assessment.findings,
            risk=assessment.risk,
        )
        judged.append(
            Judged(
                facts=known,
                evidence_hash=record.evidence_hash,
                assessment=assessment,
                before=wanted[record.digest],
                standing=current,
                act=automatic.decide(policy, case) if policy.config.automatic else None,
            )
        )
    return judged


async def keep_judgements(database: Database, judged: Sequence[Judged], *, policy: Policy, now: datetime) -> bool:
    """Keep what images were judged to be; of another policy than before, tell the ledger what it flips.

    Returns:
        whether policy had changed.

    Raises:
        StoreError: of its kind.
    """
    async with database.transaction() as transaction:
        known = await transaction.fetch_one("SELECT value FROM meta WHERE name = ?", (_JUDGED_BY,))
        await transaction.execute_many(
            "UPDATE candidate SET judged = 1 WHERE digest = ? AND evidence_hash = ?",
            [(each.facts.digest, each.evidence_hash) for each in judged],
        )
        await transaction.execute_many(
            "INSERT OR REPLACE INTO assessment (digest, evidence_hash, policy_hash, at, until, passes, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_row(each, policy, now) for each in judged],
        )
        if known is not None and known["value"] == policy.hash:
            return False
        await meta.put(transaction, _JUDGED_BY, policy.hash)
        if known is None:
            return False
        await ledger.append(
            transaction, at=now, actor=WORKER, action="policy.change", object="policy", outcome="done",
            detail={"from": known["value"], "to": policy.hash, **_flips(judged)},
        )  # fmt: skip
        return True


def _row(judged: Judged, policy: Policy, now: datetime) -> tuple[SqlValue, ...]:
    until = judged.assessment.until
    return (
        judged.facts.digest, judged.evidence_hash, policy.hash, timestamp(now), timestamp(until) if until else None,
        int(judged.assessment.passes), assessments.encode(judged.assessment),
    )  # fmt: skip


def _flips(judged: Iterable[Judged]) -> dict[str, Any]:
    """What another policy changes: how many images it judges otherwise, and which of them are approved."""
    known = [each for each in judged if each.before is not None]
    failing = [each for each in known if each.before and not each.assessment.passes]
    approved = [each.facts.reference for each in failing if each.standing.state is ImageState.APPROVED]
    return {
        "images": len(known),
        "pass_now": sum(each.assessment.passes and not each.before for each in known),
        "fail_now": len(failing),
        "approved_that_fail": len(approved),
        "approved": approved[:_MOST_NAMED],
    }


async def act(transaction: Transaction, judged: Judged, *, policy: Policy, ids: IdSource, at: datetime) -> bool:
    """Record what policy decides on an image, if nothing changed since it was judged.

    Returns:
        whether it was recorded.

    Raises:
        StoreError: of its kind.
    """
    if judged.act is None:
        return False
    candidate = await load(transaction, judged.facts.digest)
    now = recording.where_it_stands(candidate, policy, at)
    people_decided = any(not each.automatic for each in candidate.decisions)
    changed = candidate.evidence_hash != judged.evidence_hash or now.round != judged.standing.round
    if changed or people_decided or not now.is_open:
        return False
    needed = None
    if judged.act.verdict is Verdict.APPROVE and candidate.waivers:
        evidence = await evidence_store.of_digest(transaction, judged.facts.digest)
        needed = needed_waiver(policy, judged.facts, evidence, candidate.waivers, at=at)
    decision = recording.make_decision(
        judged.act.verdict, candidate, judged.facts, WORKER, policy=policy, reason=judged.act.reason, ids=ids, at=at,
        needed=needed,
    )  # fmt: skip
    decision = msgspec.structs.replace(decision, automatic=True)
    if judged.act.verdict is Verdict.APPROVE and judged.act.stands_for is None:
        decision = msgspec.structs.replace(decision, stands_for=decision.approvals_needed, requirements=())
    elif judged.act.verdict is Verdict.APPROVE:
        decision = msgspec.structs.replace(decision, stands_for=judged.act.stands_for)
    await recording.record(transaction, decision, WORKER, candidate, policy=policy, needed=needed)
    return True
