"""Where an image stands, by the decisions made on it. Pure.

A decision holds for a digest, the evidence that was shown (its hash) and the policy that was in force (its hash).
Approvals on the same digest, evidence and policy by enough different people make the image approved; from then on only
a revocation or the expiry ends that. A rejection ends the candidature until the image is submitted again or there is
new evidence; a revocation until it is submitted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from backend.core.actors import Actor, ActorSource, Role
from backend.core.canonical import hash_of
from backend.core.views import DecisionView, ImageState
from backend.curation.people import count_people, same_person


class Verdict(StrEnum):
    """What a person decides."""

    APPROVE = "approve"
    REJECT = "reject"
    REVOKE = "revoke"


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A recorded decision.

    Attributes:
        seq: order in which decisions were recorded; clocks may go back, this does not.
        approvals_needed: that policy asked for when it was made.
        expires_at: until when this approval holds; None: until revoked, or no approval.
    """

    seq: int
    id: str
    digest: str
    reference: str
    verdict: Verdict
    actor: str
    at: datetime
    reason: str
    ticket: str
    evidence_hash: str
    policy_hash: str
    approvals_needed: int
    expires_at: datetime | None = None

    def view(self) -> DecisionView:
        """The decision as it is shown."""
        return DecisionView(
            id=self.id,
            digest=self.digest,
            reference=self.reference,
            verdict=self.verdict.value,
            actor=self.actor,
            at=self.at,
            reason=self.reason,
            ticket=self.ticket,
            evidence_hash=self.evidence_hash,
            policy_hash=self.policy_hash,
            expires_at=self.expires_at,
        )


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """That somebody brought an image in.

    Attributes:
        by: a person, or the worker for what a synchronisation brings in.
        by_worker: it was the worker.
        rule: that took it in; empty: none.
        rule_author: who wrote that rule; empty: not known.
        after: `seq` of the last decision on the digest before it; 0: there was none.
    """

    at: datetime
    by: str
    by_worker: bool
    rule: str = ""
    rule_author: str = ""
    after: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an image stands.

    Attributes:
        approvals: those that count now: towards an approval, or those that made it.
        by: the decision that made it so; None: it waits for its first.
        expires_at: of an approval; None: it does not expire.
    """

    state: ImageState
    approvals: tuple[Decision, ...] = ()
    by: Decision | None = None
    expires_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it waits for people: never decided, reopened, or its approval ran out."""
        return self.state in {ImageState.CANDIDATE, ImageState.EXPIRED}


_UNDECIDED: Final = Standing(state=ImageState.CANDIDATE)


class Fold(msgspec.Struct, kw_only=True):
    """What decisions in their order come to, apart from evidence, submissions and the time now.

    Attributes:
        approved: the approvals that made it approved last; empty: it is not.
        since: when the last of them was made; None with `approved` empty.
        round: approvals since the last rejection, revocation or expiry.
        ended: the rejection or revocation that nothing followed.
    """

    approved: tuple[Decision, ...] = ()
    expires_at: datetime | None = None
    round: list[Decision]
    ended: Decision | None = None


def fold(decisions: Iterable[Decision]) -> Fold:
    """Go through decisions on one digest, in the order of `seq`."""
    state = Fold(round=[])
    for decision in decisions:
        expired = state.expires_at is not None and decision.at >= state.expires_at
        if state.approved and expired:
            # Approvals that led to what ran out do not count again; those made later do.
            state = Fold(round=[])
        if decision.verdict is not Verdict.APPROVE:
            state = Fold(round=[], ended=decision)
            continue
        state.ended = None
        state.round.append(decision)
        agreeing = _agreeing(state.round, decision.evidence_hash, decision.policy_hash)
        if not state.approved and count_people(each.actor for each in agreeing) >= decision.approvals_needed:
            state.approved = agreeing
            state.expires_at = min((each.expires_at for each in agreeing if each.expires_at), default=None)
    return state


def standing(
    decisions: Sequence[Decision],
    submissions: Sequence[Submission],
    *,
    evidence_hash: str,
    policy_hash: str,
    now: datetime,
) -> Standing:
    """Where an image stands now.

    Args:
        decisions: all on its digest, in the order of `seq`.
        submissions: all of its digest.
        evidence_hash: over the evidence in force now.
        policy_hash: of the policy in force now.
    """
    if not decisions:
        return _UNDECIDED
    state = fold(decisions)
    if state.approved:
        if state.expires_at is None or now < state.expires_at:
            return Standing(
                state=ImageState.APPROVED,
                approvals=state.approved,
                by=state.approved[-1],
                expires_at=state.expires_at,
            )
        return Standing(state=ImageState.EXPIRED, by=state.approved[-1], expires_at=state.expires_at)
    ended = state.ended
    if ended is not None and not any(each.after >= ended.seq for each in submissions):
        if ended.verdict is Verdict.REVOKE:
            return Standing(state=ImageState.REVOKED, by=ended)
        if ended.evidence_hash == evidence_hash:
            return Standing(state=ImageState.REJECTED, by=ended)
    return Standing(state=ImageState.CANDIDATE, approvals=_agreeing(state.round, evidence_hash, policy_hash))


def _agreeing(decisions: Iterable[Decision], evidence_hash: str, policy_hash: str) -> tuple[Decision, ...]:
    return tuple(each for each in decisions if each.evidence_hash == evidence_hash and each.policy_hash == policy_hash)


def is_approved_at(decisions: Iterable[Decision], at: datetime) -> bool:
    """Whether a digest was approved at an instant, by the decisions made on it until then."""
    state = fold(decision for decision in decisions if decision.at <= at)
    return bool(state.approved) and (state.expires_at is None or at < state.expires_at)


def evidence_hash(digest: str, contents: Iterable[str], waivers: Iterable[str]) -> str:
    """The hash that a decision binds to.

    Args:
        digest: of the image.
        contents: content hashes of the evidence in force.
        waivers: identifiers of the waivers granted on the digest, lapsed ones too: their lapse changes what gates say,
            not what was shown.
    """
    return hash_of({"digest": digest, "evidence": sorted(contents), "waivers": sorted(waivers)})


def why_not(
    actor: Actor,
    verdict: Verdict,
    current: Standing,
    submissions: Sequence[Submission],
    asserted_by: Iterable[str],
) -> str:
    """Why the actor may not give this verdict, in a sentence; empty when they may.

    Nobody approves what their own rule, evidence or submission brought in, and nobody approves twice. With no roles
    configured one person may do everything, and still counts once.

    Args:
        current: where the image stands.
        submissions: of its digest.
        asserted_by: who handed in evidence that is in force on it.
    """
    if not actor.may(Role.APPROVER):
        return "you do not hold the role approver"
    if actor.source is ActorSource.WORKER:
        return "the worker does not decide"
    if verdict is not Verdict.APPROVE:
        return ""
    for approval in current.approvals:
        if same_person(actor.name, approval.actor):
            return "you have approved it already, and each person counts once"
    if actor.unrestricted:
        return ""
    for submission in submissions:
        if not submission.by_worker and same_person(actor.name, submission.by):
            return "you submitted it"
        if submission.rule_author and same_person(actor.name, submission.rule_author):
            return "a rule of yours brought it in"
    for name in asserted_by:
        if same_person(actor.name, name):
            return "you handed in evidence on it"
    return ""
