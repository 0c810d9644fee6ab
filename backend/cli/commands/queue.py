"""`queue`, the decisions, and `policy check`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.output import Column, cell, pairs, parse_time
from backend.cli.session import Session
from backend.core.errors import PolicyError, UsageError
from backend.core.references import ImageReference, parse_reference, short_digest
from backend.core.text import sanitise
from backend.core.views import CandidateView, DecisionView, GateView, PolicyCheckView
from backend.yard import Yard

_Reference = Annotated[str, typer.Argument(metavar="REF")]
_Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept for good.")]
_Evidence = Annotated[
    str, typer.Option("--evidence", metavar="HASH", help="The evidence hash as `queue show` prints it.")
]
_Ticket = Annotated[str, typer.Option("--ticket", metavar="T", help="A change's or ticket's number.")]


def add_to(application: typer.Typer) -> None:
    """Add `queue`, `approve`, `reject`, `revoke`, `waive` and `policy`."""
    queue = typer.Typer(help="Candidates that wait for a decision.", rich_markup_mode=None)
    queue.command("list")(_list)
    queue.command("show")(_show)
    application.add_typer(queue, name="queue")
    application.command("approve")(_approve)
    application.command("reject")(_reject)
    application.command("revoke")(_revoke)
    application.command("waive")(_waive)
    policy = typer.Typer(help="Policy.", rich_markup_mode=None)
    policy.command("check")(_check)
    application.add_typer(policy, name="policy")


def _gates_text(gates: tuple[GateView, ...]) -> str:
    return ", ".join(f"{gate.kind} {gate.value.value}" for gate in gates) or "none"


_CANDIDATES: list[Column[CandidateView]] = [
    ("CANDIDATE", lambda one: one.name),
    ("DIGEST", lambda one: short_digest(one.digest)),
    ("TYPE", lambda one: one.type),
    ("GATES", lambda one: _gates_text(one.gates)),
    ("APPROVALS", lambda one: f"{len(one.approvals)}/{one.approvals_needed}"),
    ("FOR ME", lambda one: one.waits_for_me),
    ("RISK", lambda one: one.risk),
    ("SINCE", lambda one: one.submitted_at),
]


def _list(context: typer.Context) -> None:
    """List candidates: mine first, then by risk and age."""
    session: Session = context.obj
    candidates = session.run(lambda yard: yard.queue.candidates())
    session.print.rows(candidates, _CANDIDATES, empty="nothing waits")


def _show(context: typer.Context, reference: _Reference) -> None:
    """Show a candidate with its gates, decisions and evidence hash."""
    session: Session = context.obj
    candidate = session.run(lambda yard: yard.queue.candidate(reference))
    session.print.item(candidate, candidate_text(candidate))


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
            ("may pass", blocked),
            ("for me", "yes" if candidate.waits_for_me else candidate.not_me or "no"),
            ("evidence hash", candidate.evidence_hash),
            ("policy hash", candidate.policy_hash),
        ]
    )
    lines = [head, "gates:" if candidate.gates else "gates: none configured"]
    lines += [
        f"  {gate.value.value.upper():12} {gate.effect:5} {gate.kind}: {sanitise(gate.sentence)}"
        for gate in candidate.gates
    ]
    if candidate.decisions:
        lines.append("decisions:")
        lines += [f"  {_decision_text(decision)}" for decision in candidate.decisions]
    if candidate.previous_reference:
        lines.append(f"against {candidate.previous_reference}:")
        lines += [f"  {sanitise(change)}" for change in candidate.changes or ("nothing changed",)]
    return "\n".join(lines)


def _decision_text(decision: DecisionView) -> str:
    ticket = f" [{decision.ticket}]" if decision.ticket else ""
    return sanitise(f"{cell(decision.at)} {decision.actor} {decision.verdict}{ticket}: {decision.reason}")


def _approve(
    context: typer.Context, reference: _Reference, reason: _Reason, evidence: _Evidence = "", ticket: _Ticket = ""
) -> None:
    """Approve an image. Off a terminal it takes a full digest and the evidence hash."""
    session: Session = context.obj
    if not sys.stdin.isatty():
        _require_pinned(reference, evidence)

    async def work(yard: Yard) -> tuple[DecisionView, CandidateView]:
        seen = evidence
        if not seen:
            candidate = await yard.queue.candidate(reference)
            sys.stderr.write(candidate_text(candidate) + "\n")
            session.confirm(f"approve {candidate.reference}?")
            seen = candidate.evidence_hash
        decision = await yard.queue.approve(reference, reason=reason, evidence_hash=seen, ticket=ticket)
        return decision, await yard.queue.candidate(decision.reference)

    decision, candidate = session.run(work)
    _print_decision(session, decision, candidate)


def _require_pinned(reference: str, evidence: str) -> None:
    named = parse_reference(reference)
    if not isinstance(named, ImageReference) or named.digest is None:
        raise UsageError(
            f"approve {reference}",
            "off a terminal an approval needs a full digest",
            "write REGISTRY/repository@sha256:... as queue show prints it",
        )
    if not evidence:
        raise UsageError(
            f"approve {reference}",
            "off a terminal an approval needs the evidence hash",
            "give --evidence with the hash that queue show prints",
        )


def _print_decision(session: Session, decision: DecisionView, candidate: CandidateView) -> None:
    text = (
        f"{decision.verdict} {decision.reference} by {decision.actor}; "
        f"it is {candidate.state.value}, {len(candidate.approvals)} of {candidate.approvals_needed} approvals"
    )
    session.print.item(decision, text)


def _reject(
    context: typer.Context, reference: _Reference, reason: _Reason, evidence: _Evidence = "", ticket: _Ticket = ""
) -> None:
    """Reject a candidate."""
    _decide(context.obj, "reject", reference, reason, evidence, ticket)


def _revoke(
    context: typer.Context, reference: _Reference, reason: _Reason, evidence: _Evidence = "", ticket: _Ticket = ""
) -> None:
    """Take an approval back."""
    _decide(context.obj, "revoke", reference, reason, evidence, ticket)


def _decide(session: Session, verb: str, reference: str, reason: str, evidence: str, ticket: str) -> None:
    async def work(yard: Yard) -> tuple[DecisionView, CandidateView]:
        candidate = await yard.queue.candidate(reference)
        session.confirm(f"{verb} {candidate.reference}?")
        decide = yard.queue.reject if verb == "reject" else yard.queue.revoke
        seen = evidence or candidate.evidence_hash
        decision = await decide(candidate.reference, reason=reason, evidence_hash=seen, ticket=ticket)
        return decision, await yard.queue.candidate(decision.reference)

    _print_decision(session, *session.run(work))


def _waive(
    context: typer.Context,
    reference: _Reference,
    finding: Annotated[str, typer.Option("--finding", metavar="ID", help="The finding, such as CVE-2026-1234.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="When the waiver ends.")],
    reason: _Reason,
) -> None:
    """Let one finding pass until a date."""
    session: Session = context.obj
    end = _until(until)

    async def work(yard: Yard) -> CandidateView:
        candidate = await yard.queue.candidate(reference)
        session.confirm(f"waive {finding} on {candidate.reference} until {until}?")
        await yard.queue.waive(candidate.reference, finding=finding, until=end, reason=reason)
        return await yard.queue.candidate(candidate.reference)

    candidate = session.run(work)
    session.print.item(candidate, candidate_text(candidate))


def _until(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError("--until", f"{text!r} is not a date", "write 2026-01-31") from error


_CHECKS: list[Column[PolicyCheckView]] = [
    ("IMAGE", lambda check: check.reference),
    ("PASSES", lambda check: check.passes),
    ("BEFORE", lambda check: check.before),
    ("GATES", lambda check: _gates_text(check.gates)),
]


def _check(
    context: typer.Context,
    reference: Annotated[str | None, typer.Argument(metavar="[REF]")] = None,
    against: Annotated[Path | None, typer.Option("--against", metavar="FILE", help="Another policy to try.")] = None,
) -> None:
    """Tell what policy says of an image, or of all; with --against, what would flip. Exit 3 when one fails."""
    session: Session = context.obj
    checks = session.run(lambda yard: yard.policy.check(reference, against))
    session.print.rows(checks, _CHECKS, empty="there is nothing to check")
    failing = [check for check in checks if not check.passes]
    if failing:
        raise PolicyError(
            "policy check",
            f"{len(failing)} of {len(checks)} images do not pass",
            f"see modelyard queue show {failing[0].reference}",
        )
