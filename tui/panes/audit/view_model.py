"""Ledger entries as rows and sections."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from backend.core.views import LedgerEntryView, VerificationView
from tui import format as fmt
from tui.document import Line, Section, Span, facts, join, text
from tui.widgets.columns import Column

OUTCOME_ROLE: Final = {"done": "ok", "refused": "warn", "failed": "bad", "started": "info"}
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
_SHOWN_FIRST: Final = ("reason", "ticket", "error", "image", "digest", "rule")


def detail_text(entry: LedgerEntryView) -> str:
    """What an entry says beside who, what and how it ended, in a line; the telling fields first."""
    ordered = sorted(
        entry.detail.items(),
        key=lambda pair: (_SHOWN_FIRST.index(pair[0]) if pair[0] in _SHOWN_FIRST else 99, pair[0]),
    )
    return "  ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in ordered
        if value not in ("", None, [], {})
    )


def short_digests(value: str) -> str:
    """The text with the first twelve digits of each digest in it."""
    return _DIGEST.sub(r"\1", value)


def entry_columns(now: Callable[[], datetime]) -> tuple[Column[LedgerEntryView], ...]:
    """The columns of the ledger."""
    return (
        Column(
            key="seq",
            title="NO",
            cell=lambda entry: text(entry.seq, "faint"),
            minimum=4,
            maximum=8,
            right=True,
            priority=4,
            sort=lambda entry: entry.seq,
        ),
        Column(
            key="at",
            title="AT (UTC)",
            cell=lambda entry: text(when(entry.at, now()), "muted"),
            minimum=11,
            maximum=19,
            sort=lambda entry: entry.at,
        ),
        Column(
            key="actor",
            title="ACTOR",
            cell=lambda entry: text(entry.actor, "name"),
            minimum=8,
            maximum=18,
            sort=lambda entry: entry.actor,
        ),
        Column(
            key="outcome",
            title="OUTCOME",
            minimum=7,
            sort=lambda entry: entry.outcome,
            cell=lambda entry: text(entry.outcome, OUTCOME_ROLE.get(entry.outcome, "")),
        ),
        Column(
            key="action",
            title="ACTION",
            cell=lambda entry: text(entry.action, "accent"),
            minimum=14,
            maximum=20,
            sort=lambda entry: entry.action,
        ),
        Column(
            key="object",
            title="OBJECT",
            cell=lambda entry: text(short_digests(entry.object)),
            minimum=24,
            maximum=60,
            flex=1,
            keep_end=True,
            sort=lambda entry: entry.object,
        ),
        Column(
            key="detail",
            title="DETAIL",
            cell=lambda entry: text(detail_text(entry), "muted"),
            minimum=16,
            maximum=60,
            flex=2,
            priority=3,
        ),
    )


def when(at: datetime, now: datetime) -> str:
    """The time today, else date and time."""
    return at.strftime("%H:%M:%S") if at.date() == now.date() else at.strftime("%m-%d %H:%M")


def entry_sections(entry: LedgerEntryView) -> list[Section]:
    """All of an entry, and its place in the chain."""
    rows = [
        ("at", text(fmt.moment(entry.at) + " UTC")),
        ("actor", join(text(entry.actor, "name"), text(f"({entry.actor_source})", "muted"))),
        ("action", text(entry.action, "accent")),
        ("object", text(entry.object)),
        ("outcome", text(entry.outcome, OUTCOME_ROLE.get(entry.outcome, ""))),
    ]
    detail = tuple(
        (*text(f"{key}  ", "label"), *text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
        for key, value in sorted(entry.detail.items())
    )
    chain = facts([("previous", text(entry.previous, "muted")), ("own", text(entry.hash, "muted"))])
    return [
        Section(f"Entry {entry.seq}", facts(rows)),
        Section("Detail", detail or (text("none", "muted"),)),
        Section("Chain", chain),
    ]


def short_head(verification: VerificationView) -> str:
    """The first twelve digits of the head's hash."""
    return verification.head.removeprefix("sha256:")[:12]


def verification_line(verification: VerificationView | None) -> Line:
    """Whether the ledger holds, in the heading."""
    if verification is None:
        return text("v verifies the chain", "muted")
    if verification.intact:
        told = f"  {verification.entries} entries, head {short_head(verification)}"
        return (Span("✓ intact", "ok"), *text(told, "muted"))
    return (Span(f"✗ entry {verification.first_bad} does not hold", "alarm"), *text(f"  {verification.reason}", "bad"))


def haystack(entry: LedgerEntryView) -> str:
    """What a filter looks at."""
    return f"{entry.seq} {entry.actor} {entry.action} {entry.object} {entry.outcome} {detail_text(entry)}"
