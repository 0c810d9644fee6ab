"""The ledger as commands and screen know it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from backend.audit import entries as audit_entries
from backend.audit import verification
from backend.core.views import LedgerEntryView, VerificationView
from backend.flows.foundation import Foundation


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
    ) -> list[LedgerEntryView]:
        """Entries, newest first.

        Args:
            before: only those with a smaller number.
            actor, action: whole names. object: a part of the name.
        """
        chosen = audit_entries.EntryFilter(actor=actor, action=action, object=object)
        return await audit_entries.entries(self._foundation.database, chosen, limit=limit, before=before)

    async def verify(self, anchor: str | None = None) -> VerificationView:
        """Verify the whole chain, and with an anchor that it was not cut.

        Args:
            anchor: a head hash that was noted earlier.
        """
        return await verification.verify(self._foundation.database, anchor)

    def export(self) -> AsyncIterator[str]:
        """The whole ledger, oldest first, a JSON object a line."""
        return audit_entries.export(self._foundation.database)
