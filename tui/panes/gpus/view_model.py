"""GPUs as walls and rows: worst first, on a fixed scale, what is not known marked as such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from backend.core.gpu_lists import short_product
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, text
from tui.widgets.columns import Column

_RANK: Final = {GpuState.FAULT: 0, GpuState.IDLE: 1, GpuState.UNKNOWN: 2, GpuState.BUSY: 3, GpuState.FREE: 4}
STATE_ROLE: Final = {
    GpuState.FAULT: "alarm",
    GpuState.IDLE: "idle",
    GpuState.UNKNOWN: "warn",
    GpuState.BUSY: "ok",
    GpuState.FREE: "free",
}
STATE_MARK: Final = {
    GpuState.FAULT: "!",
    GpuState.IDLE: "i",
    GpuState.UNKNOWN: "?",
    GpuState.BUSY: " ",
    GpuState.FREE: ".",
}
_GROUPED = 4


class NodeRow(NamedTuple):
    """A node and its GPUs, in the order of their index."""

    node: str
    gpus: tuple[GpuView, ...]


class HolderRow(NamedTuple):
    """GPUs of one node in one state that one service holds: what stands for them where there is little room."""

    key: str
    node: str
    state: GpuState
    gpus: tuple[GpuView, ...]


def load_of(gpu: GpuView) -> float | None:
    """Percent of the engine in use; where that is not told, percent of time with a kernel running."""
    return gpu.engine_active if gpu.engine_active is not None else gpu.utilisation


def by_node(snapshot: GpuSnapshotView | None) -> list[NodeRow]:
    """Nodes with the worst first."""
    nodes: dict[str, list[GpuView]] = {}
    for gpu in snapshot.gpus if snapshot is not None else ():
        nodes.setdefault(gpu.node, []).append(gpu)
    rows = [NodeRow(node, tuple(sorted(gpus, key=lambda gpu: (gpu.index, gpu.key)))) for node, gpus in nodes.items()]
    return sorted(rows, key=lambda row: (min(_RANK[gpu.state] for gpu in row.gpus), -_waste(row.gpus), row.node))


def _waste(gpus: Iterable[GpuView]) -> int:
    return sum(gpu.state is GpuState.IDLE for gpu in gpus)


def by_holder(snapshot: GpuSnapshotView | None) -> list[HolderRow]:
    """What is bad or idle first, grouped by node, state and holder."""
    groups: dict[tuple[str, GpuState, str], list[GpuView]] = {}
    for gpu in snapshot.gpus if snapshot is not None else ():
        groups.setdefault((gpu.node, gpu.state, _holder(gpu)), []).append(gpu)
    rows = [
        HolderRow(f"{node}/{state.value}/{holder}", node, state, tuple(gpus))
        for (node, state, holder), gpus in groups.items()
    ]
    return sorted(rows, key=lambda row: (_RANK[row.state], -len(row.gpus), row.node, row.key))


def _holder(gpu: GpuView) -> str:
    return f"{gpu.namespace}/{gpu.service or gpu.pod}" if gpu.pod or gpu.service else ""


def gauge_role(load: float) -> str:
    """The colour of a load; it never stands alone, the number is printed."""
    return "gauge-high" if load >= 66 else "gauge-middle" if load >= 33 else "gauge-low"


def short_cell(gpu: GpuView) -> Line:
    """A GPU in three cells: its load, or the mark of its state."""
    if gpu.state is GpuState.FAULT:
        return (Span(" !!", "alarm"),)
    if gpu.state is GpuState.IDLE:
        return (Span("  i", "idle"),)
    if gpu.state is GpuState.FREE:
        return (Span("  .", "free"),)
    load = load_of(gpu)
    if load is None:
        return (Span("  ?", "warn"),)
    return (Span(f"{load:3.0f}", gauge_role(load)),)


def wall_cell(row: NodeRow) -> Line:
    """All GPUs of a node in groups of four: `| 97 95 96 97| 98 96 95 97|`."""
    spans: list[Span] = [Span("│", "rule")]
    for position, gpu in enumerate(row.gpus):
        if position and position % _GROUPED == 0:
            spans.append(Span("│", "rule"))
        spans.extend(short_cell(gpu))
    spans.append(Span("│", "rule"))
    return tuple(spans)


def node_note(row: NodeRow, now: datetime) -> Line:
    """What matters most about a node: a fault, what is idle, or who works there."""
    faults = [gpu for gpu in row.gpus if gpu.state is GpuState.FAULT]
    if faults:
        hit = ", ".join(dict.fromkeys(_holder(gpu) for gpu in faults if _holder(gpu)))
        return join(text(faults[0].error or "fault", "bad"), text(f"hit {hit}" if hit else "", "muted"), gap="; ")
    idle = [gpu for gpu in row.gpus if gpu.state is GpuState.IDLE]
    if idle:
        return join(text(_names(idle), "name"), text(_idle_text(idle, now), "idle"))
    busy = [gpu for gpu in row.gpus if gpu.state is GpuState.BUSY]
    if busy:
        return text(_names(busy), "muted")
    return text("free" if all(gpu.state is GpuState.FREE for gpu in row.gpus) else "not measured", "faint")


def _names(gpus: Sequence[GpuView]) -> str:
    return ", ".join(dict.fromkeys(gpu.service or gpu.pod for gpu in gpus if gpu.service or gpu.pod))


def _idle_text(gpus: Sequence[GpuView], now: datetime) -> str:
    since = min((gpu.idle_since for gpu in gpus if gpu.idle_since is not None), default=None)
    if since is None or fmt.age(since, now) == "now":
        return "held, doing nothing"
    return f"0 tokens for {fmt.age(since, now)}"


def product_cell(row: NodeRow) -> Line:
    """The product of a node's GPUs."""
    return text(short_product(row.gpus[0].product), "muted")


def node_columns(now: Callable[[], datetime]) -> tuple[Column[NodeRow], ...]:
    """The wall for the overview."""
    return (
        Column(key="node", title="NODE", cell=lambda row: text(row.node, "name"), minimum=6, maximum=16),
        Column(key="product", title="", cell=product_cell, minimum=4, maximum=6, priority=3),
        Column(key="wall", title="", cell=wall_cell, minimum=14, maximum=80),
        Column(
            key="note", title="", cell=lambda row: node_note(row, now()), minimum=10, maximum=30, flex=1, priority=2
        ),
    )


def holder_columns(now: Callable[[], datetime]) -> tuple[Column[HolderRow], ...]:
    """Holders for the overview where there is little room."""

    def state_cell(row: HolderRow) -> Line:
        return (Span(f"{STATE_MARK[row.state]} {len(row.gpus)}", STATE_ROLE[row.state]),)

    def note_cell(row: HolderRow) -> Line:
        if row.state is GpuState.FAULT:
            return text(row.gpus[0].error or "fault", "bad")
        if row.state is GpuState.IDLE:
            return text(_idle_text(row.gpus, now()), "idle")
        loads = [load for gpu in row.gpus if (load := load_of(gpu)) is not None]
        if row.state is GpuState.BUSY and loads:
            return text(f"{sum(loads) / len(loads):.0f}% on average", "muted")
        return text(row.state.value, STATE_ROLE[row.state])

    return (
        Column(key="state", title="", cell=state_cell, minimum=4),
        Column(key="node", title="", cell=lambda row: text(row.node, "name"), minimum=6, maximum=14),
        Column(
            key="holder",
            title="",
            cell=lambda row: text(_holder(row.gpus[0]) or "nobody", "muted"),
            minimum=10,
            maximum=30,
        ),
        Column(key="note", title="", cell=note_cell, minimum=10, maximum=24, flex=1),
    )


def tally(snapshot: GpuSnapshotView | None) -> Line:
    """How many of each state: `48 busy · 9 idle · 6 free · 1 bad`."""
    parts: list[Span] = []
    names = {
        GpuState.BUSY: "busy",
        GpuState.IDLE: "idle",
        GpuState.FREE: "free",
        GpuState.FAULT: "bad",
        GpuState.UNKNOWN: "unknown",
    }
    for state, name in names.items():
        number = sum(gpu.state is state for gpu in (snapshot.gpus if snapshot is not None else ()))
        if number:
            parts.extend((*((Span(" · ", "faint"),) if parts else ()), Span(f"{number} {name}", STATE_ROLE[state])))
    return tuple(parts) or EMPTY


def haystack(gpu: GpuView) -> str:
    """What a filter looks at."""
    return " ".join(
        (
            gpu.node,
            str(gpu.index),
            gpu.product,
            gpu.state.value,
            gpu.namespace,
            gpu.service,
            gpu.pod,
            gpu.error,
            gpu.mig_profile,
            gpu.uuid,
        )
    )
