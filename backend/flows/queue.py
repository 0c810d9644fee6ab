"""The queue as commands and screen know it: evaluation, evidence, decisions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from backend.config import SystemPolicy, read_model
from backend.core.actors import WORKER
from backend.core.errors import ModelyardError, NotFoundError, StoreError
from backend.core.events import DecisionRecorded, LibraryChanged, QueueChanged, Topic
from backend.core.permits import Permit
from backend.core.views import CandidateView, DecisionView, EvidenceView, ImageState, PolicyCheckView
from backend.curation import curated, queue, store
from backend.curation.coverage import submitted_digests
from backend.curation.decisions import Verdict
from backend.curation.policy import Policy, load_policy
from backend.evidence.collect import collect
from backend.evidence.coverage import evaluated_digests
from backend.evidence.facts import ImageFacts
from backend.evidence.handed_in import read_handed_in
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library import catalogue
from backend.library.facts import aliases, all_facts
from backend.store import meta

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 8
_TOLD_EVERY: Final = 20
#: Name of the fact that tells which keys signatures were last verified with.
_COLLECTED_WITH: Final = "evidence.keys"


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

    async def evidence(self, reference: str) -> list[EvidenceView]:
        """The evidence in force on an image, with findings."""
        image = await self._lookup.image(reference)
        return await queue.evidence_on(self._foundation.database, image.digest, self._foundation.clock.now())

    async def check_policy(self, reference: str | None = None, against: Path | None = None) -> list[PolicyCheckView]:
        """What policy says of one image, or of all that were submitted.

        Args:
            against: a file with `[policy]` and `[[role]]` to judge by instead.

        Raises:
            ConfigurationError: that file is wrong.
        """
        foundation = self._foundation
        draft = None if against is None else await asyncio.to_thread(_read_policy, against)
        known = await all_facts(foundation.database)
        if reference is not None:
            image = await self._lookup.image(reference)
            known = {image.digest: await self._lookup.facts(reference)}
        now = foundation.clock.now()
        return [
            await queue.check_policy(foundation.database, facts, policy=foundation.policy, against=draft, now=now)
            for facts in sorted(known.values(), key=lambda facts: facts.reference)
        ]

    # ------------------------------------------------------------ evaluating

    async def evaluate(self, again: bool = False) -> int:
        """Collect what registries hold on submitted images that nothing is known of yet.

        Args:
            again: on every submitted image that is not decided, for evidence that came later.

        Returns:
            how many images were looked at.

        Raises:
            ReadOnlyError: the yard was opened read-only.
        """

        async def action(permit: Permit) -> int:
            permit.spend("evidence.collect")
            return await self._evaluated(again)

        return await self._foundation.gate.run("evidence.collect", "submitted images", action, as_worker=True)

    async def _evaluated(self, again: bool) -> int:
        foundation = self._foundation
        unknown = await submitted_digests(foundation.database) - await evaluated_digests(foundation.database)
        keys = ",".join(sorted(foundation.policy.fingerprints))
        # Signatures are verified where they are collected: other keys ask for another look.
        again = again or await meta.get(foundation.database, _COLLECTED_WITH) not in (None, keys)
        if not unknown and not again:
            return 0
        facts = await all_facts(foundation.database)
        states = await curated.states(foundation.database, foundation.policy.hash, foundation.clock.now())
        wanted = [
            digest for digest in facts
            if digest in unknown or (again and states.get(digest) is ImageState.CANDIDATE)
        ]  # fmt: skip
        slots = asyncio.Semaphore(_AT_ONCE)
        done = 0

        async def one(digest: str) -> None:
            nonlocal done
            async with slots:
                await self._collect(facts[digest])
            done += 1
            if done % _TOLD_EVERY == 0:
                foundation.hub.publish(Topic.QUEUE, QueueChanged())

        await asyncio.gather(*(one(digest) for digest in wanted))
        if wanted:
            async with foundation.database.transaction() as transaction:
                await meta.put(transaction, _COLLECTED_WITH, keys)
            foundation.hub.publish(Topic.QUEUE, QueueChanged())
        return len(wanted)

    async def _collect(self, light: ImageFacts) -> None:
        foundation = self._foundation
        try:
            facts = await self._lookup.completed(light)
            manifest = await catalogue.manifest_of(foundation.database, light.digest)
            client = foundation.registries.client(light.registry)
            records = await collect(
                client, facts, manifest, keys=foundation.policy.keys, clock=foundation.clock, ids=foundation.ids
            )
        except StoreError:
            raise
        except ModelyardError as error:
            # The registry left the configuration, or the stored manifest does not hold: nothing is known of the image,
            # and its gates say so.
            _LOG.warning("evidence on %s: %s", light.reference, error)
            return
        async with foundation.database.transaction() as transaction:
            await store.record_evidence(transaction, facts, records, actor=WORKER, at=foundation.clock.now())

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

    async def import_evidence(self, path: Path, reference: str) -> EvidenceView:
        """Hand in a report. It is marked as asserted by the actor, who may not approve the image then.

        Raises:
            UsageError: the file cannot be read. MalformedDataError: it is no report on this image.
        """
        foundation = self._foundation
        facts = await self._lookup.facts(reference)
        actor = await foundation.identity.actor()
        children = _children(await aliases(foundation.database), facts.digest)
        record = await asyncio.to_thread(
            read_handed_in,
            path,
            digest=facts.digest,
            also=children,
            by=actor.name,
            ids=foundation.ids,
            at=foundation.clock.now(),
        )

        async def action(permit: Permit) -> None:
            async with foundation.database.transaction() as transaction:
                await store.import_evidence(transaction, permit, facts, record, at=foundation.clock.now())

        await foundation.gate.run("evidence.import", facts.reference, action, detail={"summary": record.summary})
        foundation.hub.publish(Topic.QUEUE, QueueChanged())
        return record.view()


def _children(known: Mapping[str, str], digest: str) -> frozenset[str]:
    return frozenset(alias for alias, parent in known.items() if parent == digest)


def _read_policy(file: Path) -> Policy:
    if not file.is_file():
        raise NotFoundError(
            f"policy file {file}", "there is no such file", "name a file with [policy] and [[policy.gate]]"
        )
    draft = read_model(file, SystemPolicy)
    return load_policy(draft.policy, draft.role, file.absolute().parent)
