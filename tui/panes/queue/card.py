"""The card of one candidate."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.errors import ModelyardError
from backend.core.views import CandidateView, EvidenceView
from tui.document import EMPTY, Line, Section, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.queue.actions import CandidateActions
from tui.panes.queue.detail_model import card_sections
from tui.panes.queue.view_model import STATE_ROLE, mine_first, waiting
from tui.widgets.line_view import LineView


class CardPage(DetailPage, CandidateActions):
    """What changed, gates, evidence and decisions of one candidate; after a decision the next one comes."""

    CSS_PATH = "../common/common.tcss"
    pane = "card"
    parts = frozenset({PartName.QUEUE})

    def __init__(self, candidate: CandidateView) -> None:
        super().__init__()
        self._candidate_view = candidate
        self._evidence: list[EvidenceView] | None = None
        self._read_of = ""
        self._problem: Problem | None = None

    def current_candidate(self) -> CandidateView | None:
        return self._candidate_view

    def reference(self) -> str:
        return self._candidate_view.reference

    def title_parts(self) -> tuple[str, str, Line, Line]:
        candidate = self._candidate_view
        open_ones = waiting(self.model.queue.value)
        return (
            "2",
            candidate.name,
            text(candidate.state.value, STATE_ROLE[candidate.state]),
            text(f"{len(open_ones)} wait  Tab next section", "muted") if open_ones else EMPTY,
        )

    def sections(self) -> Sequence[Section]:
        sections = card_sections(self._candidate_view, self._evidence, self.room.clock.now())
        if self._problem is not None:
            sections.insert(0, Section("Could not be read", problem_lines(self._problem)))
        return sections

    def show(self) -> None:
        own = self._candidate_view.reference
        current = next((item for item in self.model.queue.value if item.reference == own), None)
        if current is not None:
            self._candidate_view = current
        super().show()
        wanted = f"{own} {self._candidate_view.evidence_hash}"
        if wanted != self._read_of:
            self._read_of = wanted
            self.room.feed.spawn(self._read(own), "reading evidence")

    async def _read(self, reference: str) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        try:
            evidence = await yard.queue.evidence(reference)
        except ModelyardError as error:
            self._problem = Problem.of(error)
        else:
            if reference != self._candidate_view.reference:
                return
            self._evidence, self._problem = evidence, None
        if self.is_attached:
            self.show()

    def decided(self, candidate: CandidateView) -> None:
        """Go on to the next candidate that waits."""
        rest = [item for item in mine_first(waiting(self.model.queue.value)) if item.reference != candidate.reference]
        following = next((item for item in rest if item.waits_for_me), None)
        if following is None:
            return
        self._candidate_view = following
        self._evidence = None
        self.query_one("#main", LineView).scroll_lines(0)
        self.show()
