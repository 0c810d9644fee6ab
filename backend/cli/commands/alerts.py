"""`alerts`: what needs a person, taking it up, and silences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from backend.cli.output import Column, note, parse_time
from backend.cli.session import Session
from backend.core.errors import UsageError
from backend.core.settings import parse_duration
from backend.core.views import AlertView, SilenceView
from backend.yard import Yard


def add_to(application: typer.Typer) -> None:
    """Add `alerts`."""
    alerts = typer.Typer(help="What needs a person.", rich_markup_mode=None)
    alerts.command("list")(_list)
    alerts.command("acknowledge")(_acknowledge)
    alerts.command("silence")(_silence)
    alerts.command("silences")(_silences)
    alerts.command("lift")(_lift)
    application.add_typer(alerts, name="alerts")


_ALERTS: list[Column[AlertView]] = [
    ("ID", lambda one: one.id[:12]),
    ("SEVERITY", lambda one: one.severity),
    ("STATE", lambda one: f"{one.state}, silenced" if one.silenced_until is not None else one.state),
    ("RULE", lambda one: one.rule),
    ("OBJECT", lambda one: one.object),
    ("SINCE", lambda one: one.since),
    ("TAKEN UP", lambda one: one.handed_to or one.acknowledged_by),
    ("SUMMARY", lambda one: one.summary),
]
_SILENCES: list[Column[SilenceView]] = [
    ("ID", lambda one: one.id[:12]),
    ("OBJECT", lambda one: one.object),
    ("RULE", lambda one: one.rule or "all"),
    ("UNTIL", lambda one: one.until),
    ("BY", lambda one: one.actor),
    ("REASON", lambda one: one.reason),
]


def _list(
    context: typer.Context,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="Also what was over within this time, such as 24h.")
    ] = "",
) -> None:
    """List what fires and what is about to, the worst first."""
    session: Session = context.obj
    back = _duration(since, "--since") if since else None

    async def work(yard: Yard) -> list[AlertView]:
        return await yard.alerts.alerts(datetime.now(UTC) - back if back is not None else None)

    session.print.rows(session.run(work), _ALERTS, empty="nothing needs a person")


def _acknowledge(
    context: typer.Context,
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its id, a part of that, or its object.")],
    remark: Annotated[str, typer.Option("--note", metavar="TEXT", help="What is known or done; others read it.")],
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Who takes it over.")] = "",
) -> None:
    """Take an alert up, or hand it over: nobody is told of it again."""
    session: Session = context.obj
    taken = session.run(lambda yard: yard.alerts.acknowledge(alert, note=remark, hand_to=to))
    who = f"handed to {taken.handed_to}" if taken.handed_to else f"taken up by {taken.acknowledged_by}"
    session.print.item(taken, f"{taken.rule} {taken.object}: {who}")


def _silence(
    context: typer.Context,
    object: Annotated[str, typer.Argument(metavar="OBJECT", help="What alerts are about; a glob.")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Such as 4h or 2026-01-31T14:00Z.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; others read it.")],
    rule: Annotated[str, typer.Option("--rule", metavar="RULE", help="Only alerts of this rule.")] = "",
) -> None:
    """Tell nobody of alerts until a time. They are shown all the same."""
    session: Session = context.obj
    end = _end(until)

    async def work(yard: Yard) -> tuple[SilenceView, int]:
        session.confirm(f"silence {rule or 'every alert'} of {object} until {until}?")
        made = await yard.alerts.silence(object, until=end, reason=reason, rule=rule)
        return made, sum(alert.silenced_until == made.until for alert in await yard.alerts.alerts())

    silence, covered = session.run(work)
    session.print.item(silence, f"silenced {silence.object} until {until}: {covered} alerts that go on now")


def _silences(context: typer.Context) -> None:
    """List the silences in force."""
    session: Session = context.obj
    session.print.rows(session.run(lambda yard: yard.alerts.silences()), _SILENCES, empty="nothing is silenced")


def _lift(
    context: typer.Context,
    silence: Annotated[str, typer.Argument(metavar="SILENCE", help="Its id, a part of that, or its object.")],
) -> None:
    """End a silence before its time."""
    session: Session = context.obj
    lifted = session.run(lambda yard: yard.alerts.lift(silence))
    note(f"lifted {lifted} silence{'' if lifted == 1 else 's'}")
    session.print.item({"lifted": lifted}, "")


def _end(text: str) -> datetime:
    try:
        return datetime.now(UTC) + parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError("--until", f"{text!r} is no time", "write 4h, 2026-01-31 or 2026-01-31T14:00Z") from error


def _duration(text: str, option: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(option, f"{text!r} is no duration", "write 90m, 24h or 7d") from error
