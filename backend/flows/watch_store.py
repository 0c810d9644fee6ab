"""Notices what other processes wrote into the yard's database, without a server to tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from backend.audit import entries as audit_entries
from backend.core.errors import ModelyardError
from backend.core.events import AlertsChanged, LedgerAppended, LibraryChanged, QueueChanged, Topic
from backend.flows.foundation import Foundation

_LOG = logging.getLogger(__name__)
_LOOK_EVERY: Final = 1.0
_MOST_TOLD: Final = 200


class StoreWatch:
    """Looks once a second whether anybody committed, and tells subscribers what to read again."""

    def __init__(
        self, foundation: Foundation, changed: Callable[[], Awaitable[None]], touched: Callable[[], Awaitable[None]]
    ) -> None:
        """
        Args:
            changed: awaited after commits that the ledger tells of.
            touched: awaited after others, such as the renewal of a lease.
        """
        self._foundation = foundation
        self._changed = changed
        self._touched = touched
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
                # Whatever is worth reading again is an entry of the ledger; a lease is renewed every few seconds.
                if await self._tell_entries():
                    self._foundation.hub.publish(Topic.ALERTS, AlertsChanged())
                    self._foundation.hub.publish(Topic.LIBRARY, LibraryChanged())
                    self._foundation.hub.publish(Topic.QUEUE, QueueChanged())
                    await self._changed()
                else:
                    await self._touched()
            except ModelyardError as error:
                _LOG.warning("watching the database: %s", error)

    async def _tell_entries(self) -> bool:
        """Tell of the entries since the last look; gives whether there were any."""
        newest = await audit_entries.entries(self._foundation.database, limit=1)
        known, self._last_entry = self._last_entry, newest[0].seq if newest else 0
        if known is None or self._last_entry == known:
            return False
        for entry in reversed(await audit_entries.entries(self._foundation.database, limit=_MOST_TOLD)):
            if entry.seq > known:
                self._foundation.hub.publish(Topic.LEDGER, LedgerAppended(key=str(entry.seq), entry=entry))
        return True
