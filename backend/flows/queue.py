"""The queue as commands and screen know it: candidates and decisions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from backend.core.canonical import Json
from backend.core.errors import ConflictError, ModelyardError, NotFoundError, PolicyError, UsageError
from backend.core.events import DecisionRecorded, LibraryChanged, QueueChanged, Topic
from backend.core.permits import Permit
from backend.core.views import CandidateView, CommentView, DecisionView, ImpactView, ScopeView, ServiceView
from backend.curation import emergency, queue, store
from backend.curation.candidates import decision_of
from backend.curation.coverage import submitted_digests
from backend.curation.decisions import ANYTHING, Verdict
from backend.evidence.facts import ImageFacts
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library.facts import aliases, all_facts
from backend.serving.snapshots import naming
from backend.store.connection import Transaction

_Result = TypeVar("_Result")


class QueueFlow:
    """Candidates before gates and people."""

    def __init__(
        self,
        foundation: Foundation,
        lookup: Lookup,
        running: Callable[[frozenset[str]], Awaitable[list[ServiceView]]],
    ) -> None:
        """
        Args:
            running: tells which services name or run one of some digests.
        """
        self._foundation = foundation
        self._lookup = lookup
        self._running = running

    # ------------------------------------------------------------ looking

    async def candidates(self) -> list[CandidateView]:
        """Everything that was submitted, as the actor sees it: what waits for them first, then by risk and age, and
        what is decided last."""
        foundation = self._foundation
        actor, unknown = await foundation.identity.onlooker()
        found = await queue.candidates(
            foundation.database,
            await all_facts(foundation.database, await submitted_digests(foundation.database)),
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

    async def impact(self, reference: str) -> ImpactView:
        """What a revocation of an image would touch: services that run it, snapshots that return to it.

        Raises:
            NotFoundError: the library has no such image.
        """
        facts = await self._lookup.facts(reference)
        rollbacks = await naming(self._foundation.database, facts.digest)
        known = await aliases(self._foundation.database)
        digests = frozenset({facts.digest, *(alias for alias, digest in known.items() if digest == facts.digest)})
        services: tuple[str, ...] | None = None
        unknown = ""
        try:
            services = tuple(row.key for row in await self._running(digests))
        except ModelyardError as error:
            unknown = f"which services run it cannot be told: {error.why}"
        return ImpactView(reference=facts.reference, services=services, rollbacks=rollbacks, unknown=unknown)

    # ------------------------------------------------------------ deciding

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
        """Approve an image on the evidence that was shown, by the policy that was shown.

        Args:
            policy_hash: of that policy; empty: whatever is in force.
            scope: what is approved beside the digest; what it leaves empty is not fixed.

        Raises:
            RefusedError: of its kind. ConflictError: digest, evidence or policy changed since it was shown.
        """
        return await self._decide(
            Verdict.APPROVE, reference, reason, evidence_hash, policy_hash, ticket, scope or ANYTHING
        )

    async def reject(
        self, reference: str, *, reason: str, evidence_hash: str, policy_hash: str = "", ticket: str = ""
    ) -> DecisionView:
        """Reject a candidate; what is empty of the hashes is not held against what is in force."""
        return await self._decide(Verdict.REJECT, reference, reason, evidence_hash, policy_hash, ticket)

    async def reject_many(self, references: Sequence[str], *, reason: str) -> list[tuple[str, str]]:
        """Reject candidates for one reason, each by itself.

        Returns:
            each reference with `rejected`, or why it was not.

        Raises:
            RefusedError: the actor may not reject at all; nothing was rejected.
        """
        outcomes: list[tuple[str, str]] = []
        for reference in references:
            try:
                await self.reject(reference, reason=reason, evidence_hash="")
            except (ConflictError, NotFoundError, UsageError, PolicyError) as error:
                outcomes.append((reference, error.why))
            else:
                outcomes.append((reference, "rejected"))
        return outcomes

    async def revoke(self, reference: str, *, reason: str, evidence_hash: str, ticket: str = "") -> DecisionView:
        """Take an approval back, and a break-glass."""
        return await self._decide(Verdict.REVOKE, reference, reason, evidence_hash, "", ticket)

    async def _decide(
        self,
        verdict: Verdict,
        reference: str,
        reason: str,
        evidence_hash: str,
        policy_hash: str,
        ticket: str,
        scope: ScopeView = ANYTHING,
    ) -> DecisionView:
        foundation = self._foundation

        async def record(transaction: Transaction, permit: Permit, facts: ImageFacts) -> DecisionView:
            return await store.record_decision(
                transaction,
                permit,
                verdict=verdict,
                facts=facts,
                reason=reason,
                ticket=ticket,
                shown_evidence=evidence_hash,
                shown_policy=policy_hash,
                scope=scope,
                policy=foundation.policy,
                ids=foundation.ids,
                at=foundation.clock.now(),
            )

        detail = {"reason": reason, "ticket": ticket, "evidence_hash": evidence_hash}
        if policy_hash:
            detail["policy_hash"] = policy_hash
        return self._told(await self._record(f"queue.{verdict.value}", reference, record, detail))

    async def break_glass(self, reference: str, *, reason: str, ticket: str, until: datetime) -> DecisionView:
        """Let an image run until an instant by the actor's decision alone, as far as policy allows that at all.

        Raises:
            RefusedError: of its kind. ConflictError: it needs none.
        """
        foundation = self._foundation

        async def record(transaction: Transaction, permit: Permit, facts: ImageFacts) -> DecisionView:
            return await emergency.break_glass(
                transaction, permit, facts=facts, reason=reason, ticket=ticket, until=until, policy=foundation.policy,
                ids=foundation.ids, at=foundation.clock.now(),
            )  # fmt: skip

        detail = {"reason": reason, "ticket": ticket}
        return self._told(await self._record("queue.break-glass", reference, record, detail))

    async def review(self, decision_id: str, *, reason: str) -> DecisionView:
        """Look at somebody else's break-glass afterwards, and say what was found.

        Raises:
            NotFoundError: there is no such decision. RefusedError: of its kind.
        """
        foundation = self._foundation
        about = await decision_of(foundation.database, decision_id)

        async def record(transaction: Transaction, permit: Permit, facts: ImageFacts) -> DecisionView:
            return await emergency.review(
                transaction, permit, about=about.id, facts=facts, reason=reason, policy=foundation.policy,
                ids=foundation.ids, at=foundation.clock.now(),
            )  # fmt: skip

        return self._told(
            await self._record("queue.review", about.reference, record, {"about": about.id, "reason": reason})
        )

    async def waive(
        self, reference: str, *, finding: str, until: datetime, reason: str, owner: str = "", control: str = ""
    ) -> None:
        """Let one finding on an image pass until a date.

        Args:
            owner: who answers for it; empty: the actor.
            control: what is done about the risk meanwhile.
        """
        foundation = self._foundation

        async def record(transaction: Transaction, permit: Permit, facts: ImageFacts) -> None:
            await store.waive(
                transaction, permit, facts=facts, finding=finding, until=until, reason=reason, owner=owner,
                control=control, policy=foundation.policy, ids=foundation.ids, at=foundation.clock.now(),
            )  # fmt: skip

        await self._record("queue.waive", reference, record, {"finding": finding, "reason": reason})
        foundation.hub.publish(Topic.QUEUE, QueueChanged())

    async def comment(self, reference: str, *, text: str, ticket: str = "") -> CommentView:
        """Say something of a candidate, or name a ticket; it decides nothing."""
        foundation = self._foundation

        async def record(transaction: Transaction, permit: Permit, facts: ImageFacts) -> CommentView:
            return await store.comment(
                transaction, permit, facts=facts, text=text, ticket=ticket, ids=foundation.ids,
                at=foundation.clock.now(),
            )  # fmt: skip

        told = await self._record("queue.comment", reference, record, {"text": text, "ticket": ticket})
        foundation.hub.publish(Topic.QUEUE, QueueChanged())
        return told

    async def submit(self, reference: str, *, reason: str) -> None:
        """Reopen what was rejected or revoked; who does so does not approve it then.

        Raises:
            ConflictError: there is nothing to reopen.
        """
        foundation = self._foundation

        async def record(transaction: Transaction, permit: Permit, facts: ImageFacts) -> None:
            await store.submit_again(
                transaction, permit, facts, reason=reason, policy=foundation.policy, at=foundation.clock.now()
            )

        await self._record("queue.submit", reference, record, {"reason": reason})
        foundation.hub.publish(Topic.QUEUE, QueueChanged())

    async def _record(
        self,
        mutation: str,
        reference: str,
        record: Callable[[Transaction, Permit, ImageFacts], Awaitable[_Result]],
        detail: Mapping[str, Json],
    ) -> _Result:
        """Let a change of a candidate through the gate, in a transaction of its own."""
        facts = await self._lookup.facts(reference)

        async def action(permit: Permit) -> _Result:
            async with self._foundation.database.transaction() as transaction:
                return await record(transaction, permit, facts)

        return await self._foundation.gate.run(mutation, facts.reference, action, detail=detail)

    def _told(self, decision: DecisionView) -> DecisionView:
        self._foundation.hub.publish(Topic.QUEUE, DecisionRecorded(key=decision.id, decision=decision))
        self._foundation.hub.publish(Topic.LIBRARY, LibraryChanged())
        return decision
