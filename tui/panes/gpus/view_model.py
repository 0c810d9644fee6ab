"""GPUs on the overview: nodes worst first where there is room, who holds what where there is little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from backend.core.gpu_lists import RANK, GpuGroup, grouped, holder_of, is_stale, load_of, short_product
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, text
from tui.panes.gpus.cells import (
    CELL,
    STATE_MARK,
    STATE_ROLE,
    group_note,
    idle_note,
    number_cell,
    old_note,
    tally_of,
)
from tui.widgets.columns import Column

_GROUPED: Final = 4


class HolderRow(NamedTuple):
    """GPUs of one node in one state that one service holds: what stands for them where there is little room."""

    key: str
    node: str
    state: GpuState
    gpus: tuple[GpuView, ...]


def by_node(snapshot: GpuSnapshotView | None) -> list[GpuGroup]:
    """Nodes with the worst first, their GPUs in the order of their index."""
    return grouped(snapshot.gpus, "node") if snapshot is not None else []


def by_holder(snapshot: GpuSnapshotView | None) -> list[HolderRow]:
    """What is bad or idle first, grouped by node, state and holder."""
    groups: dict[tuple[str, str, GpuState, str], list[GpuView]] = {}
    for gpu in snapshot.gpus if snapshot is not None else ():
        groups.setdefault((gpu.context, gpu.node, gpu.state, holder_of(gpu)), []).append(gpu)
    rows = [
        HolderRow(f"{context}/{node}/{state.value}/{holder}", node, state, tuple(gpus))
        for (context, node, state, holder), gpus in groups.items()
    ]
    return sorted(rows, key=lambda row: (RANK[row.state], -_waste(row.gpus), -len(row.gpus), row.node, row.key))


def _waste(gpus: Sequence[GpuView]) -> float:
    return sum(gpu.wasted_hours or 0.0 for gpu in gpus)


def wall_cell(group: GpuGroup) -> Line:
    """All GPUs of a node in groups of four: `│  97  95  96  97│  98  96  95  97│`."""
    spans: list[Span] = [Span("│", "rule")]
    for position, gpu in enumerate(group.gpus):
        if position and position % _GROUPED == 0:
            spans.append(Span("│", "rule"))
        spans.extend(number_cell(gpu, CELL))
    spans.append(Span("│", "rule"))
    return tuple(spans)


def node_columns(now: Callable[[], datetime]) -> tuple[Column[GpuGroup], ...]:
    """The wall for the overview."""
    return (
        Column(key="node", title="NODE", cell=lambda node: text(node.name, "name"), minimum=6, maximum=16),
        Column(
            key="product",
            title="",
            cell=lambda node: text(short_product(node.gpus[0].product), "muted"),
            minimum=4,
            maximum=6,
            priority=3,
        ),
        Column(key="wall", title="", cell=wall_cell, minimum=14, maximum=80),
        Column(
            key="note",
            title="",
            cell=lambda node: group_note(node.gpus, now()),
            minimum=10,
            maximum=30,
            flex=1,
            priority=2,
        ),
    )


def holder_columns(now: Callable[[], datetime]) -> tuple[Column[HolderRow], ...]:
    """Holders for the overview where there is little room."""

    def state_cell(row: HolderRow) -> Line:
        return (Span(f"{STATE_MARK[row.state]} {len(row.gpus)}", STATE_ROLE[row.state]),)

    def held(row: HolderRow) -> Line:
        gpu = row.gpus[0]
        return join(text(holder_of(gpu) or "nobody", "muted"), text(gpu.team, "faint"))

    return (
        Column(key="state", title="", cell=state_cell, minimum=4),
        Column(key="node", title="", cell=lambda row: text(row.node, "name"), minimum=6, maximum=14),
        Column(key="holder", title="", cell=held, minimum=10, maximum=30),
        Column(key="note", title="", cell=lambda row: holder_note(row, now()), minimum=10, maximum=36, flex=1),
    )


def holder_note(row: HolderRow, now: datetime) -> Line:
    """What is to be known of a holder's GPUs."""
    gpu = row.gpus[0]
    if row.state is GpuState.FAULT:
        cordoned = text("not cordoned", "bad") if gpu.cordoned is False else EMPTY
        return join(text(gpu.error or "fault", "bad"), cordoned, gap=", ")
    if row.state is GpuState.IDLE:
        return text(idle_note(row.gpus, now), "idle")
    if row.state is GpuState.UNKNOWN or is_stale(gpu):
        return text(old_note(gpu) or "not measured", "warn")
    loads = [load for one in row.gpus if (load := load_of(one)) is not None]
    if row.state is GpuState.BUSY and loads:
        return text(f"{sum(loads) / len(loads):.0f}% on average", "muted")
    return text(row.state.value, STATE_ROLE[row.state])


def tally(snapshot: GpuSnapshotView | None) -> Line:
    """How many of each state: `48 busy · 9 idle · 6 free · 1 bad`."""
    return tally_of(snapshot.gpus) if snapshot is not None else EMPTY


def waiting_text(snapshot: GpuSnapshotView | None) -> Line:
    """How many pods wait for GPUs; empty when none does."""
    number = len(snapshot.pending) if snapshot is not None else 0
    return text(f"{fmt.count(number, 'pod')} waiting" if number else "", "warn")


def idle_rate(gpus: Sequence[GpuView]) -> float | None:
    """What the GPUs that are held and do nothing cost an hour, by the price table; None: none of them has a price."""
    rates = [gpu.price for gpu in gpus if gpu.state is GpuState.IDLE and gpu.price is not None]
    return sum(rates) if rates else None


def idle_rate_text(gpus: Sequence[GpuView]) -> str:
    """The same as `~27 USD/h`; empty where there is nothing to tell."""
    rate = idle_rate(gpus)
    currency = next((gpu.currency for gpu in gpus if gpu.currency), "")
    return f"~{rate:.0f} {currency}/h" if rate else ""
