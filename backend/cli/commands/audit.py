"""`audit`."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.options import OutputFormat
from backend.cli.output import Column, pairs, parse_since, parse_time, size_text
from backend.cli.session import Session
from backend.core.errors import LedgerError, UsageError
from backend.core.views import BundleView, LedgerEntryView
from backend.yard import Yard

_LARGEST_ANCHOR = 64 * 1024


class ExportFormat(enum.StrEnum):
    """How entries are written."""

    JSONL = "jsonl"
    CSV = "csv"


def add_to(application: typer.Typer) -> None:
    """Add `audit`."""
    audit = typer.Typer(help="The ledger.", rich_markup_mode=None)
    audit.command("list")(_list)
    audit.command("show")(_show)
    audit.command("head")(_head)
    audit.command("verify")(_verify)
    audit.command("export")(_export)
    audit.command("report")(_report)
    application.add_typer(audit, name="audit")


_Actor = Annotated[str, typer.Option("--actor", help="Only this actor's; * stands for any characters.")]
_Action = Annotated[str, typer.Option("--action", help="Only this action, such as queue.approve or deploy.*")]
_Object = Annotated[str, typer.Option("--object", help="Only what names this.")]
_Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="From then on: a time, a date, or 7d.")]
_Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until then: a time or a date.")]

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
    actor: _Actor = "",
    action: _Action = "",
    object_: _Object = "",
    outcome: Annotated[str, typer.Option("--outcome", help="done, refused, failed or started.")] = "",
    since: _Since = None,
    until: _Until = None,
) -> None:
    """List the ledger's entries, newest first."""
    session: Session = context.obj
    begin, end = _since(since), _until(until)
    entries = session.run(
        lambda yard: yard.audit.entries(
            limit=limit, actor=actor, action=action, object=object_, outcome=outcome, since=begin, until=end
        )
    )
    session.print.rows(entries, _ENTRIES, empty="no entries")


def _show(context: typer.Context, seq: Annotated[int, typer.Argument(metavar="NUMBER", min=0)]) -> None:
    """Show an entry in full."""
    session: Session = context.obj
    entry = session.run(lambda yard: yard.audit.entry(seq))
    values: list[tuple[str, object]] = [
        ("entry", entry.seq), ("at", entry.at), ("actor", f"{entry.actor} ({entry.actor_source})"),
        ("action", entry.action), ("outcome", entry.outcome), ("object", entry.object),
    ]  # fmt: skip
    values += [
        (f"  {name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(entry.detail.items())
    ]
    session.print.item(entry, pairs([*values, ("previous", entry.previous), ("hash", entry.hash)]))


def _head(context: typer.Context) -> None:
    """Print the ledger's head. Keep it outside of the database: with --anchor, verify finds what was cut off."""
    session: Session = context.obj
    head = session.run(lambda yard: yard.audit.head())
    session.print.item(head, head.hash)


def _verify(
    context: typer.Context,
    anchor: Annotated[
        str | None, typer.Option("--anchor", metavar="HASH", help="A head noted earlier, or a file of audit head.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", metavar="FILE", help="Check a bundle instead.")] = None,
    allowed: Annotated[
        Path | None, typer.Option("--allowed-signers", metavar="FILE", help="With --bundle: who may have signed it.")
    ] = None,
    signer: Annotated[str, typer.Option("--signer", metavar="NAME", help="With --bundle: who has to have.")] = "",
) -> None:
    """Verify the chain of the ledger, and that decisions are those it tells of. Exit 1 names the first bad entry."""
    session: Session = context.obj
    noted = _anchor(anchor)
    if bundle is not None:
        _verify_bundle(session, bundle, noted, allowed, signer)
        return
    if allowed is not None or signer:
        raise UsageError("audit verify", "only a bundle is signed", "give --bundle FILE with --allowed-signers")
    found = session.run(lambda yard: yard.audit.verify(noted))
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


def _verify_bundle(session: Session, path: Path, anchor: str | None, allowed: Path | None, signer: str) -> None:
    found = session.run(lambda yard: yard.audit.check_bundle(path, anchor=anchor, allowed=allowed, signer=signer))
    session.print.item(found, _bundle_text(found))
    if not found.intact:
        raise LedgerError(f"bundle {path}", found.reason, "ask for it again by another way", first_bad=0)


def _export(
    context: typer.Context,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="jsonl can be verified; csv is for spreadsheets.")
    ] = ExportFormat.JSONL,
    actor: _Actor = "",
    action: _Action = "",
    object_: _Object = "",
    since: _Since = None,
    until: _Until = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE", help="Write all of it, with the evidence, to a file.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--sign-with", metavar="KEY", help="With --bundle: an SSH key to sign it with.")
    ] = None,
) -> None:
    """Write entries to standard output, oldest first; or the whole ledger with decisions and evidence to a file."""
    session: Session = context.obj
    begin, end = _since(since), _until(until)
    if bundle is not None:
        if any((actor, action, object_, begin, end)):
            raise UsageError("audit export", "a bundle holds everything", "leave the filters out")
        written = session.run(lambda yard: yard.audit.write_bundle(bundle, key=key))
        session.print.item(written, _bundle_text(written))
        return
    if key is not None:
        raise UsageError("audit export", "only a bundle is signed", "give --bundle FILE with --sign-with")

    async def work(yard: Yard) -> None:
        lines = yard.audit.export(
            as_csv=form is ExportFormat.CSV, actor=actor, action=action, object=object_, since=begin, until=end
        )
        async for line in lines:
            sys.stdout.write(line + "\n")

    session.run(work)


def _report(context: typer.Context, since: _Since = "30d", until: _Until = None) -> None:
    """Write what was decided, changed and refused in a period, as Markdown."""
    session: Session = context.obj
    begin, end = _since(since), _until(until) or datetime.now(UTC)
    if begin is None:
        raise UsageError("audit report", "it needs a beginning", "give --since 30d")
    text = session.run(lambda yard: yard.audit.report(begin, end))
    if session.options.output is OutputFormat.TABLE:
        sys.stdout.write(text)
        return
    session.print.item(None, "", data={"since": begin.isoformat(), "until": end.isoformat(), "markdown": text})


def _bundle_text(found: BundleView) -> str:
    values: list[tuple[str, object]] = [
        ("bundle", found.path), ("yard", found.yard), ("entries", found.entries), ("head", found.head),
        ("signed by", found.signed_by or "nobody"), ("intact", found.intact), ("why", found.reason),
    ]  # fmt: skip
    values += [(f"  {file.name}", f"{size_text(file.size)}  sha256 {file.sha256}") for file in found.files]
    return pairs(values)


def _since(text: str | None) -> datetime | None:
    return _instant("--since", text, lambda given: parse_since(given, datetime.now(UTC)))


def _until(text: str | None) -> datetime | None:
    return _instant("--until", text, parse_time)


def _instant(option: str, text: str | None, read: Callable[[str], datetime]) -> datetime | None:
    if text is None:
        return None
    try:
        return read(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(option, f"{text!r} is not a time", "write 2026-01-31 or 2026-01-31T14:00:00Z") from error


def _anchor(text: str | None) -> str | None:
    """What was noted of a head: the hash, or what a file of `audit head` holds."""
    file = Path(text or "").expanduser()
    if text is None or ":" in text or not file.is_file():
        return text
    with file.open("rb") as data:
        return data.read(_LARGEST_ANCHOR).decode("utf-8", errors="replace")
