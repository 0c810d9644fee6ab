"""GPUs as the rows of a wall: a line each, a line a node, or a heat map; in groups that fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from backend.core.gpu_lists import GROUPINGS, RANK, GpuGroup, grouped, ordered
from backend.core.views import GpuState, GpuView

#: As many lines of nodes as windows that one would have to leaf through, before the heat map is clearer.
_MOST_WINDOWS: Final = 2
#: Cells of what stands in front of a line of the heat map, and of the number and load of a group that is one line.
MAP_LABEL: Final = 13
_LONGEST_LABEL: Final = 32
SUMS: Final = 11
FLAT: Final = "none"
BY: Final = (*GROUPINGS, FLAT)


class Layout(StrEnum):
    """How GPUs are laid out; AUTO chooses by their number and the room there is."""

    AUTO = "auto"
    LINES = "lines"
    NODES = "nodes"
    MAP = "map"


class GroupRow(NamedTuple):
    """The head of a group that can be folded."""

    key: str
    group: GpuGroup
    is_open: bool

    @property
    def gpus(self) -> tuple[GpuView, ...]:
        """None of them can be chosen in this row."""
        return ()


class GpuRow(NamedTuple):
    """A GPU in a line of its own."""

    key: str
    gpus: tuple[GpuView, ...]
    by: str

    @property
    def gpu(self) -> GpuView:
        """The one."""
        return self.gpus[0]


class NodeCells(NamedTuple):
    """The GPUs of a node, or those of a group on it, as cells in one line."""

    key: str
    group: GpuGroup
    is_open: bool
    most: int

    @property
    def gpus(self) -> tuple[GpuView, ...]:
        """In the order of their cells."""
        return self.group.gpus


class MapCells(NamedTuple):
    """A line of a heat map: blocks of GPUs, a cell or two each.

    Attributes:
        label: of its first node, or of its group; in `label_width` cells.
        group: the group where this line is all of it; None: it is one of several.
    """

    key: str
    label: str
    label_width: int
    group: GpuGroup | None
    blocks: tuple[tuple[GpuView, ...], ...]
    cell: int

    @property
    def gpus(self) -> tuple[GpuView, ...]:
        """In the order of their cells."""
        return tuple(gpu for block in self.blocks for gpu in block)


WallRow = GroupRow | GpuRow | NodeCells | MapCells


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person chose of the wall.

    Attributes:
        by: one of `BY`; order: one of `ORDERS`; inverted: turned around.
        folded: keys of rows that are not as they are at first: groups open, nodes closed.
        idle: only what is held and does nothing; its groups are closed at first, and are its holders.
    """

    layout: Layout = Layout.AUTO
    by: str = "node"
    order: str = "worst"
    inverted: bool = False
    folded: frozenset[str] = frozenset()
    idle: bool = False

    def toggled(self, key: str) -> Choice:
        """With a row folded, or unfolded again."""
        return replace(self, folded=self.folded ^ {key})


def layout_for(gpus: Sequence[GpuView], choice: Choice, height: int) -> Layout:
    """The layout that is chosen, or that suits so many lines."""
    if choice.idle:
        return Layout.LINES
    if choice.layout is not Layout.AUTO:
        return choice.layout
    nodes = len({(gpu.context, gpu.node) for gpu in gpus})
    heads = nodes if choice.by == "node" else 0
    if len(gpus) + heads <= max(height, 12):
        return Layout.LINES
    return Layout.NODES if nodes <= _MOST_WINDOWS * max(1, height) else Layout.MAP


def arrange(gpus: Sequence[GpuView], choice: Choice, width: int, height: int) -> list[WallRow]:
    """The rows of a wall of `width` cells and `height` lines."""
    if not gpus:
        return []
    layout = layout_for(gpus, choice, height)
    if choice.idle:
        return list(_in_lines(gpus, replace(choice, by="service" if choice.by == "node" else choice.by), closed=True))
    if layout is Layout.LINES:
        return list(_in_lines(gpus, choice))
    if layout is Layout.NODES:
        return list(_in_nodes(gpus, choice, height))
    return list(_in_map(gpus, choice, width, height))


def _in_lines(gpus: Sequence[GpuView], choice: Choice, *, closed: bool = False) -> Iterator[WallRow]:
    if choice.by == FLAT:
        for gpu in ordered(gpus, choice.order, inverted=choice.inverted):
            yield GpuRow(gpu.key, (gpu,), choice.by)
        return
    for group in _groups(gpus, choice):
        key = f"{choice.by}:{group.key}"
        is_open = (key in choice.folded) is closed
        yield GroupRow(key, group, is_open)
        if is_open:
            for gpu in group.gpus:
                yield GpuRow(gpu.key, (gpu,), choice.by)


def _in_nodes(gpus: Sequence[GpuView], choice: Choice, height: int) -> Iterator[WallRow]:
    nodes = grouped(gpus, "node", choice.order, inverted=choice.inverted)
    if choice.by in {"node", FLAT}:
        groups = _groups(gpus, replace(choice, by="type")) if len(nodes) > height else []
        if len(groups) < 2:
            yield from _nodes(gpus, choice, "")
            return
    else:
        groups = _groups(gpus, choice)
    for group in groups:
        key = f"{group.by}:{group.key}"
        is_open = key not in choice.folded
        yield GroupRow(key, group, is_open)
        if is_open:
            yield from _nodes(group.gpus, choice, key)


def _nodes(gpus: Sequence[GpuView], choice: Choice, within: str) -> Iterator[WallRow]:
    nodes = grouped(gpus, "node", choice.order, inverted=choice.inverted)
    most = max((len(node.gpus) for node in nodes), default=0)
    for node in nodes:
        key = f"{within}node:{node.key}"
        is_open = key in choice.folded
        yield NodeCells(key, node, is_open, most)
        if is_open:
            for gpu in node.gpus:
                yield GpuRow(f"{key}:{gpu.key}", (gpu,), "node")


def _in_map(gpus: Sequence[GpuView], choice: Choice, width: int, height: int) -> Iterator[WallRow]:
    by_node = choice.by in {"node", FLAT}
    groups = _groups(gpus, replace(choice, by="type") if by_node else choice)
    label = (
        MAP_LABEL
        if by_node
        else max(MAP_LABEL + 1, min(_LONGEST_LABEL, width // 3, max(len(one.name) for one in groups)))
    )
    room = max(8, width - label - 3 - (0 if by_node else SUMS))
    # Two cells where all of them find room in the window.
    cell = 2 if len(gpus) * 2 * 1.15 <= room * max(1, height - 2 - len(groups)) else 1
    for group in groups:
        key = f"{group.by}:{group.key}"
        blocks = [node.gpus for node in grouped(group.gpus, "node", choice.order, inverted=choice.inverted)]
        lines = list(_packed(blocks, room, cell))
        if not by_node and len(lines) == 1:
            yield MapCells(key, group.name, label, group, lines[0], cell)
            continue
        if len(groups) > 1:
            is_open = key not in choice.folded
            yield GroupRow(key, group, is_open)
            if not is_open:
                continue
        for line in lines:
            yield MapCells(f"{key}:{line[0][0].key}", line[0][0].node, label, None, line, cell)


def _packed(blocks: Sequence[tuple[GpuView, ...]], room: int, cell: int) -> Iterator[tuple[tuple[GpuView, ...], ...]]:
    """Blocks side by side, as many as fit in a line; one that is longer than a line is broken."""
    longest = max(1, room // cell)
    pieces = [block[start : start + longest] for block in blocks for start in range(0, len(block), longest)]
    line: list[tuple[GpuView, ...]] = []
    used = 0
    for piece in pieces:
        size = len(piece) * cell
        if line and used + 1 + size > room:
            yield tuple(line)
            line, used = [], 0
        used += size + (1 if line else 0)
        line.append(piece)
    if line:
        yield tuple(line)


def _groups(gpus: Sequence[GpuView], choice: Choice) -> list[GpuGroup]:
    order = "waste" if choice.idle and choice.order == "worst" else choice.order
    groups = grouped(gpus, choice.by, order, inverted=choice.inverted)
    if choice.idle:
        groups.sort(key=lambda group: -(group.wasted_hours or 0.0), reverse=choice.inverted)
    return groups


def worst_state(gpus: Sequence[GpuView]) -> GpuState:
    """The state that stands for all of them."""
    return min((gpu.state for gpu in gpus), key=RANK.__getitem__, default=GpuState.UNKNOWN)
