"""Decisions on a candidate, and the dialogs before them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from backend.core.views import CandidateView, ImageState
from tui.document import Line, text
from tui.model import PartName
from tui.panes.deployments.opening import open_form
from tui.panes.queue import dialogs
from tui.panes.queue.evidence_actions import EvidenceActions
from tui.panes.queue.view_model import to_review
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values

_ENDED: Final = frozenset({ImageState.REJECTED, ImageState.REVOKED, ImageState.EXPIRED})
_LEDGER: Final = "say why: it goes into the ledger"


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A dialog about one candidate.

    Attributes:
        verb: what is done, as its button says and the command line names it.
        lines: what will happen.
        act: does it.
        options: of the command that does the same, after the reference.
        told: what is said when it was done.
        goes_on: whether the next candidate is shown then.
    """

    verb: str
    title: str
    lines: Sequence[Line]
    fields: tuple[Field, ...]
    act: Callable[[ScreenYard, Values], Awaitable[object]]
    options: Callable[[Values], str]
    told: str
    danger: bool = False
    goes_on: bool = True

    @property
    def command(self) -> str:
        return self.verb.lower().replace(" ", "-")


class CandidateActions(EvidenceActions):
    """Actions on the candidate that a page points at."""

    def __init__(self) -> None:
        super().__init__()
        # What was typed into a dialog whose candidate had changed meanwhile: it need not be typed again.
        self._drafts: dict[tuple[str, str], Values] = {}

    def current_candidate(self) -> CandidateView | None:
        """The candidate that is meant."""
        raise NotImplementedError

    def decided(self, candidate: CandidateView) -> None:
        """Called after a decision was recorded."""

    def look_again(self, candidate: CandidateView) -> None:
        """Called when somebody wants to see what changed about a candidate since its dialog was opened."""
        self.room.feed.read(PartName.QUEUE)

    # ------------------------------------------------------------ deciding

    def act_queue_approve(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.not_me:
            self.room.flash(candidate.not_me, bad=True)
            return
        self.open_later(self._approve(candidate), "reading the candidate")

    async def _approve(self, shown: CandidateView) -> None:
        """Ask on the evidence that was shown, with the scope that only the whole candidate tells."""
        yard = self.room.feed.yard
        if yard is None:
            return
        candidate = shown if shown.differences else await yard.queue.candidate(shown.reference)
        draft = self._drafts.pop(("Approve", shown.reference), {})
        self._ask_about(
            shown,
            _Question(
                verb="Approve",
                title=f"Approve {shown.name}?",
                lines=[*dialogs.what_lines(shown), *dialogs.standing_lines(shown)],
                fields=(
                    dialogs.reason_field(self._offers("approve"), _LEDGER, draft),
                    dialogs.last_six_field(shown.digest),
                    dialogs.ticket_field(draft),
                    *dialogs.scope_fields(candidate.scope, draft),
                ),
                act=lambda yard, values: yard.queue.approve(
                    shown.reference,
                    reason=values["reason"],
                    evidence_hash=shown.evidence_hash,
                    policy_hash=shown.policy_hash,
                    ticket=values["ticket"],
                    scope=dialogs.scope_of(values),
                ),
                options=lambda _values: f"--reason … --evidence {shown.evidence_hash} --policy {shown.policy_hash}",
                told=f"approve: recorded for {shown.name}",
            ),
        )

    def act_queue_reject(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        draft = self._drafts.pop(("Reject", candidate.reference), {})
        self._ask_about(
            candidate,
            _Question(
                verb="Reject",
                title=f"Reject {candidate.name}?",
                lines=[*dialogs.what_lines(candidate), *dialogs.standing_lines(candidate)],
                fields=(
                    dialogs.reason_field(
                        self._offers("reject"), "say why: whoever brought it in will read it", draft
                    ),
                    dialogs.ticket_field(draft),
                ),
                danger=True,
                act=lambda yard, values: yard.queue.reject(
                    candidate.reference,
                    reason=values["reason"],
                    evidence_hash=candidate.evidence_hash,
                    policy_hash=candidate.policy_hash,
                    ticket=values["ticket"],
                ),
                options=lambda _values: f"--reason … --evidence {candidate.evidence_hash}",
                told=f"reject: recorded for {candidate.name}",
            ),
        )  # fmt: skip

    def act_queue_revoke(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.state is not ImageState.APPROVED and not candidate.approvals:
            self.room.flash("there is no approval to revoke", bad=True)
            return
        self.open_later(self._revoke(candidate), "asking what it touches")

    async def _revoke(self, candidate: CandidateView) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        impact = await yard.queue.impact(candidate.reference)
        self._ask_about(
            candidate,
            _Question(
                verb="Revoke",
                title=f"Revoke {candidate.name}?",
                lines=[*dialogs.what_lines(candidate), *dialogs.impact_lines(impact)],
                fields=(
                    dialogs.reason_field(self._offers("revoke"), _LEDGER, {}),
                    dialogs.last_six_field(candidate.digest),
                    dialogs.ticket_field({}),
                ),
                danger=True,
                act=lambda yard, values: yard.queue.revoke(
                    candidate.reference,
                    reason=values["reason"],
                    evidence_hash=candidate.evidence_hash,
                    ticket=values["ticket"],
                ),
                options=lambda _values: f"--reason … --evidence {candidate.evidence_hash}",
                told=f"revoke: recorded for {candidate.name}",
            ),
        )

    def act_queue_break_glass(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.state is ImageState.APPROVED:
            self.room.flash("it is approved: there is nothing to break", bad=True)
            return
        now = self.room.clock.now()
        warning = "One person lets it run, whatever its gates say, for a bounded time. It shows on every screen, "
        self._ask_about(
            candidate,
            _Question(
                verb="Break glass",
                title=f"Break the glass for {candidate.name}?",
                lines=[
                    *dialogs.what_lines(candidate),
                    *dialogs.standing_lines(candidate),
                    text(warning + "and somebody else has to look at it afterwards.", "warn"),
                ],
                fields=(
                    *dialogs.break_glass_fields(self._offers("break-glass"), now, {}),
                    dialogs.last_six_field(candidate.digest),
                ),
                danger=True,
                act=lambda yard, values: yard.queue.break_glass(
                    candidate.reference,
                    reason=values["reason"],
                    ticket=values["ticket"],
                    until=dialogs.until_of(now, values["until"]),
                ),
                options=lambda values: f"--reason … --ticket {values['ticket']} --until {values['until']}",
                told=f"the glass is broken for {candidate.name}; somebody else reviews it",
                goes_on=False,
            ),
        )

    def act_queue_review(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        decision = to_review(candidate)
        if decision is None:
            self.room.flash("no glass was broken for it that is still to be looked at", bad=True)
            return
        self._ask_about(
            candidate,
            _Question(
                verb="Review",
                title=f"Review what {decision.actor} let run?",
                lines=[
                    *dialogs.what_lines(candidate),
                    text(f"{decision.actor} at {decision.at:%Y-%m-%d %H:%M} UTC, ticket {decision.ticket}:"),
                    text(decision.reason, "warn"),
                ],
                fields=(dialogs.reason_field(self._offers("review"), "say what came of it", {}),),
                act=lambda yard, values: yard.queue.review(decision.id, reason=values["reason"]),
                options=lambda _values: "--reason …",
                told=f"reviewed: {candidate.name}",
            ),
        )

    # ------------------------------------------------------------ beside decisions

    def act_queue_comment(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        self._ask_about(
            candidate,
            _Question(
                verb="Comment",
                title=f"Comment on {candidate.name}",
                lines=dialogs.what_lines(candidate),
                fields=comment_fields(),
                act=lambda yard, values: yard.queue.comment(
                    candidate.reference, text=values["text"], ticket=values["ticket"]
                ),
                options=lambda _values: "--text …",
                told=f"comment: recorded for {candidate.name}",
                goes_on=False,
            ),
        )

    def act_queue_submit(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.state not in _ENDED:
            self.room.flash(f"it is {candidate.state.value}: what was decided against is submitted again", bad=True)
            return
        self._ask_about(
            candidate,
            _Question(
                verb="Submit",
                title=f"Submit {candidate.name} again?",
                lines=[
                    *dialogs.what_lines(candidate),
                    text("It waits in the queue again. Who submits it does not approve it.", "muted"),
                ],
                fields=(dialogs.reason_field(self._offers("submit"), "say what is different now", {}),),
                act=lambda yard, values: yard.queue.submit(candidate.reference, reason=values["reason"]),
                options=lambda _values: "--reason …",
                told=f"submitted again: {candidate.name}",
                goes_on=False,
            ),
        )

    def act_queue_evaluate(self) -> None:
        candidate, yard = self._candidate(), self.room.feed.yard
        if candidate is None or yard is None:
            return

        async def evaluate() -> None:
            await yard.evidence.evaluate(again=True, reference=candidate.reference)
            self.room.log_command(f"modelyard evidence evaluate {candidate.reference}", "done")
            self.room.feed.read(PartName.QUEUE, PartName.LIBRARY)
            self.room.flash(f"evaluated again: {candidate.name}")

        self.room.flash(f"collecting evidence on {candidate.name} and judging it again…")
        self.room.feed.spawn(evaluate(), "evaluating again")

    def act_queue_evidence(self) -> None:
        from tui.panes.queue.evidence import EvidencePage

        if candidate := self._candidate():
            self.room.push_screen(EvidencePage(candidate))

    def act_deploy_form(self) -> None:
        candidate = self._candidate()
        if candidate is None:
            return
        if candidate.state is not ImageState.APPROVED:
            self.room.flash(f"only approved images are deployed; this one is {candidate.state.value}", bad=True)
            return
        self.open_later(open_form(self.room, candidate.reference, candidate.name), "preparing the form")

    # ------------------------------------------------------------ inside

    def _ask_about(self, candidate: CandidateView, question: _Question) -> None:
        yard = self.room.feed.yard

        async def perform(values: Values) -> object:
            if yard is None:
                return None
            command = f"modelyard {question.command} {candidate.reference} {question.options(values)}"
            try:
                result = await question.act(yard, values)
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return result if result is not None else values

        def done(result: object) -> None:
            if result is None:
                return
            self.room.feed.read(PartName.QUEUE, PartName.LIBRARY, PartName.CHANGES)
            self.room.flash(question.told)
            if question.goes_on:
                self.decided(candidate)

        def outdated(values: Values) -> None:
            self._drafts[question.verb, candidate.reference] = values
            self.look_again(candidate)

        self.ask(
            question.title,
            question.lines,
            question.verb,
            perform,
            fields=question.fields,
            danger=question.danger,
            done=done,
            outdated=outdated,
        )

    def _candidate(self) -> CandidateView | None:
        candidate = self.current_candidate()
        if candidate is None:
            self.room.flash("there is no candidate under the cursor", bad=True)
        return candidate

    def _offers(self, verb: str) -> tuple[str, ...]:
        return dialogs.offers_of(self.room.settings.reasons, verb)


def comment_fields() -> tuple[Field, ...]:
    """What a comment needs."""
    return (
        Field(id="text", label="Comment", check=lambda value: "" if value.strip() else "write something"),
        dialogs.ticket_field({}),
    )
