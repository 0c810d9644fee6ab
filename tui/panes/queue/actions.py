"""Decisions on a candidate, and the dialogs before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from backend.core.views import CandidateView, DecisionView, ImageState
from tui import format as fmt
from tui.document import Line, Span, text
from tui.model import PartName
from tui.page import Page
from tui.panes.deployments.form import open_form
from tui.panes.queue.view_model import gates_cell
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, required

_Decide = Callable[[ScreenYard, Values], Awaitable[DecisionView]]
_TICKET = Field(id="ticket", label="Ticket (may be empty)")


class CandidateActions(Page):
    """Actions on the candidate that a page points at."""

    def current_candidate(self) -> CandidateView | None:
        """The candidate that is meant."""
        raise NotImplementedError

    def decided(self, candidate: CandidateView) -> None:
        """Called after a decision was recorded."""

    def act_queue_approve(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.not_me:
            self.room.flash(candidate.not_me, bad=True)
            return
        fields = (
            required("reason", "Reason", "say why: it goes into the ledger"),
            last_six_field(candidate.digest),
        )
        lines = [*_what(candidate), *_standing(candidate)]
        self._decide(
            "Approve",
            candidate,
            lines,
            fields,
            danger=False,
            act=lambda yard, values: yard.queue.approve(
                candidate.reference, reason=values["reason"], evidence_hash=candidate.evidence_hash
            ),
        )

    def act_queue_reject(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        fields = (required("reason", "Reason", "say why: whoever brought it in will read it"),)
        self._decide(
            "Reject",
            candidate,
            [*_what(candidate), *_standing(candidate)],
            fields,
            danger=True,
            act=lambda yard, values: yard.queue.reject(
                candidate.reference, reason=values["reason"], evidence_hash=candidate.evidence_hash
            ),
        )

    def act_queue_revoke(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.state is not ImageState.APPROVED and not candidate.approvals:
            self.room.flash("there is no approval to revoke", bad=True)
            return
        running = [
            service
            for service in self.model.services.value.values()
            if any(candidate.digest in image for image in service.images)
        ]
        lines = list(_what(candidate))
        if running:
            names = ", ".join(f"{service.namespace}/{service.name}" for service in running[:4])
            lines.append(text(f"It runs now in {names}; it goes on running, marked as unapproved.", "warn"))
        fields = (required("reason", "Reason", "say why: it goes into the ledger"), last_six_field(candidate.digest))
        self._decide(
            "Revoke",
            candidate,
            lines,
            fields,
            danger=True,
            act=lambda yard, values: yard.queue.revoke(
                candidate.reference, reason=values["reason"], evidence_hash=candidate.evidence_hash
            ),
        )

    def act_deploy_form(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.state is not ImageState.APPROVED:
            self.room.flash(f"only approved images are deployed; this one is {candidate.state.value}", bad=True)
            return
        self.open_later(
            open_form(self.room, candidate.reference, candidate.name, candidate.repository), "preparing the form"
        )

    # ------------------------------------------------------------ inside

    def _decide(
        self,
        verb: str,
        candidate: CandidateView,
        lines: list[Line],
        fields: tuple[Field, ...],
        *,
        danger: bool,
        act: _Decide,
    ) -> None:
        yard = self.room.feed.yard

        async def perform(values: Values) -> object:
            if yard is None:
                return None
            command = f"modelyard {verb.lower()} {candidate.reference} --reason … --evidence {candidate.evidence_hash}"
            try:
                decision = await act(yard, values)
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return decision

        def done(result: object) -> None:
            if result is None:
                return
            self.room.feed.read(PartName.QUEUE, PartName.LIBRARY, PartName.CHANGES)
            self.room.flash(f"{verb.lower()}: recorded for {candidate.name}")
            self.decided(candidate)

        self.ask(f"{verb} {candidate.name}?", lines, verb, perform, fields=fields, danger=danger, done=done)

    def _candidate(self) -> CandidateView | None:
        candidate = self.current_candidate()
        if candidate is None:
            self.room.flash("there is no candidate under the cursor", bad=True)
        return candidate


def last_six_field(digest: str) -> Field:
    """The field that makes sure that the approver looked at the digest."""
    wanted = fmt.last_six(digest)

    def check(value: str) -> str:
        return "" if value.strip().lower() == wanted else "these are not the last six digits of the digest above"

    return Field(id="digest", label="Last six digits of the digest", check=check)


def _what(candidate: CandidateView) -> tuple[Line, ...]:
    algorithm, _, digits = candidate.digest.partition(":")
    return (
        (Span("image   ", "label"), *text(candidate.reference.partition("@")[0], "name")),
        (Span(f"{algorithm:<8}", "label"), *text(digits[:-6], "muted"), *text(digits[-6:], "strong")),
    )


def _standing(candidate: CandidateView) -> tuple[Line, ...]:
    left = candidate.approvals_needed - len(candidate.approvals)
    told = "this approval is the last that is missing" if left == 1 else f"{left} approvals are missing"
    blocking = [gate for gate in candidate.gates if gate.blocks]
    return (
        (Span("gates   ", "label"), *gates_cell(candidate)),
        *((Span("! ", "bad"), *text(gate.sentence, "bad")) for gate in blocking[:3]),
        *((text(told, "muted"),) if not blocking else ()),
    )
