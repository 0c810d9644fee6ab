"""The frame of every page: bars, hints, and how it is brought up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget

from tui import header
from tui.commands import Filter
from tui.document import EMPTY, Line, Span, text
from tui.hints import footer_line
from tui.model import Model, PartName
from tui.widgets.line_scroll import LineScroll
from tui.widgets.one_line import OneLine

if TYPE_CHECKING:
    from textual.types import CSSPathType

    from tui.app import ModelyardApp
    from tui.widgets.fields import Field, Values

SMALLEST = (48, 12)
#: Seconds after which it is said what a page or a dialog that shall open waits for.
_TELL_AFTER: Final = 0.6


@dataclass(frozen=True)
class Opening:
    """What is read before a page or a dialog opens."""

    what: str
    task: asyncio.Task[None]


class PageFrame(Screen[None], inherit_bindings=False):
    """The bars at the top, the hints at the bottom, and between them the body of a page."""

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "LineScroll"
    CSS_PATH: ClassVar[CSSPathType | None] = None
    pane: ClassVar[str] = ""
    parts: ClassVar[frozenset[PartName]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.filter: Filter | None = None
        self.settled = False
        self._opening: Opening | None = None
        self._stale = False
        self._is_built = False

    @property
    def room(self) -> ModelyardApp:
        """The app."""
        return cast("ModelyardApp", self.app)

    @property
    def model(self) -> Model:
        """What is known."""
        return self.room.model

    # ------------------------------------------------------------ parts of a page

    def compose(self) -> ComposeResult:
        yield OneLine("bar", id="title")
        yield OneLine(id="summary")
        with Container(id="body"):
            yield from self.body()
        with Container(id="bottom"):
            yield OneLine(id="hints")
        yield OneLine(id="tiny")

    def body(self) -> Iterable[Widget]:
        """The widgets between the bars."""
        return ()

    def show(self) -> None:
        """Bring the body up to date with the model; called when a part of `parts` changed and when the page shows."""

    def find(self, pattern: Filter | None) -> str:
        """Filter or search the body; what to tell of it."""
        return ""

    def reference(self) -> str:
        """What `c` copies."""
        return ""

    # ------------------------------------------------------------ life

    def on_mount(self) -> None:
        if not self.query("#title"):
            # It was taken away before it was composed.
            return
        self._is_built = True
        self.show_bars()
        self.show()
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    @property
    def is_whole(self) -> bool:
        """Whether its widgets are there: not before it is mounted, nor while it is taken away or the program leaves."""
        return self._is_built and self.is_attached and bool(self.query("#title"))

    def on_screen_resume(self) -> None:
        if not self.is_whole:
            return
        self.show_bars()
        if self._stale:
            self._stale = False
            self.show()

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        tiny = width < SMALLEST[0] or height < SMALLEST[1]
        self.set_class(tiny, "-tiny")
        if tiny:
            told = f"{width}x{height} is too small: Modelyard needs {SMALLEST[0]}x{SMALLEST[1]}"
            self.query_one("#tiny", OneLine).show(lambda _width: text(told, "warn"))
        self.call_after_refresh(self._show_whole)

    def _show_whole(self) -> None:
        if self.is_whole:
            self.show()

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        """Show what changed, or remember to do so when the page is seen again."""
        if not self.is_whole or not self.is_current:
            self._stale = self._stale or bool(changed & self.parts)
            return
        self.show_bars()
        if changed & self.parts:
            self.show()

    def age(self) -> None:
        """Let ages go on; only lines whose text changed are drawn."""
        if not self.is_whole:
            return
        self.show_bars()
        for view in self.query(LineScroll):
            view.repaint_changed()
        for line in self.query(OneLine):
            line.show_again()

    def repaint_all(self) -> None:
        """Draw everything again, in other colours."""
        for view in self.query(LineScroll):
            view.repaint()
        for line in self.query(OneLine):
            line.refresh()

    def show_bars(self) -> None:
        """Bring the bars up to date."""
        if not self.is_whole:
            return
        now = self.room.clock.now()
        model, room = self.model, self.room
        self.query_one("#title", OneLine).show(lambda width: header.title_line(model, now, width, paused=room.paused))
        counts = header.count(model, now)
        self.query_one("#summary", OneLine).show(lambda width: header.summary_line(counts, now, width))
        self.show_hints()

    def show_hints(self) -> None:
        """Bring the bottom line up to date: a message while there is one, else the keys."""
        hints = self.query("#hints")
        if not hints:
            return
        flash = self.room.flash_now
        if flash is not None:
            told, bad = flash
            line: Line = (Span(" "), *text(told, ""))
            hints.first(OneLine).show(lambda _width: line, "message-bad" if bad else "message")
            return
        keymap, pane, note = self.room.keymap, self.pane, self.note()
        hints.first(OneLine).show(lambda width: footer_line(keymap, pane, width, note), "")

    def note(self) -> Line:
        """What the footer says at its right: the filter that is on."""
        if self.filter is None or not self.filter.typed:
            return EMPTY
        return (Span("/", "prompt"), *text(self.filter.typed, "warn"), Span(" Esc clears", "muted"))

    # ------------------------------------------------------------ what opens from it

    def open_later(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Do something that reads first and then opens a page or a dialog; keys typed meanwhile wait for that.

        Args:
            what: said while it takes longer than a moment, such as `reading what runs`.
        """

        async def opened() -> None:
            telling = asyncio.create_task(self._tell_waiting(what))
            try:
                await work
            finally:
                telling.cancel()
                self.settled = True
                if self._opening is begun:
                    self._opening = None

        self.settled = False
        begun = self._opening = Opening(what, self.room.feed.spawn(opened(), what))

    @property
    def opening(self) -> Opening | None:
        """What is read at present, so that a page or a dialog can open."""
        return self._opening

    async def _tell_waiting(self, what: str) -> None:
        await asyncio.sleep(_TELL_AFTER)
        told = f"{what}… (Esc gives it up)"
        try:
            while True:
                self.room.flash(told)
                await asyncio.sleep(1.0)
        finally:
            if self.room.flash_now == (told, False):
                self.room.clear_flash()

    def ask(
        self,
        title: str,
        lines: Sequence[Line],
        confirm: str,
        perform: Callable[[Values], Awaitable[object]],
        *,
        fields: Sequence[Field] = (),
        danger: bool = False,
        low: bool = False,
        done: Callable[[object], None] | None = None,
        outdated: Callable[[Values], None] | None = None,
    ) -> None:
        """Ask in a dialog; see `Ask`. `done` gets what `perform` gave, or None when nothing was done."""
        # Imported late: a first paint needs no fields to type in.
        from tui.widgets.ask import Ask

        asked = Ask(title, lines, confirm, perform, fields=fields, danger=danger, low=low, outdated=outdated)
        self.room.push_screen(asked, done)
