"""Evidence as commands and screen know it: what is in force on an image, collecting it, handing it in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from backend.core.actors import WORKER
from backend.core.errors import ModelyardError, StoreError
from backend.core.events import QueueChanged, Topic
from backend.core.permits import Permit
from backend.core.views import CheckView, EvidenceView, ImageState, PackageHitView, ScanView
from backend.curation import curated, queue, store
from backend.curation.coverage import submitted_digests
from backend.evidence.collect import collect
from backend.evidence.coverage import evaluated_digests
from backend.evidence.facts import ImageFacts
from backend.evidence.handed_in import read_handed_in, reviewed
from backend.evidence.packages import find_packages, parse_query
from backend.evidence.records import EvidenceKind, EvidenceRecord
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.flows.scanning import Scanning, children_of
from backend.library import catalogue
from backend.library.facts import aliases, all_facts, configurations
from backend.store import meta

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 8
_TOLD_EVERY: Final = 20
#: Name of the fact that tells which keys signatures were last verified with, and what was looked for then.
_COLLECTED_WITH: Final = "evidence.keys"
#: Grows when more is looked for: what was collected before is looked at once more then.
_LOOKED_FOR: Final = "2"


class EvidenceFlow:
    """What is known of images, and from whom."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup
        self._scanning = Scanning(foundation, lookup)

    # ------------------------------------------------------------ looking

    async def of(self, reference: str) -> list[EvidenceView]:
        """The evidence in force on an image, with findings."""
        image = await self._lookup.image(reference)
        return await queue.evidence_on(self._foundation.database, image.digest, self._foundation.clock.now())

    async def packages(self, query: str) -> list[PackageHitView]:
        """The images of the library whose SBOMs hold a package.

        Args:
            query: `openssl`, `openssl<3.0.15`, `libssl*`, `pkg:pypi/torch>=2.6`. Versions are compared as the package's
                ecosystem does; what distributions patch keeps its version, so the answer is an estimate.

        Raises:
            UsageError: the query cannot be read.
        """
        foundation = self._foundation
        hits = await find_packages(foundation.database, parse_query(query))
        if not hits:
            return []
        facts = await all_facts(foundation.database)
        states = await curated.states(foundation.database, foundation.policy.hash, foundation.clock.now())
        found = [
            PackageHitView(
                reference=facts[hit.digest].reference,
                name=facts[hit.digest].name,
                state=states.get(hit.digest, ImageState.CANDIDATE),
                package=hit.package,
                version=hit.version,
                purl=hit.purl,
                licence=hit.licence,
                source=hit.source,
            )
            for hit in hits
            if hit.digest in facts
        ]
        return sorted(found, key=lambda hit: (hit.name, hit.package, hit.version))

    async def scanners(self) -> list[ScanView]:
        """The vulnerability scanners that can be run here, with version and age of their database."""
        return await self._scanning.scanners()

    async def check(self) -> list[CheckView]:
        """What `doctor` says of scanners."""
        return await self._scanning.check()

    # ------------------------------------------------------------ evaluating

    async def evaluate(self, again: bool = False, reference: str | None = None) -> int:
        """Collect what registries hold on submitted images that nothing is known of yet.

        Args:
            again: on every submitted image that is not decided, for evidence that came later.
            reference: on this image alone, whatever is known of it.

        Returns:
            how many images were looked at.

        Raises:
            ReadOnlyError: the yard was opened read-only.
        """

        async def action(permit: Permit) -> int:
            permit.spend("evidence.collect")
            return await self._evaluated(again) if facts is None else await self._evaluated_one(facts)

        facts = None if reference is None else await self._lookup.facts(reference)
        named = "submitted images" if facts is None else facts.reference
        return await self._foundation.gate.run("evidence.collect", named, action, as_worker=reference is None)

    async def _evaluated_one(self, facts: ImageFacts) -> int:
        await self._collect(facts)
        self._foundation.hub.publish(Topic.QUEUE, QueueChanged())
        return 1

    async def _evaluated(self, again: bool) -> int:
        foundation = self._foundation
        unknown = await submitted_digests(foundation.database) - await evaluated_digests(foundation.database)
        keys = ",".join([_LOOKED_FOR, *sorted(foundation.policy.fingerprints)])
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
                client,
                facts,
                manifest,
                keys=foundation.policy.keys,
                identities=foundation.policy.identities,
                configurations=await configurations(foundation.database, light.digest),
                clock=foundation.clock,
                ids=foundation.ids,
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
        """Hand in a report, an SBOM, VEX, a benchmark or an attestation. What nobody signed is marked as asserted by
        the actor; whoever hands evidence in may not approve the image then.

        Returns:
            what the document is evidence of first; `also` names the rest.

        Raises:
            UsageError: the file cannot be read. MalformedDataError: it is no document on this image.
        """
        foundation = self._foundation
        facts = await self._lookup.facts(reference)
        actor = await foundation.identity.actor()
        children = children_of(await aliases(foundation.database), facts.digest)
        records = await asyncio.to_thread(
            read_handed_in,
            path,
            digest=facts.digest,
            also=children,
            by=actor.name,
            keys=foundation.policy.keys,
            identities=foundation.policy.identities,
            ids=foundation.ids,
            at=foundation.clock.now(),
        )
        # A document that lists vulnerabilities was handed in for them, whatever else it lists.
        records.sort(key=lambda each: each.kind is not EvidenceKind.VULNERABILITIES)
        await self._record("evidence.import", facts, records)
        first, *rest = records
        return msgspec.structs.replace(first.view(), also=tuple(f"{each.kind.value}: {each.summary}" for each in rest))

    async def review(self, reference: str, *, link: str = "", note: str) -> EvidenceView:
        """Assert that the actor looked at an image. It is marked so, satisfies no blocking gate unless policy says so,
        and bars the actor from approving the image.

        Args:
            link: to what was written down elsewhere; empty: nowhere.
            note: what was looked at and found.

        Raises:
            UsageError: there is no note, or the link is none.
        """
        foundation = self._foundation
        facts = await self._lookup.facts(reference)
        actor = await foundation.identity.actor()
        record = reviewed(
            digest=facts.digest, by=actor.name, link=link, note=note, ids=foundation.ids, at=foundation.clock.now()
        )
        await self._record("evidence.assert", facts, [record])
        return record.view()

    async def _record(self, mutation: str, facts: ImageFacts, records: Sequence[EvidenceRecord]) -> None:
        foundation = self._foundation

        async def action(permit: Permit) -> None:
            async with foundation.database.transaction() as transaction:
                await store.import_evidence(
                    transaction, permit, facts, records, mutation=mutation, at=foundation.clock.now()
                )

        summary = "; ".join(f"{each.kind.value}: {each.summary}" for each in records)
        await foundation.gate.run(mutation, facts.reference, action, detail={"summary": summary})
        foundation.hub.publish(Topic.QUEUE, QueueChanged())

    # ------------------------------------------------------------ scanning

    async def scan(self, reference: str) -> ScanView:
        """Scan an image with the scanner of this machine, and record what it found. Progress is told in events
        (`ScanProgressed`); cancelling this ends the scanner.

        Raises:
            NotFoundError: there is no such image, or no scanner. ToolError: the scanner failed or took too long.
            MalformedDataError: its report is none on this image.
        """
        return await self._scanning.scan(reference)

    def cancel_scan(self, reference: str) -> bool:
        """End a scan that this process runs; False: there is none of that image.

        Args:
            reference: as `ScanView.reference`.
        """
        return self._scanning.cancel(reference)
