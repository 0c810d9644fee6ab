"""The decisions: approve, reject, revoke, waive, break-glass, and comments on candidates."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from typing import Annotated, Final

import typer

from backend.cli.commands.queue import ReasonOption, ReferenceArgument, candidate_text, scope_text
from backend.cli.output import cell, note, parse_time
from backend.cli.session import Session
from backend.core.errors import UsageError
from backend.core.references import ImageReference, parse_reference
from backend.core.views import CandidateView, DecisionView, ImpactView, ScopeView
from backend.yard import Yard

_Evidence = Annotated[
    str, typer.Option("--evidence", metavar="HASH", help="The evidence hash as `queue show` prints it.")
]
_Policy = Annotated[
    str, typer.Option("--policy", metavar="HASH", help="The policy hash as `queue show` prints it; else that of now.")
]
_Ticket = Annotated[str, typer.Option("--ticket", metavar="T", help="A change's or ticket's number.")]
#: How long a revocation waits for clusters to tell what it touches.
_IMPACT_SECONDS: Final = 8.0


def add_to(application: typer.Typer) -> None:
    """Add `approve`, `reject`, `revoke`, `waive`, `comment` and `break-glass`."""
    application.command("approve")(_approve)
    application.command("reject")(_reject)
    application.command("revoke")(_revoke)
    application.command("waive")(_waive)
    application.command("comment")(_comment)
    application.command("break-glass")(_break_glass)


def _approve(
    context: typer.Context,
    reference: ReferenceArgument,
    reason: ReasonOption,
    evidence: _Evidence = "",
    policy: _Policy = "",
    ticket: _Ticket = "",
    weights: Annotated[str, typer.Option("--weights", metavar="W", help="Approve with these weights only.")] = "",
    runtime: Annotated[str, typer.Option("--runtime", metavar="R", help="Approve with this runtime only.")] = "",
    environment: Annotated[
        str, typer.Option("--environment", metavar="E", help="Approve for this environment only.")
    ] = "",
) -> None:
    """Approve an image. Off a terminal it takes a full digest and the evidence hash."""
    session: Session = context.obj
    scope = ScopeView(weights=weights, runtime=runtime, environment=environment)
    if not sys.stdin.isatty():
        _require_pinned(reference, evidence)

    async def work(yard: Yard) -> tuple[DecisionView, CandidateView]:
        seen, judged_by = evidence, policy
        candidate = await yard.queue.candidate(reference)
        for line in _unlike_what_is_known(scope, candidate):
            note(line)
        if not seen:
            sys.stderr.write(candidate_text(candidate) + "\n")
            session.confirm(f"approve {candidate.reference} ({scope_text(scope)})?")
            seen, judged_by = candidate.evidence_hash, policy or candidate.policy_hash
        decision = await yard.queue.approve(
            reference, reason=reason, evidence_hash=seen, policy_hash=judged_by, ticket=ticket, scope=scope
        )
        return decision, await yard.queue.candidate(decision.reference)

    _print_decision(session, *session.run(work))


def _unlike_what_is_known(scope: ScopeView, candidate: CandidateView) -> list[str]:
    """A line for each thing that is named beside the digest, but is known to be another."""
    weights_are = "was approved with" if candidate.approvals else "has"
    runtime = candidate.framework if candidate.framework != "unknown" else ""
    known_as = (
        ("weights", scope.weights.strip(), weights_are, candidate.scope.weights),
        ("runtime", scope.runtime.strip().lower(), "is known to be of", runtime),
    )
    return [
        f"note: --{name} is {given}, but {candidate.name} {is_} {name} {known}"
        for name, given, is_, known in known_as
        if given and known not in ("", given)
    ]


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
    missing = f", missing: {'; '.join(candidate.missing)}" if candidate.missing else ""
    text = (
        f"{decision.verdict} {decision.reference} by {decision.actor}; "
        f"it is {candidate.state.value}, {len(candidate.approvals)} of {candidate.approvals_needed} approvals{missing}"
    )
    session.print.item(decision, text)


def _reject(
    context: typer.Context,
    reference: ReferenceArgument,
    reason: ReasonOption,
    evidence: _Evidence = "",
    policy: _Policy = "",
    ticket: _Ticket = "",
) -> None:
    """Reject a candidate."""
    session: Session = context.obj

    async def work(yard: Yard) -> tuple[DecisionView, CandidateView]:
        candidate = await yard.queue.candidate(reference)
        session.confirm(f"reject {candidate.reference}?")
        seen, judged_by = evidence or candidate.evidence_hash, policy or candidate.policy_hash
        decision = await yard.queue.reject(
            candidate.reference, reason=reason, evidence_hash=seen, policy_hash=judged_by, ticket=ticket
        )
        return decision, await yard.queue.candidate(decision.reference)

    _print_decision(session, *session.run(work))


def _revoke(
    context: typer.Context,
    reference: ReferenceArgument,
    reason: ReasonOption,
    evidence: _Evidence = "",
    ticket: _Ticket = "",
) -> None:
    """Take an approval or a break-glass back; what that touches is listed first."""
    session: Session = context.obj

    async def work(yard: Yard) -> tuple[DecisionView, CandidateView]:
        candidate = await yard.queue.candidate(reference)
        for line in _impact_lines(await _impact(yard, candidate.reference)):
            note(line)
        session.confirm(f"revoke {candidate.reference}?")
        seen = evidence or candidate.evidence_hash
        decision = await yard.queue.revoke(candidate.reference, reason=reason, evidence_hash=seen, ticket=ticket)
        return decision, await yard.queue.candidate(decision.reference)

    _print_decision(session, *session.run(work))


async def _impact(yard: Yard, reference: str) -> ImpactView:
    """What a revocation touches, as far as that can be told soon: a revocation does not wait for a cluster."""
    try:
        return await asyncio.wait_for(yard.queue.impact(reference), _IMPACT_SECONDS)
    except TimeoutError:
        return ImpactView(
            reference=reference,
            services=None,
            rollbacks=(),
            unknown="what it touches cannot be told: no answer in time",
        )


def _impact_lines(impact: ImpactView) -> list[str]:
    lines = [impact.unknown] if impact.unknown else []
    if impact.services is not None:
        lines.append("no service runs it" if not impact.services else "it runs in:")
        lines += [f"  {service}" for service in impact.services]
    if impact.rollbacks:
        lines.append("these snapshots could no longer be returned to:")
        lines += [f"  {service} {snapshot[:12]}" for service, snapshot in impact.rollbacks]
    if impact.keys:
        lines.append(f"keys of these services: {', '.join(impact.keys)}")
    return lines


def _waive(
    context: typer.Context,
    reference: ReferenceArgument,
    finding: Annotated[str, typer.Option("--finding", metavar="ID", help="The finding, such as CVE-2026-1234.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="When the waiver ends.")],
    reason: ReasonOption,
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Who answers for it; else you.")] = "",
    control: Annotated[
        str, typer.Option("--control", metavar="TEXT", help="What is done about the risk meanwhile.")
    ] = "",
) -> None:
    """Let one finding pass until a date."""
    session: Session = context.obj
    end = _until(until)

    async def work(yard: Yard) -> CandidateView:
        candidate = await yard.queue.candidate(reference)
        session.confirm(f"waive {finding} on {candidate.reference} until {until}?")
        await yard.queue.waive(
            candidate.reference, finding=finding, until=end, reason=reason, owner=owner, control=control
        )
        return await yard.queue.candidate(candidate.reference)

    candidate = session.run(work)
    session.print.item(candidate, candidate_text(candidate))


def _comment(
    context: typer.Context,
    reference: ReferenceArgument,
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="What you have to say.")] = "",
    ticket: _Ticket = "",
) -> None:
    """Say something of a candidate, or name a ticket; it decides nothing."""
    session: Session = context.obj
    said = session.run(lambda yard: yard.queue.comment(reference, text=text, ticket=ticket))
    session.print.item(said, f"{cell(said.at)} {said.actor}: {said.text or said.ticket}")


def _break_glass(
    context: typer.Context,
    reference: ReferenceArgument,
    reason: ReasonOption,
    ticket: Annotated[str, typer.Option("--ticket", metavar="T", help="The incident's number.")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="When it ends, such as 2026-01-31T14:00Z.")],
) -> None:
    """Let an image run by your decision alone, for a bounded time. It is shown on every screen, and reviewed."""
    session: Session = context.obj
    end = _until(until)

    async def work(yard: Yard) -> DecisionView:
        candidate = await yard.queue.candidate(reference)
        session.confirm(f"let {candidate.reference} run until {cell(end)} by your decision alone?")
        return await yard.queue.break_glass(candidate.reference, reason=reason, ticket=ticket, until=end)

    decision = session.run(work)
    text = f"{decision.reference} may run until {cell(decision.expires_at)} by {decision.actor}'s decision alone"
    session.print.item(decision, f"{text}; others review it: modelyard queue review {decision.id[:12]} --reason TEXT")


def _until(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError("--until", f"{text!r} is not a date", "write 2026-01-31 or 2026-01-31T14:00Z") from error
