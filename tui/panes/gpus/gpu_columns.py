"""The columns of a GPU's line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from backend.core.gpu_lists import is_stale, load_of
from backend.core.views import GpuState, GpuView
from tui.document import EMPTY, Line, Span, join, text
from tui.panes.gpus.cells import (
    NOTHING,
    STATE_MARK,
    STATE_ROLE,
    age_text,
    bar,
    gauge_role,
    held_cell,
    memory_text,
    note_of,
    shown_state,
)
from tui.panes.gpus.wall import GpuRow, WallRow
from tui.widgets.columns import Column

_BAR: Final = 10
Cell = Callable[[GpuView], Line]
Value = Callable[[GpuView], float | None]


def gpu_columns(
    now: Callable[[], datetime], *, wide: bool = False, narrow: bool = False
) -> tuple[Column[WallRow], ...]:
    """The columns; rows of other kinds have none.

    Args:
        wide: all that is measured, in place of the bar.
        narrow: who holds it and what is to be known of it share a column.
    """
    last = _narrow(now) if narrow else _told(now)
    memory: Cell = lambda gpu: text(memory_text(gpu.memory_used, gpu.memory_total), _role(gpu))  # noqa: E731 - a cell
    memory_column = Column(key="memory", title="MEM", cell=_of(memory), minimum=6, maximum=9, right=True, priority=2)
    return (
        Column(key="mark", title="", cell=_of(_mark), minimum=1, tight=True),
        Column(key="gpu", title="GPU", cell=_place, minimum=3, maximum=22),
        *(_measured(memory_column) if wide else _usual(memory_column)),
        *last,
    )


def _told(now: Callable[[], datetime]) -> tuple[Column[WallRow], ...]:
    return (
        Column(key="held", title="HELD BY", cell=_of(held_cell), minimum=14, maximum=30, flex=1),
        Column(key="team", title="TEAM", cell=_of(_team), minimum=5, maximum=10, priority=5),
        _figure("tokens", "TOK/S", lambda gpu: gpu.tokens_per_second, 5, priority=4),
        Column(
            key="note",
            title="NOTE",
            cell=_of(lambda gpu: note_of(gpu, now())),
            minimum=12,
            maximum=40,
            flex=1,
            priority=2,
        ),
        Column(key="age", title="AGE", cell=_of(age_text), minimum=4, right=True, priority=4),
        Column(key="source", title="SOURCE", cell=_of(_source), minimum=6, maximum=12, priority=6),
    )


def _narrow(now: Callable[[], datetime]) -> tuple[Column[WallRow], ...]:
    def cell(gpu: GpuView) -> Line:
        rank = f" r{gpu.rank}" if gpu.rank is not None and gpu.service else ""
        held = (*text(gpu.service, "name"), *text(rank, "faint")) if gpu.service else held_cell(gpu)
        if gpu.state in {GpuState.BUSY, GpuState.IDLE}:
            return join(held, note_of(gpu, now()), gap="  ")
        # What is wrong comes before who suffers from it: there is no room for both in full.
        note = text(f"XID {gpu.xid}", "bad") if gpu.error and gpu.xid else note_of(gpu, now())
        return join(note, held, gap="  ")

    return (
        Column(key="held", title="HELD BY", cell=_of(cell), minimum=14, maximum=30, flex=1),
        _figure("tokens", "TOK/S", lambda gpu: gpu.tokens_per_second, 5, priority=5),
        Column(key="age", title="AGE", cell=_of(age_text), minimum=4, right=True, priority=4),
    )


def _usual(memory: Column[WallRow]) -> tuple[Column[WallRow], ...]:
    return (
        Column(key="load", title="LOAD", cell=_of(_load), minimum=4 + _BAR),
        memory,
        _figure("power", "WATT", lambda gpu: gpu.power, 4, priority=3),
        _figure("heat", "°C", lambda gpu: gpu.temperature, 3, priority=3),
    )


def _measured(memory: Column[WallRow]) -> tuple[Column[WallRow], ...]:
    return (
        _figure("engine", "ENGINE", lambda gpu: gpu.engine_active, 6, priority=2),
        _figure("util", "UTIL", lambda gpu: gpu.utilisation, 4, priority=2),
        _figure("tensor", "TENSOR", lambda gpu: gpu.tensor_active, 6, priority=3),
        _figure("dram", "DRAM", lambda gpu: gpu.dram_active, 4, priority=3),
        memory,
        _figure("power", "WATT", lambda gpu: gpu.power, 7, priority=3, limit=lambda gpu: gpu.power_limit),
        _figure("heat", "°C", lambda gpu: gpu.temperature, 3, priority=3),
        _figure("heat-memory", "°C MEM", lambda gpu: gpu.memory_temperature, 6, priority=5),
        _figure("clock", "MHz", lambda gpu: gpu.sm_clock, 4, priority=4),
    )


def _of(cell: Cell) -> Callable[[WallRow], Line]:
    return lambda row: cell(row.gpu) if isinstance(row, GpuRow) else EMPTY


def _figure(
    key: str, title: str, value: Value, minimum: int, *, priority: int, limit: Value | None = None
) -> Column[WallRow]:
    def cell(gpu: GpuView) -> Line:
        told = value(gpu)
        if told is None:
            return text(NOTHING, "faint")
        high = limit(gpu) if limit is not None else None
        return text(f"{told:.0f}" if high is None else f"{told:.0f}/{high:.0f}", _role(gpu))

    return Column(key=key, title=title, cell=_of(cell), minimum=minimum, priority=priority, right=True)


def _role(gpu: GpuView) -> str:
    """What is old is not drawn like what is live."""
    return "faint" if is_stale(gpu) else "muted"


def _mark(gpu: GpuView) -> Line:
    state = shown_state(gpu)
    return (Span(STATE_MARK[state], STATE_ROLE[state]),)


def _place(row: WallRow) -> Line:
    if not isinstance(row, GpuRow):
        return EMPTY
    gpu = row.gpu
    number = (*text(gpu.place, "accent"), *text(f" {gpu.mig_profile}" if gpu.mig_profile else "", "muted"))
    return number if row.by == "node" else (*text(f"{gpu.node}/", "name"), *number)


def _load(gpu: GpuView) -> Line:
    load = load_of(gpu)
    if load is None:
        return (Span(f"{NOTHING:>3}", "warn"), Span(" "), *bar(None, _BAR))
    if is_stale(gpu):
        return (Span(f"{load:3.0f}", "faint"), Span(" "), *bar(None, _BAR))
    return (Span(f"{load:3.0f}", gauge_role(load)), Span(" "), *bar(load, _BAR))


def _team(gpu: GpuView) -> Line:
    return text(gpu.team, "muted")


def _source(gpu: GpuView) -> Line:
    # Which exporter or Prometheus it is stands in the line of what is chosen.
    return text(gpu.source.partition(" ")[0], "faint")
