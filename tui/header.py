"""The two bars at the top: who and where, and what must be known at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from backend.core.views import ChangeView, GpuState, SourceState, SourceView, Verdict, YardStatusView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, cells, ends, text
from tui.model import Model
from tui.panes.gpus.view_model import idle_rate_text

_QUIET_SECONDS = 60
#: Of more live clusters than this only the number is told.
_NAMED = 2
BROKEN = frozenset({Verdict.FAILED, Verdict.STUCK})
SLOW = frozenset({Verdict.SLOW_TO_LOAD, Verdict.DEGRADED})


class Counts(NamedTuple):
    """What the summary bar counts; None is not known."""

    broken: int | None
    slow: int | None
    mine: int | None
    oldest_mine: datetime | None
    idle: int | None
    idle_rate: str
    gpus: int
    unapproved: int | None
    proposed: int
    drifted: int
    alerts: int | None
    alerts_open: int
    changed: int | None


def count(model: Model, now: datetime) -> Counts:
    """Count what is known."""
    tally = model.tally.look(model.services.value)
    verdicts = tally.verdicts
    known = model.services.known
    mine = [candidate for candidate in model.queue.value if candidate.waits_for_me]
    loud = [alert for alert in model.alerts.value if alert.state == "firing" and alert.silenced_until is None]
    snapshot = model.gpus.value
    gpus = snapshot.gpus if snapshot is not None else ()
    primary = model.status.context if model.status is not None else ""
    slow = tally.slow(model.services.value, snapshot, primary)
    return Counts(
        broken=sum(number for (verdict, _), number in verdicts.items() if verdict in BROKEN) if known else None,
        slow=sum(number for (verdict, _), number in verdicts.items() if verdict in SLOW) + len(slow) if known else None,
        mine=len(mine) if model.queue.known else None,
        oldest_mine=min((candidate.submitted_at for candidate in mine), default=None),
        idle=sum(gpu.state is GpuState.IDLE for gpu in gpus) if gpus else None,
        idle_rate=idle_rate_text(gpus),
        gpus=len(gpus),
        proposed=tally.proposed,
        drifted=model.drifted,
        unapproved=sum(number for (_, unapproved), number in verdicts.items() if unapproved) if known else None,
        alerts=len(loud) if model.alerts.known else None,
        alerts_open=sum(not alert.acknowledged_by for alert in loud),
        changed=len(recent(model.changes.value, now)) if model.changes.known else None,
    )


def recent(changes: Iterable[ChangeView], now: datetime) -> list[ChangeView]:
    """Those of the last hour, however long ago the list was read."""
    start = now - timedelta(hours=1)
    return [change for change in changes if change.at > start]


def summary_line(counts: Counts, now: datetime, width: int, note: Line = EMPTY) -> Line:
    """The summary bar: loud where something is wrong, quiet where nothing is. Counts stay longest, notes go first."""
    for wide, noted in ((width >= 100, True), (width >= 100, False), (False, False)):
        # The chips have room at their sides already: where there is little, that has to do.
        for gap in (3, 1, 0):
            line = _summary(counts, now, wide=wide, noted=noted, gap=" " * gap)
            if cells(line) <= width:
                return ends(line, note, width)
    # What is wrong stays; that nothing else is can be seen by its absence.
    return _summary(counts, now, wide=False, noted=False, gap="", zeros=False)


def _summary(counts: Counts, now: datetime, *, wide: bool, noted: bool, gap: str, zeros: bool = True) -> Line:
    oldest = ""
    if noted and counts.mine and counts.oldest_mine is not None and (old := fmt.age(counts.oldest_mine, now)) != "now":
        oldest = f" ({'oldest ' if wide else ''}{old})"
    not_taken_up = f", {counts.alerts_open} not taken up" if wide and noted and counts.alerts_open else ""
    idle = None if counts.idle is None else f"{counts.idle}/{counts.gpus}{' GPUs' if wide else ''}"
    back = (_chip("ROLL BACK?" if wide else "BACK?", counts.proposed, "chip-warn"),) if counts.proposed else ()
    alerts = _chip("ALERTS", counts.alerts, "chip-bad" if counts.alerts_open else "", not_taken_up)
    rate = f" {counts.idle_rate}" if noted and counts.idle_rate else ""
    chips = (
        _chip("BROKEN", counts.broken, "chip-bad"),
        *back,
        *((_chip("SLOW", counts.slow, "chip-warn"),) if zeros or counts.slow else ()),
        _chip("FOR ME", counts.mine, "chip-mine", oldest),
        _chip("IDLE", counts.idle, "chip-warn", rate, shown=idle),
        _chip("UNAPPROVED RUNNING" if wide else "UNAPPROVED", counts.unapproved, "chip-violet"),
        *((_chip("DRIFTED", counts.drifted, "chip-warn"),) if counts.drifted else ()),
        *((alerts,) if zeros or counts.alerts else ()),
        _chip("CHANGED 1h" if wide else "CHANGED", counts.changed, "", ""),
    )
    line: list[Span] = [Span(" ")]
    for chip in chips:
        line.extend((*chip, Span(gap)))
    return tuple(line[:-1])


def title_line(model: Model, now: datetime, width: int, *, paused: bool) -> Line:
    """The title bar; what matters less goes first where there is little room."""
    status = model.status
    if status is None:
        state = "opening the yard…" if model.opening else "could not be opened"
        return (Span(" MODELYARD ", "brand"), Span(f" {state}"))
    left, right = _title_parts(status, width), _right_parts(model, status, now, paused)
    left = [*_broken_glass(model), *left]
    highest = max(rank for rank, _ in (*left, *right))
    for limit in range(highest, 0, -1):
        shown_left = _assemble([part for rank, part in left if rank <= limit])
        shown_right = _assemble([part for rank, part in right if rank <= limit])
        if cells(shown_left) + cells(shown_right) + 3 <= width:
            return ends(shown_left, (*shown_right, Span(" ")) if shown_right else EMPTY, width)
    return _assemble([part for rank, part in left if rank == 0])


def _broken_glass(model: Model) -> list[tuple[int, Line]]:
    """What one person let run by themselves, on every page and at any width."""
    told = len(model.status.alarms) if model.status is not None else 0
    broken = max(told, sum(bool(candidate.break_glass) for candidate in model.queue.value))
    return [(0, (Span(f" BREAK-GLASS {broken} ", "chip-bad"),))] if broken else []


def _title_parts(status: YardStatusView, width: int) -> list[tuple[int, Line]]:
    """Parts of the title with their rank: the highest go first, 0 always stays."""
    roles = "unrestricted" if status.unrestricted else " ".join(status.roles) or "no role"
    writes: Line = (
        (Span(" READ-ONLY " if "read-only" in status.writes else " WRITES OFF ", "chip-bad"),)
        if status.writes
        else (Span(" WRITES ON ", "chip-ok"),)
    )
    why = text(status.writes, "bar-muted") if status.writes and width >= 130 else EMPTY
    enforcement = status.enforcement or "enforcement unknown"
    enforced = enforcement.lower().startswith("enforced")
    actor = status.actor + (f" ({status.actor_source})" if width >= 140 else "")
    return [
        (7, (Span(" MODELYARD ", "brand"),)),
        (0, text(status.name, "strong")),
        (2, text(status.context, "accent") if status.context else text("no cluster", "bar-muted")),
        (0, text(actor)),
        (5, text(roles, "warn" if status.unrestricted else "bar-muted")),
        (0, writes),
        (5, why),
        (3, text(enforcement.upper() if enforced else enforcement, "ok" if enforced else "warn")),
        (9, text(_worker(status.worker), "bar-muted")),
    ]


def _worker(holder: str) -> str:
    if not holder:
        return "no worker"
    return holder if holder.startswith("worker") else f"worker {holder}"


def _right_parts(model: Model, status: YardStatusView, now: datetime, paused: bool) -> list[tuple[int, Line]]:
    """Sources and the time of what is shown, with their rank: what is lost or refused stays longest."""
    parts: list[tuple[int, Line]] = [(0, (Span(" PAUSED ", "chip-warn"),))] if paused else []
    ordered = sorted(status.sources, key=lambda source: (_healthy(source), source.kind != "cluster", source.name))
    several = sum(source.kind == "cluster" for source in ordered) > 1
    well = [source for source in ordered if source.kind == "cluster" and source.state is SourceState.LIVE]
    if several and len(well) > _NAMED:
        parts.append((4, (*text(f"{len(well)} clusters", "bar-muted"), Span(" live", "ok"))))
        ordered = [source for source in ordered if source not in well]
    for source in ordered:
        rank = 1 if not _healthy(source) else 4 if source.kind == "cluster" else 6
        parts.append((rank, source_line(source, now, named=several)))
    if model.as_of is not None:
        parts.append((8, text(f"as of {fmt.clock_time(model.as_of)} UTC", "bar-muted")))
    return parts


def source_line(source: SourceView, now: datetime, *, named: bool = False) -> Line:
    """A source and its state: `api live`, `registry 4m`, `prom lost 2m`.

    Args:
        named: call a cluster by its context, since there are several.
    """
    name = "api" if source.kind == "cluster" and not named else source.name
    aged = source.as_of is not None and (now - source.as_of) > timedelta(seconds=_QUIET_SECONDS)
    age = f" {fmt.age(source.as_of, now)}" if aged else ""
    if source.state is SourceState.LIVE:
        state, role = (age.strip() if age and source.kind != "cluster" else "live"), "ok"
    elif source.state is SourceState.LOST:
        state, role = f"lost{age}", "alarm"
    elif source.state is SourceState.REFUSED:
        state, role = "refused", "alarm"
    else:
        state, role = source.state.value, "bar-muted"
    return (*text(name, "bar-muted"), Span(" "), Span(state, role))


def _healthy(source: SourceView) -> bool:
    return source.state not in {SourceState.LOST, SourceState.REFUSED}


def _assemble(parts: Sequence[Line]) -> Line:
    line: list[Span] = []
    for part in parts:
        if part:
            if not line:
                if not part[0].text.startswith(" "):
                    line.append(Span(" "))
            else:
                line.append(Span("  "))
            line.extend(part)
    return tuple(line)


def _chip(label: str, value: int | None, role: str, note: str = "", shown: str | None = None) -> Line:
    number = shown if shown is not None else fmt.UNKNOWN if value is None else str(value)
    if value and role:
        return (Span(f" {label} {number}{note} ", role),)
    return (Span(f" {label} ", "muted"), Span(f"{number} ", "strong" if value else "muted"))
