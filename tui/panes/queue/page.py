"""The queue pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.views import CandidateView
from tui.document import EMPTY, Line, Section, text
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.queue import view_model
from tui.panes.queue.actions import CandidateActions
from tui.panes.queue.detail_model import changes_section, decisions_section, gates_section, standing_section
from tui.widgets.columns import Column


class QueuePage(ListPage[CandidateView], CandidateActions):
    """Candidates: mine first, then risk, then age."""

    CSS_PATH = "../common/common.tcss"
    pane = "queue"
    parts = frozenset({PartName.QUEUE, PartName.STATUS})
    number = "2"
    heading_title = "QUEUE"
    order = "mine first, then risk, age"

    def columns(self) -> tuple[Column[CandidateView], ...]:
        return view_model.candidate_columns(self.room.clock.now)

    def key(self, item: CandidateView) -> str:
        return item.reference

    def part(self) -> Part[Any]:
        return self.model.queue

    def items(self) -> Sequence[CandidateView]:
        return view_model.mine_first(self.model.queue.value)

    def haystack(self, item: CandidateView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        return view_model.tally(self.model.queue.value)

    def empty(self) -> Sequence[Line]:
        status = self.model.status
        if status is not None and not status.library_total:
            return (
                text("No candidates: nothing was synchronised yet.", "strong"),
                EMPTY,
                text("What :sync brings in is submitted here, gate by gate."),
            )
        return (text("Nothing waits: every image was decided on.", "ok"),)

    def preview(self, item: CandidateView) -> Sequence[Section]:
        now = self.room.clock.now()
        return [standing_section(item, now), gates_section(item), changes_section(item), decisions_section(item, now)]

    def current_candidate(self) -> CandidateView | None:
        return self.table.current

    def reference(self) -> str:
        candidate = self.table.current
        return candidate.reference if candidate is not None else ""

    def act_look_open(self) -> None:
        from tui.panes.queue.card import CardPage

        if candidate := self.table.current:
            self.room.push_screen(CardPage(candidate))
