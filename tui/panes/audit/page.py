"""The audit pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from backend.core.views import LedgerEntryView, VerificationView
from tui.commands import Filter
from tui.document import Line, Section, text
from tui.model import Part, PartName
from tui.page import Page
from tui.panes.audit import view_model
from tui.panes.audit.terms import Terms, complete, read_terms
from tui.panes.common.detail import DetailPage
from tui.panes.common.listing import ListPage
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable

_PAGE: Final = 200
_AHEAD: Final = 30


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
            self.room.flash(
                f"the ledger is intact: {verification.entries} entries, head {view_model.short_head(verification)}"
            )
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
        self._terms = Terms()
        # Entries beyond those that the feed keeps, by number: older ones, and what terms found.
        self._read: dict[int, LedgerEntryView] = {}
        self._reading = False
        self._at_the_end = False

    def on_mount(self) -> None:
        self.room.feed.want(PartName.LEDGER)

    def parts_changed(self, parts: frozenset[PartName]) -> None:
        super().parts_changed(parts)
        if PartName.LEDGER in parts and self._terms.asks:
            self.room.feed.spawn(self._ask(self._terms, before=None), "reading the ledger")

    def columns(self) -> tuple[Column[LedgerEntryView], ...]:
        return view_model.entry_columns(self.room.clock.now)

    def key(self, item: LedgerEntryView) -> str:
        return str(item.seq)

    def part(self) -> Part[Any]:
        return self.model.ledger

    def items(self) -> Sequence[LedgerEntryView]:
        known = {} if self._terms.asks else {entry.seq: entry for entry in self.model.ledger.value}
        return sorted({**self._read, **known}.values(), key=lambda entry: entry.seq, reverse=True)

    def haystack(self, item: LedgerEntryView) -> str:
        return view_model.haystack(item)

    def find(self, pattern: Filter | None) -> str:
        terms = read_terms(pattern.typed if pattern is not None else "", self.room.clock.now())
        if terms != self._terms:
            asked, self._terms = self._terms, terms
            if terms.asks or asked.asks:
                self._read, self._at_the_end = {}, False
            if terms.asks:
                self.room.feed.spawn(self._ask(terms, before=None), "reading the ledger")
        self._all = self.items()
        told = super().find(pattern)
        return terms.problem or told

    def matching(self) -> Filter | None:
        return Filter(self._terms.rest) if self._terms.rest else None

    def complete_filter(self, line: str) -> Sequence[str]:
        entries = self.model.ledger.value
        return complete(line, [entry.actor for entry in entries], [entry.action for entry in entries])

    async def _ask(self, terms: Terms, *, before: int | None) -> None:
        """Read entries by terms from the store, newest first, or those before a number."""
        yard = self.room.feed.yard
        if yard is None or self._reading:
            return
        self._reading = True
        try:
            found = await yard.audit.entries(
                _PAGE, before, actor=terms.actor, action=terms.action, object=terms.object, outcome=terms.outcome,
                since=terms.since, until=terms.until,
            )  # fmt: skip
        finally:
            self._reading = False
        if terms != self._terms:
            # Another filter was typed meanwhile, and found the reader busy.
            await self._ask(self._terms, before=None)
            return
        self._read.update((entry.seq, entry) for entry in found)
        self._at_the_end = self._at_the_end or len(found) < _PAGE
        self.show()

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        super().on_line_table_moved(event)
        # What was shown last is near: read on before it is reached.
        if self._at_the_end or self._reading or not self._all or self.table.cursor < len(self._all) - _AHEAD:
            return
        before = self._all[-1].seq
        if before > 1:
            self.room.feed.spawn(self._ask(self._terms, before=before), "reading older entries")

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
