"""The table: any number of rows, drawn as they are seen, keyed so that the cursor stays where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

from textual.message import Message

from tui.document import EMPTY, Line, Span, cells, fit_end, pad, wrap
from tui.widgets.columns import Column, Item, fit_columns
from tui.widgets.line_scroll import LineScroll

_SAMPLE = 60
_MARK = Span("▌", "cursor-mark")
_NO_MARK = Span(" ")


class LineTable(LineScroll, Generic[Item]):
    """Rows of items under columns that adapt to the width.

    Cells are made of an item when its row is drawn, so that giving the table 50,000 items costs next to nothing. The
    table neither sorts nor filters: it shows the items in the order given.
    """

    class Moved(Message):
        """The cursor went to another item, or the item under it changed."""

        def __init__(self, table: LineTable[Any]) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LineTable[Any]:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column[Item]],
        key: Callable[[Item], str],
        *,
        headings: bool = True,
        steady: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """
        Args:
            key: names an item.
            steady: cells differ only where their item is another one, or `measure_again` was called, or time went on.
        """
        super().__init__(id=id, classes=classes)
        self.columns = tuple(columns)
        self.key_of = key
        self.items: Sequence[Item] = ()
        self.cursor = 0
        self.sort_key = ""
        self.descending = False
        self._headings = headings
        self._steady = steady
        self._is_measured = False
        self._empty: tuple[Line, ...] = ()
        self._needed: list[int] = [0] * len(self.columns)
        self._fitted: tuple[int, list[tuple[int, int]]] | None = None

    # ------------------------------------------------------------ what is shown

    def show(self, items: Sequence[Item], *, keep: bool = True) -> None:
        """Show these items; the cursor stays on its item where that is still there.

        Args:
            keep: whether widths and position are kept; False starts at the top, for another list.
        """
        key = self.current_key if keep else None
        before, before_at, shown = self.current, self.cursor, self.items
        old_count = len(self.items)
        self.items = items
        position = self._find(key) if key is not None else None
        moved_to = position if position is not None else min(self.cursor if keep else 0, max(0, len(items) - 1))
        on_row = self.cursor - self.top
        self.cursor = moved_to
        changed = self._changed(shown) if keep and before_at == moved_to else None
        fitted = self._measure(keep, changed)
        top = self.top if keep else 0
        if keep and position is not None and self.top > 0:
            top = moved_to - on_row
        top = self._visible_top(max(0, min(top, len(items) - self.window)))
        if fitted or top != self.top or not keep or (old_count > self.window) != (len(items) > self.window):
            self.top = top
            self.repaint()
        else:
            self.repaint_changed(None if changed is None else [self._row(index) for index in changed])
            self._repaint_new(old_count)
        if self.current != before:
            self.post_message(self.Moved(self))

    def set_columns(self, columns: Sequence[Column[Item]]) -> None:
        """Show other columns from the next `show` on."""
        self.columns = tuple(columns)
        self._needed = [0] * len(self.columns)
        self._fitted = None
        self._is_measured = False

    def measure_again(self) -> None:
        """Of a steady table: what cells are made of beside their items changed."""
        self._is_measured = False

    def tell_empty(self, lines: Sequence[Line]) -> None:
        """What stands in place of the rows while there are none."""
        if tuple(lines) != self._empty:
            self._empty = tuple(lines)
            if not self.items:
                self.repaint()

    @property
    def current(self) -> Item | None:
        """The item under the cursor."""
        return self.items[self.cursor] if 0 <= self.cursor < len(self.items) else None

    @property
    def current_key(self) -> str | None:
        """The key of the item under the cursor."""
        item = self.current
        return None if item is None else self.key_of(item)

    def select(self, key: str) -> bool:
        """Put the cursor on the item with this key; whether there is one."""
        position = self._find(key)
        if position is not None:
            self.move_to(position)
        return position is not None

    # ------------------------------------------------------------ moving

    def move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.move_to(self.cursor + by)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, the last or the first where the index is outside."""
        if not self.items:
            return
        index = max(0, min(index, len(self.items) - 1))
        if index == self.cursor:
            return
        old, self.cursor = self.cursor, index
        top = self._visible_top(self.top)
        if top != self.top:
            self.top = top
            self.repaint()
        else:
            for row in (old, index):
                self.repaint_row(self._row(row))
        self.post_message(self.Moved(self))

    def move_end(self) -> None:
        """Put the cursor on the last row."""
        self.move_to(len(self.items) - 1)

    # ------------------------------------------------------------ lines

    @property
    def line_count(self) -> int:
        return len(self.items)

    @property
    def head_lines(self) -> int:
        return 1 if self._headings and self.items else 0

    def head(self, row: int, width: int) -> Line:
        parts: list[Span] = [_NO_MARK]
        fitted = self._layout(width)
        for position, (index, size) in enumerate(fitted):
            column = self.columns[index]
            title = column.title
            if column.key == self.sort_key and title:
                title += "▼" if self.descending else "▲"
            parts.extend(pad((Span(title, "column"),) if title else EMPTY, size, right=column.right))
            if position < len(fitted) - 1:
                parts.append(Span(" " * column.gap))
        return tuple(parts)

    def content(self, index: int, width: int) -> Line:
        item = self.items[index]
        is_cursor = index == self.cursor and self.has_focus
        parts: list[Span] = [_MARK if is_cursor else _NO_MARK]
        fitted = self._layout(width)
        for position, (at, size) in enumerate(fitted):
            column = self.columns[at]
            cell = column.cell(item)
            parts.extend(pad(fit_end(cell, size) if column.keep_end else cell, size, right=column.right))
            if position < len(fitted) - 1:
                parts.append(Span(" " * column.gap))
        return tuple(parts)

    def overlay(self, index: int) -> str:
        return "cursor" if index == self.cursor and self.has_focus else ""

    def _line(self, row: int, width: int) -> Line:
        if not self.items:
            lines = [part for line in self._empty for part in (wrap(line, width - 2) if line else [EMPTY])]
            return (Span("  "), *lines[row]) if row < len(lines) else EMPTY
        return super()._line(row, width)

    # ------------------------------------------------------------ events

    def on_focus(self) -> None:
        self._repaint_cursor()
        self.post_message(self.Moved(self))

    def on_blur(self) -> None:
        self._repaint_cursor()

    def on_resize(self) -> None:
        self._fitted = None
        top = self._visible_top(self.top)
        if top != self.top:
            self.top = top
            self.refresh()

    # ------------------------------------------------------------ inside

    def _repaint_cursor(self) -> None:
        self.repaint_row(self._row(self.cursor))

    def _repaint_new(self, old_count: int) -> None:
        """Rows that were blank have not been drawn as content; rows that went must become blank."""
        first, last = sorted((old_count, len(self.items)))
        for index in range(max(first, self.top), min(last, self.top + self.window)):
            self.repaint_row(self._row(index))

    def _visible_top(self, top: int) -> int:
        window = max(1, self.window)
        if self.cursor < top:
            return self.cursor
        return self.cursor - window + 1 if self.cursor >= top + window else top

    def _find(self, key: str) -> int | None:
        items, key_of = self.items, self.key_of
        if 0 <= self.cursor < len(items) and key_of(items[self.cursor]) == key:
            return self.cursor
        return next((index for index, item in enumerate(items) if key_of(item) == key), None)

    def _row(self, index: int) -> int:
        return index - self.top + self.head_lines

    def _changed(self, shown: Sequence[Item]) -> list[int] | None:
        """Of a steady table, where another item stands near the window than was shown; None: all may look different."""
        if not self._steady or not self._is_measured or len(shown) != len(self.items):
            return None
        first = max(0, min(self.top, len(shown) - _SAMPLE))
        last = min(len(shown), max(first + _SAMPLE, self.top + self.window))
        return [index for index in range(first, last) if self.items[index] is not shown[index]]

    def _measure(self, keep: bool, changed: Sequence[int] | None = None) -> bool:
        """Take the widths that the first items need, or those that changed; whether the columns changed by it."""
        needed = [cells((Span(column.title),)) + 1 if self._headings else 0 for column in self.columns]
        first = max(0, min(self.top, len(self.items) - _SAMPLE))
        sample = range(first, min(first + _SAMPLE, len(self.items))) if changed is None else changed
        self._is_measured = True
        for item in (self.items[place] for place in sample):
            for index, column in enumerate(self.columns):
                if needed[index] < column.most:
                    needed[index] = max(needed[index], cells(column.cell(item)))
        if keep:
            # Columns only grow while a list is shown: a table that jitters cannot be read.
            needed = [max(pair) for pair in zip(needed, self._needed, strict=True)]
        if needed == self._needed:
            return False
        self._needed = needed
        self._fitted = None
        return True

    def _layout(self, width: int) -> list[tuple[int, int]]:
        if self._fitted is None or self._fitted[0] != width:
            self._fitted = (width, fit_columns(self.columns, self._needed, width - 1))
        return self._fitted[1]
