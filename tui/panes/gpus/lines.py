"""The lines of the wall: heads of groups, nodes with a cell a GPU, and the heat map."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from backend.core.gpu_lists import short_product
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, pad, text
from tui.panes.gpus.cells import (
    CELL,
    NOTHING,
    STATE_MARK,
    STATE_ROLE,
    gauge_cell,
    group_note,
    idle_note,
    map_mark,
    number_cell,
    tally_of,
    watts,
)
from tui.panes.gpus.wall import MAP_LABEL, SUMS, GroupRow, MapCells, NodeCells, worst_state

_IN_FOURS: Final = 4
_LEAST_GAUGE, _MOST_GAUGE = 5, 12
#: Cells that a node's note takes before bars are drawn.
_NOTE: Final = 44
OPEN, CLOSED = "▾", "▸"


def group_line(row: GroupRow, now: datetime, *, idle: bool) -> Line:
    """The head of a group: its name, how many of each state, and its sums."""
    group = row.group
    fold = Span(f"{OPEN if row.is_open else CLOSED} ", "key")
    name = text(group.name, "strong")
    if idle:
        team = ", ".join(dict.fromkeys(gpu.team or "no team" for gpu in group.gpus))
        count = text(fmt.count(len(group.gpus), "GPU"), "muted")
        return (fold, *join(name, count, text(team, "accent"), text(idle_note(group.gpus, now), "idle"), gap="  "))
    kind = text(short_product(group.gpus[0].product), "muted") if group.by == "node" else EMPTY
    load = text(f"{group.load:.0f}%" if group.load is not None else NOTHING, "muted")
    power = text(watts(group.power), "muted")
    tokens = text(f"{group.tokens_per_second:.0f} tok/s" if group.tokens_per_second else "", "muted")
    cordoned = text("cordoned", "warn") if group.by == "node" and any(gpu.cordoned for gpu in group.gpus) else EMPTY
    count = text(str(len(group.gpus)), "strong")
    return (fold, *join(name, kind, count, load, tally_of(group.gpus), power, tokens, cordoned, gap="  "))


def node_line(row: NodeCells, now: datetime, width: int, name_width: int, chosen: int | None) -> Line:
    """A node: its worst state, its name and type, a cell a GPU in fours, and what matters most about it."""
    group = row.group
    state = worst_state(group.gpus)
    kind = short_product(group.gpus[0].product)[:5]
    spans: list[Span] = [
        Span(f"{STATE_MARK[state]} ", STATE_ROLE[state]),
        *pad(text(group.name, "name"), name_width),
        *text(f" {kind:5}", "muted"),
    ]
    gauge = gauge_width(width - name_width - 8, row.most)
    for position, gpu in enumerate(group.gpus):
        if position % _IN_FOURS == 0:
            spans.append(Span("│", "rule"))
        cell = gauge_cell(gpu, gauge) if gauge else number_cell(gpu)
        spans.extend(marked(cell) if position == chosen else cell)
        if gauge:
            spans.append(Span(" "))
    missing = row.most - len(group.gpus)
    spans.append(Span("│" + " " * (missing * ((gauge + 6) if gauge else CELL) + 1), "rule"))
    return (*spans, *group_note(group.gpus, now))


def gauge_width(width: int, gpus: int) -> int:
    """Cells of the bar of each gauge of a node's line, 0 where only the number has room beside a note."""
    bars = width - gpus // _IN_FOURS - 2 - 44
    each = bars // max(1, gpus) - CELL - 2
    return min(_MOST_GAUGE, each) if each >= _LEAST_GAUGE else 0


def marked(cell: Line) -> Line:
    """The cell that is chosen: told by a character, not by its colour alone."""
    shown = cell[0].text
    return (Span("›" + shown[1:] if shown.startswith(" ") else shown, "match"), *cell[1:])


def map_line(row: MapCells, chosen: int | None) -> Line:
    """A line of the heat map."""
    spans: list[Span] = [Span(" "), *pad(text(row.label, "name"), row.label_width), Span(" ")]
    if row.group is not None:
        load = NOTHING if row.group.load is None else f"{row.group.load:.0f}%"
        spans.append(Span(f"{len(row.group.gpus):4} {load:>4}  ", "muted"))
    elif row.label_width > MAP_LABEL:
        spans.append(Span(" " * SUMS))
    position = 0
    for number, block in enumerate(row.blocks):
        if number:
            spans.append(Span(" "))
        for gpu in block:
            mark, role = map_mark(gpu)
            spans.append(Span(mark * row.cell, "match" if position == chosen else role))
            position += 1
    return tuple(spans)
