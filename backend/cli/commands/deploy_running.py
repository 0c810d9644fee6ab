"""`deploy running`: what runs against what was approved and applied."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from backend.cli.output import Column, note
from backend.cli.session import Session
from backend.core.errors import ModelyardError, PartialFailureError
from backend.core.references import short_digest
from backend.core.views import RunningState, RunningView
from backend.yard import Yard

_RUNNING: list[Column[RunningView]] = [
    ("STATE", lambda one: one.state.value),
    ("NAMESPACE", lambda one: one.namespace),
    ("NAME", lambda one: one.name),
    ("DIGEST", lambda one: short_digest(one.digest) if one.digest else ""),
    ("PODS", lambda one: len(one.pods) or None),
    ("BY", lambda one: one.by),
    ("SINCE", lambda one: one.since),
    ("WHY", lambda one: one.detail),
]


def running(
    context: typer.Context,
    state: Annotated[
        str,
        typer.Option("--state", metavar="STATE", help="revoked, unapproved, drifted, edited, unknown or approved."),
    ] = "",
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", metavar="NS")] = None,
) -> None:
    """List what really runs, by digest, against what was approved and applied, the worst first (-o csv exports)."""
    session: Session = context.obj

    away: list[tuple[str, ModelyardError]] = []

    async def work(yard: Yard) -> tuple[list[RunningView], bool]:
        rows = await yard.deployments.running(state, unread=lambda place, error: away.append((place, error)))
        return rows, len(yard.deployments.contexts()) > 1

    rows, several = session.run(work)
    found = [one for one in rows if namespace in (None, one.namespace)]
    columns = [("CONTEXT", _context_of), *_RUNNING] if several else _RUNNING
    session.print.rows(found, columns, empty=f"nothing that runs is {state}" if state else "nothing runs")
    counts = Counter(one.state for one in found)
    if found:
        note(", ".join(f"{counts[one]} {one.value}" for one in RunningState if counts[one]))
    if away:
        for place, error in away:
            note(f"{place} cannot be read: {error.why}")
        places = ", ".join(place for place, _ in away)
        raise PartialFailureError("what runs", f"{places} could not be read", "see the notes; the others are listed")


def _context_of(one: RunningView) -> str:
    return one.context
