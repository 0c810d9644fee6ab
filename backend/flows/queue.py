"""The queue as commands and screen know it: candidates and decisions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from backend.core.events import DecisionRecorded, LibraryChanged, QueueChanged, Topic
from backend.core.permits import Permit
from backend.core.views import CandidateView, DecisionView
from backend.curation import queue, store
from backend.curation.decisions import Verdict
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library.facts import all_facts


class QueueFlow:
    """Candidates before gates and people."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup

    # ------------------------------------------------------------ looking

    async def candidates(self) -> list[CandidateView]:
        """Everything that was submitted, as the actor sees it: what waits for them first, then by risk and age, and
        what is decided last."""
        foundation = self._foundation
        actor, unknown = await foundation.identity.onlooker()
        found = await queue.candidates(
            foundation.database,
            await all_facts(foundation.database),
            policy=foundation.policy,
            actor=actor,
            now=foundation.clock.now(),
            everything=True,
        )
        return [msgspec.structs.replace(one, not_me=unknown) for one in found] if unknown else found

    async def candidate(self, reference: str) -> CandidateView:
        """One candidate in full.

        Raises:
            NotFoundError: the library has no such image, or it was never submitted.
        """
        image = await self._lookup.image(reference)
        return await self._lookup.candidate(image.digest)

    # ------------------------------------------------------------ deciding

    async def approve(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        """Approve an image on the evidence that was shown.

        Raises:
            RefusedError: of its kind. ConflictError: digest, evidence or policy changed since it was shown.
        """
        return await self._decide(Verdict.APPROVE, reference, reason, evidence_hash, ticket)

    async def reject(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        """Reject a candidate."""
        return await self._decide(Verdict.REJECT, reference, reason, evidence_hash, ticket)

    async def revoke(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        """Take an approval back."""
        return await self._decide(Verdict.REVOKE, reference, reason, evidence_hash, ticket)

    async def _decide(
        self, verdict: Verdict, reference: str, reason: str, evidence_hash: str, ticket: str
    ) -> DecisionView:
        foundation = self._foundation
        facts = await self._lookup.facts(reference)

        async def action(permit: Permit) -> DecisionView:
            async with foundation.database.transaction() as transaction:
                return await store.record_decision(
                    transaction,
                    permit,
                    verdict=verdict,
                    facts=facts,
                    reason=reason,
                    ticket=ticket,
                    shown_evidence=evidence_hash,
                    policy=foundation.policy,
                    ids=foundation.ids,
                    at=foundation.clock.now(),
                )

        decision = await foundation.gate.run(
            f"queue.{verdict.value}",
            facts.reference,
            action,
            detail={"reason": reason, "ticket": ticket, "evidence_hash": evidence_hash},
        )
        foundation.hub.publish(Topic.QUEUE, DecisionRecorded(key=decision.id, decision=decision))
        foundation.hub.publish(Topic.LIBRARY, LibraryChanged())
        return decision

    async def waive(self, reference: str, *, finding: str, until: datetime, reason: str, owner: str = "") -> None:
        """Let one finding on an image pass until a date."""
        foundation = self._foundation
        facts = await self._lookup.facts(reference)

        async def action(permit: Permit) -> None:
            async with foundation.database.transaction() as transaction:
                await store.waive(
                    transaction,
                    permit,
                    facts=facts,
                    finding=finding,
                    until=until,
                    reason=reason,
                    owner=owner,
                    policy=foundation.policy,
                    ids=foundation.ids,
                    at=foundation.clock.now(),
                )

        await foundation.gate.run("queue.waive", facts.reference, action, detail={"finding": finding, "reason": reason})
        foundation.hub.publish(Topic.QUEUE, QueueChanged())
