"""`deploy changes`: one timeline of what changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from backend.cli.output import Column, note, parse_since
from backend.cli.services import named
from backend.cli.session import Session
from backend.core.errors import ModelyardError, UsageError
from backend.core.views import ChangeView
from backend.yard import Yard

_CHANGES: list[Column[ChangeView]] = [
    ("AT", lambda one: one.at),
    ("BY", lambda one: one.actor),
    ("WHAT", lambda one: one.what),
    ("OBJECT", lambda one: one.object),
    ("DETAIL", lambda one: one.detail),
    ("BEFORE (A GUESS BY TIME)", lambda one: one.suspected),
]


def changes(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="How long ago (1h, 7d), a date, or RFC 3339.")
    ] = "1h",
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", metavar="NS")] = None,
) -> None:
    """List what changed: our applies and decisions, others' edits, tags, scaling and nodes; of NAME, or of all."""
    session: Session = context.obj
    now = datetime.now(UTC)
    try:
        hours = (now - parse_since(since, now)).total_seconds() / 3600
    except (ValueError, OverflowError) as error:
        raise UsageError("--since", f"{since!r} is neither a time nor a duration", "write 1h, 7d or a date") from error
    if hours <= 0:
        raise UsageError("--since", f"{since!r} is not in the past", "write 1h, 7d or a date")

    async def work(yard: Yard) -> list[ChangeView]:
        which = {} if name is None else (await named(yard, name, namespace))._asdict()
        try:
            return await yard.deployments.changes(**which, hours=hours, ask=True)
        except ModelyardError as error:
            note(f"others' changes are told as far as they were seen before: {error}")
            return await yard.deployments.changes(**which, hours=hours)

    session.print.rows(session.run(work), _CHANGES, empty=f"nothing changed since {since}")
