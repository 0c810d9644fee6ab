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
        #: Whether a blank line stands between sections.
        self.gaps = True

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

    def next_section(self, by: int = 1, *, unseen: bool = False) -> None:
        """Scroll to the head of the next or the previous section, and around at the ends.

        Args:
            unseen: pass over sections that are on the screen as a whole.
        """
        if not self._starts:
            return
        reached_end = self.top >= self.line_count - self.window
        if by > 0:
            ends = [*self._starts[1:], self.line_count]
            seen = self.top + self.window if unseen else 0
            later = [start for start, end in zip(self._starts, ends, strict=True) if start > self.top and end > seen]
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
        self._lines, self._starts = lay_out(self._sections, width, gaps=self.gaps)


def lay_out(sections: Sequence[Section], width: int, *, gaps: bool = True) -> tuple[list[Line], list[int]]:
    """The lines of the sections under their headings, and where each section starts."""
    lines: list[Line] = []
    starts: list[int] = []
    for section in sections:
        if lines and gaps:
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
    """Long text as its source gave it, line by line: YAML and logs. Searches, scrolls sideways, or wraps."""

    def __init__(self, colour: Callable[[str], Line] | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._colour = colour or (lambda line: (Span(line),))
        self._lines: list[str] = []
        self._characters = 0
        # Each row of the window: the number of its line, and where in the line it starts.
        self._rows: list[tuple[int, int]] = []
        self._left = 0
        self.wraps = False
        self.pattern: re.Pattern[str] | None = None

    def show(self, content: str, *, at_end: bool = False) -> None:
        """Show this text, from its start or its end."""
        self._lines = [sanitise(line.replace("\t", "    ")) for line in content.rstrip("\n").split("\n")]
        self._characters = sum(len(line) for line in self._lines)
        self._break_up()
        self.top = max(0, len(self._rows) - self.window) if at_end else 0
        self.repaint()

    def add(self, lines: Sequence[str], *, most: int, most_characters: int) -> int:
        """Show further lines below; who looks at the end goes on looking at it.

        Args:
            most, most_characters: of all that is kept; beyond these the oldest lines are dropped.

        Returns:
            how many lines were dropped.
        """
        at_end = self.top >= len(self._rows) - self.window
        fresh = [sanitise(line.replace("\t", "    ")) for line in lines]
        first = len(self._lines)
        self._lines += fresh
        self._characters += sum(len(line) for line in fresh)
        dropped = 0
        if len(self._lines) > most or self._characters > most_characters:
            # More than has to be, so that not every line drops one.
            while dropped < len(self._lines) - 1 and (
                len(self._lines) - dropped > most * 9 // 10 or self._characters > most_characters * 9 // 10
            ):
                self._characters -= len(self._lines[dropped])
                dropped += 1
            before = self._rows[self.top][0] if self._rows else 0
            del self._lines[:dropped]
            self._break_up()
            self.top = max(0, next((at for at, (number, _) in enumerate(self._rows) if number >= before - dropped), 0))
        else:
            self._rows += self._broken(first)
        if at_end:
            self.top = max(0, len(self._rows) - self.window)
        if first < self.window:
            # Rows that were blank have not been drawn as content.
            self.repaint()
        else:
            self.repaint_changed()
        return dropped

    @property
    def kept(self) -> Sequence[str]:
        """The lines as they are shown, without what was dropped."""
        return self._lines

    @property
    def line_count(self) -> int:
        return len(self._rows)

    def content(self, index: int, width: int) -> Line:
        number, start = self._rows[index]
        line = self._lines[number]
        shown = line[start : start + max(1, width - 1)] if self.wraps else line[self._left :]
        if self.pattern is not None and (found := self.pattern.search(shown)) and found.end() > found.start():
            before, after = shown[: found.start()], shown[found.end() :]
            return (Span(" " + before), Span(found.group(), "match"), Span(after))
        return (Span(" "), *self._colour(shown))

    def search(self, pattern: re.Pattern[str] | None) -> int:
        """Mark what matches and go to the first match; how many lines match."""
        self.pattern = pattern
        self.repaint()
        if pattern is None:
            return 0
        matching = {number for number, line in enumerate(self._lines) if pattern.search(line)}
        rows = [index for index, (number, start) in enumerate(self._rows) if number in matching and start == 0]
        if rows:
            self.scroll_lines(next((index for index in rows if index >= self.top), rows[0]))
        return len(matching)

    def next_match(self, by: int) -> bool:
        """Go to the next or the previous line that matches; whether there is one."""
        if self.pattern is None or not self._rows:
            return False
        order = range(self.top + 1, len(self._rows)) if by > 0 else range(self.top - 1, -1, -1)
        for index in order:
            number, start = self._rows[index]
            if start == 0 and self.pattern.search(self._lines[number]):
                self.scroll_lines(index)
                return True
        return False

    def toggle_wrap(self) -> None:
        """Break long lines at the width, or let them run out of the window."""
        at = self._rows[self.top][0] if self._rows else 0
        self.wraps = not self.wraps
        self._left = 0
        self._break_up()
        self.top = next((index for index, (number, _) in enumerate(self._rows) if number == at), 0)
        self.repaint()

    def move_sideways(self, by: int) -> None:
        """Show the lines from further left or right."""
        left = max(0, self._left + by)
        if left != self._left and not self.wraps:
            self._left = left
            self.repaint()

    def on_resize(self) -> None:
        if self.wraps:
            self._break_up()

    def _break_up(self) -> None:
        self._rows = self._broken(0)

    def _broken(self, first: int) -> list[tuple[int, int]]:
        """The rows of the lines from this one on."""
        width = max(1, self.inner_width - 1)
        if self.wraps:
            return [
                (number, start)
                for number in range(first, len(self._lines))
                for start in range(0, max(1, len(self._lines[number])), width)
            ]
        return [(number, 0) for number in range(first, len(self._lines))]
