"""Notices what other processes wrote into the yard's database, without a server to tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from backend.audit import entries as audit_entries
from backend.core.errors import ModelyardError
from backend.core.events import LedgerAppended, LibraryChanged, QueueChanged, Topic
from backend.flows.foundation import Foundation

_LOG = logging.getLogger(__name__)
_LOOK_EVERY: Final = 1.0
_MOST_TOLD: Final = 200


class StoreWatch:
    """Looks once a second whether anybody committed, and tells subscribers what to read again."""

    def __init__(self, foundation: Foundation, changed: Callable[[], Awaitable[None]]) -> None:
        """
        Args:
            changed: awaited after each commit that was noticed.
        """
        self._foundation = foundation
        self._changed = changed
        self._last_entry: int | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        version = await self._foundation.database.data_version()
        await self._tell_entries()
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                now = await self._foundation.database.data_version()
                if now == version:
                    continue
                version = now
                await self._tell()
            except ModelyardError as error:
                _LOG.warning("watching the database: %s", error)

    async def _tell(self) -> None:
        hub = self._foundation.hub
        hub.publish(Topic.LIBRARY, LibraryChanged())
        hub.publish(Topic.QUEUE, QueueChanged())
        await self._tell_entries()
        await self._changed()

    async def _tell_entries(self) -> None:
        newest = await audit_entries.entries(self._foundation.database, limit=_MOST_TOLD)
        known = self._last_entry
        if newest:
            self._last_entry = newest[0].seq
        if known is None:
            return
        for entry in reversed(newest):
            if entry.seq > known:
                self._foundation.hub.publish(Topic.LEDGER, LedgerAppended(key=str(entry.seq), entry=entry))
