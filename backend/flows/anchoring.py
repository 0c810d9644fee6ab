"""Notes the ledger's head outside of the database, where the configuration says so, by whoever holds the lease."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backend.audit import anchors
from backend.core.views import AnchorView, CheckView
from backend.flows.foundation import Foundation


class Anchoring:
    """Appends the head to a file and to the system's log when it moved."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._noted = ""
        self._looked_at = float("-inf")

    @property
    def file(self) -> Path | None:
        """The anchor file, or None."""
        configuration = self._foundation.configuration
        named = configuration.settings.audit.anchor_file
        return None if named is None else configuration.folder / named.expanduser()

    async def note(self) -> None:
        """Note the head, if it is time and it moved since.

        Raises:
            StoreUnwritableError: the file cannot be written.
            StoreError: the database cannot be read.
        """
        foundation, config = self._foundation, self._foundation.configuration.settings.audit
        now = foundation.clock.monotonic()
        if not config.notes or now - self._looked_at < config.anchor_every.total_seconds():
            return
        self._looked_at = now
        name = foundation.configuration.settings.yard.name
        head = await anchors.head(foundation.database, name, foundation.clock.now())
        if head.hash == self._noted:
            return
        if self.file is not None:
            await asyncio.to_thread(anchors.append_anchor, self.file, head)
        if config.anchor_syslog:
            await asyncio.to_thread(anchors.log_anchor, head)
        self._noted = head.hash

    async def newest(self) -> AnchorView | None:
        """The anchor that was noted last in the file; None: there is none, or no file.

        Raises:
            UsageError: the file cannot be read.
        """
        if self.file is None:
            return None
        name = self._foundation.configuration.settings.yard.name
        return await asyncio.to_thread(anchors.newest_anchor, self.file, name)

    async def check(self) -> CheckView:
        """A line of `doctor`.

        Raises:
            UsageError: the file cannot be read.
        """
        config = self._foundation.configuration.settings.audit
        if not config.notes:
            return CheckView(
                name="anchors",
                state="warning",
                detail="the ledger's head is noted nowhere else: a cut end is not found",
                action="name an anchor_file in [audit], or keep what modelyard audit head prints",
            )
        newest = await self.newest()
        places = [str(self.file)] if self.file is not None else []
        places += ["the system's log"] if config.anchor_syslog else []
        last = f"; entry {newest.seq} at {newest.at:%Y-%m-%d %H:%M:%SZ}" if newest is not None else ""
        return CheckView(name="anchors", state="ok", detail=f"noted in {' and '.join(places)}{last}")
