"""Scanning images with the operator's own scanner."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from backend.core.errors import InterruptedByUserError, ModelyardError
from backend.core.events import QueueChanged, ScanProgressed, Topic
from backend.core.permits import Permit
from backend.core.views import CheckView, ScanView
from backend.curation import store
from backend.evidence import documents, scanner
from backend.evidence.documents import Provenance
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceRecord, Origin
from backend.evidence.reports.common import About, VulnerabilityReport
from backend.evidence.reports.reading import read_report
from backend.evidence.scanner import Login, Scanner, Target
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library.facts import aliases

#: Seconds between two words on a scan's progress.
_TOLD_EVERY: Final = 0.5


class _Scan:
    """One scan, and how far it is."""

    def __init__(self, foundation: Foundation, reference: str, chosen: Scanner) -> None:
        self._foundation = foundation
        self._begun = foundation.clock.monotonic()
        self._told_at = float("-inf")
        self._view = ScanView(
            reference=reference,
            scanner=chosen.name,
            version=chosen.version,
            database_at=chosen.database_at,
            state="running",
            detail="",
            started_at=foundation.clock.now(),
            seconds=0.0,
        )

    def tell(self, state: str, detail: str, by: Scanner | None = None) -> ScanView:
        """Say how far it is, or how it ended; `by` when the scanner's database was made anew meanwhile."""
        self._told_at = self._foundation.clock.monotonic()
        self._view = msgspec.structs.replace(
            self._view,
            state=state,
            detail=detail,
            seconds=self._told_at - self._begun,
            database_at=by.database_at if by else self._view.database_at,
        )
        self._foundation.hub.publish(Topic.SCANS, ScanProgressed(key=self._view.reference, scan=self._view))
        return self._view

    def hear(self, line: str) -> None:
        """A word of the scanner; most of them go by."""
        if self._foundation.clock.monotonic() - self._told_at >= _TOLD_EVERY:
            self.tell("running", line)


class Scanning:
    """Runs scanners, one at a time: they share a database of their own that takes one at a time."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup
        self._turn = asyncio.Semaphore(1)
        self._running: dict[str, asyncio.Task[VulnerabilityReport]] = {}

    async def scanners(self) -> list[ScanView]:
        """The scanners that are there, the one that is used first; `state` is ready, or failed with the reason."""
        now = self._foundation.clock.now()
        return [
            ScanView(
                reference="",
                scanner=each.name,
                version=each.version,
                database_at=each.database_at,
                state="failed" if each.problem else "ready",
                detail=each.problem or each.path,
                started_at=now,
                seconds=0.0,
            )
            for each in await scanner.find(self._foundation.configuration.settings.scanner)
        ]

    async def check(self) -> list[CheckView]:
        """What `doctor` says of them."""
        now = self._foundation.clock.now()
        found = await scanner.find(self._foundation.configuration.settings.scanner)
        if not found:
            return [
                CheckView(
                    name="scanner",
                    state="absent",
                    detail="neither trivy nor grype is on PATH",
                    action="install one, or name it in [scanner]; reports can be imported without one",
                )
            ]
        return [_checked(each, now) for each in found]

    async def scan(self, reference: str) -> ScanView:
        """Scan an image and record what was found."""
        foundation = self._foundation
        facts = await self._lookup.facts(reference)

        async def action(permit: Permit) -> ScanView:
            async with self._turn:
                return await self._scanned(permit, facts)

        done = await foundation.gate.run("evidence.scan", facts.reference, action)
        foundation.hub.publish(Topic.QUEUE, QueueChanged())
        return done

    def cancel(self, reference: str) -> bool:
        """End the scan of an image that runs here; False: there is none."""
        running = self._running.get(reference)
        return running is not None and running.cancel()

    async def _scanned(self, permit: Permit, facts: ImageFacts) -> ScanView:
        foundation = self._foundation
        chosen = await scanner.choose(foundation.configuration.settings.scanner)
        scan = _Scan(foundation, facts.reference, chosen)
        scan.tell("running", "started")
        try:
            report = await self._reported(facts, chosen, scan)
            # What a report leaves out of its database the scanner tells, which may have fetched a newer one meanwhile.
            chosen = await scanner.refreshed(chosen)
            record = _record(report, chosen, facts, permit.actor.name, foundation)
            async with foundation.database.transaction() as transaction:
                await store.import_evidence(
                    transaction, permit, facts, [record], mutation="evidence.scan", at=foundation.clock.now()
                )
        except asyncio.CancelledError:
            scan.tell("cancelled", "ended before it was done")
            raise
        except InterruptedByUserError:
            scan.tell("cancelled", "ended before it was done")
            raise
        except ModelyardError as error:
            scan.tell("failed", error.why)
            raise
        return scan.tell("done", record.summary, chosen)

    async def _reported(self, facts: ImageFacts, chosen: Scanner, scan: _Scan) -> VulnerabilityReport:
        task = asyncio.create_task(self._run(facts, chosen, scan))
        self._running[facts.reference] = task
        try:
            await asyncio.wait([task])
            if task.cancelled():
                raise InterruptedByUserError(f"scan of {facts.name}")
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del self._running[facts.reference]

    async def _run(self, facts: ImageFacts, chosen: Scanner, scan: _Scan) -> VulnerabilityReport:
        foundation = self._foundation
        settings = foundation.configuration.settings
        children = children_of(await aliases(foundation.database), facts.digest)
        secrets = {registry.password.env or "" for registry in settings.registry if registry.password}
        written = await scanner.scan(
            chosen, await self._target(facts), settings.scanner, withheld=secrets, on_line=scan.hear
        )
        about = About(digest=facts.digest, also=children, what=f"report of {chosen.name} on {facts.name}")
        return await asyncio.to_thread(read_report, written, about)

    async def _target(self, facts: ImageFacts) -> Target:
        registries = self._foundation.registries
        config = registries.config(facts.registry)
        credential = await registries.credential(facts.registry)
        login = Login(credential.username, credential.password, credential.identity_token) if credential else None
        ca = self._foundation.configuration.folder / config.ca.expanduser() if config.ca else None
        return Target(reference=facts.reference, host=config.host, insecure=config.insecure, ca=ca, login=login)


def children_of(known: Mapping[str, str], digest: str) -> frozenset[str]:
    """The digests that mean the same image: its platforms' manifests and configurations.

    Args:
        known: as `backend.library.facts.aliases` gives them.
    """
    return frozenset(alias for alias, parent in known.items() if parent == digest)


def _record(
    report: VulnerabilityReport, chosen: Scanner, facts: ImageFacts, by: str, foundation: Foundation
) -> EvidenceRecord:
    at = foundation.clock.now()
    told = msgspec.structs.replace(
        report,
        version=report.version or chosen.version,
        created_at=report.created_at or at,
        database_at=report.database_at or chosen.database_at,
    )
    given = Provenance(digest=facts.digest, origin=Origin.SCANNED, how=f"run here by {by}", asserted_by=by, at=at)
    return documents.of_report(told, given, foundation.ids)


def _checked(found: Scanner, now: datetime) -> CheckView:
    name = f"scanner {found.name}"
    if found.problem:
        return CheckView(name=name, state="failed", detail=found.problem, action="check [scanner] command")
    if found.database_at is None:
        age = "age of its database unknown: it has none yet, or does not tell"
    else:
        hours = max(0, int((now - found.database_at).total_seconds() // 3600))
        age = f"database {hours // 24} days old" if hours >= 48 else f"database {hours} hours old"
    return CheckView(name=name, state="ok", detail=f"{found.version or 'version not told'} at {found.path}, {age}")
