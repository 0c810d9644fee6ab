"""Where an image stands, by the decisions made on it. Pure.

A decision holds for a digest, the evidence that was shown (its hash) and the policy that was in force (its hash); an
approval also for what was named beside the digest (weights, runtime family, environment). Approvals of the same of all
of these by enough different people make the image approved; from then on only a revocation or the expiry ends that. A
rejection ends the candidature until the image is submitted again or there is new evidence; a revocation until it is
submitted again. Break-glass lets an image run by one person's decision until its end, and approves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from backend.core.actors import Actor, ActorSource, Role
from backend.core.canonical import Json, hash_of
from backend.core.views import DecisionView, ImageState, ScopeView
from backend.curation import quorum
from backend.curation.people import NOBODY_NAMED, People
from backend.curation.quorum import Approver, Requirement

#: Nothing is fixed beside the digest.
ANYTHING: Final = ScopeView()


class Verdict(StrEnum):
    """What a person decides."""

    APPROVE = "approve"
    REJECT = "reject"
    REVOKE = "revoke"
    BREAK_GLASS = "break-glass"
    REVIEW = "review"


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A recorded decision.

    Attributes:
        seq: order in which decisions were recorded; clocks may go back, this does not.
        approvals_needed, requirements: that policy asked for when it was made.
        expires_at: until when this approval or break-glass holds; None: until revoked, or neither.
        person: whom policy took the actor for then; empty: the actor's name.
        groups, roles: that the actor held then.
        automatic: policy decided, by the worker; such an approval `stands_for` so many people.
        scope: what is approved beside the digest.
        about: of a review, the break-glass decision that was looked at.
        lapsed_after: `seq` of the yard's last decision before this one was seen to have ended; None: it was not.
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
    person: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    automatic: bool = False
    stands_for: int = 0
    scope: ScopeView = ANYTHING
    about: str = ""
    lapsed_after: int | None = None

    @property
    def approver(self) -> Approver:
        """The actor, as approvals are counted."""
        return Approver(
            name=self.person or self.actor, groups=self.groups, roles=self.roles, stands_for=self.stands_for
        )

    def has_ended(self, now: datetime) -> bool:
        """Whether it ran out, by the clock or because that was seen before; a clock set back brings nothing back."""
        return self.expires_at is not None and (self.lapsed_after is not None or now >= self.expires_at)

    def had_ended_before(self, other: Decision) -> bool:
        """Whether it had run out when another decision was recorded."""
        if self.expires_at is None:
            return False
        return other.at >= self.expires_at or (self.lapsed_after is not None and other.seq > self.lapsed_after)

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
            automatic=self.automatic,
            scope=self.scope,
            about=self.about,
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


class Grant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was approved: the image with what its approvals name beside it.

    Attributes:
        expires_at: of the first of its approvals to end; None: it does not expire.
    """

    scope: ScopeView
    approvals: tuple[Decision, ...]
    expires_at: datetime | None

    def holds(self, now: datetime) -> bool:
        """Whether it has not run out."""
        return not any(each.has_ended(now) for each in self.approvals)

    def held(self, at: datetime) -> bool:
        """Whether it held at an instant of the past, whatever was seen later."""
        return self.expires_at is None or at < self.expires_at


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an image stands.

    Attributes:
        approvals: those that count now: towards an approval, or those that made it.
        by: the decision that made it so; None: it waits for its first.
        expires_at: of an approval; None: it does not expire.
        grants: what is approved, the last one first; empty unless it is approved.
        round: approvals that count for whatever they name beside the digest.
        glass: break-glass that lets it run now; None: there is none.
    """

    state: ImageState
    approvals: tuple[Decision, ...] = ()
    by: Decision | None = None
    expires_at: datetime | None = None
    grants: tuple[Grant, ...] = ()
    round: tuple[Decision, ...] = ()
    glass: Decision | None = None

    @property
    def is_open(self) -> bool:
        """Whether it waits for people: never decided, reopened, or its approval ran out."""
        return self.state in {ImageState.CANDIDATE, ImageState.EXPIRED}


_UNDECIDED: Final = Standing(state=ImageState.CANDIDATE)


class Fold(msgspec.Struct, kw_only=True):
    """What decisions in their order come to, apart from evidence, submissions and the time now.

    Attributes:
        grants: what was approved, by what is named beside the digest, in the order in which that came about.
        round: approvals since the last rejection or revocation, without those that ran out and were renewed.
        ended: the rejection or revocation that no approval followed.
        glass: the last break-glass that no rejection or revocation followed.
    """

    grants: dict[ScopeView, Grant]
    round: list[Decision]
    ended: Decision | None = None
    glass: Decision | None = None

    @property
    def approved(self) -> tuple[Decision, ...]:
        """The approvals that made it approved last; empty: it is not."""
        return next(reversed(self.grants.values())).approvals if self.grants else ()


def fold(decisions: Iterable[Decision]) -> Fold:
    """Go through decisions on one digest, in the order of `seq`."""
    state = Fold(grants={}, round=[])
    for decision in decisions:
        verdict = decision.verdict
        if verdict is Verdict.APPROVE:
            _approve(state, decision)
        elif verdict is Verdict.BREAK_GLASS:
            state.glass = decision
        elif verdict is not Verdict.REVIEW:
            state = Fold(grants={}, round=[], ended=decision)
    return state


def _approve(state: Fold, decision: Decision) -> None:
    state.ended = None
    held = state.grants.get(decision.scope)
    if held is not None and any(each.had_ended_before(decision) for each in held.approvals):
        del state.grants[decision.scope]
        held = None
    # Approvals that ran out do not count again; those made since do.
    state.round = [each for each in state.round if not each.had_ended_before(decision)]
    state.round.append(decision)
    if held is not None:
        return
    agreeing = _agreeing(state.round, decision.evidence_hash, decision.policy_hash, decision.scope)
    if quorum.is_met([each.approver for each in agreeing], decision.approvals_needed, decision.requirements):
        expires = min((each.expires_at for each in agreeing if each.expires_at), default=None)
        state.grants[decision.scope] = Grant(scope=decision.scope, approvals=agreeing, expires_at=expires)


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
    glass = state.glass if state.glass is not None and not state.glass.has_ended(now) else None
    current = tuple(each for each in _agreeing(state.round, evidence_hash, policy_hash) if not each.has_ended(now))
    grants = tuple(each for each in reversed(state.grants.values()) if each.holds(now))
    if grants:
        last = grants[0]
        return Standing(
            state=ImageState.APPROVED, approvals=last.approvals, by=last.approvals[-1], expires_at=last.expires_at,
            grants=grants, round=current, glass=glass,
        )  # fmt: skip
    leading = _leading(current)
    if state.grants:
        last = next(reversed(state.grants.values()))
        return Standing(
            state=ImageState.EXPIRED, approvals=leading, by=last.approvals[-1], expires_at=last.expires_at,
            round=current, glass=glass,
        )  # fmt: skip
    ended = state.ended
    if ended is not None and not any(each.after >= ended.seq for each in submissions):
        if ended.verdict is Verdict.REVOKE:
            return Standing(state=ImageState.REVOKED, by=ended, glass=glass)
        if ended.evidence_hash == evidence_hash:
            return Standing(state=ImageState.REJECTED, by=ended, glass=glass)
    return Standing(state=ImageState.CANDIDATE, approvals=leading, round=current, glass=glass)


def _agreeing(
    decisions: Iterable[Decision], evidence_hash: str, policy_hash: str, scope: ScopeView | None = None
) -> tuple[Decision, ...]:
    return tuple(
        each
        for each in decisions
        if each.evidence_hash == evidence_hash
        and each.policy_hash == policy_hash
        and (scope is None or each.scope == scope)
    )


def _leading(approvals: Sequence[Decision]) -> tuple[Decision, ...]:
    """Of approvals that name different things beside the digest, the most that agree; of as many, the latest."""
    if len(approvals) < 2:
        return tuple(approvals)
    by_scope: dict[ScopeView, list[Decision]] = {}
    for each in approvals:
        by_scope.setdefault(each.scope, []).append(each)
    leading = max(by_scope.values(), key=_weight)
    return tuple(leading)


def _weight(agreeing: list[Decision]) -> tuple[int, int]:
    return len(agreeing), agreeing[-1].seq


def is_approved_at(decisions: Iterable[Decision], at: datetime) -> bool:
    """Whether a digest was approved at an instant, by the decisions made on it until then."""
    state = fold(decision for decision in decisions if decision.at <= at)
    return any(each.held(at) for each in state.grants.values())


def unreviewed(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Break-glass decisions that nobody else has looked at yet."""
    made = list(decisions)
    seen = {each.about for each in made if each.verdict is Verdict.REVIEW}
    return tuple(each for each in made if each.verdict is Verdict.BREAK_GLASS and each.id not in seen)


def evidence_hash(
    digest: str, contents: Iterable[str], waivers: Iterable[str], corrections: Mapping[str, str] | None = None
) -> str:
    """The hash that a decision binds to.

    Args:
        digest: of the image.
        contents: content hashes of the evidence in force.
        waivers: identifiers of the waivers granted on the digest, lapsed ones too: their lapse changes what gates say,
            not what was shown.
        corrections: what people set in place of what was told of the image, by property: gates apply by it.
    """
    bound: dict[str, Json] = {"digest": digest, "evidence": sorted(contents), "waivers": sorted(waivers)}
    return hash_of({**bound, "corrections": dict(corrections)} if corrections else bound)


def why_not(
    actor: Actor,
    verdict: Verdict,
    current: Standing,
    submissions: Sequence[Submission],
    asserted_by: Iterable[str],
    *,
    corrected_by: Iterable[str] = (),
    people: People = NOBODY_NAMED,
    scope: ScopeView | None = None,
) -> str:
    """Why the actor may not give this verdict, in a sentence; empty when they may.

    Nobody approves what their own rule, evidence, correction or submission is about, and nobody approves twice. With
    no roles configured one person may do everything, and still counts once.

    Args:
        current: where the image stands.
        submissions: of its digest.
        asserted_by: who handed in evidence that is in force on it.
        corrected_by: who set what is told of it in place of what was derived.
        people: whom policy takes for one person.
        scope: what the approval names beside the digest; None: not known yet, whatever was approved counts.
    """
    if not actor.may(Role.APPROVER):
        return "you do not hold the role approver"
    if actor.source is ActorSource.WORKER:
        return "the worker does not decide"
    if verdict is not Verdict.APPROVE:
        return ""
    for approval in current.round:
        if scope in (None, approval.scope) and people.same(actor.name, approval.person or approval.actor):
            return "you have approved it already, and each person counts once"
    if actor.unrestricted:
        return ""
    for submission in submissions:
        if not submission.by_worker and people.same(actor.name, submission.by):
            return "you submitted it"
        if submission.rule_author and people.same(actor.name, submission.rule_author):
            return "a rule of yours brought it in"
    for name in asserted_by:
        if people.same(actor.name, name):
            return "you handed in evidence on it"
    for name in corrected_by:
        if people.same(actor.name, name):
            return "you corrected what is told of it, and gates apply by that"
    return ""
