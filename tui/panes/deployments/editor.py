"""A deployment file as text, to be changed before it is planned or goes back into the form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from backend.core.errors import ModelyardError
from backend.core.text import sanitise_lines
from tui.document import Span, text
from tui.model import Problem
from tui.panes.common.messages import problem_lines
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine

_Made = TypeVar("_Made")


class EditorPage(ModalScreen[_Made], Generic[_Made]):
    """Edits a deployment file; F2 does something with it, Esc leaves it as it was.

    Args:
        verb: what F2 does.
        perform: does it with the text; its result closes the page.
    """

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "TextArea"
    CSS_PATH = "deployments.tcss"

    def __init__(self, deployment: str, verb: str, perform: Callable[[str], Awaitable[_Made]]) -> None:
        super().__init__()
        self._deployment = deployment
        self._verb = verb
        self._perform = perform
        self.settled = False
        self._doing: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="editor"):
            title = OneLine()
            title.show(lambda _width: (Span("Deployment file", "title-focus"),))
            yield title
            area = TextArea(sanitise_lines(self._deployment), show_line_numbers=True, compact=True)
            area.cursor_blink = False
            yield area
            yield Lines(id="editor-problem")
            hint = OneLine()
            hint.show(
                lambda _width: (Span("F2", "key"), *text(f" {self._verb}   "), Span("Esc", "key"), *text(" leave it"))
            )
            yield hint

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextArea))
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.dismiss(None)
        elif event.key == "f2" and self._doing is None:
            event.stop()
            self._doing = asyncio.create_task(self._do())

    async def _do(self) -> None:
        told = self.query_one("#editor-problem", Lines)
        told.show((text("looking at it…", "info"),))
        try:
            made = await self._perform(self.query_one(TextArea).text)
        except ModelyardError as error:
            told.show(problem_lines(Problem.of(error)))
            self._doing = None
        else:
            self.dismiss(made)
