"""The GPUs pane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.widget import Widget

from backend.core.views import GpuState, GpuView, ServiceView
from tui.document import EMPTY, Line, Section, Span, join, text
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.deployments.actions import ServiceActions
from tui.panes.gpus import detail_model, view_model
from tui.widgets.columns import Column
from tui.widgets.gauge_wall import GaugeWall
from tui.widgets.one_line import OneLine

if TYPE_CHECKING:
    from textual.types import CSSPathType

_WALL_SHARE = 3


class GpusPage(ListPage[GpuView], ServiceActions):
    """A wall of gauges, and a row for each GPU with who holds it."""

    CSS_PATH: ClassVar[CSSPathType] = ["../common/common.tcss", "gpus.tcss"]
    pane = "gpus"
    parts = frozenset({PartName.GPUS, PartName.SERVICES})
    number = "4"
    heading_title = "GPUS"
    order = "worst first"

    def __init__(self) -> None:
        super().__init__()
        self._idle_only = False

    def columns(self) -> tuple[Column[GpuView], ...]:
        return detail_model.gpu_columns(self.room.clock.now)

    def key(self, item: GpuView) -> str:
        return item.key

    def part(self) -> Part[Any]:
        return self.model.gpus

    def items(self) -> Sequence[GpuView]:
        gpus = detail_model.worst_first(self.model.gpus.value)
        return [gpu for gpu in gpus if gpu.state is GpuState.IDLE] if self._idle_only else gpus

    def haystack(self, item: GpuView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        only = (Span("idle only, longest first", "idle"),) if self._idle_only else EMPTY
        return join(view_model.tally(self.model.gpus.value), only, gap="  ")

    def empty(self) -> Sequence[Line]:
        if self._idle_only and self.model.gpus.value is not None and self.model.gpus.value.gpus:
            return (text("No GPU is held and idle.", "ok"), text("i shows all.", "muted"))
        notes = self.model.gpus.value.notes if self.model.gpus.value is not None else ()
        return (
            text("No GPU is known.", "strong"),
            EMPTY,
            *(text(note) for note in notes),
            *(() if notes else (text("modelyard doctor tells which sources of GPU metrics could not be read."),)),
        )

    def above(self) -> Iterable[Widget]:
        yield GaugeWall(self.room.clock.now, id="wall")
        yield OneLine(id="notes")
        yield OneLine(id="between")

    def show(self) -> None:
        rows = view_model.by_node(self.model.gpus.value)
        wall = self.query_one("#wall", GaugeWall)
        room = max(0, self.app.size.height - 8)
        wall.styles.height = max(1, min(len(rows), room // _WALL_SHARE)) if rows else 0
        wall.show(rows)
        notes = self.model.gpus.value.notes if self.model.gpus.value is not None else ()
        told = "; ".join(notes)
        self.query_one("#notes", OneLine).show(lambda _width: (Span(" "), *text(told, "warn")) if told else EMPTY)
        self.query_one("#notes").display = bool(told and rows)
        self.query_one("#between", OneLine).show(lambda width: (Span("─" * width, "rule"),))
        self.query_one("#between").display = bool(rows)
        super().show()

    def preview(self, item: GpuView) -> Sequence[Section]:
        return detail_model.gpu_sections(item, self.model.gpus.value, self.current_service(), self.room.clock.now())

    def current_service(self) -> ServiceView | None:
        gpu = self.table.current
        return detail_model.holder(gpu, self.model.services.value.values()) if gpu is not None else None

    def gpus_here(self) -> Sequence[GpuView]:
        gpu = self.table.current
        return (gpu,) if gpu is not None else ()

    def reference(self) -> str:
        gpu = self.table.current
        return gpu.uuid or gpu.key if gpu is not None else ""

    def act_gpus_idle(self) -> None:
        self._idle_only = not self._idle_only
        self.show()

    def act_look_open(self) -> None:
        from tui.panes.gpus.detail import GpuPage

        if gpu := self.table.current:
            self.room.push_screen(GpuPage(gpu))
