"""The card of one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from backend.core.errors import ModelyardError
from backend.core.views import CandidateView, EvidenceView, FindingView
from tui.document import Line, Section, join, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.queue.actions import CandidateActions
from tui.panes.queue.detail_model import card_sections, changed_section, worst_findings
from tui.panes.queue.evidence_actions import scan_line
from tui.panes.queue.view_model import STATE_ROLE, mine_first, waiting
from tui.panes.queue.waive import WaiveAction
from tui.widgets.line_view import LineView

# Below so many lines the card leaves out blank lines, and what passes stands on one line.
_TALL: Final = 36


class CardPage(DetailPage, CandidateActions, WaiveAction):
    """What changed, gates, evidence and decisions of one candidate; after a decision the next one comes.

    The list tells what is cheap to tell of thousands; the card reads the rest of its one candidate.
    """

    CSS_PATH = "../common/common.tcss"
    pane = "card"
    parts = frozenset({PartName.QUEUE, PartName.SYNC})

    def __init__(self, candidate: CandidateView) -> None:
        super().__init__()
        self._candidate_view = candidate
        self._opened: CandidateView | None = None
        self._listed: Sequence[CandidateView] | None = None
        self._evidence: list[EvidenceView] | None = None
        self._evidence_of = ""
        self._problem: Problem | None = None

    def current_candidate(self) -> CandidateView | None:
        return self._candidate_view

    def waived_candidate(self) -> CandidateView:
        return self._candidate_view

    def findings(self) -> Sequence[FindingView]:
        return worst_findings(self._evidence or ())

    def reference(self) -> str:
        return self._candidate_view.reference

    def title_parts(self) -> tuple[str, str, Line, Line]:
        candidate = self._candidate_view
        open_ones = waiting(self.model.queue.value)
        return (
            "2",
            candidate.name,
            join(
                text(candidate.state.value, STATE_ROLE[candidate.state]),
                text("broken glass" if candidate.break_glass else "", "chip-bad"),
            ),
            scan_line(self.model.scans.get(candidate.reference))
            or text(f"{len(open_ones)} wait" if open_ones else "", "muted"),
        )

    def sections(self) -> Sequence[Section]:
        now = self.room.clock.now()
        compact = self.app.size.height < _TALL
        sections = card_sections(self._candidate_view, self._evidence, now, compact=compact)
        if self._opened is not None and (changed := changed_section(self._opened, self._candidate_view)):
            sections.insert(0, changed)
        if self._problem is not None:
            sections.insert(0, Section("Could not be read", problem_lines(self._problem)))
        return sections

    def show(self) -> None:
        self.query_one("#main", LineView).gaps = self.app.size.height >= _TALL
        listed = self.model.queue.value
        if listed is not self._listed:
            self._listed = listed
            # Comments and waivers are in no list: whatever changed, the whole of this one is read again.
            self.room.feed.spawn(self._read(self._candidate_view.reference), "reading the candidate")
        super().show()

    async def _read(self, reference: str) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        try:
            candidate = await yard.queue.candidate(reference)
            wanted = f"{candidate.reference} {candidate.evidence_hash}"
            evidence = None if wanted == self._evidence_of else await yard.evidence.of(reference)
        except ModelyardError as error:
            self._problem = Problem.of(error)
        else:
            if reference != self._candidate_view.reference:
                return
            self._candidate_view, self._problem = candidate, None
            self._opened = self._opened or candidate
            if evidence is not None:
                self._evidence, self._evidence_of = evidence, wanted
        if self.is_attached:
            self.show()

    def act_pane_next(self) -> None:
        if isinstance(self.focused, LineView):
            self.focused.next_section(unseen=True)

    def act_look_refresh(self) -> None:
        self.look_again(self._candidate_view)
        self.room.flash("reading again")

    def look_again(self, candidate: CandidateView) -> None:
        """Read the card anew; what changed since it was opened stands at its top until the next reading."""
        self._evidence_of = ""
        self.query_one("#main", LineView).scroll_lines(0)
        self.room.feed.read()

    def waived(self) -> None:
        self._evidence_of = ""

    def decided(self, candidate: CandidateView) -> None:
        """Go on to the next candidate that waits."""
        rest = [item for item in mine_first(waiting(self.model.queue.value)) if item.reference != candidate.reference]
        following = next((item for item in rest if item.waits_for_me), None)
        if following is None:
            return
        self._candidate_view = following
        self._opened = self._evidence = None
        self._evidence_of = ""
        self._listed = None
        self.query_one("#main", LineView).scroll_lines(0)
        self.show()
