"""What the dialogs of the queue say and ask for. Pure: texts and fields out of views."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final

from backend.core.views import CandidateView, ImpactView, ScopeView
from tui import format as fmt
from tui.document import Line, Span, text
from tui.panes.queue.view_model import gates_cell
from tui.widgets.fields import Field, Values, required

_WAIVED_FOR: Final = timedelta(days=30)
_BROKEN_FOR: Final = "8h"
_SPAN: Final = re.compile(r"(\d{1,4})\s*([mhd])\Z")
_SPAN_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_NAMED: Final = 5
_SERVICES_NAMED: Final = 4


# ------------------------------------------------------------ what is meant


def what_lines(candidate: CandidateView) -> tuple[Line, ...]:
    """The image and its digest; the last six digits stand out, as they are asked for."""
    algorithm, _, digits = candidate.digest.partition(":")
    return (
        (Span("image   ", "label"), *text(candidate.reference.partition("@")[0], "name")),
        (Span(f"{algorithm:<8}", "label"), *text(digits[:-6], "muted"), *text(digits[-6:], "strong")),
    )


def standing_lines(candidate: CandidateView) -> tuple[Line, ...]:
    """Gates, what blocks, and what is missing beside this decision."""
    left = candidate.approvals_needed - len(candidate.approvals)
    told = "this approval is the last that is missing" if left == 1 else f"{left} approvals are missing"
    missing = f"missing: {'; '.join(candidate.missing)}" if candidate.missing else told
    blocking = [gate for gate in candidate.gates if gate.blocks]
    return (
        (Span("gates   ", "label"), *gates_cell(candidate)),
        *((Span("! ", "bad"), *text(gate.sentence, "bad")) for gate in blocking[:3]),
        *((text(missing, "muted"),) if not blocking else ()),
    )


def impact_lines(impact: ImpactView) -> tuple[Line, ...]:
    """What a revocation touches: services that run it, snapshots that cannot be returned to, keys."""
    lines: list[Line] = []
    if impact.services is None:
        lines.append(text(f"Which services run it is not known: {impact.unknown or 'no cluster was asked'}", "warn"))
    elif impact.services:
        told = _some(impact.services, _SERVICES_NAMED)
        lines.append(text(f"It runs now in {told}; it goes on running, marked as unapproved.", "warn"))
    else:
        lines.append(text("No service runs it now.", "ok"))
    if impact.rollbacks:
        named = [f"{service} {snapshot}" for service, snapshot in impact.rollbacks]
        lines.append(text(f"No longer a target of a rollback: {_some(named, _SERVICES_NAMED)}", "warn"))
    if impact.keys:
        lines.append(text(f"Access keys to it: {_some(impact.keys, _SERVICES_NAMED)}", "warn"))
    return tuple(lines)


def bulk_lines(chosen: Sequence[CandidateView], hidden: int, pattern: str) -> tuple[Line, ...]:
    """What a decision on marked rows is about; those that the filter hides are counted."""
    lines = [text(f"{fmt.count(len(chosen), 'candidate')} marked: {_some([one.name for one in chosen], _NAMED)}")]
    if hidden:
        lines.append(text(f"{hidden} of them not seen now: the filter /{pattern} hides them.", "warn"))
    return tuple(lines)


def _some(names: Sequence[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


# ------------------------------------------------------------ what is asked


def reason_field(offers: Sequence[str], why: str, draft: Values) -> Field:
    """The reason, with the texts that the configuration offers for it."""
    return required("reason", "Reason", why, value=draft.get("reason", ""), offers=tuple(offers))


def last_six_field(digest: str) -> Field:
    """The field that makes sure that the approver looked at the digest."""
    wanted = fmt.last_six(digest)

    def check(value: str) -> str:
        return "" if value.strip().lower() == wanted else "these are not the last six digits of the digest above"

    return Field(id="digest", label="Last six digits of the digest", check=check)


def ticket_field(draft: Values) -> Field:
    """The ticket; it may be empty."""
    return Field(id="ticket", label="Ticket", value=draft.get("ticket", ""), placeholder="may be empty")


def scope_fields(scope: ScopeView, draft: Values) -> tuple[Field, ...]:
    """What is approved beside the digest, filled in from what is known; what is left empty is not fixed."""
    known = (
        ("weights", "Weights", scope.weights, "not fixed: any weights"),
        ("runtime", "Runtime", scope.runtime, "not fixed: any, such as nim or vllm"),
        ("environment", "Environment", scope.environment, "not fixed: any environment"),
    )
    return tuple(
        Field(id=id, label=label, value=draft.get(id, value), placeholder=empty) for id, label, value, empty in known
    )


def scope_of(values: Values) -> ScopeView:
    """The scope that the fields name."""
    return ScopeView(weights=values["weights"], runtime=values["runtime"], environment=values["environment"])


def waiver_fields(
    findings: Sequence[str], chosen: str, offers: Sequence[str], owner: str, now: datetime
) -> tuple[Field, ...]:
    """What a waiver needs: the finding, until when, why, who answers for it, and what is done about it meanwhile."""
    return (
        Field(
            id="finding",
            label="Finding",
            value=chosen,
            check=lambda value: "" if value.strip() in findings else "name one of the open findings",
            offers=tuple(findings),
        ),
        Field(
            id="until",
            label="Until (a day)",
            value=(now + _WAIVED_FOR).date().isoformat(),
            check=partial(check_day, now),
        ),
        reason_field(offers, "say why: it goes into the ledger", {}),
        required("owner", "Owner", "name who answers for it", value=owner),
        Field(id="control", label="Compensating control", placeholder="what is done about the risk meanwhile"),
    )


def break_glass_fields(offers: Sequence[str], now: datetime, draft: Values) -> tuple[Field, ...]:
    """What a break-glass approval needs: why, a ticket, and until when."""
    later = "others will look at it afterwards"
    return (
        reason_field(offers, f"say what is broken: {later}", draft),
        required("ticket", "Ticket", f"name the incident: {later}", value=draft.get("ticket", "")),
        Field(
            id="until",
            label="Until (8h, 2d, a day or a time)",
            value=draft.get("until", _BROKEN_FOR),
            check=partial(check_until, now),
        ),
    )


# ------------------------------------------------------------ times


def check_day(now: datetime, value: str) -> str:
    """Why a text is no day to come; empty when it is."""
    try:
        day = end_of_day(value)
    except ValueError:
        return "write a day as 2027-01-31"
    return "" if day > now else "this day is over"


def end_of_day(value: str) -> datetime:
    """The end of a day in UTC.

    Raises:
        ValueError: the text is no day.
    """
    return datetime.combine(datetime.fromisoformat(value.strip()).date(), time.max, UTC)


def check_until(now: datetime, value: str) -> str:
    """Why a text is no time to come; empty when it is."""
    try:
        until = until_of(now, value)
    except (ValueError, OverflowError):
        return "write a span as 8h or 2d, a day as 2027-01-31, or a time in UTC as 2027-01-31T14:00"
    return "" if until > now else "this time has passed"


def until_of(now: datetime, value: str) -> datetime:
    """The time that a span from now, a day (its end) or a time (in UTC where it names no zone) means.

    Raises:
        ValueError: the text is none of these.
        OverflowError: the time lies beyond what can be written.
    """
    value = value.strip()
    if match := _SPAN.match(value):
        return now + timedelta(**{_SPAN_UNITS[match.group(2)]: int(match.group(1))})
    if len(value) == len("2027-01-31"):
        return end_of_day(value)
    parsed = datetime.fromisoformat(value)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def scope_line(scope: ScopeView) -> Line:
    """What an approval fixes beside the digest; what is not named is said to be not fixed."""
    named = (("weights", scope.weights), ("runtime", scope.runtime), ("environment", scope.environment))
    parts: list[Span] = [Span("digest", "ok")]
    for name, value in named:
        if value:
            parts += [Span(f"  {name} ", "muted"), *text(value, "name")]
    if open_ones := [name for name, value in named if not value]:
        parts += [Span("  not fixed: ", "muted"), Span(", ".join(open_ones), "warn")]
    return tuple(parts)


def offers_of(reasons: Mapping[str, Sequence[str]], verb: str) -> tuple[str, ...]:
    """The texts that the configuration offers as the reason of a decision."""
    return tuple(reasons.get(verb, ()))
