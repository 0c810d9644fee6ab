"""A document that scrolls: details, plans, YAML, logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from backend.core.text import sanitise
from tui.document import EMPTY, Line, Section, Span, ends, plain, wrap
from tui.widgets.line_scroll import LineScroll


class LineView(LineScroll):
    """Sections of lines, wrapped to the width, with jumps from section to section."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._sections: Sequence[Section] = ()
        self._lines: list[Line] = []
        self._starts: list[int] = []
        self._wrapped_at = -1

    def show(self, sections: Sequence[Section], *, keep: bool = True) -> None:
        """Show these sections; the position is kept unless this is another document."""
        if keep and sections == self._sections:
            return
        self._sections = sections
        self._wrapped_at = -1
        if not keep:
            self.top = 0
        self._wrap(self.inner_width)
        self.top = max(0, min(self.top, len(self._lines) - self.window))
        if keep:
            self.repaint_changed()
        else:
            self.repaint()

    @property
    def line_count(self) -> int:
        self._wrap(self.inner_width)
        return len(self._lines)

    def content(self, index: int, width: int) -> Line:
        return self._lines[index]

    def next_section(self, by: int = 1) -> None:
        """Scroll to the head of the next or the previous section, and around at the ends."""
        if not self._starts:
            return
        reached_end = self.top >= self.line_count - self.window
        if by > 0:
            later = [start for start in self._starts if start > self.top]
            self.scroll_lines(later[0] if later and not reached_end else 0)
        else:
            earlier = [start for start in self._starts if start < self.top]
            self.scroll_lines(earlier[-1] if earlier else self._starts[-1])

    def find(self, pattern: re.Pattern[str]) -> bool:
        """Go to the next line that matches, from the top again after the end; whether there is one."""
        count = self.line_count
        order = [*range(self.top + 1, count), *range(min(self.top + 1, count))]
        found = next((index for index in order if pattern.search(plain(self._lines[index]))), None)
        if found is not None:
            self.scroll_lines(found)
        return found is not None

    def on_resize(self) -> None:
        self._wrapped_at = -1

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def _wrap(self, width: int) -> None:
        if self._wrapped_at == width:
            return
        self._wrapped_at = width
        self._lines, self._starts = lay_out(self._sections, width)
        self._drawn.clear()


def lay_out(sections: Sequence[Section], width: int) -> tuple[list[Line], list[int]]:
    """The lines of the sections under their headings, and where each section starts."""
    lines: list[Line] = []
    starts: list[int] = []
    for section in sections:
        if lines:
            lines.append(EMPTY)
        starts.append(len(lines))
        if section.title:
            head = (Span(" "), Span(section.title, "heading"), Span(" "))
            note = (Span(f" {section.note} ", "muted"),) if section.note else EMPTY
            lines.append(ends(head, note, width, Span("─", "rule")))
        for line in section.lines:
            if not line:
                lines.append(EMPTY)
                continue
            # What belongs to a label stays to the right of it.
            indent = len(line[0].text) if line[0].role == "label" else 2
            lines.extend((Span(" "), *part) for part in wrap(line, max(8, width - 2), indent))
    return lines, starts


class TextView(LineScroll):
    """Long text as its source gave it, line by line: YAML and logs. Searches, and scrolls sideways."""

    def __init__(self, colour: Callable[[str], Line] | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._colour = colour or (lambda line: (Span(line),))
        self._lines: list[str] = []
        self._left = 0
        self.pattern: re.Pattern[str] | None = None

    def show(self, content: str, *, at_end: bool = False) -> None:
        """Show this text, from its start or its end."""
        self._lines = content.rstrip("\n").split("\n")
        self.top = max(0, len(self._lines) - self.window) if at_end else 0
        self.repaint()

    @property
    def line_count(self) -> int:
        return len(self._lines)

    def content(self, index: int, width: int) -> Line:
        shown = sanitise(self._lines[index].replace("\t", "    "))[self._left :]
        if self.pattern is not None and (found := self.pattern.search(shown)) and found.end() > found.start():
            return (
                Span(" " + shown[: found.start()]),
                Span(found.group(), "match"),
                Span(shown[found.end() :]),
            )
        return (Span(" "), *self._colour(shown))

    def search(self, pattern: re.Pattern[str] | None) -> int:
        """Mark what matches and go to the first match; how many lines match."""
        self.pattern = pattern
        self.repaint()
        if pattern is None:
            return 0
        found = [index for index, line in enumerate(self._lines) if pattern.search(line)]
        if found:
            self.scroll_lines(next((index for index in found if index >= self.top), found[0]))
        return len(found)

    def next_match(self, by: int) -> bool:
        """Go to the next or the previous line that matches; whether there is one."""
        if self.pattern is None or not self._lines:
            return False
        order = range(self.top + 1, len(self._lines)) if by > 0 else range(self.top - 1, -1, -1)
        found = next((index for index in order if self.pattern.search(self._lines[index])), None)
        if found is None:
            return False
        self.scroll_lines(found)
        return True

    def move_sideways(self, by: int) -> None:
        """Show the lines from further left or right."""
        left = max(0, self._left + by)
        if left != self._left:
            self._left = left
            self.repaint()
