"""`audit`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from backend.cli.output import Column, pairs
from backend.cli.session import Session
from backend.core.errors import LedgerError
from backend.core.views import LedgerEntryView
from backend.yard import Yard


def add_to(application: typer.Typer) -> None:
    """Add `audit`."""
    audit = typer.Typer(help="The ledger.", rich_markup_mode=None)
    audit.command("list")(_list)
    audit.command("verify")(_verify)
    audit.command("export")(_export)
    application.add_typer(audit, name="audit")


_ENTRIES: list[Column[LedgerEntryView]] = [
    ("SEQ", lambda entry: entry.seq),
    ("AT", lambda entry: entry.at),
    ("ACTOR", lambda entry: entry.actor),
    ("ACTION", lambda entry: entry.action),
    ("OUTCOME", lambda entry: entry.outcome),
    ("OBJECT", lambda entry: entry.object),
]


def _list(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 200,
    actor: Annotated[str, typer.Option("--actor", help="Only this actor's.")] = "",
    action: Annotated[str, typer.Option("--action", help="Only this action.")] = "",
    object_: Annotated[str, typer.Option("--object", help="Only what names this.")] = "",
) -> None:
    """List the ledger's entries, newest first."""
    session: Session = context.obj
    entries = session.run(lambda yard: yard.audit.entries(limit=limit, actor=actor, action=action, object=object_))
    session.print.rows(entries, _ENTRIES, empty="the ledger is empty")


def _verify(
    context: typer.Context,
    anchor: Annotated[str | None, typer.Option("--anchor", metavar="HASH", help="A head hash noted earlier.")] = None,
) -> None:
    """Verify the chain of the ledger. Exit 1 names the first entry that does not hold."""
    session: Session = context.obj
    found = session.run(lambda yard: yard.audit.verify(anchor))
    text = pairs([("entries", found.entries), ("head", found.head), ("intact", found.intact), ("why", found.reason)])
    session.print.item(found, text)
    if not found.intact:
        first = found.first_bad if found.first_bad is not None else 0
        raise LedgerError(
            f"ledger entry {first}",
            found.reason,
            "compare with a backup or an anchor, and ask who can write the file",
            first_bad=first,
        )


def _export(context: typer.Context) -> None:
    """Write the whole ledger to standard output, one JSON object a line, oldest first."""
    session: Session = context.obj

    async def work(yard: Yard) -> None:
        async for line in yard.audit.export():
            sys.stdout.write(line + "\n")

    session.run(work)
