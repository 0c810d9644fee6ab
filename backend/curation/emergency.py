"""Break-glass: one person lets an image run for a bounded time, and others look at it afterwards."""

from __future__ import annotations

from datetime import datetime

import msgspec

from backend.core.errors import ConflictError, PolicyError, RoleError, UsageError
from backend.core.permits import Permit
from backend.core.ports import IdSource, timestamp
from backend.core.settings import duration_text
from backend.core.views import DecisionView
from backend.curation import recording
from backend.curation.candidates import broken_glass, decision_of, load
from backend.curation.decisions import Decision, Verdict, unreviewed, why_not
from backend.curation.policy import Policy
from backend.evidence.facts import ImageFacts
from backend.evidence.store import Reader
from backend.store.connection import Transaction


async def break_glass(
    transaction: Transaction,
    permit: Permit,
    *,
    facts: ImageFacts,
    reason: str,
    ticket: str,
    until: datetime,
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> DecisionView:
    """Let an image run until an instant by the decision of the permit's actor alone.

    Gates and four eyes do not stand in its way; policy says for how long it may be, or that nobody may.

    Args:
        permit: for `queue.break-glass` of this image.

    Raises:
        PolicyError: policy allows no break-glass, or none that long.
        UsageError: it lacks a reason or a ticket, or ends in the past.
        NotFoundError: the image was never submitted.
        ConflictError: it needs none: it is approved, or runs by break-glass already; or it was decided against.
        RoleError: the actor may not decide.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, "queue.break-glass")
    what = f"break-glass for {facts.name}"
    _check_request(what, policy, reason, ticket, until, at)
    candidate = await load(transaction, facts.digest)
    now = recording.where_it_stands(candidate, policy, at)
    if refusal := why_not(permit.actor, Verdict.BREAK_GLASS, now, candidate.submissions, ()):
        raise RoleError(what, refusal, "ask an approver")
    if now.glass is not None and now.glass.expires_at is not None:
        raise ConflictError(
            what,
            f"{now.glass.actor} did so already, until {timestamp(now.glass.expires_at)}",
            "use that, or revoke it first",
        )
    if not now.is_open:
        raise ConflictError(what, f"it is {now.state.value}", "submit it again first, if that has to be undone")
    decision = recording.make_decision(
        Verdict.BREAK_GLASS, candidate, facts, permit.actor, policy=policy, reason=reason, ticket=ticket, ids=ids, at=at
    )
    decision = msgspec.structs.replace(decision, expires_at=until)
    await recording.record(transaction, decision, permit.actor, candidate, policy=policy)
    return decision.view()


async def review(
    transaction: Transaction,
    permit: Permit,
    *,
    about: str,
    facts: ImageFacts,
    reason: str,
    policy: Policy,
    ids: IdSource,
    at: datetime,
) -> DecisionView:
    """Record that the permit's actor looked at somebody else's break-glass.

    Args:
        permit: for `queue.review` of this image.
        about: the break-glass decision.

    Raises:
        NotFoundError: there is no such decision. ConflictError: it was reviewed already.
        UsageError: it is no break-glass, or there is no reason. RoleError: it is the actor's own.
        RefusedError: the permit is for something else.
        StoreError: of its kind.
    """
    recording.spend(permit, facts, "queue.review")
    broken = await decision_of(transaction, about)
    what = f"review of decision {broken.id[:12]} on {facts.name}"
    if broken.verdict is not Verdict.BREAK_GLASS or broken.digest != facts.digest:
        raise UsageError(what, "it is no break-glass on this image", "name one that modelyard queue show lists")
    if not reason.strip():
        raise UsageError(what, "it needs a word on what was found", "give it with --reason")
    candidate = await load(transaction, facts.digest)
    if broken.id not in {each.id for each in unreviewed(candidate.decisions)}:
        raise ConflictError(what, "somebody reviewed it already", "look at it again")
    now = recording.where_it_stands(candidate, policy, at)
    if refusal := why_not(permit.actor, Verdict.REVIEW, now, candidate.submissions, ()):
        raise RoleError(what, refusal, "ask an approver")
    if policy.people.same(permit.actor.name, broken.person or broken.actor):
        raise RoleError(what, "you broke the glass yourself", "ask another approver to look at it")
    decision = recording.make_decision(
        Verdict.REVIEW, candidate, facts, permit.actor, policy=policy, reason=reason, ids=ids, at=at
    )
    decision = msgspec.structs.replace(decision, about=broken.id)
    await recording.record(transaction, decision, permit.actor, candidate, policy=policy)
    return decision.view()


async def alarms(reader: Reader, now: datetime) -> tuple[str, ...]:
    """What has to be seen on every screen: a sentence for each break-glass in force or not reviewed yet.

    Raises:
        StoreError: of its kind.
    """
    made = await broken_glass(reader)
    return tuple(sentence(each, now, reviewed=each not in unreviewed(made)) for each in _to_tell(made, now))


def sentence(glass: Decision, now: datetime, *, reviewed: bool) -> str:
    """Such as `nvcr.io/nim/meta/llama@sha256:1234 runs by mira's decision alone until ...: INC-7, not reviewed yet`."""
    until = timestamp(glass.expires_at) if glass.expires_at else ""
    short = glass.reference.partition("@")[0]
    digest = glass.digest.partition(":")[2][:12]
    ran = f"ran by {glass.actor}'s decision alone until {until[:16]}Z"
    runs = f"may run by {glass.actor}'s decision alone until {until[:16]}Z"
    told = f"{short}@{digest} {ran if glass.has_ended(now) else runs}: {glass.ticket}"
    return told if reviewed else f"{told}, not reviewed yet"


def _to_tell(made: list[Decision], now: datetime) -> list[Decision]:
    waiting = unreviewed(made)
    broken = [each for each in made if each.verdict is Verdict.BREAK_GLASS]
    return [each for each in broken if each in waiting or not each.has_ended(now)]


def _check_request(what: str, policy: Policy, reason: str, ticket: str, until: datetime, at: datetime) -> None:
    longest = policy.config.break_glass
    if longest is None:
        raise PolicyError(what, "policy lets nobody do so", "ask for approvals, or set break_glass in [policy]")
    if not reason.strip() or not ticket.strip():
        raise UsageError(what, "it needs a reason and a ticket", "give both: others will review it by them")
    if until <= at:
        raise UsageError(what, "it would end in the past", "give a time ahead of now")
    if until - at > longest:
        raise PolicyError(
            what, f"policy allows {duration_text(longest)} at most", "give a nearer time, and ask for approvals"
        )
