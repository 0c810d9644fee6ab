"""What changes candidates: submissions, evidence, decisions, waivers. Each with its ledger entry, in one transaction.

Everything that a change rests on is read inside the transaction that makes it. Writers of all processes take turns, so
no two of them can decide on the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from backend.core.actors import Actor, ActorSource
from backend.core.canonical import Json
from backend.core.errors import ConflictError, RefusedError, RoleError, UsageError
from backend.core.permits import Permit
from backend.core.ports import IdSource, timestamp
from backend.core.views import CommentView, DecisionView, ImageState, ScopeView
from backend.curation import differences, evidence_sets, recording, waivers
from backend.curation.archive import row_hash
from backend.curation.candidates import Candidate, decisions_of, load
from backend.curation.decisions import ANYTHING, Standing, Verdict, why_not
from backend.curation.passing import check_gates
from backend.curation.policy import Policy
from backend.curation.waivers import Waiver
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceRecord
from backend.store import ledger
from backend.store.connection import Transaction

_LONGEST_COMMENT: Final = 10_000


async def submit(
    transaction: Transaction,
    facts: ImageFacts,
    *,
    actor: Actor,
    at: datetime,
    rule: str = "",
    rule_author: str = "",
    again: bool = False,
    reason: str = "",
) -> bool:
    """Put an image before gates and people.

    Args:
        actor: who brings it in; the worker for what a synchronisation finds.
        rule: that took it in; empty: none.
        rule_author: who wrote that rule, if it is known; they do not approve what it brings in.
        again: submit what was submitted before, which reopens it after a rejection or a revocation.
        reason: why it is submitted again.

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
        await evidence_sets.refresh(transaction, facts.digest, at)
    elif not again:
        return False
    decided = await decisions_of(transaction, facts.digest)
    row: dict[str, str | int] = {
        "digest": facts.digest, "registry": facts.registry, "repository": facts.repository, "rule": rule,
        "rule_author": rule_author, "submitted_by": actor.name, "by_worker": int(actor.source is ActorSource.WORKER),
        "after_seq": decided[-1].seq if decided else 0, "at": timestamp(at),
    }  # fmt: skip
    await transaction.execute(
        f"INSERT INTO submission ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - names of this function
        tuple(row.values()),
    )
    told: dict[str, Json] = {
        "rule": rule,
        "again": known is not None,
        "row": row_hash(row),
        **({"reason": reason} if reason else {}),
    }
    await ledger.append(
        transaction, at=at, actor=actor, action="queue.submit", object=facts.reference, outcome="done", detail=told
    )
    return True


async def submit_again(
    transaction: Transaction, permit: Permit, facts: ImageFacts, *, reason: str, policy: Policy, at: datetime
) -> None:
    """Reopen a candidate that was rejected or revoked; the permit's actor does not approve it then.

    Raises:
        UsageError: there is no reason. NotFoundError: it was never submitted.
        ConflictError: it is open, or approved.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, "queue.submit")
    what = f"submission of {facts.name}"
    if not reason.strip():
        raise UsageError(what, "it needs a reason", "say what changed since it was decided, with --reason")
    now = recording.where_it_stands(await load(transaction, facts.digest), policy, at)
    if now.state not in {ImageState.REJECTED, ImageState.REVOKED}:
        raise ConflictError(what, f"it is {now.state.value}: there is nothing to reopen", "look at it again")
    await submit(transaction, facts, actor=permit.actor, at=at, again=True, reason=reason.strip())


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
    new_hash = await evidence_sets.refresh(transaction, facts.digest, at)
    if not changed:
        return False
    await ledger.append(
        transaction, at=at, actor=actor, action="evidence.collect", object=facts.reference, outcome="done",
        detail={"evidence_hash": new_hash, "found": [f"{each.kind.value}: {each.summary}" for each in records]},
    )  # fmt: skip
    return True


async def import_evidence(
    transaction: Transaction,
    permit: Permit,
    facts: ImageFacts,
    records: Sequence[EvidenceRecord],
    *,
    mutation: str = "evidence.import",
    at: datetime,
) -> None:
    """Record what the permit's actor hands in, in place of their earlier evidence of the same kinds.

    Args:
        records: of one document, one scan or one review.
        mutation: that the permit is for: evidence.import, evidence.scan or evidence.assert.

    Raises:
        RefusedError: the permit is for something else, or a record is asserted by somebody else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, mutation)
    for record in records:
        if record.asserted_by != permit.actor.name or record.digest != facts.digest:
            by = record.asserted_by or "nobody"
            raise RefusedError(f"evidence on {facts.name}", f"it is asserted by {by}", "hand it in yourself")
        await evidence_store.record(transaction, record)
    new_hash = await evidence_sets.refresh(transaction, facts.digest, at)
    found = [{"kind": each.kind.value, "summary": each.summary, "id": each.id} for each in records]
    await ledger.append(
        transaction, at=at, actor=permit.actor, action=permit.mutation, object=facts.reference, outcome="done",
        detail={"evidence_hash": new_hash, "evidence": found},
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
    shown_policy: str = "",
    scope: ScopeView = ANYTHING,
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> DecisionView:
    """Record a decision of the permit's actor, if everything that it rests on still holds.

    Args:
        permit: for `queue.approve`, `queue.reject` or `queue.revoke` of this image.
        shown_evidence: the evidence hash that the actor saw. An approval needs it; a rejection may leave it empty; a
            revocation is not refused because evidence changed: it takes leave away.
        shown_policy: the hash of the policy that the actor saw it judged by; empty: it was not told. A revocation is
            not refused because policy changed, either.
        scope: what an approval names beside the digest; what is empty is not fixed.
        policy: in force now.

    Raises:
        UsageError: no reason is given, an approval without the hash, or an environment that policy does not know.
        NotFoundError: the image was never submitted.
        ConflictError: it was decided meanwhile, or evidence or policy changed since it was shown; names what
            changed.
        RoleError: the actor may not decide on it.
        PolicyError: a gate stands in the way of an approval.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, f"queue.{verdict.value}")
    what = f"{verdict.value} {facts.name}"
    if not reason.strip():
        raise UsageError(what, "it needs a reason", "give one with --reason: an auditor will read it")
    scope = _checked_scope(what, scope, policy) if verdict is Verdict.APPROVE else ANYTHING
    candidate = await load(transaction, facts.digest)
    now = recording.where_it_stands(candidate, policy, at)
    _check_state(what, verdict, now, scope)
    await _check_shown(transaction, what, verdict, candidate, shown_evidence)
    _check_policy(what, verdict, policy, shown_policy)
    evidence = await evidence_store.of_digest(transaction, facts.digest)
    asserted_by = [each.asserted_by for each in evidence if each.asserted_by]
    refusal = why_not(
        permit.actor, verdict, now, candidate.submissions, asserted_by, corrected_by=candidate.corrected_by,
        people=policy.people, scope=scope,
    )  # fmt: skip
    if refusal:
        raise RoleError(what, refusal, "ask another approver")
    needed = None
    if verdict is Verdict.APPROVE:
        needed = check_gates(what, policy, facts, evidence, candidate.waivers, environment=scope.environment, at=at)
    decision = recording.make_decision(
        verdict, candidate, facts, permit.actor, policy=policy, reason=reason, ticket=ticket, scope=scope, ids=ids,
        at=at, needed=needed,
    )  # fmt: skip
    await recording.record(transaction, decision, permit.actor, candidate, policy=policy, needed=needed)
    return decision.view()


async def waive(
    transaction: Transaction,
    permit: Permit,
    *,
    facts: ImageFacts,
    finding: str,
    until: datetime,
    reason: str,
    owner: str = "",
    control: str = "",
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> Waiver:
    """Waive a finding on an image until a date.

    Args:
        permit: for `queue.waive` of this image.
        owner: who answers for it; empty: the permit's actor.
        control: what is done about the risk meanwhile.

    Raises:
        UsageError: it lacks a reason or a control that policy asks for, or ends in the past or further ahead than
            policy allows.
        NotFoundError: the image was never submitted, or no report on it has the finding.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, "queue.waive")
    await load(transaction, facts.digest)
    waivers.check_waiver(
        finding=finding,
        owner=owner or permit.actor.name,
        reason=reason,
        until=until,
        now=at,
        longest=policy.config.max_waiver,
        control=control,
        control_needed=policy.config.waiver_control,
        evidence=await evidence_store.of_digest(transaction, facts.digest),
    )
    row = {
        "id": ids.new_id(), "digest": facts.digest, "finding": finding, "owner": owner or permit.actor.name,
        "actor": permit.actor.name, "reason": reason, "control": control.strip(), "until": timestamp(until),
        "at": timestamp(at),
    }  # fmt: skip
    await transaction.execute(
        f"INSERT INTO waiver ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 - names of this function
        tuple(row.values()),
    )
    new_hash = await evidence_sets.refresh(transaction, facts.digest, at)
    await ledger.append(
        transaction, at=at, actor=permit.actor, action=permit.mutation, object=facts.reference, outcome="done",
        detail={
            "finding": finding, "owner": row["owner"], "reason": reason, "control": row["control"],
            "until": row["until"], "id": row["id"], "evidence_hash": new_hash, "row": row_hash(row),
        },
    )  # fmt: skip
    return (await load(transaction, facts.digest)).waivers[-1]


async def comment(
    transaction: Transaction,
    permit: Permit,
    *,
    facts: ImageFacts,
    text: str,
    ticket: str = "",
    ids: IdSource,
    at: datetime,
) -> CommentView:
    """Keep what the permit's actor says of a candidate, or the ticket that they name. It decides nothing.

    Raises:
        UsageError: neither is given, or the text is longer than a comment may be.
        NotFoundError: the image was never submitted.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, "queue.comment")
    text, ticket = text.strip(), ticket.strip()
    what = f"comment on {facts.name}"
    if not text and not ticket:
        raise UsageError(what, "there is nothing in it", "give a text or a ticket")
    if len(text) > _LONGEST_COMMENT:
        raise UsageError(what, f"it is longer than {_LONGEST_COMMENT} characters", "link to the long form instead")
    await load(transaction, facts.digest)
    id_ = ids.new_id()
    await transaction.execute(
        "INSERT INTO comment (id, digest, actor, actor_source, at, text, ticket) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (id_, facts.digest, permit.actor.name, permit.actor.source.value, timestamp(at), text, ticket),
    )
    await ledger.append(
        transaction, at=at, actor=permit.actor, action=permit.mutation, object=facts.reference, outcome="done",
        detail={"id": id_, "text": text, "ticket": ticket},
    )  # fmt: skip
    return CommentView(actor=permit.actor.name, at=at, text=text, ticket=ticket)


def _checked_scope(what: str, scope: ScopeView, policy: Policy) -> ScopeView:
    known = [each.name for each in policy.config.environment]
    if scope.environment and scope.environment not in known:
        raise UsageError(
            what,
            f"policy knows no environment {scope.environment[:60]!r}",
            f"use one of: {', '.join(known)}" if known else "add [[policy.environment]] with its contexts",
        )
    return ScopeView(
        weights=scope.weights.strip(), runtime=scope.runtime.strip().lower(), environment=scope.environment
    )


def _check_state(what: str, verdict: Verdict, now: Standing, scope: ScopeView) -> None:
    if verdict is Verdict.REVOKE:
        if now.state is not ImageState.APPROVED and now.glass is None:
            raise ConflictError(what, f"it is {now.state.value}, not approved", "look at it again")
        return
    if now.is_open or (verdict is Verdict.APPROVE and now.grants and all(each.scope != scope for each in now.grants)):
        return
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


def _check_policy(what: str, verdict: Verdict, policy: Policy, shown: str) -> None:
    if verdict is Verdict.REVOKE or shown in ("", policy.hash):
        return
    changed = f"policy changed since it was shown: {shown[:80]} then, {policy.hash} now"
    raise ConflictError(what, changed, "look at it again, and decide by the policy of now", conflicts=[changed])
