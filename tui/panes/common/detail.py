"""The base of detail pages: a heading, and sections in one column or in two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal
from textual.widget import Widget

from tui.commands import Filter
from tui.document import EMPTY, Line, Section
from tui.page import Page
from tui.widgets.line_view import LineView
from tui.widgets.one_line import OneLine, heading

if TYPE_CHECKING:
    from textual.types import CSSPathType

TWO_COLUMNS = 130


class DetailPage(Page):
    """A page of sections about one thing. `Tab` goes from section to section."""

    CSS_PATH: ClassVar[CSSPathType | None] = "common.tcss"
    AUTO_FOCUS = "#main"

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        yield from self.above()
        with Horizontal(id="columns"):
            yield LineView(id="main")
            yield LineView(id="side")

    # ------------------------------------------------------------ what subclasses say

    def above(self) -> Iterable[Widget]:
        """Widgets between the heading and the sections."""
        return ()

    def title_parts(self) -> tuple[str, str, Line, Line]:
        """Number, title, what is in it, and what stands at the right of the heading."""
        return "", "", EMPTY, EMPTY

    def sections(self) -> Sequence[Section]:
        """What there is to tell, from what is known now."""
        return ()

    # ------------------------------------------------------------ showing

    def show(self) -> None:
        number, title, left, right = self.title_parts()
        self.query_one("#heading", OneLine).show(partial(heading, number, title, left, right, True))
        side, main = self.query_one("#side", LineView), self.query_one("#main", LineView)
        sections = list(self.sections())
        beside = [section for section in sections if section.side]
        is_wide = bool(beside) and len(beside) < len(sections) and self.app.size.width >= TWO_COLUMNS
        side.display = is_wide
        if is_wide:
            side.show(beside)
            main.show([section for section in sections if not section.side])
        else:
            main.show(sections)

    def find(self, pattern: Filter | None) -> str:
        """Go to the section or line that matches."""
        main = self.query_one("#main", LineView)
        if pattern is None:
            return ""
        found = main.find(pattern.pattern)
        return "" if found else "nothing matches"

    def act_look_next(self) -> None:
        if self.filter is None:
            self.act_move_down()
        elif told := self.find(self.filter):
            self.room.flash(told)

    def act_pane_next(self) -> None:
        if isinstance(self.focused, LineView):
            self.focused.next_section()

    def act_pane_previous(self) -> None:
        if isinstance(self.focused, LineView):
            self.focused.next_section(-1)
