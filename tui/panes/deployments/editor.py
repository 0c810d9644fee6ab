"""The deployment file, to be edited before it is planned again."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from backend.core.errors import ModelyardError
from backend.core.text import sanitise_lines
from backend.core.views import PlanView
from tui.document import Span, text
from tui.model import Problem
from tui.panes.common.messages import problem_lines
from tui.ports import ScreenYard
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine


class EditorPage(ModalScreen[PlanView]):
    """Edits a deployment file; F2 plans it, Esc leaves it as it was."""

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "TextArea"
    CSS_PATH = "deployments.tcss"

    def __init__(self, deployment: str, namespace: str, context: str = "") -> None:
        super().__init__()
        self._cluster = context
        self._deployment = deployment
        self._namespace = namespace
        self.settled = False
        self._planning: asyncio.Task[None] | None = None

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
            hint.show(lambda _width: (Span("F2", "key"), *text(" plan it   "), Span("Esc", "key"), *text(" leave it")))
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
        elif event.key == "f2" and self._planning is None:
            event.stop()
            yard: ScreenYard | None = getattr(getattr(self.app, "feed", None), "yard", None)
            if yard is not None:
                self._planning = asyncio.create_task(self._plan(yard))

    async def _plan(self, yard: ScreenYard) -> None:
        told = self.query_one("#editor-problem", Lines)
        told.show((text("planning…", "info"),))
        try:
            plan = await yard.deployments.plan(self.query_one(TextArea).text, self._namespace, context=self._cluster)
        except ModelyardError as error:
            told.show(problem_lines(Problem.of(error)))
            self._planning = None
        else:
            self.dismiss(plan)
