"""The wall of gauges: groups, nodes, GPUs and heat map in one list, all on one scale from 0 to 100."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from backend.core.views import GpuView
from tui.document import Line, Span, fit
from tui.panes.gpus.cells import LEGEND
from tui.panes.gpus.gpu_columns import gpu_columns
from tui.panes.gpus.lines import group_line, map_line, node_line
from tui.panes.gpus.wall import GpuRow, GroupRow, MapCells, NodeCells, WallRow
from tui.widgets.line_table import LineTable

_LONGEST_NAME = 16


class GaugeWall(LineTable[WallRow]):
    """Rows of a wall. In a row of several GPUs one of them is chosen: the cursor goes sideways there.

    `Sparkline` would scale each series to itself and make 97 look like 0.
    """

    def __init__(self, now: Callable[[], datetime], *, id: str | None = None) -> None:
        super().__init__(gpu_columns(now), lambda row: row.key, id=id)
        self._now = now
        self._name_width = 6
        self.column = 0
        self.idle = False
        self.wide = False
        self._narrow = False
        self._has_lines = False
        self._has_map = False

    # ------------------------------------------------------------ what is chosen

    @property
    def chosen(self) -> GpuView | None:
        """The GPU under the cursor; None on the head of a group."""
        row = self.current
        at = self._at(row)
        return row.gpus[at] if row is not None and at is not None else None

    def _at(self, row: WallRow | None) -> int | None:
        """Where in a row the cursor is; None: on the whole row."""
        if row is None or not row.gpus:
            return None
        if isinstance(row, NodeCells):
            # Before its first GPU stands the node itself.
            return min(self.column, len(row.gpus)) - 1 if self.column else None
        return min(self.column, len(row.gpus) - 1)

    def choose(self, key: str) -> bool:
        """Put the cursor on a GPU, in whichever row it stands; whether there is one."""
        for index, row in enumerate(self.items):
            for column, gpu in enumerate(row.gpus):
                if gpu.key == key:
                    self.column = column + isinstance(row, NodeCells)
                    self.move_to(index)
                    return True
        return False

    def move_sideways(self, by: int) -> bool:
        """Choose a GPU further left or right; whether the row has one there."""
        row = self.current
        if row is None or isinstance(row, GroupRow | GpuRow):
            return False
        last = len(row.gpus) - (0 if isinstance(row, NodeCells) else 1)
        wanted = min(self.column, last) + by
        if not 0 <= wanted <= last:
            return False
        self.column = wanted
        self._repaint_cursor()
        self.post_message(self.Moved(self))
        return True

    # ------------------------------------------------------------ what is shown

    def show(self, items: Sequence[WallRow], *, keep: bool = True) -> None:
        chosen = self.chosen if keep else None
        self._has_lines = any(isinstance(row, GpuRow) for row in items)
        self._has_map = any(isinstance(row, MapCells) for row in items)
        names = (len(row.group.name) for row in items if isinstance(row, NodeCells))
        self._name_width = min(_LONGEST_NAME, max(6, self._name_width if keep else 0, max(names, default=0)))
        super().show(items, keep=keep)
        now = self.chosen
        if chosen is not None and (now is None or now.key != chosen.key):
            # Rows of cells are made anew when nodes change places: the cursor stays on its GPU.
            self.choose(chosen.key)

    def suit(self, *, wide: bool, narrow: bool) -> None:
        """All that is measured of a GPU in its line, or what is looked at most; and how much room there is for it."""
        if (wide, narrow) != (self.wide, self._narrow):
            self.wide, self._narrow = wide, narrow
            self.set_columns(gpu_columns(self._now, wide=wide, narrow=narrow))
            self.repaint()

    @property
    def head_lines(self) -> int:
        return 1 if self._has_lines or self._has_map else 0

    def head(self, row: int, width: int) -> Line:
        if self._has_lines:
            return super().head(row, width)
        return fit((Span("  "), Span(LEGEND, "column")), width)

    def content(self, index: int, width: int) -> Line:
        row = self.items[index]
        if isinstance(row, GpuRow):
            return super().content(index, width)
        is_cursor = index == self.cursor and self.has_focus
        mark = Span("▌", "cursor-mark") if is_cursor else Span(" ")
        if isinstance(row, GroupRow):
            return fit((mark, *group_line(row, self._now(), idle=self.idle)), width)
        chosen = self._at(row) if is_cursor else None
        if isinstance(row, MapCells):
            return (mark, *map_line(row, chosen))
        return fit((mark, *node_line(row, self._now(), width - 1, self._name_width, chosen)), width)

    def overlay(self, index: int) -> str:
        # In a row of cells the chosen one is marked: a whole line turned around would hide which.
        row = self.items[index] if index < len(self.items) else None
        in_cells = isinstance(row, NodeCells | MapCells) and self._at(row) is not None
        return "" if in_cells else super().overlay(index)
