"""`queue`: candidates that wait for a decision, what is known of each, and their way back into the queue."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.output import Column, cell, note, pairs
from backend.cli.session import Session
from backend.core.references import short_digest
from backend.core.text import sanitise
from backend.core.views import CandidateView, DecisionView, GateView, ScopeView
from backend.yard import Yard

ReferenceArgument = Annotated[str, typer.Argument(metavar="REF")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept for good.")]


def add_to(application: typer.Typer) -> None:
    """Add `queue`."""
    queue = typer.Typer(help="Candidates that wait for a decision.", rich_markup_mode=None)
    queue.command("list")(_list)
    queue.command("show")(_show)
    queue.command("submit")(_submit)
    queue.command("review")(_review)
    application.add_typer(queue, name="queue")


def gates_text(gates: tuple[GateView, ...]) -> str:
    """Gates in a cell: kind and value of each."""
    return ", ".join(f"{gate.kind} {gate.value.value}" for gate in gates) or "none"


_CANDIDATES: list[Column[CandidateView]] = [
    ("CANDIDATE", lambda one: one.name),
    ("DIGEST", lambda one: short_digest(one.digest)),
    ("TYPE", lambda one: one.type),
    ("STATE", lambda one: one.state.value),
    ("GATES", lambda one: gates_text(one.gates)),
    ("APPROVALS", lambda one: f"{len(one.approvals)}/{one.approvals_needed}"),
    ("MISSING", lambda one: one.missing),
    ("FOR ME", lambda one: one.waits_for_me),
    ("RISK", lambda one: one.risk),
    ("SINCE", lambda one: one.submitted_at),
]


def _list(context: typer.Context) -> None:
    """List candidates: mine first, then by risk and age."""
    session: Session = context.obj

    async def work(yard: Yard) -> tuple[list[CandidateView], tuple[str, ...]]:
        return await yard.queue.candidates(), yard.status().alarms

    candidates, alarms = session.run(work)
    for alarm in alarms:
        note(f"BREAK-GLASS: {alarm}")
    session.print.rows(candidates, _CANDIDATES, empty="nothing waits")


def _show(context: typer.Context, reference: ReferenceArgument) -> None:
    """Show a candidate with its gates, decisions, waivers, comments and evidence hash."""
    session: Session = context.obj
    candidate = session.run(lambda yard: yard.queue.candidate(reference))
    session.print.item(candidate, candidate_text(candidate))


def _submit(context: typer.Context, reference: ReferenceArgument, reason: ReasonOption) -> None:
    """Submit again what was rejected or revoked. Who does so does not approve it."""
    session: Session = context.obj

    async def work(yard: Yard) -> CandidateView:
        candidate = await yard.queue.candidate(reference)
        session.confirm(f"submit {candidate.reference} again?")
        await yard.queue.submit(candidate.reference, reason=reason)
        return await yard.queue.candidate(candidate.reference)

    candidate = session.run(work)
    session.print.item(candidate, candidate_text(candidate))


def _review(
    context: typer.Context,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="The break-glass, as queue show names it.")],
    reason: ReasonOption,
) -> None:
    """Say what was found of somebody else's break-glass."""
    session: Session = context.obj
    reviewed = session.run(lambda yard: yard.queue.review(decision, reason=reason))
    session.print.item(reviewed, f"reviewed {reviewed.about[:12]} on {reviewed.reference} by {reviewed.actor}")


def candidate_text(candidate: CandidateView) -> str:
    """A candidate as `queue show` prints it."""
    blocked = "no: a gate stands in the way" if candidate.blocked else "yes"
    head = pairs(
        [
            ("candidate", candidate.reference),
            ("tags", candidate.tags),
            ("state", candidate.state.value),
            ("type", candidate.type),
            ("framework", candidate.framework),
            ("submitted", f"{candidate.submitted_by}, {cell(candidate.submitted_at)}"),
            ("approvals", f"{len(candidate.approvals)} of {candidate.approvals_needed}"),
            ("missing", "; ".join(candidate.missing)),
            ("may pass", blocked),
            ("for me", "yes" if candidate.waits_for_me else candidate.not_me or "no"),
            ("beside digest", scope_text(candidate.scope)),
            ("evidence hash", candidate.evidence_hash),
            ("policy hash", candidate.policy_hash),
        ]
    )
    lines = [f"BREAK-GLASS: {sanitise(candidate.break_glass)}"] if candidate.break_glass else []
    lines += [head, "gates:" if candidate.gates else "gates: none configured"]
    lines += [
        f"  {gate.value.value.upper():12} {gate.effect:5} {gate.kind}: {sanitise(gate.sentence)}"
        for gate in candidate.gates
    ]
    if candidate.decisions:
        lines.append("decisions:")
        lines += [f"  {_decision_text(decision)}" for decision in candidate.decisions]
    if candidate.waivers:
        lines.append("waivers:")
    for waiver in candidate.waivers:
        control = f"; control: {waiver.control}" if waiver.control else ""
        state = "ended" if waiver.lapsed else "until"
        granted = f", granted by {waiver.actor}" if waiver.actor != waiver.owner else ""
        answers = f"{waiver.owner} answers for it{granted}"
        told = f"{waiver.finding} {state} {cell(waiver.until)}, {answers}: {waiver.reason}{control}"
        lines.append(f"  {sanitise(told)}")
    if candidate.comments:
        lines.append("comments:")
    for comment in candidate.comments:
        ticket = f" [{comment.ticket}]" if comment.ticket else ""
        lines.append(f"  {sanitise(f'{cell(comment.at)} {comment.actor}{ticket}: {comment.text}')}")
    if candidate.previous_reference:
        lines.append(f"against {candidate.previous_reference}:")
        lines += [f"  {sanitise(change)}" for change in candidate.changes or ("nothing changed",)]
    return "\n".join(lines)


def scope_text(scope: ScopeView) -> str:
    """What is approved beside a digest; what is empty is not fixed."""
    fields = (("weights", scope.weights), ("runtime", scope.runtime), ("environment", scope.environment))
    return ", ".join(f"{name} {value or 'not fixed'}" for name, value in fields)


def _decision_text(decision: DecisionView) -> str:
    ticket = f" [{decision.ticket}]" if decision.ticket else ""
    by = f"{decision.actor} (automatic)" if decision.automatic else decision.actor
    fixed = any((decision.scope.weights, decision.scope.runtime, decision.scope.environment))
    scope = f" for {scope_text(decision.scope)}" if fixed else ""
    until = f" until {cell(decision.expires_at)}" if decision.expires_at is not None else ""
    about = f" of {decision.about[:12]}" if decision.about else ""
    text = f"{decision.id[:12]} {cell(decision.at)} {by} {decision.verdict}{about}{scope}{until}{ticket}"
    return sanitise(f"{text}: {decision.reason}")
