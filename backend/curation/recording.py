"""How a decision gets into the database: its row, and its ledger entry in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from backend.core.actors import Actor
from backend.core.canonical import canonical_json
from backend.core.errors import RefusedError
from backend.core.permits import Permit
from backend.core.ports import IdSource, timestamp
from backend.core.views import ScopeView
from backend.curation import quorum
from backend.curation.archive import row_hash
from backend.curation.candidates import Candidate, decisions_of
from backend.curation.decisions import ANYTHING, Decision, Standing, Verdict, standing
from backend.curation.policy import Policy
from backend.curation.waivers import Waiver
from backend.evidence.facts import ImageFacts
from backend.store import ledger
from backend.store.connection import Transaction


def spend(permit: Permit, facts: ImageFacts, mutation: str) -> None:
    """Use a permit up for a mutation of an image.

    Raises:
        RefusedError: it is for something else, or was used before.
    """
    permit.spend(mutation)
    if facts.digest not in permit.object:
        raise RefusedError(
            f"{mutation} of {facts.reference}", f"its permit is for {permit.object}", "report this: it is a defect"
        )


def where_it_stands(candidate: Candidate, policy: Policy, now: datetime) -> Standing:
    """Where a candidate stands under a policy."""
    return standing(
        candidate.decisions,
        candidate.submissions,
        evidence_hash=candidate.evidence_hash,
        policy_hash=policy.hash,
        now=now,
    )


def make_decision(
    verdict: Verdict,
    candidate: Candidate,
    facts: ImageFacts,
    actor: Actor,
    *,
    policy: Policy,
    reason: str,
    ticket: str = "",
    scope: ScopeView = ANYTHING,
    ids: IdSource,
    at: datetime,
    needed: Waiver | None = None,
) -> Decision:
    """A decision as it is about to be recorded, with what policy asks for and says of the actor now.

    Args:
        needed: of an approval, the waiver without which a gate would stand in its way; it ends with that.
    """
    expires = policy.config.expires if verdict is Verdict.APPROVE else None
    ends = [at + expires] if expires is not None else []
    if needed is not None:
        ends.append(needed.until)
    requirements = policy.requirements(facts, scope.environment)
    return Decision(
        seq=0,
        id=ids.new_id(),
        digest=candidate.digest,
        reference=facts.reference,
        verdict=verdict,
        actor=actor.name,
        at=at,
        reason=reason.strip(),
        ticket=ticket.strip(),
        evidence_hash=candidate.evidence_hash,
        policy_hash=policy.hash,
        approvals_needed=quorum.needed_people(policy.approvals, requirements),
        expires_at=min(ends, default=None),
        person=policy.people.person(actor.name),
        groups=tuple(actor.groups),
        roles=tuple(sorted(role.value for role in actor.roles)),
        requirements=requirements,
        scope=scope,
    )


async def record(
    transaction: Transaction,
    decision: Decision,
    actor: Actor,
    candidate: Candidate,
    *,
    policy: Policy,
    needed: Waiver | None = None,
) -> Standing:
    """Insert a decision and tell of it in the ledger.

    Args:
        needed: as `make_decision` took it.

    Returns:
        where the image stands after it.

    Raises:
        StoreError: of its kind.
    """
    row = await _insert(transaction, decision, actor)
    after = where_it_stands(
        msgspec.structs.replace(candidate, decisions=tuple(await decisions_of(transaction, candidate.digest))),
        policy,
        decision.at,
    )
    detail: dict[str, Any] = {
        "decision": decision.id, "digest": decision.digest, "reason": decision.reason, "ticket": decision.ticket,
        "evidence_hash": decision.evidence_hash, "policy_hash": decision.policy_hash, "state": after.state.value,
        "approvals": f"{len(after.approvals)}/{decision.approvals_needed}",
    }  # fmt: skip
    detail["row"] = row
    fixed = {name: value for name, value in msgspec.structs.asdict(decision.scope).items() if value}
    if decision.verdict is Verdict.APPROVE:
        detail["scope"] = fixed
    if decision.requirements:
        detail["requirements"] = [str(each) for each in decision.requirements]
    if decision.automatic:
        detail["automatic"] = True
    if decision.expires_at is not None:
        detail["expires_at"] = timestamp(decision.expires_at)
    if needed is not None and needed.until == decision.expires_at:
        detail["ends_with"] = {"waiver": needed.id, "finding": needed.finding}
    if decision.about:
        detail["about"] = decision.about
    await ledger.append(
        transaction, at=decision.at, actor=actor, action=f"queue.{decision.verdict.value}", object=decision.reference,
        outcome="done", detail=detail,
    )  # fmt: skip
    return after


async def _insert(transaction: Transaction, decision: Decision, actor: Actor) -> str:
    """Insert the row; gives its hash, which the ledger's entry holds it by."""
    columns: dict[str, Any] = {
        "id": decision.id,
        "digest": decision.digest,
        "reference": decision.reference,
        "verdict": decision.verdict.value,
        "actor": decision.actor,
        "actor_source": actor.source.value,
        "at": timestamp(decision.at),
        "reason": decision.reason,
        "ticket": decision.ticket,
        "evidence_hash": decision.evidence_hash,
        "policy_hash": decision.policy_hash,
        "approvals_needed": decision.approvals_needed,
        "expires_at": timestamp(decision.expires_at) if decision.expires_at else None,
        "person": decision.person,
        "actor_groups": canonical_json(list(decision.groups)).decode(),
        "actor_roles": canonical_json(list(decision.roles)).decode(),
        "requirements": msgspec.json.encode(decision.requirements).decode(),
        "automatic": int(decision.automatic),
        "stands_for": decision.stands_for,
        "weights": decision.scope.weights,
        "runtime": decision.scope.runtime,
        "environment": decision.scope.environment,
        "about": decision.about,
    }
    await transaction.execute(
        f"INSERT INTO decision ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608 - names of this function
        tuple(columns.values()),
    )
    return row_hash(columns)
