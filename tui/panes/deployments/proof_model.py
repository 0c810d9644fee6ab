"""Changes, validations, canaries and what runs, as rows and sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from backend.core.references import short_digest
from backend.core.views import (
    BlastView,
    CanaryView,
    ChangeView,
    EvidenceValue,
    RunningState,
    RunningView,
    ValidationView,
)
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, pad, text
from tui.widgets.columns import Column

STATE_ROLE: Final = {
    RunningState.REVOKED: "bad",
    RunningState.UNAPPROVED: "violet",
    RunningState.DRIFTED: "warn",
    RunningState.EDITED: "warn",
    RunningState.UNKNOWN: "muted",
    RunningState.APPROVED: "ok",
}
PROVED_ROLE: Final = {"passed": "ok", "failed": "bad"}
_OUTCOME: Final = {"passed": ("✓ passed", "ok"), "failed": ("✗ failed", "bad"), "waiting": ("… waiting", "info")}
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
_CHECK: Final = {EvidenceValue.PASS: ("✓", "ok"), EvidenceValue.FAIL: ("✗", "bad")}
_KIND_ROLE: Final = {"edit": "warn", "node": "warn", "apply": "accent", "decision": "violet", "refused": "muted"}


# ---------------------------------------------------------------- changes


def suspect_note(change: ChangeView) -> Line:
    """What failed next after a change, told as the guess that it is."""
    name, _, word = change.suspected.rpartition(" ")
    return (Span(f"← cause of {name.rpartition('/')[2]} {word.upper()}?", "bad"),) if name else ()


def when(at: datetime, now: datetime) -> str:
    """The time today, else date and time."""
    return at.strftime("%H:%M:%S") if at.date() == now.date() else at.strftime("%m-%d %H:%M")


def short_digests(value: str) -> str:
    """The text with the first twelve digits of each digest in it."""
    return _DIGEST.sub(r"\1", value)


def change_columns(now: Callable[[], datetime]) -> tuple[Column[ChangeView], ...]:
    """The columns of the page of all changes."""
    return (
        Column(
            key="at",
            title="AT (UTC)",
            cell=lambda one: text(when(one.at, now()), "muted"),
            minimum=11,
            sort=lambda one: one.at,
        ),
        Column(
            key="by",
            title="BY",
            cell=lambda one: text(one.actor, "space"),
            minimum=8,
            maximum=20,
            sort=lambda one: one.actor,
        ),
        Column(
            key="what",
            title="WHAT",
            cell=lambda one: text(one.what, _KIND_ROLE.get(one.kind, "")),
            minimum=10,
            maximum=20,
            sort=lambda one: one.what,
        ),
        Column(
            key="object",
            title="OBJECT",
            cell=lambda one: text(short_digests(one.object), "name"),
            minimum=16,
            maximum=44,
            flex=1,
            keep_end=True,
            sort=lambda one: one.object,
        ),
        Column(
            key="detail",
            title="DETAIL",
            cell=lambda one: join(suspect_note(one), text(one.detail, "muted"), gap="  "),
            minimum=16,
            maximum=90,
            flex=2,
        ),
    )


def change_sections(change: ChangeView) -> list[Section]:
    """All of one change."""
    rows = [
        ("at", text(fmt.moment(change.at) + " UTC")),
        ("by", text(change.actor, "name")),
        ("what", join(text(change.what, "accent"), text(f"({change.kind})", "muted"))),
        ("object", text(change.object)),
        ("detail", text(change.detail)),
        ("touches", text(", ".join(change.services))),
        ("before", join(suspect_note(change), text("a guess by time alone", "muted")) if change.suspected else EMPTY),
    ]
    return [Section("Change", facts(rows))]


def change_lines(changes: Iterable[ChangeView], now: datetime) -> tuple[Line, ...]:
    """Changes of one service, the newest first."""
    return tuple(
        (
            *pad(text(when(change.at, now), "muted"), 13),
            *pad(text(change.actor, "space"), 18),
            Span(" "),
            *join(
                text(change.what, _KIND_ROLE.get(change.kind, "")),
                suspect_note(change),
                text(change.detail, "muted"),
                gap="  ",
            ),
        )
        for change in changes
    )


# ---------------------------------------------------------------- proofs


def proof_line(validation: ValidationView) -> Line:
    """How a validation stands, in a line."""
    word, role = _OUTCOME.get(validation.outcome, (validation.outcome, "muted"))
    return join((Span(word, role),), text(validation.traffic, "muted"), text(validation.reason), gap="  ")


def proof_sections(validations: Sequence[ValidationView], now: datetime) -> list[Section]:
    """What proved a service's rollouts good or bad, the newest first."""
    if not validations:
        told = text("No rollout of it was validated yet; z asks it for an answer.", "muted")
        return [Section("Validation", (told,))]
    sections = []
    for validation in validations:
        lines = [proof_line(validation)]
        lines += [_check_line(check.name, check.value, check.sentence) for check in validation.checks]
        if validation.proposes:
            way = f"a return to {validation.proposal[:12]} is proposed: B shows it, ready to confirm"
            lines.append((Span("! ", "warn"), *text(way, "warn")))
        elif validation.answer:
            lines.append(text(f"return to {validation.proposal[:12]}: {validation.answer}", "accent"))
        what = validation.snapshot[:12] or "as it was found"
        title = f"{what} by {validation.actor}"
        sections.append(Section(title, tuple(lines), note=fmt.ago(validation.started_at, now)))
    return sections


def _check_line(name: str, value: EvidenceValue, sentence: str) -> Line:
    mark, role = _CHECK.get(value, ("·", "muted"))
    return (Span(f"{mark} ", role), *pad(text(name, "name"), 10), *text(sentence, "" if role != "muted" else "muted"))


def canary_sections(canary: CanaryView) -> list[Section]:
    """What traffic goes where."""
    steps = ", ".join(f"{step} %" for step in canary.steps)
    rows = [("traffic", text(canary.statement)), ("mode", text(canary.mode, "muted")), ("steps", text(steps))]
    sections = [Section("Traffic", facts(rows))]
    if canary.revisions:
        lines = tuple(
            join(
                pad(text("not told" if one.percent is None else f"{one.percent} %", "strong"), 8, right=True),
                (Span("●" if one.ready else "○", "ok" if one.ready else "warn"),),
                text(one.name, "name"),
                text(one.role, "muted"),
                text(one.tag, "accent"),
            )
            for one in canary.revisions
        )
        sections.append(Section("Revisions", lines))
    return sections


def blast_lines(blast: BlastView) -> tuple[Line, ...]:
    """What a change would end, for the dialog before it."""
    return tuple((Span("• ", "warn"), *text(sentence)) for sentence in blast.sentences)


# ---------------------------------------------------------------- what runs


def running_columns(now: Callable[[], datetime], contexts: int) -> tuple[Column[RunningView], ...]:
    """The columns of what runs."""
    return (
        Column(
            key="state",
            title="STATE",
            cell=lambda one: (Span(one.state.value, STATE_ROLE[one.state]),),
            minimum=10,
            sort=lambda one: list(RunningState).index(one.state),
        ),
        Column(
            key="service",
            title="SERVICE",
            cell=lambda one: _service_cell(one, contexts),
            minimum=18,
            maximum=44,
            flex=1,
            sort=lambda one: one.service,
        ),
        Column(
            key="digest",
            title="DIGEST",
            cell=lambda one: text(short_digest(one.digest) if one.digest else "", "muted"),
            minimum=12,
            priority=2,
            sort=lambda one: one.digest,
        ),
        Column(
            key="pods",
            title="PODS",
            cell=lambda one: text(len(one.pods) if one.pods else ""),
            minimum=4,
            right=True,
            priority=2,
            sort=lambda one: len(one.pods),
        ),
        Column(
            key="since",
            title="FOR",
            cell=lambda one: text(fmt.age(one.since, now()) if one.since else "", "muted"),
            minimum=4,
            right=True,
            priority=3,
            sort=lambda one: one.since.timestamp() if one.since else 0.0,
        ),
        Column(
            key="why",
            title="WHY",
            cell=lambda one: text(one.detail),
            minimum=20,
            maximum=100,
            flex=2,
            sort=lambda one: one.detail,
        ),
    )


def _service_cell(one: RunningView, contexts: int) -> Line:
    context = text(f"{one.context}/", "faint") if contexts > 1 else EMPTY
    return (*context, *text(f"{one.namespace}/", "space"), *text(one.name, "name"))


def running_tally(rows: Iterable[RunningView]) -> Line:
    """How many of each state, the worst first."""
    counts: dict[RunningState, int] = {}
    for row in rows:
        counts[row.state] = counts.get(row.state, 0) + 1
    told = [(Span(f"{counts[state]} {state.value}", STATE_ROLE[state]),) for state in RunningState if state in counts]
    return join(*told, gap="  ")


def running_sections(one: RunningView, now: datetime) -> list[Section]:
    """All of one row."""
    rows = [
        ("state", (Span(one.state.value, STATE_ROLE[one.state]),)),
        ("why", text(one.detail)),
        ("service", text(f"{one.namespace}/{one.name} in {one.context}", "name")),
        ("image", text(one.image, "muted")),
        ("digest", text(one.digest, "muted")),
        ("pods", text(", ".join(one.pods))),
        ("by", text(one.by, "space")),
        ("since", text(fmt.ago(one.since, now)) if one.since else EMPTY),
        ("snapshot", text(one.snapshot[:12] or "none: it was not applied by Modelyard", "muted")),
    ]
    return [Section("Runs", facts(rows))]


def running_haystack(one: RunningView) -> str:
    """What a filter looks at."""
    return f"{one.state.value} {one.service} {one.image} {one.digest} {one.by} {one.detail} {' '.join(one.pods)}"


def change_haystack(change: ChangeView) -> str:
    """What a filter looks at."""
    return f"{change.actor} {change.what} {change.kind} {change.object} {change.detail} {' '.join(change.services)}"
