"""`policy check`: what policy says of images, and what another one would flip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.commands.queue import gates_text
from backend.cli.output import Column, note
from backend.cli.session import Session
from backend.core.errors import PolicyError
from backend.core.text import sanitise
from backend.core.views import PolicyCheckView


def add_to(application: typer.Typer) -> None:
    """Add `policy`."""
    policy = typer.Typer(help="Policy.", rich_markup_mode=None)
    policy.command("check")(_check)
    application.add_typer(policy, name="policy")


_CHECKS: list[Column[PolicyCheckView]] = [
    ("IMAGE", lambda check: check.reference),
    ("PASSES", lambda check: check.passes),
    ("BEFORE", lambda check: check.before),
    ("APPROVED", lambda check: check.approved),
    ("GATES", lambda check: gates_text(check.gates)),
]


def _check(
    context: typer.Context,
    reference: Annotated[str | None, typer.Argument(metavar="[REF]")] = None,
    against: Annotated[Path | None, typer.Option("--against", metavar="FILE", help="Another policy to try.")] = None,
) -> None:
    """Tell what policy says of an image, or of all; with --against, what would flip. Exit 3 when one fails."""
    session: Session = context.obj
    checks = session.run(lambda yard: yard.policy.check(reference, against))
    # What flips is what a person looks for.
    checks = sorted(checks, key=lambda check: not check.flips)
    session.print.rows(checks, _CHECKS, empty="there is nothing to check")
    if reference is not None:
        for gate in (gate for check in checks for gate in check.gates):
            note(f"{gate.value.value.upper():12} {gate.effect:5} {gate.kind}: {sanitise(gate.sentence)}")
    if against is not None:
        note(_flips_text(checks))
    failing = [check for check in checks if not check.passes]
    if failing:
        raise PolicyError(
            "policy check",
            f"{len(failing)} of {len(checks)} images do not pass",
            f"see modelyard queue show {failing[0].reference}",
        )


def _flips_text(checks: list[PolicyCheckView]) -> str:
    failing = [check for check in checks if check.flips and not check.passes]
    passing = sum(check.flips and check.passes for check in checks)
    approved = sum(check.approved for check in failing)
    of_them = f" ({approved} of them approved, and they stay so until revoked)" if approved else ""
    return f"{len(failing)} images would fail that pass now{of_them}, {passing} would pass that fail now"
