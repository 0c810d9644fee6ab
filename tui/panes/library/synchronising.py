"""Synchronising from the screen, and how far a run is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from backend.core.views import RunView, SyncProgressView, SyncResultView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, ends, join, text
from tui.model import PartName
from tui.page import Page
from tui.widgets.fields import Values

_BAR: Final = 12
OUTCOME_ROLE: Final = {
    "done": "ok", "running": "info", "partial": "warn", "failed": "bad", "refused": "bad", "interrupted": "warn",
}  # fmt: skip


class SyncAction(Page):
    """Synchronising, from the panes that show the library."""

    def act_library_synchronise(self, *arguments: str) -> None:
        dry_run, allow_many = "--dry-run" in arguments, "--allow-many" in arguments
        rule = next((word for word in arguments if not word.startswith("-")), None)
        yard = self.room.feed.yard
        if yard is None:
            return

        async def perform(_values: Values) -> object:
            # The dialog does not wait for the end: how far the run is stands on the page, and can be cancelled there.
            self.room.feed.spawn(self._synchronise(rule, dry_run, allow_many), "synchronising")
            return True

        lines = (
            text(f"Rule {rule}" if rule else "Every enabled rule, against its registry."),
            text("Nothing is changed: a dry run." if dry_run else "New and moved tags become candidates in the queue."),
            *(
                (text(f"A run goes on already: {run.rule}, {run.done} tags done.", "warn"),)
                if (run := running(self.model.sync.values())) is not None
                else ()
            ),
        )
        self.ask("Synchronise?", lines, "Synchronise", perform)

    async def _synchronise(self, rule: str | None, dry_run: bool, allow_many: bool) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        words = ["modelyard sync", f"--rule {rule}" if rule else "", "--dry-run" if dry_run else ""]
        command = " ".join(word for word in (*words, "--allow-many" if allow_many else "") if word)
        try:
            result = await yard.runs.synchronise(rule, dry_run, allow_many)
        except Exception:
            self.room.log_command(command, "failed")
            raise
        self.room.log_command(command, "done")
        self.room.feed.read(PartName.LIBRARY, PartName.QUEUE, PartName.CHANGES)
        self.room.flash(sync_told(result), bad=bool(result.failed))

    def act_library_cancel(self) -> None:
        run, yard = running(self.model.sync.values()), self.room.feed.yard
        if run is None or yard is None:
            self.room.flash("no run goes on", bad=True)
            return

        async def perform(_values: Values) -> object:
            await yard.runs.cancel(run.run)
            self.room.log_command(f"run {run.run} cancelled", "done")
            return True

        lines = (
            join(text("rule", "label"), text(run.rule, "name"), text(f"{fmt.count(run.done, 'tag')} done"), gap="  "),
            text("What it took in stays; the next run goes on where this one stopped.", "muted"),
        )

        def done(result: object) -> None:
            if result:
                self.room.flash("the run was told to stop")

        self.ask("Cancel the run?", lines, "Cancel the run", perform, danger=True, done=done)


def running(runs: Iterable[SyncProgressView]) -> SyncProgressView | None:
    """The run that goes on, the one heard of last where there are several."""
    return next((run for run in reversed(list(runs)) if not run.finished), None)


def sync_told(result: SyncResultView) -> str:
    """A run in a sentence."""
    parts = [
        f"{len(result.new)} new",
        f"{len(result.moved)} moved",
        f"{len(result.gone)} gone",
        f"{result.unchanged} unchanged",
    ]
    if result.failed:
        first = result.failed[0]
        where = "/".join(part for part in (first.registry, first.repository) if part)
        parts.append(f"{len(result.failed)} failed ({where}: {first.reason})")
    dry = "dry run: " if result.dry_run else "synchronised: "
    return f"{dry}{', '.join(parts)} in {fmt.duration(result.seconds)}"


def progress_line(run: SyncProgressView, width: int) -> Line:
    """How far a run is: rule, tags, rate, what remains, what failed."""
    known = run.total is not None and run.total > 0
    done = min(run.done, run.total or 0)
    number = f"{run.done:,}/{run.total:,}".replace(",", " ") if known else fmt.count(run.done, "tag")
    share = text(f"{100 * done // run.total}%", "strong") if known and run.total else EMPTY
    filled = round(_BAR * done / run.total) if known and run.total else 0
    bar = (Span("█" * filled, "gauge-middle"), Span("░" * (_BAR - filled), "faint")) if known else EMPTY
    found = [
        text(f"{count} {word}", role)
        for count, word, role in (
            (run.failed, "failed", "bad"),
            (run.new, "new", "ok"),
            (run.moved, "moved", "warn"),
            (run.gone, "gone", "warn"),
        )
        if count
    ]
    left = join(
        (Span(" SYNC", "info"),),
        text(run.rule, "name"),
        bar if width >= 100 else EMPTY,
        share,
        text(number),
        text(f"{run.rate:.0f}/s" if run.rate is not None else "", "muted"),
        text(f"~{fmt.duration(run.remaining)} left" if run.remaining is not None else "", "muted"),
        *found,
        text(run.repository, "faint") if width >= 130 else EMPTY,
        gap="  ",
    )
    return ends(left, (Span("K", "key"), Span(" cancels ", "keytext")), width)


def ended_line(run: RunView | None, error: SyncProgressView | None, now: datetime, width: int) -> Line:
    """How the last run ended."""
    if error is not None and error.error:
        told = join((Span(" SYNC", "label"),), text(error.rule, "name"), text(f"✗ {error.error}", "bad"), gap="  ")
        return ends(told, (Span("J", "key"), Span(" runs ", "keytext")), width)
    if run is None:
        return (Span(" SYNC", "label"), *text("  nothing was synchronised yet", "muted"))
    role = OUTCOME_ROLE.get(run.outcome, "")
    when = run.finished_at or run.started_at
    left = join(
        (Span(" SYNC", "label"),),
        text(run.outcome, role),
        text(fmt.ago(when, now), "muted"),
        text(" ".join(run.rules) or "every rule", "name"),
        *(
            text(f"{count} {word}", role if count else "muted")
            for count, word, role in (
                (run.new, "new", "ok"),
                (run.moved, "moved", "warn"),
                (run.gone, "gone", "warn"),
                (run.failed, "failed", "bad"),
            )
        ),
        text(run.reason, "bad") if run.outcome != "done" else EMPTY,
        gap="  ",
    )
    return ends(left, (Span("J", "key"), Span(" runs ", "keytext")), width)
