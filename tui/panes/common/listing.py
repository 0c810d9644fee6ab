"""The base of the panes 1 to 5: a table with filter and order, and beside it what is under the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textual.containers import Horizontal
from textual.widget import Widget

from tui.commands import Filter
from tui.document import EMPTY, Line, Section, join, text
from tui.format import ago
from tui.model import Part, Problem
from tui.page import Page
from tui.panes.common.messages import problem_lines
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable
from tui.widgets.line_view import LineView
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine, heading

if TYPE_CHECKING:
    from textual.types import CSSPathType

Item = TypeVar("Item")


class ListPage(Page, Generic[Item]):
    """A pane that lists items."""

    CSS_PATH: ClassVar[CSSPathType | None] = "common.tcss"
    AUTO_FOCUS = "LineTable"
    number: ClassVar[str] = ""
    heading_title: ClassVar[str] = ""
    order: ClassVar[str] = ""
    preview_from: ClassVar[int] = 140

    def __init__(self) -> None:
        super().__init__()
        self._sort: Column[Item] | None = None
        self._descending = False
        self._haystacks: tuple[Sequence[Item], list[str]] = ((), [])
        self._all: Sequence[Item] = ()

    # ------------------------------------------------------------ what subclasses say

    def columns(self) -> tuple[Column[Item], ...]:
        """The table's columns."""
        raise NotImplementedError

    def key(self, item: Item) -> str:
        """What names an item."""
        raise NotImplementedError

    def part(self) -> Part[Any]:
        """The part of the model that is listed."""
        raise NotImplementedError

    def items(self) -> Sequence[Item]:
        """What is listed, in the pane's own order."""
        raise NotImplementedError

    def haystack(self, item: Item) -> str:
        """What a filter looks at."""
        raise NotImplementedError

    def matching(self) -> Filter | None:
        """What items have to match to be shown."""
        return self.filter

    def tally(self) -> Line:
        """What the heading says of all items."""
        return EMPTY

    def empty(self) -> Sequence[Line]:
        """What to do where there is nothing to list."""
        return (text("Nothing here.", "muted"),)

    def preview(self, item: Item) -> Sequence[Section]:
        """What stands beside the table on wide screens."""
        return ()

    # ------------------------------------------------------------ showing

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        yield Lines(id="problem")
        yield from self.above()
        with Horizontal(id="split"):
            yield self.make_table()
            yield LineView(id="preview")

    def make_table(self) -> LineTable[Item]:
        """The table."""
        return LineTable(self.columns(), self.key, id="table")

    def above(self) -> Iterable[Widget]:
        """Widgets between the heading and the table."""
        return ()

    @property
    def table(self) -> LineTable[Item]:
        """The table."""
        table: LineTable[Item] = self.query_one("#table", LineTable)
        return table

    def show(self) -> None:
        self._all = self.items()
        items = self._shown_items()
        self.table.sort_key = self._sort.key if self._sort else ""
        self.table.descending = self._descending
        self.table.tell_empty(self._empty_lines())
        self.table.show(items)
        self._show_heading(len(items))
        self._show_problem()
        self._show_beside()

    def _show_beside(self) -> None:
        view = self.query_one("#preview", LineView)
        view.display = self.app.size.width >= self.preview_from
        self._show_preview(keep=True)

    def _shown_items(self) -> Sequence[Item]:
        items = self._all
        pattern = self.matching()
        if pattern is not None and pattern.typed:
            if self._haystacks[0] is not items or len(self._haystacks[1]) != len(items):
                self._haystacks = (items, [self.haystack(item) for item in items])
            items = [items[index] for index in pattern.indices(self._haystacks[1])]
        column = self._sort
        if column is not None and column.sort is not None:
            items = sorted(items, key=column.sort, reverse=self._descending)  # type: ignore[arg-type]
        return items

    def _show_heading(self, shown: int) -> None:
        part, total = self.part(), len(self._all)
        number = f"{total:,}".replace(",", " ")
        counted = text(number if shown == total else f"{shown} of {number}", "strong")
        left = join(counted, self.tally(), gap="  ")
        order = f"by {self._sort.title.lower()}" if self._sort is not None else self.order
        right = text(order, "muted")
        if part.problem is not None and part.read_at is not None:
            right = text(f"as of {ago(part.read_at, self.room.clock.now())}", "warn")
        self.query_one("#heading", OneLine).show(partial(heading, self.number, self.heading_title, left, right, True))

    def _show_problem(self) -> None:
        problem: Problem | None = self.part().problem
        self.query_one("#problem", Lines).show(problem_lines(problem) if problem is not None else ())

    def _empty_lines(self) -> Sequence[Line]:
        if self.model.problem is not None and self.room.feed.yard is None:
            return problem_lines(self.model.problem)
        if not self.part().known:
            return () if self.part().problem is not None else (text("reading…", "muted"),)
        if self.filter is not None and self.filter.typed:
            return (text(f"Nothing matches {self.filter.typed}", "muted"), text("Esc clears the filter", "muted"))
        return self.empty()

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        self._show_preview(keep=False)

    def _show_preview(self, *, keep: bool) -> None:
        view = self.query_one("#preview", LineView)
        if not view.display:
            return
        item = self.table.current
        view.show(self.preview(item) if item is not None else (), keep=keep)

    def find(self, pattern: Filter | None) -> str:
        items = self._shown_items()
        self.table.tell_empty(self._empty_lines())
        self.table.show(items)
        self._show_heading(len(items))
        return "not a regular expression, taken as it stands" if pattern is not None and pattern.literal else ""

    # ------------------------------------------------------------ actions

    def act_look_sort(self) -> None:
        sortable = [column for column in self.columns() if column.sort is not None]
        keys = [column.key for column in sortable]
        at = keys.index(self._sort.key) + 1 if self._sort is not None and self._sort.key in keys else 0
        self._sort = sortable[at] if at < len(sortable) else None
        self._descending = False
        self._resort()

    def act_look_invert(self) -> None:
        if self._sort is None:
            self.room.flash("s chooses a column to sort by first", bad=True)
            return
        self._descending = not self._descending
        self._resort()

    def _resort(self) -> None:
        self.show()
        self.table.repaint()
        self.room.flash(f"sorted by {self._sort.title.lower()}" if self._sort is not None else f"order: {self.order}")
