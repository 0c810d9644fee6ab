"""`sync` and `runs`."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from backend.cli.output import Column, aligned, cell, pairs, plain, size_text
from backend.cli.session import Session
from backend.core.errors import (
    ModelyardError,
    PartialFailureError,
    TooManyNewError,
    UnreachableError,
    UsageError,
)
from backend.core.events import SyncProgressed, Topic
from backend.core.references import short_digest
from backend.core.text import sanitise
from backend.core.views import JournalEntryView, RunView, SyncEntryView, SyncProgressView, SyncResultView
from backend.yard import Yard

_SHORT_ID: Final = 12
#: Erases the line that the cursor is in (ECMA-48, EL), after going back to its start.
_START_OVER: Final = "\r\x1b[K"


def add_to(application: typer.Typer) -> None:
    """Add `sync` and `runs`."""
    application.command("sync")(_sync)
    runs = typer.Typer(help="Runs of the synchroniser, and their journals.", rich_markup_mode=None)
    runs.command("list")(_runs_list)
    runs.command("show")(_runs_show)
    runs.command("cancel")(_runs_cancel)
    application.add_typer(runs, name="runs")


def _sync(
    context: typer.Context,
    rule: Annotated[str | None, typer.Option("--rule", help="Only this rule.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change; write nothing.")] = False,
) -> None:
    """Synchronise images from the registries, by the rules."""
    session: Session = context.obj

    def run(*, allow_many: bool) -> SyncResultView:
        return session.run(lambda yard: _synchronised(yard, rule, dry_run=dry_run, allow_many=allow_many))

    try:
        result = run(allow_many=session.options.yes)
    except TooManyNewError as error:
        if not sys.stdin.isatty():
            raise
        session.confirm(f"{error.what}: {error.why}. Take them in?")
        result = run(allow_many=True)
    session.print.item(result, _sync_text(result), data=_sync_data(result))
    raise_for_failures(result)


async def _synchronised(yard: Yard, rule: str | None, *, dry_run: bool, allow_many: bool) -> SyncResultView:
    """Run rules; on a terminal a line on stderr tells how far they are, and is gone at the end."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return await yard.runs.synchronise(rule, dry_run=dry_run, allow_many=allow_many)
    telling = asyncio.create_task(_tell_progress(yard))
    try:
        return await yard.runs.synchronise(rule, dry_run=dry_run, allow_many=allow_many)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        sys.stderr.write(_START_OVER)
        sys.stderr.flush()


async def _tell_progress(yard: Yard) -> None:
    under_way: dict[str, SyncProgressView] = {}
    async for event in yard.subscribe(Topic.SYNC):
        if isinstance(event, SyncProgressed):
            under_way[event.key] = event.progress
            # One column less than there are: a full line wraps on some terminals.
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(_START_OVER + progress_text(under_way)[:width])
            sys.stderr.flush()


def progress_text(under_way: Mapping[str, SyncProgressView]) -> str:
    """How far the rules of a run are together, in a line.

    Args:
        under_way: the last that was told of each rule.
    """
    views = list(under_way.values())
    running = [view for view in views if not view.finished] or views
    done, totals = sum(view.done for view in views), [view.total for view in views]
    total = sum(known for known in totals if known is not None)
    parts = [f"{done} of {total} tags" if None not in totals and total else f"{done} tags, reading lists"]
    rates = [view.rate for view in running if view.rate is not None]
    if rates:
        parts.append(f"{sum(rates):.0f}/s")
    left = [view.remaining for view in running if view.remaining is not None]
    if left and max(left) >= 1:
        parts.append(f"{_duration(max(left))} left")
    counts = {name: sum(getattr(view, name) for view in views) for name in ("new", "moved", "gone", "failed")}
    parts += [f"{count} {name}" for name, count in counts.items() if count]
    parts.append(size_text(sum(view.bytes for view in views)))
    if where := next((view.repository for view in reversed(running) if view.repository), ""):
        parts.append(sanitise(where))
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def raise_for_failures(result: SyncResultView) -> None:
    """Turn the failures of a run into the error that the contract's exit status asks for.

    Raises:
        UnreachableError: nothing that was asked for could be reached.
        UsageError: nothing was, for the configuration is wrong.
        PartialFailureError: a part failed.
    """
    if not result.failed:
        return
    first = result.failed[0]
    where = "/".join(part for part in (first.registry, first.repository) if part)
    where += f":{first.tag}" if first.tag else ""
    more = f" (and {len(result.failed) - 1} more)" if len(result.failed) > 1 else ""
    seen = len(result.new) + len(result.moved) + len(result.gone) + result.unchanged
    failure: type[ModelyardError] = PartialFailureError
    if not seen and all(failed.unreachable for failed in result.failed):
        failure = UnreachableError
    elif not seen and all(failed.misconfigured for failed in result.failed):
        failure = UsageError
    raise failure(f"sync of {where}", first.reason + more, first.action or "run modelyard doctor, then sync again")


def _sync_data(result: SyncResultView) -> dict[str, Any]:
    def entry(of: SyncEntryView) -> dict[str, Any]:
        data = {"registry": of.registry, "repository": of.repository, "tag": of.tag, "digest": of.digest}
        return data if of.previous is None else {**data, "from": of.previous, "to": of.digest}

    return {
        "new": [entry(one) for one in result.new],
        "moved": [entry(one) for one in result.moved],
        "gone": [entry(one) for one in result.gone],
        "failed": [plain(one) for one in result.failed],
        "unchanged": result.unchanged,
        "skipped": result.skipped,
        "dry_run": result.dry_run,
        "run": result.run,
        "resumed_from": result.resumed_from,
        "resumed": result.resumed,
        "requests": result.requests,
        "bytes": result.bytes,
        "seconds": round(result.seconds, 3),
    }


def _sync_text(result: SyncResultView) -> str:
    lines = [f"new    {one.registry}/{one.repository}:{one.tag}  {short_digest(one.digest)}" for one in result.new]
    lines += [
        f"moved  {one.registry}/{one.repository}:{one.tag}"
        f"  {short_digest(one.previous or '')} > {short_digest(one.digest)}"
        for one in result.moved
    ]
    lines += [f"gone   {one.registry}/{one.repository}:{one.tag}  {short_digest(one.digest)}" for one in result.gone]
    lines += [f"FAILED {one.registry}/{one.repository}:{one.tag}  {sanitise(one.reason)}" for one in result.failed]
    would = "would be " if result.dry_run else ""
    lines.append(
        f"{would}{len(result.new)} new, {len(result.moved)} moved, {len(result.gone)} gone, "
        f"{len(result.failed)} failed, {result.unchanged} unchanged; {result.requests} requests, "
        f"{size_text(result.bytes)}, {result.seconds:.1f} s"
    )
    return "\n".join(lines)


_RUNS: list[Column[RunView]] = [
    ("RUN", lambda run: run.run[:_SHORT_ID]),
    ("STARTED", lambda run: run.started_at),
    ("RULES", lambda run: run.rules),
    ("OUTCOME", lambda run: run.outcome),
    ("NEW", lambda run: run.new),
    ("MOVED", lambda run: run.moved),
    ("GONE", lambda run: run.gone),
    ("FAILED", lambda run: run.failed),
    ("UNCHANGED", lambda run: run.unchanged),
    ("REQUESTS", lambda run: run.requests),
    ("SECONDS", lambda run: f"{run.seconds:.1f}"),
    ("BY", lambda run: run.actor),
]


def _runs_list(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")] = 50,
) -> None:
    """List the last runs, newest first."""
    session: Session = context.obj
    runs = session.run(lambda yard: yard.runs.runs(limit))
    session.print.rows(runs, _RUNS, empty="no runs; run modelyard sync", as_data=_listed)


def _runs_show(context: typer.Context, run: Annotated[str, typer.Argument(metavar="RUN")]) -> None:
    """Show a run and its journal, a line a repository."""
    session: Session = context.obj
    view = session.run(lambda yard: yard.runs.run(run))
    session.print.item(view, _run_text(view))


def _runs_cancel(context: typer.Context, run: Annotated[str, typer.Argument(metavar="RUN")]) -> None:
    """Stop a run, in whichever process it is; the next one goes on with it."""
    session: Session = context.obj
    view = session.run(lambda yard: yard.runs.cancel(run))
    session.print.item(view, f"run {view.run[:_SHORT_ID]} ends within a second", data=_listed(view))


def _listed(run: RunView) -> Any:
    data = plain(run)
    del data["journal"]
    return data


_LINES: list[Column[JournalEntryView]] = [
    ("REPOSITORY", lambda line: f"{line.registry}/{line.repository}" if line.repository else f"{line.registry} (list)"),
    ("RULE", lambda line: line.rule),
    ("STATE", lambda line: line.state),
    ("SEEN", lambda line: line.seen),
    ("NEW", lambda line: line.new),
    ("MOVED", lambda line: line.moved),
    ("GONE", lambda line: line.gone),
    ("UNCHANGED", lambda line: line.unchanged),
    ("SKIPPED", lambda line: line.skipped),
    ("FAILED", lambda line: line.failed),
    ("REQUESTS", lambda line: line.requests),
    ("BYTES", lambda line: size_text(line.bytes)),
    ("SECONDS", lambda line: f"{line.seconds:.1f}"),
]


def _run_text(run: RunView) -> str:
    values: list[tuple[str, object]] = [
        ("run", run.run),
        ("rules", run.rules),
        ("by", run.actor),
        ("started", run.started_at),
        ("finished", run.finished_at),
        ("outcome", f"{run.outcome}: {run.reason}" if run.reason else run.outcome),
        ("found", f"{run.new} new, {run.moved} moved, {run.gone} gone, {run.unchanged} unchanged, "
                  f"{run.skipped} skipped, {run.failed} failed"),
        ("cost", f"{run.requests} requests, {size_text(run.bytes)}, {run.seconds:.1f} s"),
    ]  # fmt: skip
    if run.resumed_from:
        values.append(("went on with", f"run {run.resumed_from}, {run.resumed} tags of which were not asked for again"))
    parts = [pairs(values)]
    if run.journal:
        table = [[heading for heading, _ in _LINES]]
        table += [[cell(value(line)) for _, value in _LINES] for line in run.journal]
        parts.append("\n".join(aligned(table)))
    reasons = [
        f"{line.registry}/{sanitise(line.repository)}{f':{sanitise(tag)}' if tag else ''}  {sanitise(why)}"
        for line in run.journal
        for tag, why in line.reasons
    ]
    if reasons:
        parts.append("\n".join(reasons))
    return "\n\n".join(parts)
