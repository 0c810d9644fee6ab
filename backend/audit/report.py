"""The audit report: what was decided, changed and refused in a period, as Markdown. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.core.text import sanitise
from backend.core.views import LedgerEntryView, VerificationView

_DECIDED: Final = ("queue.approve", "queue.reject", "queue.revoke", "queue.break", "queue.review", "queue.automatic")
_RULED: Final = ("configuration.", "policy.", "rules.")
_CHANGED: Final = ("deploy.", "runtime.")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
# What CommonMark gives a meaning to (section 2.4, backslash escapes) and that is met in texts of ours.
_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#|!~])")
_MOST_ROWS: Final = 2000
_LONGEST: Final = 300
_TOLD_BEFORE: Final = frozenset(
    {"reason", "ticket", "decision", "digest", "evidence_hash", "policy_hash", "state", "approvals"}
)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """What a report is about: a yard, from when (included) until when (not included)."""

    yard: str
    since: datetime
    until: datetime


def report(
    period: Period,
    entries: Sequence[LedgerEntryView],
    *,
    verification: VerificationView,
    approved_before: Iterable[str],
    approved_after: Iterable[str],
    names: Callable[[str], str],
    made_by: str,
    made_at: datetime,
) -> str:
    """Write the report.

    Args:
        entries: of the period, oldest first.
        verification: of the whole ledger.
        approved_before, approved_after: digests that were approved at the beginning and at the end of the period.
        names: the reference of a digest.
        made_by, made_at: who asked for it, and when.

    Returns:
        CommonMark with tables as GitHub reads them; text from outside is escaped.
    """
    before, after = set(approved_before), set(approved_after)
    lines = [
        f"# Audit report of {_text(period.yard)}",
        "",
        f"From {_time(period.since)} until {_time(period.until)}, made by {_text(made_by)} at {_time(made_at)}.",
        "",
        *_ledger(verification, entries),
        *_summary(entries),
        *_decisions(entries),
        *_waivers(entries),
        *_curated(before, after, names),
        *_others("Policy, rules and configuration", [one for one in entries if one.action.startswith(_RULED)]),
        *_others("Evidence handed in by people", _done(entries, "evidence.import", "evidence.assert")),
        *_others("Changes to clusters", [one for one in entries if one.action.startswith(_CHANGED) and _ended(one)]),
        *_others("Refused", [one for one in entries if one.outcome == "refused"]),
        *_others("Clock", [one for one in entries if "clock_went_back_from" in one.detail]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _ledger(verification: VerificationView, entries: Sequence[LedgerEntryView]) -> list[str]:
    held = "holds" if verification.intact else f"**does not hold** from entry {verification.first_bad} on"
    told = [f"The ledger {held}: {verification.entries} entries, head `{verification.head}`."]
    if verification.reason:
        told.append(f"What is wrong: {_text(verification.reason)}.")
    if entries:
        told.append(f"Entries of the period: {entries[0].seq} to {entries[-1].seq}.")
    return ["## Ledger", "", *told, ""]


def _summary(entries: Sequence[LedgerEntryView]) -> list[str]:
    counts = Counter((one.action, one.outcome) for one in entries)
    if not counts:
        return ["## Summary", "", "Nothing was done and nothing refused.", ""]
    outcomes = sorted({outcome for _, outcome in counts})
    rows = [
        [_code(action), *(str(counts.get((action, outcome), 0)) for outcome in outcomes)]
        for action in sorted({action for action, _ in counts})
    ]
    actors = Counter(f"{one.actor} ({one.actor_source})" for one in entries)
    people = [[_text(actor), str(count)] for actor, count in actors.most_common()]
    return ["## Summary", "", *_table(["action", *outcomes], rows), "", *_table(["actor", "entries"], people), ""]


def _decisions(entries: Sequence[LedgerEntryView]) -> list[str]:
    chosen = [one for one in entries if one.action.startswith(_DECIDED) and one.outcome == "done"]
    rows = [
        [
            str(one.seq), _time(one.at), _text(one.actor), _text(one.action.partition(".")[2]), _object(one),
            _text(_told(one, "reason")), _text(_told(one, "ticket")),
            _text(" ".join(filter(None, (_told(one, "state"), _told(one, "approvals"))))),
        ]
        for one in chosen
    ]  # fmt: skip
    return _section("Decisions", ["no", "at", "who", "what", "image", "reason", "ticket", "then"], rows)


def _waivers(entries: Sequence[LedgerEntryView]) -> list[str]:
    rows = [
        [
            str(one.seq), _time(one.at), _text(one.actor), _object(one), _text(_told(one, "finding")),
            _text(_told(one, "until")[:10]), _text(_told(one, "owner")), _text(_told(one, "reason")),
            _text(_told(one, "control")),
        ]
        for one in _done(entries, "queue.waive")
    ]  # fmt: skip
    heading = ["no", "at", "who", "image", "finding", "until", "owner", "reason", "control"]
    return _section("Waivers", heading, rows)


def _curated(before: set[str], after: set[str], names: Callable[[str], str]) -> list[str]:
    rows = sorted(
        [_code(names(digest)), "new" if digest not in before else "" if digest in after else "no longer approved"]
        for digest in before | after
    )
    told = f"{len(after)} images were approved at the end of the period, {len(before)} at its beginning."
    return ["## Curated library", "", told, "", *(_table(["image", "in this period"], rows) if rows else []), ""]


def _others(title: str, entries: Sequence[LedgerEntryView]) -> list[str]:
    rows = [
        [str(one.seq), _time(one.at), _text(one.actor), _code(one.action), _object(one), _text(_rest(one))]
        for one in entries
    ]
    return _section(title, ["no", "at", "who", "what", "object", "told"], rows)


def _done(entries: Sequence[LedgerEntryView], *actions: str) -> list[LedgerEntryView]:
    return [one for one in entries if one.action in actions and one.outcome == "done"]


def _ended(entry: LedgerEntryView) -> bool:
    return entry.outcome in {"done", "failed"} and not entry.action.endswith(".plan")


def _section(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return [f"## {title}", "", "None.", ""]
    more = len(rows) - _MOST_ROWS
    note = [f"{more} more are not shown: see the export.", ""] if more > 0 else []
    return [f"## {title}", "", *_table(heading, rows[:_MOST_ROWS]), "", *note]


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _told(entry: LedgerEntryView, name: str) -> str:
    value: Any = entry.detail.get(name, "")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rest(entry: LedgerEntryView) -> str:
    """Reason first, then whatever else the entry says."""
    told = [_told(entry, "reason")] if entry.detail.get("reason") else []
    told += [
        f"{name}={_told(entry, name)}"
        for name in sorted(entry.detail)
        if name not in _TOLD_BEFORE and entry.detail[name] not in ("", None, [], {})
    ]
    return "; ".join(told)


def _object(entry: LedgerEntryView) -> str:
    return _code(_DIGEST.sub(r"sha256:\1", entry.object)) if entry.object else ""


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def _text(told: str) -> str:
    return _MARKS.sub(r"\\\1", sanitise(told, _LONGEST))


def _code(told: str) -> str:
    """A code span, which the text ends neither, nor its table's cell."""
    return f"`{sanitise(told, _LONGEST).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
