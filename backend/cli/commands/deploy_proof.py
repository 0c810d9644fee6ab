"""`deploy validate`, `promote`, `abort` and `canary`; and what `apply --wait` and `status` tell of proofs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from backend.cli.commands.plans import Name, Namespace, print_applied
from backend.cli.output import note, pairs
from backend.cli.services import ServiceName, named
from backend.cli.session import Session
from backend.core.errors import ModelyardError, UsageError
from backend.core.settings import parse_duration
from backend.core.text import sanitise
from backend.core.views import AppliedView, BlastView, CanaryView, ValidationView
from backend.yard import Yard

_Percent = Annotated[
    int | None, typer.Option("--percent", metavar="N", min=1, max=100, help="Of the traffic; without it all.")
]


def validate(
    context: typer.Context,
    name: Name,
    namespace: Namespace = None,
    latency: Annotated[str, typer.Option("--latency", metavar="DURATION", help="Longest answer, such as 2s.")] = "",
    error_rate: Annotated[
        float | None, typer.Option("--error-rate", metavar="SHARE", min=0, max=1, help="Highest share of failures.")
    ] = None,
    window: Annotated[str, typer.Option("--window", metavar="DURATION", help="How long failures are counted.")] = "",
) -> None:
    """Ask a service for a real answer, through its pod's proxy, and hold it to bounds. Exit 1 when it fails."""
    session: Session = context.obj
    longest, lasting = _duration("--latency", latency), _duration("--window", window)

    async def work(yard: Yard) -> ValidationView:
        found = await named(yard, name, namespace)
        return await yard.deployments.validate(
            found.namespace, found.name, context=found.context, latency=longest, error_rate=error_rate, window=lasting
        )

    report(session, session.run(work))


def report(session: Session, validation: ValidationView) -> None:
    """Print a validation.

    Raises:
        ModelyardError: it did not pass.
    """
    session.print.item(validation, "\n".join(validation_lines(validation)))
    require_passed(validation)


def require_passed(validation: ValidationView) -> None:
    """
    Raises:
        ModelyardError: it did not pass.
    """
    if validation.outcome != "passed":
        raise ModelyardError(
            f"validation of {validation.namespace}/{validation.name}",
            f"{validation.outcome}: {validation.reason}",
            _way_back(validation) or "look at the service, and validate again",
        )


def validation_lines(validation: ValidationView) -> list[str]:
    """A validation in lines: how it ended, each check, and what is proposed."""
    traffic = f" {validation.traffic}" if validation.traffic else ""
    lines = [f"validation {validation.outcome}{traffic}: {sanitise(validation.reason)}".rstrip(": ")]
    lines += [f"  {check.name}: {check.value.value}: {sanitise(check.sentence)}" for check in validation.checks]
    if way := _way_back(validation):
        lines.append(f"  {way}")
    elif validation.answer:
        lines.append(f"  return to {validation.proposal[:12]}: {sanitise(validation.answer)}")
    return lines


def _way_back(validation: ValidationView) -> str:
    if not validation.proposes:
        return ""
    return f"proposed: modelyard deploy rollback {validation.name} -n {validation.namespace} --to {validation.proposal}"


async def waited(yard: Yard, applied: AppliedView) -> ValidationView | None:
    """Follow what was applied to its verdict and its validation; None: nothing was rolled out that could be proved."""
    if not applied.validation:
        return None
    return await yard.deployments.follow_validation(applied.validation, note)


def promote(context: typer.Context, name: Name, percent: _Percent = None, namespace: Namespace = None) -> None:
    """Send a canary a share of the traffic, or all of it."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        canary = await _canary(yard, found)
        share = "all traffic" if percent in (None, 100) else f"{percent} % of the traffic"
        session.confirm(f"send {share} of {found} to {_newest(canary) or 'the newest revision'}? {canary.statement}")
        return await yard.deployments.promote(found.namespace, found.name, percent, context=found.context)

    print_applied(session, session.run(work), done="promoted")


def abort(context: typer.Context, name: Name, namespace: Namespace = None) -> None:
    """Take all traffic from a canary."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        canary = await _canary(yard, found)
        session.confirm(f"take all traffic of {found} from {_newest(canary) or 'the canary'}? {canary.statement}")
        return await yard.deployments.abort(found.namespace, found.name, context=found.context)

    print_applied(session, session.run(work), done="aborted the canary of")


def canary(context: typer.Context, name: Name, namespace: Namespace = None) -> None:
    """Show what traffic goes where, and whether the service's mode splits any."""
    session: Session = context.obj

    async def work(yard: Yard) -> CanaryView:
        return await _canary(yard, await named(yard, name, namespace))

    view = session.run(work)
    steps = ", ".join(f"{step} %" for step in view.steps)
    text = pairs([("mode", view.mode), ("traffic", view.statement), ("steps", steps)])
    lines = [
        f"revision {one.name}  {one.role}  {'-' if one.percent is None else f'{one.percent} %'}"
        for one in view.revisions
    ]
    session.print.item(view, "\n".join([text, *lines]))


async def _canary(yard: Yard, found: ServiceName) -> CanaryView:
    return await yard.deployments.canary(found.namespace, found.name, context=found.context)


def _newest(canary: CanaryView) -> str:
    return next((one.name for one in canary.revisions if one.role == "newest"), "")


async def confirm_blast(
    session: Session, yard: Yard, found: ServiceName, verb: str, replicas: int | None = None
) -> None:
    """Tell what a change would end, and ask; with --yes nothing is told.

    Raises:
        UsageError: there is nobody to ask, or they said no.
    """
    if not session.options.yes:
        blast = await yard.deployments.blast(
            found.namespace, found.name, verb, replicas=replicas, context=found.context
        )
        for sentence in blast_lines(blast):
            note(sentence)
    to = f" to {replicas}" if replicas is not None else ""
    session.confirm(f"{verb} {found}{to}?")


def blast_lines(blast: BlastView) -> Sequence[str]:
    """What a change would end, a line each."""
    return [f"{blast.verb} {blast.namespace}/{blast.name}: {sentence}" for sentence in blast.sentences]


def _duration(option: str, text: str) -> timedelta | None:
    if not text:
        return None
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(option, f"{text!r} is no duration", "write 500ms, 2s or 5m") from error
    if found <= timedelta(0):
        raise UsageError(option, f"{text!r} is not above zero", "write 500ms, 2s or 5m")
    return found
