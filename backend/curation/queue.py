"""The queue: candidates as they are shown, in the order in which a person should look at them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec

from backend.core.actors import Actor
from backend.core.ports import timestamp
from backend.core.views import CandidateView, EvidenceView, ImageState, PolicyCheckView, ScopeView
from backend.curation import assessments, emergency, quorum
from backend.curation.assessments import Assessment
from backend.curation.candidates import (
    Candidate,
    QueueData,
    approved_before,
    by_approval,
    comments_of,
    fetch_queue,
    load,
    read_queue,
    summaries_of,
    waivers_of,
)
from backend.curation.comparison import Subject, differences
from backend.curation.decisions import Standing, Verdict, unreviewed, why_not
from backend.curation.policy import Policy
from backend.curation.quorum import Requirement
from backend.curation.recording import where_it_stands
from backend.curation.waivers import Waiver, in_force, waived_counts
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceRecord
from backend.evidence.store import Reader

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
    # Thousands of candidates take longer than the event loop may be held up.
    rows = await fetch_queue(reader, assessed_by=policy.hash, now=now)
    data = await asyncio.to_thread(read_queue, rows)
    kept, outdated = await asyncio.to_thread(_kept, data, facts)
    if outdated:
        data = msgspec.structs.replace(data, summaries={**data.summaries, **await summaries_of(reader, outdated)})
    return await asyncio.to_thread(
        lambda: build(data, facts, kept, policy=policy, actor=actor, now=now, everything=everything)
    )


def _kept(data: QueueData, facts: Mapping[str, ImageFacts]) -> tuple[dict[str, Assessment], list[str]]:
    """The assessments that hold, and the digests of those that were made of the image as it was known before."""
    kept: dict[str, Assessment] = {}
    outdated = []
    for record in data.candidates:
        text = data.assessed[record.digest]
        if not text:
            continue
        found = assessments.decode(text, facts.get(record.digest) or record.facts())
        if found is None:
            outdated.append(record.digest)
        else:
            kept[record.digest] = found
    return kept, outdated


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
    granted = in_force(record.waivers, now)
    known = facts.get(digest) or record.facts()
    previous = await approved_before(reader, record)
    judged = assessments.assess(policy, known, evidence, now, waived=waived_counts(evidence, granted), waivers=granted)
    view = _view(
        record, known, judged, current=where_it_stands(record, policy, now), previous=previous, policy=policy,
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
    kept: Mapping[str, Assessment],
    *,
    policy: Policy,
    actor: Actor,
    now: datetime,
    everything: bool = False,
) -> list[CandidateView]:
    """The queue out of what was loaded; see `candidates`.

    Args:
        kept: assessments that still hold; all others are made.
    """
    views: list[tuple[bool, bool, int, datetime, int, CandidateView]] = []
    approved = by_approval(data.candidates)
    for record in data.candidates:
        current = where_it_stands(record, policy, now)
        if not (everything or current.is_open):
            continue
        known = facts.get(record.digest) or record.facts()
        judged = kept.get(record.digest) or assessed(record, known, data, policy, now)
        others = approved.get((record.registry, record.repository), ())
        previous = next((each for each in others if each is not record), None)
        view = _view(record, known, judged, current=current, previous=previous, policy=policy, actor=actor, now=now)
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
    if record is None:
        # Evidence is kept of what was submitted.
        record = Candidate(
            digest=facts.digest, registry=facts.registry, host=facts.host, repository=facts.repository,
            evidence_hash="", submissions=(),
        )  # fmt: skip
    judged = assessed(record, facts, data, against or policy, now)
    return PolicyCheckView(
        reference=facts.reference,
        passes=judged.passes,
        gates=judged.gates,
        before=None if against is None else assessed(record, facts, data, policy, now).passes,
        approved=where_it_stands(record, policy, now).state is ImageState.APPROVED,
    )


def assessed(record: Candidate, facts: ImageFacts, data: QueueData, policy: Policy, now: datetime) -> Assessment:
    """What policy says of a candidate whose evidence was loaded without findings."""
    evidence = evidence_store.decode_summaries(data.summaries.get(record.digest, "[]"))
    granted = in_force(record.waivers, now) if record.waivers else {}
    waived = _waived(granted, evidence, data) if granted else {}
    return assessments.assess(policy, facts, evidence, now, waived=waived, waivers=granted)


def _waived(
    granted: Mapping[str, Waiver], evidence: Sequence[EvidenceRecord], data: QueueData
) -> dict[str, dict[str, int]]:
    """What `waived_counts` tells, of evidence whose findings are not loaded."""
    counts: dict[str, Counter[str]] = {}
    for each in evidence:
        for finding, severities in data.waivable.get(each.id, {}).items():
            if finding in granted:
                counts.setdefault(each.id, Counter()).update(severities)
    return {id_: dict(counted) for id_, counted in counts.items()}


def _view(
    record: Candidate,
    facts: ImageFacts,
    judged: Assessment,
    *,
    current: Standing,
    previous: Candidate | None,
    policy: Policy,
    actor: Actor,
    now: datetime,
) -> CandidateView:
    not_me = why_not(
        actor, Verdict.APPROVE, current, record.submissions, judged.asserted_by, corrected_by=record.corrected_by,
        people=policy.people,
    )  # fmt: skip
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
        gates=judged.gates,
        evidence_hash=record.evidence_hash,
        policy_hash=policy.hash,
        approvals_needed=needed,
        approvals=tuple(decision.view() for decision in current.approvals),
        decisions=tuple(decision.view() for decision in record.decisions),
        waits_for_me=current.is_open and not not_me,
        not_me=not_me,
        risk=judged.risk,
        previous_reference=f"{previous.host}/{previous.repository}@{previous.digest}" if previous else "",
        missing=missing,
        scope=_scope(current, judged, facts),
        break_glass=_break_glass(record, now),
    )


def _asked_for(current: Standing, policy: Policy, facts: ImageFacts) -> tuple[int, tuple[str, ...]]:
    """How many people have to approve, and which of them are still missing."""
    if not current.approvals and current.is_open:
        return _nobody_yet(policy.approvals, policy.requirements(facts))
    environment = current.approvals[-1].scope.environment if current.approvals else ""
    requirements = policy.requirements(facts, environment)
    needed = quorum.needed_people(policy.approvals, requirements)
    if not current.is_open:
        return needed, ()
    return needed, quorum.missing([each.approver for each in current.approvals], policy.approvals, requirements)


@lru_cache(maxsize=256)
def _nobody_yet(approvals: int, requirements: tuple[Requirement, ...]) -> tuple[int, tuple[str, ...]]:
    return quorum.needed_people(approvals, requirements), quorum.missing((), approvals, requirements)


def _scope(current: Standing, judged: Assessment, facts: ImageFacts) -> ScopeView:
    """What is approved beside the digest, or is being approved; else what is known of the image and could be named."""
    if current.approvals:
        return current.approvals[-1].scope
    return ScopeView(weights=judged.weights, runtime=facts.framework)


def _break_glass(record: Candidate, now: datetime) -> str:
    if not record.decisions:
        return ""
    broken = [each for each in record.decisions if each.verdict is Verdict.BREAK_GLASS]
    if not broken:
        return ""
    waiting = unreviewed(record.decisions)
    told = [each for each in broken if each in waiting or not each.has_ended(now)]
    return "; ".join(emergency.sentence(each, now, reviewed=each not in waiting) for each in told)
