"""Alerts as rows and sections, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from backend.core.views import AlertView, GpuState, GpuView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, text
from tui.widgets.columns import Column

_ROLE: Final = {"critical": "bad", "warning": "warn", "info": "info"}
#: Severity is told by a mark too, where there are no colours.
_MARK: Final = {"critical": "X", "warning": "!", "info": "i"}

#: Rules about some of the GPUs of a node or service: which those are is seen by the GPUs themselves.
_OF_SOME: Final[Mapping[str, Callable[[GpuView], bool]]] = {
    "gpu-idle": lambda gpu: gpu.state is GpuState.IDLE,
    "gpu-useless": lambda gpu: bool(gpu.useless),
    "gpu-throttled": lambda gpu: bool(gpu.throttle),
}


def severity_cell(alert: AlertView) -> Line:
    """How much it matters, by mark and word; what is over or silenced is quiet."""
    return text(f"{_MARK.get(alert.severity, '?')} {alert.severity}", _role(alert))


def _role(alert: AlertView) -> str:
    return _ROLE.get(alert.severity, "") if is_loud(alert) else "faint"


def object_cell(alert: AlertView, contexts: int) -> Line:
    """What it is about; the context's name says nothing where there is one alone."""
    context, slash, rest = alert.object.partition("/")
    told = rest if slash and contexts <= 1 and any(key.startswith(f"{context}/") for key in alert.services) else ""
    return text(told or alert.object, "name")


def is_loud(alert: AlertView) -> bool:
    """Whether it fires and nobody silenced it."""
    return alert.state == "firing" and alert.silenced_until is None


def is_open(alert: AlertView) -> bool:
    """Whether it fires, is not silenced, and nobody has taken it up."""
    return is_loud(alert) and not alert.acknowledged_by


def state_cell(alert: AlertView) -> Line:
    """Where it stands, and who has it."""
    if alert.state == "resolved":
        return text("over", "ok")
    if alert.silenced_until is not None:
        return text("silenced", "faint")
    if alert.state == "pending":
        return text("waits", "muted")
    if alert.acknowledged_by:
        return text(alert.handed_to or alert.acknowledged_by, "name")
    return text("open", "strong")


def alert_columns(now: Callable[[], datetime], contexts: Callable[[], int]) -> tuple[Column[AlertView], ...]:
    """The columns of alerts, beside the number of contexts that the yard looks at."""
    return (
        Column(
            key="mark",
            title="",
            cell=lambda alert: text(_MARK.get(alert.severity, "?"), _role(alert)),
            minimum=1,
            tight=True,
        ),
        Column(
            key="severity",
            title="SEVERITY",
            cell=lambda alert: text(alert.severity, _role(alert)),
            minimum=8,
            priority=3,
            shown_from=90,
            sort=lambda alert: alert.severity,
        ),
        Column(key="state", title="WHO", cell=state_cell, minimum=5, maximum=14, sort=lambda alert: alert.state),
        Column(
            key="rule",
            title="RULE",
            cell=lambda alert: text(alert.rule, "accent"),
            minimum=12,
            maximum=18,
            priority=3,
            shown_from=100,
            sort=lambda alert: alert.rule,
        ),
        Column(
            key="object",
            title="OBJECT",
            cell=lambda alert: object_cell(alert, contexts()),
            minimum=16,
            maximum=24,
            flex=1,
            keep_end=True,
            sort=lambda alert: alert.object,
        ),
        Column(
            key="summary",
            title="WHAT",
            cell=lambda alert: text(alert.summary, "" if is_loud(alert) else "muted"),
            minimum=20,
            maximum=120,
            flex=5,
        ),
        Column(
            key="since",
            title="SINCE",
            cell=lambda alert: text(fmt.age(alert.since, now()), "muted"),
            minimum=5,
            right=True,
            sort=lambda alert: alert.since,
        ),
    )


def tally(alerts: Iterable[AlertView]) -> Line:
    """How many of each kind there are."""
    listed = list(alerts)
    open_ones = sum(is_open(alert) for alert in listed)
    taken = sum(is_loud(alert) and bool(alert.acknowledged_by) for alert in listed)
    silenced = sum(alert.silenced_until is not None and alert.state != "resolved" for alert in listed)
    parts = [
        text(f"{open_ones} open", "bad" if open_ones else "ok"),
        text(f"{taken} taken up", "muted") if taken else EMPTY,
        text(f"{silenced} silenced", "muted") if silenced else EMPTY,
    ]
    return join(*(part for part in parts if part), gap="  ")


def sections(alert: AlertView, now: datetime) -> list[Section]:
    """All that is known of an alert."""
    rows: list[tuple[str, Line]] = [
        ("severity", severity_cell(alert)),
        ("rule", text(alert.rule, "accent")),
        ("object", text(alert.object, "name")),
        ("since", text(f"{fmt.moment(alert.since)} UTC, {fmt.age(alert.since, now)}")),
    ]
    if alert.fired_at is not None:
        rows.append(("told since", text(f"{fmt.moment(alert.fired_at)} UTC")))
    if alert.resolved_at is not None:
        rows.append(("over since", text(f"{fmt.moment(alert.resolved_at)} UTC", "ok")))
    if alert.acknowledged_by:
        rows.append(("taken up by", text(alert.acknowledged_by, "name")))
        if alert.handed_to:
            rows.append(("handed to", text(alert.handed_to, "name")))
        rows.append(("note", text(alert.note)))
    if alert.silenced_until is not None:
        rows.append(("silenced", text(f"until {fmt.moment(alert.silenced_until)} UTC by {alert.silenced_by}", "warn")))
        rows.append(("because", text(alert.silence_reason)))
    rows.append(("told by", text(alert.source, "muted")))
    hit = tuple(text(key.partition("/")[2], "name") for key in alert.services) or (text("no service", "muted"),)
    return [
        Section("What", (text(alert.summary),)),
        Section("Alert", facts(rows)),
        Section("Services that it hits", hit),
    ]


def haystack(alert: AlertView) -> str:
    """What a filter looks at."""
    return (
        f"{alert.severity} {alert.state} {alert.rule} {alert.object} {alert.summary} {' '.join(alert.services)}"
        f" {alert.acknowledged_by} {alert.handed_to} {alert.note}"
    )


def of_service(alerts: Iterable[AlertView], key: str) -> list[AlertView]:
    """What goes on for a service, by its `context/namespace/name`."""
    return [alert for alert in alerts if alert.state != "resolved" and key in alert.services]


def of_gpus(alerts: Iterable[AlertView], gpus: Sequence[GpuView]) -> list[AlertView]:
    """What goes on for GPUs: of themselves, of their node, of the services that hold them.

    What is about other GPUs is left out, unless it hits a service that holds one of these.
    """
    nodes = {name for gpu in gpus for name in (gpu.node, f"{gpu.context}/{gpu.node}")}
    places = {f"{name} GPU {gpu.place}" for gpu in gpus for name in (gpu.node, f"{gpu.context}/{gpu.node}")}
    held = {f"{gpu.context}/{gpu.namespace}/{gpu.service}" for gpu in gpus if gpu.service}
    lacking = {rule for rule, is_so in _OF_SOME.items() if not any(is_so(gpu) for gpu in gpus)}

    def concerns(alert: AlertView) -> bool:
        node, is_of_gpu, place = alert.object.partition(" GPU ")
        if is_of_gpu and f"{node} GPU {place.partition(' ')[0]}" in places:
            return True
        return alert.rule not in lacking and (alert.object in nodes or not held.isdisjoint(alert.services))

    found = [alert for alert in alerts if alert.state != "resolved" and concerns(alert)]
    weights = list(_MARK)
    # Of those that matter alike, what is wrong with GPUs comes before what is wrong with whoever holds them.
    return sorted(
        found,
        key=lambda alert: (
            weights.index(alert.severity) if alert.severity in weights else len(weights),
            not is_open(alert),
            not alert.rule.startswith("gpu-"),
        ),
    )


def alert_line(alerts: Sequence[AlertView]) -> Line:
    """The worst alert in a line, and how many there are besides; empty without any."""
    loud = [alert for alert in alerts if is_loud(alert)]
    if not loud:
        return EMPTY
    worst = loud[0]
    more = text(f"and {len(loud) - 1} more, ! lists them", "muted") if len(loud) > 1 else EMPTY
    return join((*severity_cell(worst), Span(" "), *text(worst.object, "name")), text(worst.summary), more, gap="  ")


def alert_lines(alerts: Iterable[AlertView], now: datetime) -> tuple[Line, ...]:
    """Alerts of one thing, a line each: how much it matters, who has it, what, since when."""
    return tuple(
        join(
            severity_cell(alert),
            state_cell(alert),
            text(alert.summary),
            text(fmt.age(alert.since, now), "muted"),
            gap="  ",
        )
        for alert in alerts
    )
