"""The GPUs pane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from backend.core.gpu_lists import FIELDS, ORDERS, GpuFilter
from backend.core.views import GpuState, GpuView, ServiceView
from tui.commands import Filter
from tui.document import EMPTY, Line, Section, Span, text
from tui.format import ago
from tui.model import PartName
from tui.panes.alerts.view_model import alert_line, of_gpus
from tui.panes.common.messages import problem_lines
from tui.panes.deployments.actions import ServiceActions
from tui.panes.gpus.chosen import chosen_line, group_sums
from tui.panes.gpus.detail_model import gpu_sections, holder, node_sections
from tui.panes.gpus.head import completions, empty_lines, heading_left, order_text, waiting_line
from tui.panes.gpus.wall import BY, Choice, GpuRow, GroupRow, Layout, MapCells, NodeCells, WallRow, arrange, layout_for
from tui.widgets.gauge_wall import GaugeWall
from tui.widgets.line_table import LineTable
from tui.widgets.line_view import LineView
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine, heading

if TYPE_CHECKING:
    from textual.types import CSSPathType

#: Lines of the screen that are not the pane's: title, summary, hints, and the pane's own heading.
_BARS: Final = 4
_ABOVE: Final = ("alerts", "waiting", "notes")
_LEAST_BENEATH: Final = 3
_LEAST_NUMBERS: Final = 6
_NARROW: Final = 110
_TWO_COLUMNS: Final = 120


class GpusPage(ServiceActions):
    """A wall of gauges from 1 to some thousands of GPUs, and beneath it the numbers of what is under the cursor."""

    CSS_PATH: ClassVar[CSSPathType | None] = "gpus.tcss"
    AUTO_FOCUS = "#wall"
    pane = "gpus"
    parts = frozenset({PartName.GPUS, PartName.SERVICES, PartName.ALERTS})

    def __init__(self) -> None:
        super().__init__()
        self.choice = Choice()
        self._chosen_last: tuple[str | None, str | None] = (None, None)
        self._shown: Sequence[GpuView] = ()
        self._wide = False
        self._wanted = ""
        self._heights: dict[str, int] = {}

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        yield Lines(id="problem")
        yield OneLine(id="alerts")
        yield OneLine(id="waiting")
        yield OneLine(id="notes")
        with Vertical(id="walls"):
            yield GaugeWall(self.room.clock.now, id="wall")
            yield OneLine(id="chosen")
            beneath = GaugeWall(self.room.clock.now, id="beneath")
            beneath.can_focus = False
            yield beneath
            with Horizontal(id="numbers"):
                for name in ("main", "side"):
                    view = LineView(id=name)
                    view.can_focus = False
                    view.gaps = False
                    yield view

    @property
    def wall(self) -> GaugeWall:
        """The wall."""
        return self.query_one("#wall", GaugeWall)

    # ------------------------------------------------------------ showing

    def show(self) -> None:
        snapshot = self.model.gpus.value
        everything = snapshot.gpus if snapshot is not None else ()
        self._shown = self._matching(everything)
        self._show_lines(everything)
        wall = self.wall
        width, height = max(20, self.app.size.width - 2), self._room() - 1
        rows = arrange(self._shown, self.choice, width, height)
        wall.idle = self.choice.idle
        for each in (wall, self.query_one("#beneath", GaugeWall)):
            each.suit(wide=self._wide, narrow=self.app.size.width < _NARROW)
        wall.tell_empty(empty_lines(self.model, self.room.feed.yard is None, self.choice, self.filter))
        self._share(rows, height)
        wall.show(rows)
        self._go_to_wanted()
        self._show_chosen()

    def _matching(self, gpus: Sequence[GpuView]) -> Sequence[GpuView]:
        if self.choice.idle:
            gpus = [gpu for gpu in gpus if gpu.state is GpuState.IDLE]
        if self.filter is not None and self.filter.typed:
            wanted = GpuFilter(self.filter.typed)
            gpus = [gpu for gpu in gpus if wanted.keeps(gpu)]
        return gpus

    def _show_lines(self, everything: Sequence[GpuView]) -> None:
        total = len(everything)
        now, part, snapshot = self.room.clock.now(), self.model.gpus, self.model.gpus.value
        left = heading_left(snapshot, self._shown, total, self.choice)
        right = text(order_text(self.choice), "muted")
        if part.problem is not None and part.read_at is not None:
            right = text(f"as of {ago(part.read_at, now)}", "warn")
        self.query_one("#heading", OneLine).show(partial(heading, "4", "GPUS", left, right, True))
        self.query_one("#problem", Lines).show(problem_lines(part.problem) if part.problem is not None else ())
        waiting = waiting_line(snapshot, now)
        notes = text("; ".join(snapshot.notes), "warn") if snapshot is not None and total else EMPTY
        alerts = alert_line(of_gpus(self.model.alerts.value, everything))
        for name, line in (("alerts", alerts), ("waiting", waiting), ("notes", notes)):
            widget = self.query_one(f"#{name}", OneLine)
            widget.show(partial(_indented, line))
            if widget.display != bool(line):
                widget.display = bool(line)

    def _room(self) -> int:
        """Lines for the wall, the line of what is chosen, and what is beneath it."""
        extra = sum(self.query_one(f"#{name}").display for name in _ABOVE)
        problem = self.query_one("#problem", Lines).size.height if self.model.gpus.problem is not None else 0
        return max(3, self.app.size.height - _BARS - extra - problem)

    def _share(self, rows: Sequence[WallRow], height: int) -> None:
        """Give what the wall leaves over to the GPUs of what is under the cursor, and the rest to their numbers."""
        is_lines = layout_for(self._shown, self.choice, height) is Layout.LINES
        nodes = [len(row.gpus) for row in rows if isinstance(row, NodeCells)]
        most = max(nodes, default=8) + 1
        left = height - len(rows) - any(isinstance(row, GpuRow | MapCells) for row in rows)
        beneath = 0 if is_lines or left < _LEAST_BENEATH else min(most, left)
        numbers = left - beneath if left - beneath >= _LEAST_NUMBERS and rows else 0
        for name, lines in (("beneath", beneath), ("numbers", numbers)):
            if self._heights.get(name) != lines:
                self._heights[name] = lines
                widget = self.query_one(f"#{name}")
                widget.display = bool(lines)
                widget.styles.height = lines

    def _show_chosen(self) -> None:
        wall, now = self.wall, self.room.clock.now()
        row, gpu = wall.current, wall.chosen
        self._chosen_last = (wall.current_key, gpu.key if gpu is not None else None)
        line: OneLine = self.query_one("#chosen", OneLine)
        if gpu is not None:
            line.show(lambda width: chosen_line(gpu, now, width))
        elif isinstance(row, GroupRow | NodeCells):
            line.show(lambda width: group_sums(row.group, now, width))
        else:
            line.show(lambda width: (Span("─" * width, "rule"),))
        beneath = self.query_one("#beneath", GaugeWall)
        if beneath.display:
            beneath.show([GpuRow(one.key, (one,), "") for one in self._neighbours(row, gpu)])
        if self.query_one("#numbers").display:
            self._show_numbers(row, gpu)

    def _show_numbers(self, row: WallRow | None, gpu: GpuView | None) -> None:
        """All numbers with their sources, where the wall leaves room for them."""
        snapshot, now = self.model.gpus.value, self.room.clock.now()
        sections: Sequence[Section] = ()
        if gpu is not None:
            sections = gpu_sections(gpu, snapshot, None, now)
        elif isinstance(row, GroupRow | NodeCells) and row.group.by == "node":
            node = row.group.gpus[0]
            sections = node_sections(node.context, node.node, snapshot, self.model.services.value.values(), now)
            sections = [section for section in sections if section.title != "GPUs"]
        main, side = self.query_one("#numbers > #main", LineView), self.query_one("#numbers > #side", LineView)
        beside = [section for section in sections if section.side]
        others = [section for section in sections if not section.side]
        is_wide = self.app.size.width >= _TWO_COLUMNS
        if side.display != is_wide:
            side.display = is_wide
        main.show(others if is_wide else [*others, *beside])
        if is_wide:
            side.show(beside)

    def _neighbours(self, row: WallRow | None, gpu: GpuView | None) -> Sequence[GpuView]:
        if isinstance(row, GroupRow | NodeCells):
            return row.group.gpus
        if gpu is None:
            return ()
        return sorted(
            (one for one in self._shown if (one.context, one.node) == (gpu.context, gpu.node)),
            key=lambda one: (one.index, one.key),
        )

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        wall = self.wall
        now = (wall.current_key, wall.chosen.key if wall.chosen is not None else None)
        if event.table is wall and now != self._chosen_last:
            self._show_chosen()

    def find(self, pattern: Filter | None) -> str:
        self.show()
        if pattern is None:
            return ""
        wanted = GpuFilter(pattern.typed)
        literal = "not a regular expression, taken as it stands" if wanted.literal else ""
        return wanted.problem or literal

    def complete_filter(self, line: str) -> Sequence[str]:
        snapshot = self.model.gpus.value
        return completions(line, snapshot.gpus if snapshot is not None else (), FIELDS)

    def enter(self, arguments: Sequence[str], pattern: str | None) -> None:
        self._find(" ".join([*arguments, *([pattern] if pattern else [])]))

    # ------------------------------------------------------------ what is under the cursor

    def current_service(self) -> ServiceView | None:
        gpu = self._gpu()
        return holder(gpu, self.model.services.value.values()) if gpu is not None else None

    def gpus_here(self) -> Sequence[GpuView]:
        row, gpu = self.wall.current, self.wall.chosen
        if gpu is not None:
            return (gpu,)
        return row.group.gpus if isinstance(row, GroupRow | NodeCells) else ()

    def _gpu(self) -> GpuView | None:
        """The GPU under the cursor, or one of the service whose group it is on."""
        row = self.wall.current
        if isinstance(row, GroupRow) and row.group.by == "service":
            return row.group.gpus[0]
        return self.wall.chosen

    def choose(self, key: str) -> None:
        """Put the cursor on a GPU, as soon as it is shown; on its group where that is folded."""
        self._wanted = key
        if self.is_whole:
            self.show()

    def _go_to_wanted(self) -> None:
        key = self._wanted
        if not key or not self.wall.items:
            return
        self._wanted = ""
        if not self.wall.choose(key):
            found = (row for row in self.wall.items if isinstance(row, GroupRow))
            head = next((row for row in found if any(gpu.key == key for gpu in row.group.gpus)), None)
            if head is not None:
                self.wall.select(head.key)

    def reference(self) -> str:
        row, gpu = self.wall.current, self.wall.chosen
        if gpu is not None:
            return gpu.uuid or gpu.key
        return row.group.name if isinstance(row, GroupRow | NodeCells) else ""

    # ------------------------------------------------------------ actions

    def _choose(self, choice: Choice, told: str = "") -> None:
        gpu = self.wall.chosen
        self.choice = choice
        self.show()
        if gpu is not None:
            self.wall.choose(gpu.key)
        self.wall.repaint()
        if told:
            self.room.flash(told)

    def act_gpus_idle(self) -> None:
        self._choose(replace(self.choice, idle=not self.choice.idle, folded=frozenset()))

    def act_gpus_by(self, *words: str) -> None:
        wanted = words[0] if words else BY[(BY.index(self.choice.by) + 1) % len(BY)]
        if wanted not in BY:
            self.room.flash(f"GPUs are not grouped by {wanted[:30]!r}: {', '.join(BY)}", bad=True)
            return
        told = "not grouped" if wanted == "none" else f"grouped by {wanted}"
        self._choose(replace(self.choice, by=wanted, folded=frozenset()), told)

    def act_gpus_view(self, *words: str) -> None:
        views = list(Layout)
        names = [view.value for view in views]
        if words and words[0] not in names:
            self.room.flash(f"there is no view {words[0][:30]!r}: {', '.join(names)}", bad=True)
            return
        wanted = Layout(words[0]) if words else views[(views.index(self.choice.layout) + 1) % len(views)]
        told = {
            Layout.AUTO: "the view that suits their number",
            Layout.LINES: "a line a GPU",
            Layout.NODES: "a line a node",
            Layout.MAP: "a heat map",
        }
        self._choose(replace(self.choice, layout=wanted, folded=frozenset()), told[wanted])

    def act_gpus_wide(self) -> None:
        self._wide = not self._wide
        self.show()
        self.room.flash("all that is measured" if self._wide else "what is looked at most")

    def act_gpus_fold(self) -> None:
        row = self._head()
        if row is None:
            self.room.flash("there is nothing to fold here", bad=True)
            return
        self.choice = self.choice.toggled(row.key)
        self.show()
        self.wall.select(row.key)

    def act_gpus_fold_all(self) -> None:
        heads = [row for row in self.wall.items if isinstance(row, GroupRow)]
        if not heads:
            self.room.flash("there is nothing to fold here", bad=True)
            return
        wanted = not any(row.is_open for row in heads)
        changed = {row.key for row in heads if row.is_open is not wanted}
        self._choose(replace(self.choice, folded=self.choice.folded ^ changed))

    def _head(self) -> GroupRow | NodeCells | None:
        """The row that folds what is under the cursor."""
        wall = self.wall
        for row in reversed(wall.items[: wall.cursor + 1]):
            if isinstance(row, GroupRow | NodeCells):
                return row
        return None

    def act_move_left(self) -> None:
        row = self.wall.current
        if isinstance(row, GroupRow):
            if row.is_open:
                self.act_gpus_fold()
        elif not self.wall.move_sideways(-1) and isinstance(row, GpuRow) and (head := self._head()) is not None:
            self.wall.select(head.key)

    def act_move_right(self) -> None:
        row = self.wall.current
        if isinstance(row, GroupRow):
            if not row.is_open:
                self.act_gpus_fold()
        else:
            self.wall.move_sideways(1)

    def act_look_sort(self) -> None:
        keys = list(ORDERS)
        order = keys[(keys.index(self.choice.order) + 1) % len(keys)]
        self._choose(replace(self.choice, order=order, inverted=False), f"order: {ORDERS[order].title}")

    def act_look_invert(self) -> None:
        self._choose(replace(self.choice, inverted=not self.choice.inverted))
        self.room.flash(f"order: {order_text(self.choice)}")

    def act_look_open(self) -> None:
        from tui.panes.gpus.detail import GpuPage

        row, gpu = self.wall.current, self.wall.chosen
        if gpu is not None:
            among = [one.key for each in self.wall.items for one in each.gpus]
            self.room.push_screen(GpuPage(gpu, among=among))
        elif isinstance(row, NodeCells) or (isinstance(row, GroupRow) and row.group.by == "node"):
            self._open_node(row.group.gpus[0])
        elif isinstance(row, GroupRow) and row.group.by == "service" and self.current_service() is not None:
            self.act_gpus_service()
        elif isinstance(row, GroupRow):
            self.act_gpus_fold()

    def act_gpus_service(self) -> None:
        service = self.current_service()
        if service is None:
            self.room.flash("no service holds what is under the cursor", bad=True)
            return
        self.room.show_service(service.context, service.namespace, service.name)

    def act_gpus_node(self) -> None:
        row, gpu = self.wall.current, self.wall.chosen
        if gpu is None and isinstance(row, GroupRow | NodeCells) and row.group.by == "node":
            gpu = row.group.gpus[0]
        if gpu is None:
            self.room.flash("no node is under the cursor", bad=True)
            return
        self._open_node(gpu)

    def _open_node(self, gpu: GpuView) -> None:
        from tui.panes.gpus.detail import NodePage

        self.room.push_screen(NodePage(gpu.context, gpu.node))


def _indented(line: Line, _width: int) -> Line:
    return (Span(" "), *line) if line else EMPTY
