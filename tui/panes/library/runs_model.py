"""Runs of the synchroniser and their journals as rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from backend.core.views import JournalEntryView, RunView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, label, text
from tui.panes.library.synchronising import OUTCOME_ROLE
from tui.widgets.columns import Column

_STATE_ROLE: Final = {"done": "ok", "running": "info", "partial": "warn", "failed": "bad", "not reached": "muted"}
_OUTCOME_MARK: Final = {
    "done": "✓", "running": "~", "partial": "!", "failed": "✗", "refused": "✗", "interrupted": "!",
}  # fmt: skip
_STATE_MARK: Final = {"done": "✓", "running": "~", "partial": "!", "failed": "✗", "not reached": "·"}
_REASONS_SHOWN: Final = 500


def number(value: int, role: str) -> Line:
    """A count in its role where there is something to tell, else quiet."""
    return text(value, role if value else "faint")


def outcome_cell(run: RunView) -> Line:
    """How a run ended: a mark and the word."""
    return text(f"{_OUTCOME_MARK.get(run.outcome, '·')} {run.outcome}", OUTCOME_ROLE.get(run.outcome, ""))


def took(run: RunView) -> float | None:
    """Seconds that a run took; None while it goes on."""
    return (run.finished_at - run.started_at).total_seconds() if run.finished_at is not None else None


def run_columns(now: Callable[[], datetime]) -> tuple[Column[RunView], ...]:
    """The columns of the list of runs."""
    return (
        Column(
            key="started",
            title="STARTED",
            cell=lambda run: text(fmt.moment(run.started_at)[5:16], "muted"),
            minimum=11,
            sort=lambda run: run.started_at,
        ),
        Column(key="outcome", title="OUTCOME", cell=outcome_cell, minimum=13, sort=lambda run: run.outcome),
        Column(
            key="rules",
            title="RULES",
            cell=lambda run: text(" ".join(run.rules) or "every rule", "name"),
            minimum=12,
            maximum=40,
            flex=1,
            sort=lambda run: run.rules,
        ),
        Column(key="new", title="NEW", cell=lambda run: number(run.new, "ok"), minimum=4, right=True),
        Column(key="moved", title="MOVED", cell=lambda run: number(run.moved, "warn"), minimum=5, right=True),
        Column(key="gone", title="GONE", cell=lambda run: number(run.gone, "warn"), minimum=4, right=True),
        Column(key="failed", title="FAILED", cell=lambda run: number(run.failed, "bad"), minimum=6, right=True),
        Column(
            key="unchanged",
            title="SAME",
            cell=lambda run: number(run.unchanged, "muted"),
            minimum=6,
            right=True,
            priority=3,
            shown_from=96,
        ),
        Column(
            key="skipped",
            title="SKIPPED",
            cell=lambda run: number(run.skipped, "muted"),
            minimum=7,
            right=True,
            priority=4,
            shown_from=104,
        ),
        Column(
            key="requests",
            title="REQUESTS",
            cell=lambda run: number(run.requests, "muted"),
            minimum=8,
            right=True,
            priority=5,
            shown_from=116,
        ),
        Column(
            key="bytes",
            title="READ",
            cell=lambda run: text(fmt.size(run.bytes), "muted"),
            minimum=8,
            right=True,
            priority=6,
            shown_from=116,
        ),
        Column(
            key="actor",
            title="BY",
            cell=lambda run: text(run.actor, "muted"),
            minimum=8,
            maximum=18,
            priority=5,
            shown_from=120,
        ),
        Column(
            key="took",
            title="TOOK",
            cell=lambda run: text(fmt.duration(took(run)), "muted"),
            minimum=7,
            right=True,
            priority=2,
            sort=lambda run: took(run) or 0,
        ),
    )


def run_section(run: RunView, now: datetime) -> Section:
    """A run in full, for the preview and the head of its page."""
    rows = [
        ("outcome", outcome_cell(run)),
        ("why", text(run.reason, "bad")),
        ("started", join(text(fmt.moment(run.started_at)), text(fmt.ago(run.started_at, now), "muted"))),
        ("took", text(fmt.duration(took(run)))),
        ("by", text(run.actor)),
        ("rules", text(" ".join(run.rules) or "every rule", "name")),
        ("resumes", text(f"run {run.resumed_from}", "accent") if run.resumed_from else EMPTY),
        ("found", join(*_counts(run), gap="  ")),
        ("asked", join(text(fmt.count(run.requests, "request")), text(fmt.size(run.bytes), "muted"), gap="  ")),
        ("run", text(run.run, "faint")),
    ]
    return Section("Run", facts(rows))


def _counts(view: RunView | JournalEntryView) -> list[Line]:
    return [
        number_of(view.new, "new", "ok"),
        number_of(view.moved, "moved", "warn"),
        number_of(view.gone, "gone", "warn"),
        number_of(view.unchanged, "unchanged", "muted"),
        number_of(view.skipped, "skipped", "muted"),
        number_of(view.failed, "failed", "bad"),
    ]


def number_of(value: int, word: str, role: str) -> Line:
    """A count with its word; quiet where it is none."""
    return text(f"{value} {word}", role if value else "faint")


def entry_key(entry: JournalEntryView) -> str:
    """What names a line of a journal."""
    return f"{entry.rule} {entry.registry}/{entry.repository}"


def entry_name(entry: JournalEntryView) -> Line:
    """The repository, or the registry's own list."""
    if not entry.repository:
        return (*text(entry.registry, "name"), *text("  its list of repositories", "muted"))
    head, slash, tail = entry.repository.rpartition("/")
    return (*text(f"{entry.registry}/{head}{slash}", "space"), *text(tail, "name"))


def entry_haystack(entry: JournalEntryView) -> str:
    """What a filter looks at."""
    reasons = " ".join(f"{tag} {why}" for tag, why in entry.reasons)
    return f"{entry.registry}/{entry.repository} {entry.rule} {entry.state} {reasons}"


def journal_columns() -> tuple[Column[JournalEntryView], ...]:
    """The columns of a journal."""

    def state(entry: JournalEntryView) -> Line:
        return text(f"{_STATE_MARK.get(entry.state, '·')} {entry.state}", _STATE_ROLE.get(entry.state, ""))

    def why(entry: JournalEntryView) -> Line:
        if not entry.reasons:
            return EMPTY
        tag, reason = entry.reasons[0]
        return join(text(f":{tag}" if tag else "", "accent"), text(reason, "muted"))

    def count(name: str, title: str, role: str, *, shown_from: int = 0, priority: int = 1) -> Column[JournalEntryView]:
        return Column(
            key=name,
            title=title,
            cell=lambda entry: number(getattr(entry, name), role),
            minimum=max(4, len(title)),
            right=True,
            shown_from=shown_from,
            priority=priority,
            sort=lambda entry: -int(getattr(entry, name)),
        )

    return (
        Column(
            key="repository",
            title="REPOSITORY",
            cell=entry_name,
            minimum=24,
            maximum=52,
            flex=1,
            keep_end=True,
            sort=lambda entry: (entry.registry, entry.repository),
        ),
        Column(key="state", title="STATE", cell=state, minimum=10, maximum=13, sort=lambda entry: entry.state),
        count("new", "NEW", "ok"),
        count("moved", "MOVED", "warn"),
        count("gone", "GONE", "warn"),
        count("failed", "FAILED", "bad"),
        count("skipped", "SKIPPED", "muted", shown_from=88, priority=3),
        count("unchanged", "SAME", "muted", shown_from=96, priority=3),
        count("requests", "REQUESTS", "muted", shown_from=120, priority=4),
        Column(key="why", title="WHY", cell=why, minimum=12, maximum=60, flex=2, shown_from=108, priority=5),
    )


def entry_sections(entry: JournalEntryView) -> list[Section]:
    """A line of a journal in full: counts, and each tag that was skipped or failed with its reason."""
    rows = [
        ("repository", entry_name(entry)),
        ("rule", text(entry.rule, "accent")),
        ("state", text(entry.state, _STATE_ROLE.get(entry.state, ""))),
        ("seen", text(fmt.count(entry.seen, "tag"))),
        ("found", join(*_counts(entry), gap="  ")),
        ("resumed", text(f"{entry.resumed} were asked for by the run before") if entry.resumed else EMPTY),
        ("asked", join(text(fmt.count(entry.requests, "request")), text(fmt.size(entry.bytes), "muted"), gap="  ")),
        ("took", text(fmt.duration(entry.seconds))),
    ]
    reasons = tuple(
        (*label(tag or "(repository)", 18), *text(reason)) for tag, reason in entry.reasons[:_REASONS_SHOWN]
    )
    left = len(entry.reasons) - _REASONS_SHOWN
    more = (text(f"and {left} more; x writes the whole journal to a file", "muted"),) if left > 0 else ()
    told = (*reasons, *more) or ((Span("✓ ", "ok"), *text("nothing was skipped, and nothing failed")),)
    return [Section("Repository", facts(rows)), Section("Skipped and failed", told, note=str(len(entry.reasons)))]
