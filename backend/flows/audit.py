"""The ledger as commands and screen know it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from backend.audit import anchors, bundle, bundle_check, verification
from backend.audit import entries as audit_entries
from backend.audit.entries import EntryFilter
from backend.audit.report import Period, report
from backend.core.errors import UsageError
from backend.core.views import AnchorView, BundleView, LedgerEntryView, VerificationView
from backend.curation import curated
from backend.flows.anchoring import Anchoring
from backend.flows.foundation import Foundation
from backend.library.facts import all_facts


class AuditFlow:
    """Reading, verifying and exporting the ledger."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def entries(
        self,
        limit: int = 200,
        before: int | None = None,
        *,
        actor: str = "",
        action: str = "",
        object: str = "",
        outcome: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[LedgerEntryView]:
        """Entries, newest first.

        Args:
            before: only those with a smaller number.
            actor, action: whole names; `*` stands for any characters. object: a part of the name.
            outcome: done, refused, failed or started.
            since, until: instants; since is included, until is not.
        """
        chosen = EntryFilter(actor=actor, action=action, object=object, outcome=outcome, since=since, until=until)
        return await audit_entries.entries(self._foundation.database, chosen, limit=limit, before=before)

    async def entry(self, seq: int) -> LedgerEntryView:
        """One entry in full.

        Raises:
            NotFoundError: the ledger has none of that number.
        """
        return await audit_entries.entry(self._foundation.database, seq)

    async def head(self) -> AnchorView:
        """The ledger's head, to be kept outside as an anchor."""
        foundation = self._foundation
        return await anchors.head(
            foundation.database, foundation.configuration.settings.yard.name, foundation.clock.now()
        )

    async def verify(self, anchor: str | None = None) -> VerificationView:
        """Verify the whole chain and the decisions, and with an anchor that it was not cut.

        Args:
            anchor: a head hash that was noted earlier, or what `audit head` printed; None: the newest of the anchor
                file, where one is configured.

        Raises:
            UsageError: the anchor is neither.
        """
        return await verification.verify(self._foundation.database, await self._noted(anchor))

    async def _noted(self, anchor: str | None) -> str | None:
        """The hash that was given, else the one that was noted last in the anchor file."""
        if anchor is not None:
            return anchors.read_anchor(anchor)
        newest = await Anchoring(self._foundation).newest()
        return None if newest is None else newest.hash

    def export(
        self,
        *,
        as_csv: bool = False,
        actor: str = "",
        action: str = "",
        object: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[str]:
        """Entries, oldest first, a JSON object a line, or CSV with a heading."""
        chosen = EntryFilter(actor=actor, action=action, object=object, since=since, until=until)
        write = audit_entries.export_csv if as_csv else audit_entries.export
        return write(self._foundation.database, chosen)

    async def write_bundle(self, target: Path, *, key: Path | None = None) -> BundleView:
        """Write the ledger with all decisions and the evidence that they rested on into one file.

        Args:
            key: an SSH key to sign it with.

        Raises:
            ConflictError: the file exists. StoreUnwritableError: it cannot be written.
            UsageError, RefusedError: the key cannot sign.
        """
        foundation = self._foundation
        actor, _ = await foundation.identity.onlooker()
        return await bundle.write_bundle(
            foundation.database,
            await _absolute(target),
            yard=foundation.configuration.settings.yard.name,
            by=actor.name or "unknown",
            at=foundation.clock.now(),
            key=None if key is None else await _absolute(key),
        )

    async def check_bundle(
        self, path: Path, *, anchor: str | None = None, allowed: Path | None = None, signer: str = ""
    ) -> BundleView:
        """Check a bundle: files, chain, decisions, evidence, signature.

        Args:
            allowed: OpenSSH's list of allowed signers. signer: who has to have signed it.
        """
        signers = None if allowed is None else await _absolute(allowed)
        noted = None if anchor is None else anchors.read_anchor(anchor)
        return await bundle_check.check_bundle(await _absolute(path), anchor=noted, allowed=signers, signer=signer)

    async def report(self, since: datetime, until: datetime) -> str:
        """What was decided, changed and refused in a period, as Markdown.

        Raises:
            UsageError: the period ends before it begins.
        """
        if until <= since:
            raise UsageError("audit report", "the period ends before it begins", "give --since before --until")
        foundation = self._foundation
        database = foundation.database
        actor, _ = await foundation.identity.onlooker()
        period = Period(yard=foundation.configuration.settings.yard.name, since=since, until=until)
        chosen = EntryFilter(since=since, until=until)
        found = [entry async for entry in audit_entries.views(database, chosen)]
        facts = await all_facts(database)
        return await asyncio.to_thread(
            report,
            period,
            found,
            verification=await self.verify(),
            approved_before=await curated.approved_digests(database, since),
            approved_after=await curated.approved_digests(database, until),
            names=lambda digest: facts[digest].reference if digest in facts else digest,
            made_by=actor.name or "unknown",
            made_at=foundation.clock.now(),
        )


async def _absolute(path: Path) -> Path:
    return await asyncio.to_thread(lambda: path.expanduser().absolute())
