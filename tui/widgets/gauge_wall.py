"""The wall of gauges: a line a node, a gauge a GPU, all on one scale from 0 to 100 with the number printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from backend.core.views import GpuState, GpuView
from tui.document import Line, Span, pad, text
from tui.panes.gpus.view_model import STATE_ROLE, NodeRow, gauge_role, load_of, node_note, wall_cell
from tui.widgets.line_scroll import LineScroll

_WORDS: Final = {
    GpuState.FAULT: ("FAULT", "!!"),
    GpuState.IDLE: ("idle", "i"),
    GpuState.FREE: ("free", "."),
    GpuState.UNKNOWN: ("?", "?"),
}
_NUMBER = 3
_LEAST_GAUGE = 5
_MOST_GAUGE = 14


class GaugeWall(LineScroll):
    """Nodes in the order given. `Sparkline` would scale each series to itself and make 97 look like 0."""

    def __init__(self, now: Callable[[], datetime], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._now = now
        self.can_focus = False
        self._rows: Sequence[NodeRow] = ()
        self._most_gpus = 0
        self._name_width = 6

    def show(self, rows: Sequence[NodeRow]) -> None:
        """Show these nodes; only lines whose text changed are drawn."""
        changed_shape = len(rows) != len(self._rows)
        self._rows = rows
        self._most_gpus = max((len(row.gpus) for row in rows), default=0)
        self._name_width = min(16, max([6, *(len(row.node) for row in rows)]))
        if changed_shape:
            self.repaint()
        else:
            self.repaint_changed()

    @property
    def line_count(self) -> int:
        return len(self._rows)

    def content(self, index: int, width: int) -> Line:
        row = self._rows[index]
        gauge = gauge_width(width - self._name_width - 3, self._most_gpus)
        spans: list[Span] = [Span(" "), *pad(text(row.node, "name"), self._name_width), Span(" ")]
        if gauge == 0:
            # Bars of two or three cells tell nothing that the numbers do not: who holds the GPUs tells more.
            note = node_note(row, self._now())
            return (*spans, *pad(wall_cell(row), self._most_gpus * _NUMBER + self._most_gpus // 4 + 2), *note)
        for position, gpu in enumerate(row.gpus):
            spans.append(Span("│ " if position % 4 == 0 and position else " ", "rule"))
            spans.extend(gauge_cell(gpu, gauge))
        return tuple(spans)


def gauge_width(width: int, gpus: int) -> int:
    """Cells of the bar of each gauge, 0 where only the number has room."""
    each = (width - 2) // max(1, gpus) - _NUMBER - 2
    return min(_MOST_GAUGE, each) if each >= _LEAST_GAUGE else 0


def gauge_cell(gpu: GpuView, width: int) -> Line:
    """A GPU: number and bar in one colour, or its state in a word."""
    if gpu.state is not GpuState.BUSY:
        word, short = _WORDS[gpu.state]
        fill = "·" if gpu.state in {GpuState.FREE, GpuState.UNKNOWN} else "─"
        label = f" {word} " if len(word) + 2 <= width else ""
        return (Span(f"{short:>{_NUMBER}} {label.center(width, fill)}", STATE_ROLE[gpu.state]),)
    load = load_of(gpu)
    if load is None:
        return (Span(f"{'?':>{_NUMBER}} ", "warn"), *bar(load, width))
    return (Span(f"{load:{_NUMBER}.0f} ", gauge_role(load)), *bar(load, width))


def bar(load: float | None, width: int) -> Line:
    """A bar of a percentage on a fixed scale, to half a cell."""
    if load is None:
        return (Span("·" * width, "gauge-track"),)
    halves = round(max(0.0, min(100.0, load)) / 100 * width * 2)
    full, half = divmod(halves, 2)
    filled = "━" * full + ("╸" if half else "")
    return (Span(filled, gauge_role(load)), Span("·" * (width - len(filled)), "gauge-track"))
