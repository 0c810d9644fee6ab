"""The card of one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final

from backend.core.errors import ModelyardError
from backend.core.views import CandidateView, EvidenceView
from tui.document import EMPTY, Line, Section, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.queue.actions import CandidateActions
from tui.panes.queue.detail_model import card_sections, worst_findings
from tui.panes.queue.view_model import STATE_ROLE, mine_first, waiting
from tui.widgets.fields import Field, Values, required
from tui.widgets.line_view import LineView

_WAIVED_FOR: Final = timedelta(days=30)


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
            evidence = await yard.evidence.of(reference)
        except ModelyardError as error:
            self._problem = Problem.of(error)
        else:
            if reference != self._candidate_view.reference:
                return
            self._evidence, self._problem = evidence, None
        if self.is_attached:
            self.show()

    def act_queue_waive(self) -> None:
        candidate, yard, now = self._candidate_view, self.room.feed.yard, self.room.clock.now()
        open_findings = [finding.id for finding in worst_findings(self._evidence or ()) if not finding.waived]
        if not open_findings:
            self.room.flash("there is no finding to waive", bad=True)
            return
        lines = (
            text(f"The finding no longer counts for {candidate.name} until the day named; then the gate closes again."),
            text("Open: " + ", ".join(open_findings[:6]) + ("…" if len(open_findings) > 6 else ""), "muted"),
        )
        fields = (
            Field(
                id="finding",
                label="Finding",
                value=open_findings[0],
                check=lambda value: "" if value.strip() in open_findings else "name one of the open findings",
            ),
            Field(
                id="until",
                label="Until (a day)",
                value=(now + _WAIVED_FOR).date().isoformat(),
                check=partial(check_day, now),
            ),
            required("reason", "Reason", "say why, and what makes up for it: it goes into the ledger"),
        )

        async def perform(values: Values) -> object:
            if yard is None:
                return None
            command = (
                f"modelyard waive {candidate.reference} --finding {values['finding']} "
                f"--until {values['until']} --reason …"
            )
            try:
                await yard.queue.waive(
                    candidate.reference,
                    finding=values["finding"],
                    reason=values["reason"],
                    until=end_of_day(values["until"]),
                )
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return values

        def done(result: object) -> None:
            if result is not None:
                self._read_of = ""
                self.room.feed.read(PartName.QUEUE, PartName.CHANGES)
                self.room.flash("waived: the gates are evaluated again")

        self.ask("Waive a finding?", lines, "Waive", perform, fields=fields, done=done)

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


def check_day(now: datetime, value: str) -> str:
    """Why a text is no day to come; empty when it is."""
    try:
        day = end_of_day(value)
    except ValueError:
        return "write a day as 2027-01-31"
    return "" if day > now else "this day is over"


def end_of_day(value: str) -> datetime:
    """The end of a day in UTC.

    Raises:
        ValueError: the text is no day.
    """
    return datetime.combine(datetime.fromisoformat(value.strip()).date(), time.max, UTC)
