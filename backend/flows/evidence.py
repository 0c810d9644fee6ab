"""Evidence as commands and screen know it: what is in force on an image, collecting it, handing it in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.core.actors import WORKER
from backend.core.errors import ModelyardError, StoreError
from backend.core.events import QueueChanged, Topic
from backend.core.permits import Permit
from backend.core.views import EvidenceView, ImageState
from backend.curation import curated, queue, store
from backend.curation.coverage import submitted_digests
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


class EvidenceFlow:
    """What is known of images, and from whom."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup

    # ------------------------------------------------------------ looking

    async def of(self, reference: str) -> list[EvidenceView]:
        """The evidence in force on an image, with findings."""
        image = await self._lookup.image(reference)
        return await queue.evidence_on(self._foundation.database, image.digest, self._foundation.clock.now())

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

    # ------------------------------------------------------------ handing in

    async def hand_in(self, path: Path, reference: str) -> EvidenceView:
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
