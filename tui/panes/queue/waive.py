"""Waiving a finding, from the card and from the list of findings."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import CandidateView, FindingView
from tui.document import text
from tui.model import PartName
from tui.page import Page
from tui.panes.queue import dialogs
from tui.widgets.fields import Values


class WaiveAction(Page):
    """Lets one finding pass until a date."""

    def waived_candidate(self) -> CandidateView:
        """Whose finding it is."""
        raise NotImplementedError

    def findings(self) -> Sequence[FindingView]:
        """What can be waived, what is meant first."""
        raise NotImplementedError

    def waived(self) -> None:
        """Called after a waiver was recorded."""

    def act_queue_waive(self) -> None:
        candidate, yard, now = self.waived_candidate(), self.room.feed.yard, self.room.clock.now()
        found = list(dict.fromkeys(finding.id for finding in self.findings() if not finding.waived))
        if not found:
            self.room.flash("there is no finding to waive", bad=True)
            return
        lines = (
            text(f"The finding no longer counts for {candidate.name} until the day named; then the gate closes again."),
            text("Open: " + ", ".join(found[:6]) + ("…" if len(found) > 6 else ""), "muted"),
        )
        status = self.model.status
        fields = dialogs.waiver_fields(
            found,
            found[0],
            dialogs.offers_of(self.room.settings.reasons, "waive"),
            status.actor if status is not None else "",
            now,
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
                    until=dialogs.end_of_day(values["until"]),
                    reason=values["reason"],
                    owner=values["owner"],
                    control=values["control"],
                )
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return values

        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.QUEUE, PartName.CHANGES)
                self.room.flash("waived: the gates are evaluated again")
                self.waived()

        self.ask("Waive a finding?", lines, "Waive", perform, fields=fields, done=done)
