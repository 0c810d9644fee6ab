"""The library's table: rows are read as they are seen."""

from __future__ import annotations

from textual.message import Message

from tui.document import Line, Span
from tui.panes.library.reader import Sight
from tui.panes.library.rows import Row, Rows
from tui.widgets.line_table import LineTable

_READING = "·"
# Rows above and below the window that are read with it, so that a page down finds them there.
_MARGIN = 40


class LibraryTable(LineTable[Row]):
    """A table over rows that may still have to be read."""

    class Missing(Message):
        """A row came into sight that has to be read."""

    def sight(self) -> Sight:
        """What is seen of the rows."""
        first = max(0, self.top - _MARGIN)
        return Sight(first, self.top + max(self.window, 1) + _MARGIN, self.cursor, self.current_key)

    def filled(self) -> None:
        """Rows were read: draw those that are seen."""
        self._measure(True)
        self.repaint_changed()
        self.post_message(self.Moved(self))

    def content(self, index: int, width: int) -> Line:
        row = self.items[index]
        if row.key.startswith("?"):
            self.post_message(self.Missing())
            return (Span(" "), Span(f"  {_READING}", "faint"))
        return super().content(index, width)

    def _find(self, key: str) -> int | None:
        items = self.items
        return items.position(key) if isinstance(items, Rows) else super()._find(key)
