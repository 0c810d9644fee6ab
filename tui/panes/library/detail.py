"""The page of one image: tabs of what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from textual.containers import Horizontal
from textual.widget import Widget

from backend.core.errors import ModelyardError, NotFoundError
from backend.core.views import EvidenceView, ImageDetailView, ImageView, TagEventView
from tui.document import Line, Section, join, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.library.actions import ImageActions
from tui.panes.library.corrections import CorrectionActions
from tui.panes.library.detail_model import TABS, sections_of, tab_line
from tui.panes.library.marks import Marked
from tui.panes.library.view_model import news_cell, state_cell
from tui.ports import ScreenYard
from tui.widgets.line_view import LineView
from tui.widgets.one_line import OneLine


class ImagePage(DetailPage, CorrectionActions, ImageActions):
    """All that the library knows of one digest. `Tab` goes from tab to tab."""

    CSS_PATH = "../common/common.tcss"
    pane = "image"
    parts = frozenset({PartName.LIBRARY, PartName.QUEUE})

    def __init__(self, image: ImageView) -> None:
        super().__init__()
        self._image = image
        self._tab = 0
        self._detail: ImageDetailView | None = None
        self._history: list[TagEventView] | None = None
        self._evidence: list[EvidenceView] | None = None
        self._problem: Problem | None = None
        self._behind = True
        self._reading = False

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        yield OneLine(id="tabs")
        with Horizontal(id="columns"):
            yield LineView(id="main")
            yield LineView(id="side")

    def current_image(self) -> ImageView | None:
        return self._image

    def chosen(self) -> list[Marked]:
        return [Marked.of(self._image)]

    def title_parts(self) -> tuple[str, str, Line, Line]:
        state = join(state_cell(self._image), news_cell(self._image, self.room.clock.now()), gap="  ")
        return "1", self._image.name, state, text("Tab next page", "muted")

    def sections(self) -> Sequence[Section]:
        tab = TABS[self._tab]
        sections = sections_of(tab, self._image, self._detail, self._history, self._evidence, self.room.clock.now())
        if self._problem is not None:
            sections.insert(0, Section("Could not be read", problem_lines(self._problem)))
        return sections

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        self._behind = self._behind or bool(changed & self.parts)
        super().parts_changed(changed)

    def show(self) -> None:
        self.query_one("#tabs", OneLine).show(partial(tab_line, TABS[self._tab]))
        super().show()
        if self._behind and not self._reading and self.room.feed.yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading the image")

    async def _read(self, yard: ScreenYard) -> None:
        try:
            # By its name: the tag may have moved, and then it is the new digest that is looked at.
            try:
                detail = await yard.library.image(self._image.name)
            except ModelyardError:
                detail = await yard.library.image(self._image.reference)
            self._image, self._detail = detail.image, detail
            self._history = await self._read_history(yard)
            self._evidence = await yard.evidence.of(self._image.reference)
            self._problem = None
        except ModelyardError as error:
            self._problem = Problem.of(error)
        finally:
            self._reading = False
        if self.is_whole:
            self.show()

    async def _read_history(self, yard: ScreenYard) -> list[TagEventView]:
        try:
            return await yard.library.history(self._image.name)
        except NotFoundError:
            return await yard.library.history(self._image.reference)

    # ------------------------------------------------------------ tabs

    def act_pane_next(self) -> None:
        self._turn(1)

    def act_pane_previous(self) -> None:
        self._turn(-1)

    def act_move_left(self) -> None:
        self._turn(-1)

    def act_move_right(self) -> None:
        self._turn(1)

    def _turn(self, by: int) -> None:
        self._tab = (self._tab + by) % len(TABS)
        self.query_one("#main", LineView).scroll_lines(0)
        self.show()
        self.query_one("#main", LineView).focus()
