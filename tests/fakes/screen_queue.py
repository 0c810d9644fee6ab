"""The queue rooms of the screen tests' yard: candidates, evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from backend.core.errors import NotFoundError
from backend.core.events import QueueChanged, ScanProgressed, Topic
from backend.core.views import (
    CandidateView,
    CommentView,
    DecisionView,
    EvidenceView,
    ImageState,
    ImpactView,
    PackageHitView,
    ScanView,
    ScopeView,
)
from tests.fakes import screen_data as data

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard


class FakeQueue:
    """The queue: two approvals approve.

    Attributes:
        full: what `candidate` tells beyond the list, by reference: changes of the view.
        rejected_not: why `reject_many` leaves a reference alone.
        impact_view: what a revocation touches; None: the services that run the digest.
    """

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.full: dict[str, dict[str, object]] = {}
        self.rejected_not: dict[str, str] = {}
        self.impact_view: ImpactView | None = None

    async def candidates(self) -> list[CandidateView]:
        self._yard.note("candidates")
        return list(self._yard.candidate_views)

    async def candidate(self, reference: str) -> CandidateView:
        self._yard.note("candidate", reference)
        return msgspec.structs.replace(self._find(reference), **self.full.get(reference, {}))

    async def impact(self, reference: str) -> ImpactView:
        self._yard.note("impact", reference)
        if self.impact_view is not None:
            return self.impact_view
        digest = self._find(reference).digest
        running = [
            view.key for view in self._yard.service_views.values() if any(digest in name for name in view.images)
        ]
        return ImpactView(reference=reference, services=tuple(running), rollbacks=())

    async def approve(
        self,
        reference: str,
        *,
        reason: str,
        evidence_hash: str,
        policy_hash: str = "",
        ticket: str = "",
        scope: ScopeView | None = None,
    ) -> DecisionView:
        self._yard.note("approved scope", ticket, scope)
        self._yard.note("approved by policy", policy_hash)
        return await self._decide("approve", reference, reason, evidence_hash)

    async def reject(
        self, reference: str, *, reason: str, evidence_hash: str, policy_hash: str = "", ticket: str = ""
    ) -> DecisionView:
        return await self._decide("reject", reference, reason, evidence_hash)

    async def reject_many(self, references: Sequence[str], *, reason: str) -> list[tuple[str, str]]:
        self._yard.note("reject_many", tuple(references), reason)
        outcomes = []
        for reference in references:
            if why := self.rejected_not.get(reference):
                outcomes.append((reference, why))
                continue
            await self._decide("reject", reference, reason, "")
            outcomes.append((reference, "rejected"))
        return outcomes

    async def revoke(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        return await self._decide("revoke", reference, reason, evidence_hash)

    async def waive(
        self, reference: str, *, finding: str, until: datetime, reason: str, owner: str = "", control: str = ""
    ) -> None:
        self._yard.note("waive", reference, finding, until.date().isoformat(), reason, owner, control)

    async def comment(self, reference: str, *, text: str, ticket: str = "") -> CommentView:
        self._yard.note("comment", reference, text, ticket)
        comment = CommentView(actor="opr-7", at=data.NOW, text=text, ticket=ticket)
        told = self.full.setdefault(reference, {})
        told["comments"] = (*self._find(reference).comments, comment)
        self._yard.publish(Topic.QUEUE, QueueChanged())
        return comment

    async def break_glass(self, reference: str, *, reason: str, ticket: str, until: datetime) -> DecisionView:
        self._yard.note("break_glass", reference, reason, ticket, until.isoformat())
        view = self._find(reference)
        decision = data.decision(view.digest, "break-glass", "opr-7", reason, 0)
        self._put(view, break_glass=f"until {until:%H:%M}", decisions=(*view.decisions, decision))
        return decision

    async def review(self, decision_id: str, *, reason: str) -> DecisionView:
        self._yard.note("review", decision_id, reason)
        return data.decision("sha256:" + "0" * 64, "review", "opr-7", reason, 0)

    async def submit(self, reference: str, *, reason: str) -> None:
        self._yard.note("submit", reference, reason)
        self._put(self._find(reference), state=ImageState.CANDIDATE)

    async def _decide(self, verb: str, reference: str, reason: str, evidence_hash: str) -> DecisionView:
        self._yard.note(verb, reference, reason, evidence_hash)
        view = self._find(reference)
        decision = data.decision(view.digest, verb, "opr-7", reason, 0)
        approvals = (*view.approvals, decision) if verb == "approve" else ()
        states = {"reject": ImageState.REJECTED, "revoke": ImageState.REVOKED}
        is_enough = len(approvals) >= view.approvals_needed
        self._put(
            view,
            state=states.get(verb, ImageState.APPROVED if is_enough else ImageState.CANDIDATE),
            approvals=approvals,
            waits_for_me=False,
            decisions=(*view.decisions, decision),
            not_me="you decided already",
        )
        return decision

    def _find(self, reference: str) -> CandidateView:
        found = next((view for view in self._yard.candidate_views if view.reference == reference), None)
        if found is None:
            raise NotFoundError(f"candidate {reference}", "the queue has no such candidate", "check the reference")
        return found

    def _put(self, view: CandidateView, **changes: object) -> None:
        changed = msgspec.structs.replace(view, **changes)
        self._yard.candidate_views = [changed if item is view else item for item in self._yard.candidate_views]
        self._yard.publish(Topic.QUEUE, QueueChanged())


class FakeEvidence:
    """What is known of images.

    Attributes:
        views: instead of the usual, by reference.
        scan_ends: set it to let scans end.
    """

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.views: dict[str, list[EvidenceView]] = {}
        self.scan_ends = asyncio.Event()

    async def of(self, reference: str) -> list[EvidenceView]:
        self._yard.note("of", reference)
        return self.views[reference] if reference in self.views else data.evidence(reference)

    async def scan(self, reference: str) -> ScanView:
        self._yard.note("scan", reference)
        view = ScanView(
            reference=reference, scanner="trivy", version="0.66.0", database_at=None, state="running", detail="started",
            started_at=data.NOW, seconds=1.0,
        )  # fmt: skip
        self._yard.publish(Topic.SCANS, ScanProgressed(key=reference, scan=view))
        await self.scan_ends.wait()
        ended = msgspec.structs.replace(view, state="done", detail="2 critical", seconds=12.0)
        self._yard.publish(Topic.SCANS, ScanProgressed(key=reference, scan=ended))
        return ended

    def cancel_scan(self, reference: str) -> bool:
        self._yard.note("cancel_scan", reference)
        return True

    async def review(self, reference: str, *, link: str = "", note: str) -> EvidenceView:
        self._yard.note("assert", reference, link, note)
        return data.evidence(reference)[0]

    async def packages(self, query: str) -> list[PackageHitView]:
        self._yard.note("packages", query)
        return [
            PackageHitView(
                reference=view.reference, name=view.name, state=view.state, package=query, version="3.0.14",
                purl=f"pkg:deb/{query}@3.0.14", licence="", source=f"SBOM {data.HOSTILE}",
            )
            for view in self._yard.candidate_views[:2]
        ]  # fmt: skip

    async def evaluate(self, again: bool = False, reference: str | None = None) -> int:
        self._yard.note("evaluate", again, reference)
        return 1
