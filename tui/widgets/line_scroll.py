"""The base of every list on the screen: lines drawn one by one, only those that changed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.document import EMPTY, Line, Span, difference
from tui.palette import palette_of


class LineScroll(Widget, can_focus=True):
    """Lines in a window that scrolls.

    Textual's own scrolling containers lay out again when their content grows; this one only repaints. The last cell
    of each line is kept for the scroll mark, so that nothing moves when the content outgrows the window.

    Subclasses say how many lines there are (`line_count`), what is in them (`content`), and how many lines at the top
    stay (`head_lines`).
    """

    DEFAULT_CSS = "LineScroll { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.top = 0
        # What was drawn in each row, at which width: only what differs from it is drawn again.
        self._drawn: dict[int, Line] = {}
        self._drawn_width = -1

    # ------------------------------------------------------------ what subclasses say

    @property
    def line_count(self) -> int:
        """How many lines there are, without the head."""
        return 0

    @property
    def head_lines(self) -> int:
        """How many lines at the top do not scroll."""
        return 0

    def head(self, row: int, width: int) -> Line:
        """A line of the head."""
        return EMPTY

    def content(self, index: int, width: int) -> Line:
        """A line of the content."""
        return EMPTY

    def overlay(self, index: int) -> str:
        """The role that lies over a whole line, such as the cursor."""
        return ""

    # ------------------------------------------------------------ the window

    @property
    def inner_width(self) -> int:
        """Cells of a line without the scroll mark."""
        return max(0, self.size.width - 1)

    @property
    def window(self) -> int:
        """How many lines of content can be seen."""
        return max(0, self.size.height - self.head_lines)

    def scroll_lines(self, top: int) -> None:
        """Show the content from this line on, as far as there is enough of it."""
        top = max(0, min(top, self.line_count - self.window))
        if top != self.top:
            self.top = top
            self.repaint()

    def move(self, by: int) -> None:
        """Go up or down by so many lines."""
        self.scroll_lines(self.top + by)

    def move_page(self, pages: int) -> None:
        """Go up or down by so many windows."""
        self.move(pages * max(1, self.window - 1))

    def move_to(self, index: int) -> None:
        """Go to a line."""
        self.scroll_lines(index)

    def move_end(self) -> None:
        """Go to the end."""
        self.scroll_lines(self.line_count)

    def repaint(self) -> None:
        """Draw everything again."""
        self._drawn.clear()
        self.refresh()

    def repaint_changed(self, rows: Iterable[int] | None = None) -> None:
        """Draw the visible lines again whose text is no longer what was drawn.

        Args:
            rows: of the window, in which alone that may be; None: in any.
        """
        width = self.inner_width
        for row in list(self._drawn) if rows is None else [row for row in rows if row in self._drawn]:
            if row >= self.size.height:
                del self._drawn[row]
            elif (line := self._line(row, width)) != self._drawn[row]:
                self._repaint_difference(row, self._drawn.pop(row), line, width)

    def _repaint_difference(self, row: int, old: Line, new: Line, width: int) -> None:
        if old[-1:] != new[-1:] and any(span.text == "" for span in (*old[-1:], *new[-1:])):
            # What lies over the whole line changed.
            self.refresh(Region(0, row, self.size.width, 1))
            return
        start, end = difference(old, new, width)
        if end > start:
            self.refresh(Region(start, row, end - start, 1))
        else:
            self._drawn[row] = new

    def repaint_row(self, row: int) -> None:
        """Draw one row of the window again."""
        self._drawn.pop(row, None)
        self.refresh(Region(0, row, self.size.width, 1))

    def on_resize(self) -> None:
        top = max(0, min(self.top, self.line_count - self.window))
        if top != self.top:
            # The first frame of the new size may have been drawn already.
            self.top = top
            self.refresh()

    # ------------------------------------------------------------ drawing

    def render_line(self, y: int) -> Strip:
        palette = palette_of(self)
        width = self.inner_width
        if width != self._drawn_width:
            self._drawn.clear()
            self._drawn_width = width
        line = self._line(y, width)
        self._drawn[y] = line
        index = self.top + y - self.head_lines
        over = self.overlay(index) if y >= self.head_lines and index < self.line_count else ""
        strip = palette.strip(line, width, over=over)
        mark = Segment(self._scroll_mark(y), palette.style("scroll"))
        return Strip([*strip, mark], width + 1) if self.size.width else strip

    def _line(self, row: int, width: int) -> Line:
        if row < self.head_lines:
            return self.head(row, width)
        index = self.top + row - self.head_lines
        if index >= self.line_count:
            return EMPTY
        line = self.content(index, width)
        over = self.overlay(index)
        # The overlay is part of what was drawn: a line whose cursor went must be drawn again.
        return (*line, Span("", over)) if over else line

    def _scroll_mark(self, row: int) -> str:
        window, count = self.window, self.line_count
        if count <= window or row < self.head_lines or window < 2:
            return " "
        size = max(1, window * window // count)
        start = round((window - size) * self.top / max(1, count - window))
        return "┃" if start <= row - self.head_lines < start + size else " "
