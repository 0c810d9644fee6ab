"""The queue rooms of the screen tests' yard: candidates, evidence."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from backend.core.errors import NotFoundError
from backend.core.events import QueueChanged, Topic
from backend.core.views import (
    CandidateView,
    DecisionView,
    EvidenceView,
    ImageState,
)
from tests.fakes import screen_data as data

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard


class FakeQueue:
    """The queue: two approvals approve."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def candidates(self) -> list[CandidateView]:
        self._yard.note("candidates")
        return list(self._yard.candidate_views)

    async def candidate(self, reference: str) -> CandidateView:
        self._yard.note("candidate", reference)
        found = next((view for view in self._yard.candidate_views if view.reference == reference), None)
        if found is None:
            raise NotFoundError(f"candidate {reference}", "the queue has no such candidate", "check the reference")
        return found

    async def approve(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        return await self._decide("approve", reference, reason, evidence_hash)

    async def reject(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        return await self._decide("reject", reference, reason, evidence_hash)

    async def revoke(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        return await self._decide("revoke", reference, reason, evidence_hash)

    async def waive(self, reference: str, *, finding: str, until: datetime, reason: str, owner: str = "") -> None:
        self._yard.note("waive", reference, finding, until.date().isoformat(), reason)

    async def _decide(self, verb: str, reference: str, reason: str, evidence_hash: str) -> DecisionView:
        self._yard.note(verb, reference, reason, evidence_hash)
        view = await self.candidate(reference)
        decision = data.decision(view.digest, verb, "opr-7", reason, 0)
        approvals = (*view.approvals, decision) if verb == "approve" else ()
        states = {"reject": ImageState.REJECTED, "revoke": ImageState.REVOKED}
        is_enough = len(approvals) >= view.approvals_needed
        state = states.get(verb, ImageState.APPROVED if is_enough else ImageState.CANDIDATE)
        changed = msgspec.structs.replace(
            view,
            state=state,
            approvals=approvals,
            waits_for_me=False,
            decisions=(*view.decisions, decision),
            not_me="you decided already",
        )
        self._yard.candidate_views = [changed if item is view else item for item in self._yard.candidate_views]
        self._yard.publish(Topic.QUEUE, QueueChanged())
        return decision


class FakeEvidence:
    """What is known of images."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def of(self, reference: str) -> list[EvidenceView]:
        self._yard.note("evidence", reference)
        return data.evidence(reference)
