"""Some lines of text, as high as they need to be; for dialogs."""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui.document import EMPTY, Line, wrap_all
from tui.palette import palette_of


class Lines(Widget):
    """Lines, wrapped to the width."""

    DEFAULT_CSS = "Lines { width: 1fr; height: auto; }"

    def __init__(self, lines: Sequence[Line] = (), *, under: str = "", indent: int = 2, id: str | None = None) -> None:
        """
        Args:
            indent: cells that what is wrapped stands in from the left.
        """
        super().__init__(id=id)
        self._lines = tuple(lines)
        self._under = under
        self._indent = indent

    def show(self, lines: Sequence[Line]) -> None:
        """Show other lines."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.refresh(layout=True)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(wrap_all(self._lines, width, self._indent))

    def render_line(self, y: int) -> Strip:
        wrapped = wrap_all(self._lines, self.size.width, self._indent)
        line = wrapped[y] if y < len(wrapped) else EMPTY
        return palette_of(self).strip(line, self.size.width, under=self._under)
