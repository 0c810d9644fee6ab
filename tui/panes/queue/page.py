"""The queue pane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from backend.core.errors import ModelyardError
from backend.core.views import CandidateView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, join, text
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.queue import dialogs, view_model
from tui.panes.queue.actions import CandidateActions, comment_fields
from tui.panes.queue.detail_model import changes_section, decisions_section, gates_section, standing_section
from tui.ports import ScreenYard
from tui.widgets.columns import Column
from tui.widgets.fields import Field, Values

_Outcomes = list[tuple[str, str]]


class QueuePage(ListPage[CandidateView], CandidateActions):
    """Candidates: mine first, then risk, then age. Rows can be marked to be rejected or commented on together."""

    CSS_PATH = "../common/common.tcss"
    pane = "queue"
    parts = frozenset({PartName.QUEUE, PartName.STATUS})
    number = "2"
    heading_title = "QUEUE"
    order = "mine first, then risk, age"

    def __init__(self) -> None:
        super().__init__()
        self._ordered: tuple[Sequence[CandidateView], list[CandidateView]] = ((), [])
        # The column of marks looks at this very set.
        self._marked: set[str] = set()
        self._marked_last = ""

    def columns(self) -> tuple[Column[CandidateView], ...]:
        return view_model.candidate_columns(self.room.clock.now, marked=self._marked)

    def key(self, item: CandidateView) -> str:
        return item.reference

    def part(self) -> Part[Any]:
        return self.model.queue

    def items(self) -> Sequence[CandidateView]:
        candidates = self.model.queue.value
        if self._ordered[0] is not candidates:
            self._ordered = (candidates, view_model.mine_first(candidates))
            self._marked.intersection_update(candidate.reference for candidate in candidates)
        return self._ordered[1]

    def haystack(self, item: CandidateView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        marked = (Span(f"{len(self._marked)} marked", "warn"),) if self._marked else EMPTY
        return join(view_model.tally(self.model.queue.value), marked, gap="  ")

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

    # ------------------------------------------------------------ marks

    def act_look_mark(self) -> None:
        key = self.table.current_key
        if key is None:
            return
        self._marked.symmetric_difference_update((key,))
        self._marked_last = key if key in self._marked else ""
        self.table.move(1)
        self._show_marks()

    def act_look_mark_range(self) -> None:
        keys = [self.key(item) for item in self.table.items]
        if self._marked_last not in keys or self.table.current_key is None:
            self.room.flash("mark the first row with Space", bad=True)
            return
        start, end = sorted((keys.index(self._marked_last), self.table.cursor))
        self._marked.update(keys[start : end + 1])
        self._show_marks()

    def act_look_mark_all(self) -> None:
        if self._marked:
            self._marked.clear()
        else:
            self._marked.update(self.key(item) for item in self.table.items)
        self._show_marks()

    def act_look_mark_invert(self) -> None:
        self._marked.symmetric_difference_update(self.key(item) for item in self.table.items)
        self._show_marks()

    def act_program_back(self) -> None:
        if self._marked and not (self.filter is not None and self.filter.typed):
            self._marked.clear()
            self._show_marks()
        else:
            super().act_program_back()

    def _show_marks(self) -> None:
        self.table.repaint_changed()
        self._show_heading(len(self.table.items))

    # ------------------------------------------------------------ deciding on marked rows

    def act_queue_approve(self) -> None:
        if len(self._marked) > 1:
            self.room.flash("approval is one by one: Esc takes the marks away, Enter opens a card", bad=True)
        else:
            super().act_queue_approve()

    def act_queue_reject(self) -> None:
        if not self._marked:
            super().act_queue_reject()
            return

        async def reject(yard: ScreenYard, chosen: list[CandidateView], values: Values) -> _Outcomes:
            return await yard.queue.reject_many([one.reference for one in chosen], reason=values["reason"])

        reason = dialogs.reason_field(self._offers("reject"), "say why: whoever brought them in will read it", {})
        self._ask_about_marked("Reject", (reason,), reject, good="rejected", danger=True)

    def act_queue_comment(self) -> None:
        if not self._marked:
            super().act_queue_comment()
            return

        async def comment(yard: ScreenYard, chosen: list[CandidateView], values: Values) -> _Outcomes:
            outcomes: _Outcomes = []
            for one in chosen:
                try:
                    await yard.queue.comment(one.reference, text=values["text"], ticket=values["ticket"])
                except ModelyardError as error:
                    outcomes.append((one.reference, error.why))
                else:
                    outcomes.append((one.reference, "commented on"))
            return outcomes

        self._ask_about_marked("Comment", comment_fields(), comment, good="commented on")

    def _ask_about_marked(
        self,
        verb: str,
        fields: tuple[Field, ...],
        act: Callable[[ScreenYard, list[CandidateView], Values], Awaitable[_Outcomes]],
        *,
        good: str,
        danger: bool = False,
    ) -> None:
        chosen = [item for item in self.items() if item.reference in self._marked]
        seen = {self.key(item) for item in self.table.items}
        hidden = sum(one.reference not in seen for one in chosen)
        typed = self.filter.typed if self.filter is not None else ""
        yard = self.room.feed.yard

        async def perform(values: Values) -> object:
            return await act(yard, chosen, values) if yard is not None else None

        def done(result: object) -> None:
            if isinstance(result, list):
                self._tell_outcomes(verb, result, good)

        title = f"{verb} {fmt.count(len(chosen), 'candidate')}?"
        lines = dialogs.bulk_lines(chosen, hidden, typed)
        self.ask(title, lines, verb, perform, fields=fields, danger=danger, done=done)

    def _tell_outcomes(self, verb: str, outcomes: _Outcomes, good: str) -> None:
        """Say how many were done; those that were not keep their mark, and the log of commands has each reason."""
        for reference, outcome in outcomes:
            told = "done" if outcome == good else f"refused: {outcome}"
            self.room.log_command(f"modelyard {verb.lower()} {reference} …", told)
        refused = [(reference, outcome) for reference, outcome in outcomes if outcome != good]
        self._marked.intersection_update(reference for reference, _ in refused)
        self._show_marks()
        self.room.feed.read(PartName.QUEUE, PartName.LIBRARY, PartName.CHANGES)
        told = f"{len(outcomes) - len(refused)} of {len(outcomes)} {good}"
        if refused:
            told += f"; {len(refused)} stay marked: {refused[0][1]} (@ has each)"
        self.room.flash(told, bad=bool(refused))
