"""A single line that is drawn again only when its text changed: bars, pane headings, hints."""

from __future__ import annotations

from collections.abc import Callable

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.document import EMPTY, Line, Span, cells, difference, ends, fit
from tui.palette import palette_of

Maker = Callable[[int], Line]


class OneLine(Widget):
    """A line made for the width there is."""

    DEFAULT_CSS = "OneLine { width: 1fr; height: 1; }"

    def __init__(self, under: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._under = under
        self._maker: Maker = lambda _width: EMPTY
        self._drawn: Line | None = None

    def show(self, maker: Maker, under: str | None = None) -> None:
        """Show what the maker makes; nothing is drawn when it makes what stands there."""
        self._maker = maker
        looks_different = under is not None and under != self._under
        if under is not None:
            self._under = under
        if looks_different:
            self.refresh()
        elif self._drawn is not None and (made := maker(self.size.width)) != self._drawn:
            # What was never drawn will be, without being asked.
            width = self.size.width
            start, end = difference(fit(self._drawn, width), fit(made, width), width)
            if end > start:
                self.refresh(Region(start, 0, end - start, 1))
            else:
                self._drawn = made

    def show_again(self) -> None:
        """Draw again if the text is no longer what was drawn, such as an age."""
        self.show(self._maker)

    def render_line(self, y: int) -> Strip:
        self._drawn = self._maker(self.size.width)
        return palette_of(self).strip(fit(self._drawn, self.size.width), self.size.width, under=self._under)


def heading(number: str, title: str, left: Line, right: Line, focused: bool, width: int) -> Line:
    """The heading of a pane: its key, its name, what is in it, and at the right how it is ordered."""
    rule = "rule-focus" if focused else "rule"
    name = "title-focus" if focused else "title"
    start = (
        Span("━" if focused else "─", rule),
        Span(" "),
        *((Span(number + " ", "key"),) if number else ()),
        Span(title, name),
        Span(" "),
    )
    note = (*_whole_parts(left, width - cells(start) - 4), Span(" ")) if left else EMPTY
    head = fit((*start, *note), max(0, width - 2))
    tail = (Span(" "), *right, Span(" "), Span("━" if focused else "─", rule)) if right else EMPTY
    return ends(head, tail, width, Span("━" if focused else "─", rule))


def _whole_parts(line: Line, width: int) -> Line:
    """As many spans as fit, and an ellipsis in place of those that do not."""
    if cells(line) <= width:
        return line
    kept: list[Span] = []
    left = width - 2
    for span in line:
        left -= cells((span,))
        if left < 0:
            break
        kept.append(span)
    while kept and not kept[-1].text.strip(" ·"):
        kept.pop()
    return (*kept, Span(" …", "faint")) if kept else fit(line, width)
