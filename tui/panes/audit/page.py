"""The audit pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.views import LedgerEntryView, VerificationView
from tui.document import Line, Section, text
from tui.model import Part, PartName
from tui.page import Page
from tui.panes.audit import view_model
from tui.panes.common.detail import DetailPage
from tui.panes.common.listing import ListPage
from tui.widgets.columns import Column


class VerifyAction(Page):
    """Verifying the ledger."""

    def act_audit_verify(self) -> None:
        self.room.feed.spawn(self._verify(), "verifying the ledger")

    async def _verify(self) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        verification = await yard.audit.verify()
        self.verified(verification)
        if verification.intact:
            self.room.flash(f"the ledger is intact: {verification.entries} entries, head {verification.head[:12]}")
        else:
            told = f"the ledger does not hold from entry {verification.first_bad} on: {verification.reason}"
            self.room.flash(told, bad=True)

    def verified(self, verification: VerificationView) -> None:
        """Called with what was found."""


class AuditPage(ListPage[LedgerEntryView], VerifyAction):
    """The ledger, newest first."""

    CSS_PATH = "../common/common.tcss"
    pane = "audit"
    parts = frozenset({PartName.LEDGER})
    number = "5"
    heading_title = "AUDIT"
    order = "newest first"
    preview_from = 200

    def __init__(self) -> None:
        super().__init__()
        self._verification: VerificationView | None = None

    def on_mount(self) -> None:
        self.room.feed.want(PartName.LEDGER)

    def columns(self) -> tuple[Column[LedgerEntryView], ...]:
        return view_model.entry_columns(self.room.clock.now)

    def key(self, item: LedgerEntryView) -> str:
        return str(item.seq)

    def part(self) -> Part[Any]:
        return self.model.ledger

    def items(self) -> Sequence[LedgerEntryView]:
        return sorted(self.model.ledger.value, key=lambda entry: entry.seq, reverse=True)

    def haystack(self, item: LedgerEntryView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        return view_model.verification_line(self._verification)

    def empty(self) -> Sequence[Line]:
        return (text("Nothing was done yet: every act and every refusal will stand here.", "muted"),)

    def preview(self, item: LedgerEntryView) -> Sequence[Section]:
        return view_model.entry_sections(item)

    def reference(self) -> str:
        entry = self.table.current
        return entry.hash if entry is not None else ""

    def verified(self, verification: VerificationView) -> None:
        self._verification = verification
        self.show()
        if verification.first_bad is not None:
            self.table.select(str(verification.first_bad))

    def act_look_open(self) -> None:
        if entry := self.table.current:
            self.room.push_screen(EntryPage(entry))


class EntryPage(DetailPage, VerifyAction):
    """One entry of the ledger."""

    CSS_PATH = "../common/common.tcss"
    pane = "entry"

    def __init__(self, entry: LedgerEntryView) -> None:
        super().__init__()
        self._entry = entry

    def reference(self) -> str:
        return self._entry.hash

    def title_parts(self) -> tuple[str, str, Line, Line]:
        outcome = text(self._entry.outcome, view_model.OUTCOME_ROLE.get(self._entry.outcome, ""))
        return "5", f"ENTRY {self._entry.seq}", outcome, text("", "")

    def sections(self) -> Sequence[Section]:
        return view_model.entry_sections(self._entry)
