"""`evidence import` and `evidence list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.output import Column
from backend.cli.session import Session
from backend.core.views import EvidenceView

_COLUMNS: list[Column[EvidenceView]] = [
    ("KIND", lambda one: one.kind),
    ("STATE", lambda one: one.state),
    ("SUMMARY", lambda one: one.summary),
    ("SOURCE", lambda one: one.source),
    ("ASSERTED BY", lambda one: one.asserted_by),
    ("MEASURED", lambda one: one.measured_at),
]


def add_to(application: typer.Typer) -> None:
    """Add `evidence`."""
    evidence = typer.Typer(help="Evidence on images.", rich_markup_mode=None)
    evidence.command("import")(_import)
    evidence.command("list")(_list)
    application.add_typer(evidence, name="evidence")


def _import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Trivy report as JSON.")],
    image: Annotated[str, typer.Option("--image", metavar="REF", help="The image that it is about.")],
) -> None:
    """Hand in a report by file. It is marked as asserted by you, and you may not approve that image."""
    session: Session = context.obj
    evidence = session.run(lambda yard: yard.evidence.hand_in(file, image))
    session.print.item(evidence, f"{evidence.kind}: {evidence.summary}; asserted by {evidence.asserted_by}")


def _list(context: typer.Context, reference: Annotated[str, typer.Argument(metavar="REF")]) -> None:
    """List the evidence on an image."""
    session: Session = context.obj
    evidence = session.run(lambda yard: yard.evidence.of(reference))
    session.print.rows(evidence, _COLUMNS, empty="there is no evidence on it")
