"""The wall of gauges: a line a node, a gauge a GPU, all on one scale from 0 to 100 with the number printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from backend.core.views import GpuState, GpuView
from tui.document import Line, Span, pad, text
from tui.panes.gpus.view_model import STATE_ROLE, NodeRow, gauge_role, load_of
from tui.widgets.line_scroll import LineScroll

_WORDS: Final = {
    GpuState.FAULT: ("FAULT", "!!"),
    GpuState.IDLE: ("idle", "i"),
    GpuState.FREE: ("free", "."),
    GpuState.UNKNOWN: ("?", "?"),
}
_NUMBER = 3
_LEAST_GAUGE = 3
_MOST_GAUGE = 14


class GaugeWall(LineScroll):
    """Nodes in the order given. `Sparkline` would scale each series to itself and make 97 look like 0."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
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
        for position, gpu in enumerate(row.gpus):
            spans.append(Span("│" if position % 4 == 0 and position else " ", "rule"))
            spans.extend(gauge_cell(gpu, gauge))
        return tuple(spans)


def gauge_width(width: int, gpus: int) -> int:
    """Cells of the bar of each gauge, 0 where only the number has room."""
    each = width // max(1, gpus) - _NUMBER - 2
    return min(_MOST_GAUGE, each) if each >= _LEAST_GAUGE else 0


def gauge_cell(gpu: GpuView, width: int) -> Line:
    """A GPU: bar and number, or its state in a word."""
    if gpu.state is not GpuState.BUSY:
        word, short = _WORDS[gpu.state]
        role = STATE_ROLE[gpu.state]
        if width == 0:
            return pad((Span(short, role),), _NUMBER, right=True)
        fill = "·" if gpu.state in {GpuState.FREE, GpuState.UNKNOWN} else "─"
        label = f" {word} " if len(word) + 2 <= width else ""
        return (Span(label.center(width, fill), role), *pad((Span(short, role),), _NUMBER + 1, right=True))
    load = load_of(gpu)
    number = (Span("?", "warn"),) if load is None else (Span(f"{load:.0f}", gauge_role(load)),)
    if width == 0:
        return pad(number, _NUMBER, right=True)
    return (*bar(load, width), *pad(number, _NUMBER + 1, right=True))


def bar(load: float | None, width: int) -> Line:
    """A bar of a percentage on a fixed scale, to half a cell."""
    if load is None:
        return (Span("·" * width, "gauge-track"),)
    halves = round(max(0.0, min(100.0, load)) / 100 * width * 2)
    full, half = divmod(halves, 2)
    filled = "━" * full + ("╸" if half else "")
    return (Span(filled, gauge_role(load)), Span("·" * (width - len(filled)), "gauge-track"))
