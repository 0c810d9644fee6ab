"""What changes candidates: submissions, evidence, decisions, waivers. Each with its ledger entry, in one transaction.

Everything that a change rests on is read inside the transaction that makes it. Writers of all processes take turns, so
no two of them can decide on the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from backend.core.actors import Actor, ActorSource
from backend.core.canonical import canonical_json
from backend.core.errors import ConflictError, PolicyError, RefusedError, RoleError, UsageError
from backend.core.permits import Permit
from backend.core.ports import IdSource, timestamp
from backend.core.views import DecisionView, ImageState
from backend.curation import differences, gates, waivers
from backend.curation.candidates import Candidate, decisions_of, load
from backend.curation.decisions import Decision, Standing, Verdict, evidence_hash, standing, why_not
from backend.curation.policy import Policy
from backend.curation.waivers import Waiver
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceRecord
from backend.store import ledger
from backend.store.connection import Transaction


async def submit(
    transaction: Transaction,
    facts: ImageFacts,
    *,
    actor: Actor,
    at: datetime,
    rule: str = "",
    rule_author: str = "",
    again: bool = False,
) -> bool:
    """Put an image before gates and people.

    Args:
        actor: who brings it in; the worker for what a synchronisation finds.
        rule: that took it in; empty: none.
        rule_author: who wrote that rule, if it is known; they do not approve what it brings in.
        again: submit what was submitted before, which reopens it after a rejection or a revocation.

    Returns:
        whether it was submitted; False when it was known and `again` was not asked for.

    Raises:
        StoreError: of its kind.
    """
    known = await transaction.fetch_one("SELECT 1 FROM candidate WHERE digest = ?", (facts.digest,))
    if known is None:
        await transaction.execute(
            "INSERT INTO candidate (digest, registry, host, repository, evidence_hash, summaries)"
            " VALUES (?, ?, ?, ?, '', '[]')",
            (facts.digest, facts.registry, facts.host, facts.repository),
        )
        await _refresh(transaction, facts.digest, at)
    elif not again:
        return False
    decided = await decisions_of(transaction, facts.digest)
    await transaction.execute(
        "INSERT INTO submission (digest, registry, repository, rule, rule_author, submitted_by, by_worker, after_seq,"
        " at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            facts.digest, facts.registry, facts.repository, rule, rule_author, actor.name,
            int(actor.source is ActorSource.WORKER), decided[-1].seq if decided else 0, timestamp(at),
        ),
    )  # fmt: skip
    await ledger.append(
        transaction, at=at, actor=actor, action="queue.submit", object=facts.reference, outcome="done",
        detail={"rule": rule, "again": known is not None},
    )  # fmt: skip
    return True


async def record_evidence(
    transaction: Transaction, facts: ImageFacts, records: Sequence[EvidenceRecord], *, actor: Actor, at: datetime
) -> bool:
    """Record what was collected on an image, in place of what was collected before.

    Args:
        records: as `backend.evidence.collect.collect` returns them.

    Returns:
        whether anything changed; only then there is a ledger entry.

    Raises:
        StoreError: of its kind.
    """
    changed = await evidence_store.record_collected(transaction, facts.digest, records)
    new_hash = await _refresh(transaction, facts.digest, at)
    if not changed:
        return False
    await ledger.append(
        transaction, at=at, actor=actor, action="evidence.collect", object=facts.reference, outcome="done",
        detail={"evidence_hash": new_hash, "found": [f"{each.kind.value}: {each.summary}" for each in records]},
    )  # fmt: skip
    return True


async def import_evidence(
    transaction: Transaction, permit: Permit, facts: ImageFacts, record: EvidenceRecord, *, at: datetime
) -> None:
    """Record a report that the permit's actor hands in, in place of their earlier one of the same kind.

    Raises:
        RefusedError: the permit is for something else, or the record is asserted by somebody else.
        StoreError: of its kind.
    """
    _spend(permit, facts, "evidence.import")
    if record.asserted_by != permit.actor.name or record.digest != facts.digest:
        raise RefusedError(
            f"evidence on {facts.name}", f"it is asserted by {record.asserted_by or 'nobody'}", "hand it in yourself"
        )
    await evidence_store.record(transaction, record)
    new_hash = await _refresh(transaction, facts.digest, at)
    await ledger.append(
        transaction, at=at, actor=permit.actor, action=permit.mutation, object=facts.reference, outcome="done",
        detail={"evidence_hash": new_hash, "kind": record.kind.value, "summary": record.summary, "id": record.id},
    )  # fmt: skip


async def record_decision(
    transaction: Transaction,
    permit: Permit,
    *,
    verdict: Verdict,
    facts: ImageFacts,
    reason: str,
    ticket: str = "",
    shown_evidence: str,
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> DecisionView:
    """Record a decision of the permit's actor, if everything that it rests on still holds.

    Args:
        permit: for `queue.approve`, `queue.reject` or `queue.revoke` of this image.
        shown_evidence: the evidence hash that the actor saw. An approval needs it; a rejection may leave it empty; a
            revocation is not refused because evidence changed: it takes leave away.
        policy: in force now.

    Raises:
        UsageError: no reason is given, or an approval without the hash.
        NotFoundError: the image was never submitted.
        ConflictError: it was decided meanwhile, or the evidence changed since it was shown; names what changed.
        RoleError: the actor may not decide on it.
        PolicyError: a gate stands in the way of an approval.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    _spend(permit, facts, f"queue.{verdict.value}")
    what = f"{verdict.value} {facts.name}"
    if not reason.strip():
        raise UsageError(what, "it needs a reason", "give one with --reason: an auditor will read it")
    candidate = await load(transaction, facts.digest)
    now = standing(
        candidate.decisions,
        candidate.submissions,
        evidence_hash=candidate.evidence_hash,
        policy_hash=policy.hash,
        now=at,
    )
    _check_state(what, verdict, now)
    await _check_shown(transaction, what, verdict, candidate, shown_evidence)
    evidence = await evidence_store.of_digest(transaction, facts.digest)
    refusal = why_not(
        permit.actor, verdict, now, candidate.submissions, [each.asserted_by for each in evidence if each.asserted_by]
    )
    if refusal:
        raise RoleError(what, refusal, "ask another approver")
    if verdict is Verdict.APPROVE:
        _check_gates(what, policy, facts, evidence, candidate, at)
    return await _insert_decision(transaction, permit, verdict, candidate, facts, reason, ticket, policy, ids, at)


async def waive(
    transaction: Transaction,
    permit: Permit,
    *,
    facts: ImageFacts,
    finding: str,
    until: datetime,
    reason: str,
    owner: str = "",
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> Waiver:
    """Waive a finding on an image until a date.

    Args:
        permit: for `queue.waive` of this image.
        owner: who answers for it; empty: the permit's actor.

    Raises:
        UsageError: it lacks a reason, or ends in the past or further ahead than policy allows.
        NotFoundError: the image was never submitted, or no report on it has the finding.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    _spend(permit, facts, "queue.waive")
    await load(transaction, facts.digest)
    waivers.check_waiver(
        finding=finding,
        owner=owner or permit.actor.name,
        reason=reason,
        until=until,
        now=at,
        longest=policy.config.max_waiver,
        evidence=await evidence_store.of_digest(transaction, facts.digest),
    )
    columns = (
        ids.new_id(), facts.digest, finding, owner or permit.actor.name, permit.actor.name, reason, timestamp(until),
        timestamp(at),
    )  # fmt: skip
    await transaction.execute(
        "INSERT INTO waiver (id, digest, finding, owner, actor, reason, until, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        columns,
    )
    new_hash = await _refresh(transaction, facts.digest, at)
    await ledger.append(
        transaction, at=at, actor=permit.actor, action=permit.mutation, object=facts.reference, outcome="done",
        detail={
            "finding": finding, "owner": columns[3], "reason": reason, "until": timestamp(until), "id": columns[0],
            "evidence_hash": new_hash,
        },
    )  # fmt: skip
    return (await load(transaction, facts.digest)).waivers[-1]


def _spend(permit: Permit, facts: ImageFacts, mutation: str) -> None:
    permit.spend(mutation)
    if facts.digest not in permit.object:
        raise RefusedError(
            f"{mutation} of {facts.reference}", f"its permit is for {permit.object}", "report this: it is a defect"
        )


def _check_state(what: str, verdict: Verdict, now: Standing) -> None:
    if verdict is Verdict.REVOKE:
        if now.state is not ImageState.APPROVED:
            raise ConflictError(what, f"it is {now.state.value}, not approved", "look at it again")
    elif not now.is_open:
        by = f" by {now.by.actor} at {timestamp(now.by.at)}" if now.by else ""
        action = "revoke it to take that back" if now.state is ImageState.APPROVED else "submit it again first"
        raise ConflictError(what, f"it is {now.state.value} already{by}", action, conflicts=[f"{now.state.value}{by}"])


async def _check_shown(transaction: Transaction, what: str, verdict: Verdict, candidate: Candidate, shown: str) -> None:
    if verdict is Verdict.REVOKE or (verdict is Verdict.REJECT and not shown):
        return
    if not shown:
        raise UsageError(what, "an approval needs the hash of the evidence it rests on", "give it with --evidence HASH")
    if shown == candidate.evidence_hash:
        return
    changed = await differences.between(transaction, shown, candidate.evidence_hash, candidate)
    raise ConflictError(
        what,
        f"its evidence changed since it was shown: {'; '.join(changed[:3])}",
        "look at it again, and decide on what is there now",
        conflicts=changed,
    )


def _check_gates(
    what: str,
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    candidate: Candidate,
    at: datetime,
) -> None:
    waived = waivers.waived_counts(evidence, waivers.in_force(candidate.waivers, at))
    blocking = [view for view in gates.evaluate(policy, facts, evidence, at, waived) if view.blocks]
    if blocking:
        told = "; ".join(f"{view.kind} ({view.value.value}): {view.sentence}" for view in blocking)
        raise PolicyError(what, told, "mend what the gates name, waive single findings, or reject it")


async def _insert_decision(
    transaction: Transaction,
    permit: Permit,
    verdict: Verdict,
    candidate: Candidate,
    facts: ImageFacts,
    reason: str,
    ticket: str,
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> DecisionView:
    expires = policy.config.expires if verdict is Verdict.APPROVE else None
    decision = Decision(
        seq=0,
        id=ids.new_id(),
        digest=candidate.digest,
        reference=facts.reference,
        verdict=verdict,
        actor=permit.actor.name,
        at=at,
        reason=reason.strip(),
        ticket=ticket,
        evidence_hash=candidate.evidence_hash,
        policy_hash=policy.hash,
        approvals_needed=policy.approvals,
        expires_at=at + expires if expires is not None else None,
    )
    await _insert_row(transaction, decision, permit.actor)
    after = standing(
        await decisions_of(transaction, candidate.digest),
        candidate.submissions,
        evidence_hash=candidate.evidence_hash,
        policy_hash=policy.hash,
        now=at,
    )
    detail: dict[str, Any] = {
        "decision": decision.id, "digest": decision.digest, "reason": decision.reason, "ticket": ticket,
        "evidence_hash": decision.evidence_hash, "policy_hash": decision.policy_hash, "state": after.state.value,
        "approvals": f"{len(after.approvals)}/{policy.approvals}",
    }  # fmt: skip
    await ledger.append(
        transaction, at=at, actor=permit.actor, action=permit.mutation, object=facts.reference, outcome="done",
        detail=detail,
    )  # fmt: skip
    return decision.view()


async def _insert_row(transaction: Transaction, decision: Decision, actor: Actor) -> None:
    await transaction.execute(
        "INSERT INTO decision (id, digest, reference, verdict, actor, actor_source, at, reason, ticket, evidence_hash,"
        " policy_hash, approvals_needed, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            decision.id, decision.digest, decision.reference, decision.verdict.value, decision.actor,
            actor.source.value, timestamp(decision.at), decision.reason, decision.ticket, decision.evidence_hash,
            decision.policy_hash, decision.approvals_needed,
            timestamp(decision.expires_at) if decision.expires_at else None,
        ),
    )  # fmt: skip


async def _refresh(transaction: Transaction, digest: str, at: datetime) -> str:
    """Bring a candidate's evidence hash and summaries up to date, and keep what the hash stands for."""
    stored = await evidence_store.summaries_of(transaction, digest)
    granted = await transaction.fetch_all("SELECT id FROM waiver WHERE digest = ? ORDER BY seq", (digest,))
    granted_ids: list[str] = [row["id"] for row in granted]
    new_hash = evidence_hash(digest, stored, granted_ids)
    await transaction.execute(
        "INSERT INTO evidence_set (hash, digest, evidence, waivers, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (hash) DO NOTHING",
        (
            new_hash, digest, canonical_json([each.id for each in stored.values()]).decode(),
            canonical_json(granted_ids).decode(), timestamp(at),
        ),
    )  # fmt: skip
    await transaction.execute(
        "UPDATE candidate SET evidence_hash = ?, summaries = ? WHERE digest = ?",
        (new_hash, evidence_store.encode_summaries(stored.values()), digest),
    )
    return new_hash
