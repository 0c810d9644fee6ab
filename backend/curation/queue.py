"""The queue: candidates as they are shown, in the order in which a person should look at them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.actors import Actor
from backend.core.ports import timestamp
from backend.core.views import CandidateView, EvidenceView, ImageState, PolicyCheckView, ScopeView
from backend.curation import emergency, gates, quorum
from backend.curation.candidates import (
    Candidate,
    QueueData,
    approved_before,
    by_approval,
    comments_of,
    fetch_queue,
    load,
    read_queue,
    waivers_of,
)
from backend.curation.comparison import Subject, differences
from backend.curation.decisions import Standing, Verdict, unreviewed, why_not
from backend.curation.policy import Policy
from backend.curation.recording import where_it_stands
from backend.curation.risk import risk
from backend.curation.waivers import in_force, waived_counts
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceKind, EvidenceRecord
from backend.evidence.store import Reader
from backend.evidence.weights import FIXED

_UNKNOWN: Final = "unknown"


async def candidates(
    reader: Reader,
    facts: Mapping[str, ImageFacts],
    *,
    policy: Policy,
    actor: Actor,
    now: datetime,
    everything: bool = False,
) -> list[CandidateView]:
    """The queue for an actor: what waits for them first, then by risk, then the oldest first.

    Args:
        facts: of the library's images, by digest; what is missing is shown as not known.
        everything: what is decided too, after what is open.

    Returns:
        views without the changes against the approved image, which `candidate` tells.

    Raises:
        StoreError: of its kind.
    """
    rows = await fetch_queue(reader)
    # Thousands of candidates take longer than the event loop may be held up.
    return await asyncio.to_thread(
        lambda: build(read_queue(rows), facts, policy=policy, actor=actor, now=now, everything=everything)
    )


async def candidate(
    reader: Reader, digest: str, facts: Mapping[str, ImageFacts], *, policy: Policy, actor: Actor, now: datetime
) -> CandidateView:
    """One candidate, with what it changes against the last approved image of its repository.

    Args:
        facts: of its image and of the others of its repository, by digest.

    Raises:
        NotFoundError: the digest was never submitted.
        StoreError: of its kind.
    """
    record = await load(reader, digest)
    evidence = await evidence_store.of_digest(reader, digest)
    waived = waived_counts(evidence, in_force(record.waivers, now))
    known = facts.get(digest) or record.facts()
    previous = await approved_before(reader, record)
    view = _view(
        record, known, evidence, waived, current=where_it_stands(record, policy, now), previous=previous, policy=policy,
        actor=actor, now=now,
    )  # fmt: skip
    view = msgspec.structs.replace(
        view,
        waivers=tuple(each.view(now) for each in record.waivers),
        comments=tuple(await comments_of(reader, digest)),
    )
    if previous is None:
        return view
    old = Subject(
        facts=facts.get(previous.digest) or previous.facts(),
        evidence=await evidence_store.of_digest(reader, previous.digest),
    )
    found = differences(Subject(facts=known, evidence=evidence), old)
    return msgspec.structs.replace(view, differences=found, changes=tuple(each.text for each in found))


def build(
    data: QueueData,
    facts: Mapping[str, ImageFacts],
    *,
    policy: Policy,
    actor: Actor,
    now: datetime,
    everything: bool = False,
) -> list[CandidateView]:
    """The queue out of what was loaded; see `candidates`."""
    views: list[tuple[bool, bool, int, datetime, int, CandidateView]] = []
    approved = by_approval(data.candidates)
    for record in data.candidates:
        current = where_it_stands(record, policy, now)
        if not (everything or current.is_open):
            continue
        evidence = evidence_store.decode_summaries(data.summaries[record.digest])
        waived = waived_of(record, evidence, data, now)
        known = facts.get(record.digest) or record.facts()
        others = approved.get((record.registry, record.repository), ())
        previous = next((each for each in others if each is not record), None)
        view = _view(
            record, known, evidence, waived, current=current, previous=previous, policy=policy, actor=actor, now=now
        )
        # The position keeps views themselves from being compared, and equals in the order of their submission.
        views.append((not view.waits_for_me, not current.is_open, -view.risk, view.submitted_at, len(views), view))
    return [ordered[-1] for ordered in sorted(views)]


async def evidence_on(reader: Reader, digest: str, now: datetime) -> list[EvidenceView]:
    """The evidence in force on a digest, with each finding's waiver; empty when there is none.

    Raises:
        StoreError: of its kind.
    """
    granted = in_force(await waivers_of(reader, digest), now)
    waived = {
        finding: f"until {timestamp(each.until)} by {each.owner}: {each.reason}" for finding, each in granted.items()
    }
    return [record.view(waived) for record in await evidence_store.of_digest(reader, digest)]


async def check_policy(
    reader: Reader, facts: Mapping[str, ImageFacts], *, policy: Policy, against: Policy | None = None, now: datetime
) -> list[PolicyCheckView]:
    """What a policy says of images, whether or not they were submitted, in the order given.

    Args:
        facts: of the images, by digest.
        policy: in force.
        against: a draft to judge by instead; whether an image passes the policy in force is told beside it.

    Raises:
        StoreError: of its kind.
    """
    rows = await fetch_queue(reader)

    def check() -> list[PolicyCheckView]:
        data = read_queue(rows)
        submitted = {each.digest: each for each in data.candidates}
        return [_checked(submitted.get(digest), known, data, policy, against, now) for digest, known in facts.items()]

    return await asyncio.to_thread(check)


def _checked(
    record: Candidate | None,
    facts: ImageFacts,
    data: QueueData,
    policy: Policy,
    against: Policy | None,
    now: datetime,
) -> PolicyCheckView:
    # Evidence is kept of what was submitted.
    evidence = evidence_store.decode_summaries(data.summaries[record.digest]) if record is not None else ()
    waived = waived_of(record, evidence, data, now) if record is not None else {}
    judged = gates.evaluate(against or policy, facts, evidence, now, waived)
    before = None
    if against is not None:
        before = not any(gate.blocks for gate in gates.evaluate(policy, facts, evidence, now, waived))
    return PolicyCheckView(
        reference=facts.reference,
        passes=not any(gate.blocks for gate in judged),
        gates=judged,
        before=before,
        approved=record is not None and where_it_stands(record, policy, now).state is ImageState.APPROVED,
    )


def waived_of(
    record: Candidate, evidence: Sequence[EvidenceRecord], data: QueueData, now: datetime
) -> dict[str, dict[str, int]]:
    """What `waived_counts` tells, of a candidate whose evidence was loaded without findings."""
    if not record.waivers:
        return {}
    granted = in_force(record.waivers, now)
    counts: dict[str, Counter[str]] = {}
    for each in evidence:
        for finding, severities in data.waivable.get(each.id, {}).items():
            if finding in granted:
                counts.setdefault(each.id, Counter()).update(severities)
    return {id_: dict(counted) for id_, counted in counts.items()}


def _view(
    record: Candidate,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    waived: Mapping[str, Mapping[str, int]],
    *,
    current: Standing,
    previous: Candidate | None,
    policy: Policy,
    actor: Actor,
    now: datetime,
) -> CandidateView:
    judged = gates.evaluate(policy, facts, evidence, now, waived)
    asserted_by = [each.asserted_by for each in evidence if each.asserted_by]
    not_me = why_not(actor, Verdict.APPROVE, current, record.submissions, asserted_by, people=policy.people)
    needed, missing = _asked_for(current, policy, facts)
    return CandidateView(
        reference=facts.reference,
        registry=facts.registry,
        repository=facts.repository,
        digest=record.digest,
        name=facts.name,
        tags=facts.tags,
        kind=facts.kind or _UNKNOWN,
        type=facts.type or _UNKNOWN,
        framework=facts.framework or _UNKNOWN,
        size=facts.size,
        state=current.state,
        submitted_by=record.submitted.by,
        submitted_at=record.submitted.at,
        gates=judged,
        evidence_hash=record.evidence_hash,
        policy_hash=policy.hash,
        approvals_needed=needed,
        approvals=tuple(decision.view() for decision in current.approvals),
        decisions=tuple(decision.view() for decision in record.decisions),
        waits_for_me=current.is_open and not not_me,
        not_me=not_me,
        risk=risk(evidence, judged, waived),
        previous_reference=f"{previous.host}/{previous.repository}@{previous.digest}" if previous else "",
        missing=missing,
        scope=_scope(current, evidence, facts),
        break_glass=_break_glass(record, now),
    )


def _asked_for(current: Standing, policy: Policy, facts: ImageFacts) -> tuple[int, tuple[str, ...]]:
    """How many people have to approve, and which of them are still missing."""
    environment = current.approvals[-1].scope.environment if current.approvals else ""
    requirements = policy.requirements(facts, environment)
    needed = quorum.needed_people(policy.approvals, requirements)
    if not current.is_open:
        return needed, ()
    return needed, quorum.missing([each.approver for each in current.approvals], policy.approvals, requirements)


def _scope(current: Standing, evidence: Sequence[EvidenceRecord], facts: ImageFacts) -> ScopeView:
    """What is approved beside the digest, or is being approved; else what is known of the image and could be named."""
    if current.approvals:
        return current.approvals[-1].scope
    fixed = next((each for each in evidence if each.kind is EvidenceKind.WEIGHTS and each.state == FIXED), None)
    return ScopeView(weights=str(fixed.payload.get("name", "")) if fixed else "", runtime=facts.framework)


def _break_glass(record: Candidate, now: datetime) -> str:
    broken = [each for each in record.decisions if each.verdict is Verdict.BREAK_GLASS]
    if not broken:
        return ""
    waiting = unreviewed(record.decisions)
    told = [each for each in broken if each in waiting or not each.has_ended(now)]
    return "; ".join(emergency.sentence(each, now, reviewed=each not in waiting) for each in told)
