"""The text of a rule, to be edited: checked while it is typed, tried before it is written."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from backend.core.errors import ModelyardError
from backend.core.text import sanitise_lines
from backend.core.views import RulePreviewView, RuleTextView, RuleView
from tui.document import Line, Span, text
from tui.model import Problem
from tui.panes.common.messages import problem_lines
from tui.panes.library.rule_page import RuleDraftPage
from tui.ports import ScreenYard
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine

# Somebody who types is left alone; the check is told when they pause.
_PAUSE_SECONDS: Final = 0.3


class RuleEditor(ModalScreen[RuleView]):
    """Edits a rule. F2 tries it against the rule in force and asks whether to write it; Esc leaves it as it was.

    Args:
        seen: the rule and its file as they were read; its rule's name is empty for a new one.
    """

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "TextArea"
    CSS_PATH = "library.tcss"

    def __init__(self, seen: RuleTextView) -> None:
        super().__init__()
        self._seen = seen
        self._start = sanitise_lines(seen.text)
        self.settled = False
        self._trying: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        # Esc was pressed once over a text that was changed.
        self._leaving = False

    def compose(self) -> ComposeResult:
        with Vertical(id="rule-editor"):
            title = OneLine()
            name = f"Rule {self._seen.rule}" if self._seen.rule else "A new rule"
            title.show(lambda _width: (*text(name, "title-focus"), *text(f"   {self._seen.path}", "muted")))
            yield title
            area = TextArea(self._start, show_line_numbers=True, compact=True)
            area.cursor_blink = False
            yield area
            yield Lines(id="rule-problem")
            hint = OneLine()
            hint.show(lambda _width: (Span("F2", "key"), *text(" try it   "), Span("Esc", "key"), *text(" leave it")))
            yield hint

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextArea))
        self.call_after_refresh(self._settle)

    def on_unmount(self) -> None:
        for task in (self._checking, self._trying):
            if task is not None:
                task.cancel()

    def _settle(self) -> None:
        self.settled = True

    @property
    def draft(self) -> str:
        """The text as it is edited now."""
        return self.query_one(TextArea).text

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self._leave()
        elif event.key == "f2":
            event.stop()
            if self._trying is None and (yard := self._yard()) is not None:
                self._trying = asyncio.create_task(self._try(yard))

    def on_text_area_changed(self) -> None:
        self._leaving = False
        if self._checking is not None:
            self._checking.cancel()
        if (yard := self._yard()) is not None:
            self._checking = asyncio.create_task(self._check(yard))

    # ------------------------------------------------------------ inside

    def _yard(self) -> ScreenYard | None:
        yard: ScreenYard | None = getattr(getattr(self.app, "feed", None), "yard", None)
        return yard

    def _leave(self) -> None:
        if self.draft != self._start and not self._leaving:
            self._leaving = True
            self._tell((text("what you typed is not written; Esc again leaves it", "warn"),))
            return
        self.dismiss(None)

    async def _check(self, yard: ScreenYard) -> None:
        await asyncio.sleep(_PAUSE_SECONDS)
        problem = await yard.rules.check(self.draft)
        self._tell((text(problem, "warn"),) if problem else (text("this is a rule", "ok"),))

    async def _try(self, yard: ScreenYard) -> None:
        """Try the draft, and show what it would change."""
        draft = self.draft
        self._tell((text("trying it on the registry…", "info"),))
        try:
            if problem := await yard.rules.check(draft):
                self._tell((text(problem, "warn"),))
                return
            if not await self._is_up_to_date(yard):
                return
            preview, failed = await self._preview(yard, draft)
        except ModelyardError as error:
            self._tell(problem_lines(Problem.of(error)))
        else:
            self._tell(())
            self.app.push_screen(RuleDraftPage(preview, failed, self._seen, draft, self._written))
        finally:
            self._trying = None

    async def _is_up_to_date(self, yard: ScreenYard) -> bool:
        """Read the file again; what somebody else changed in this rule is told once, and nothing typed is lost."""
        seen = await yard.rules.text(self._seen.rule)
        changed = bool(self._seen.rule) and seen.text != self._seen.text
        self._seen = seen
        if changed:
            self._tell(
                (
                    text("the rule was changed in the file since you opened it", "bad"),
                    text("F2 again tries yours against what the file holds now; Esc leaves yours", "warn"),
                )
            )
        return not changed

    async def _preview(self, yard: ScreenYard, draft: str) -> tuple[RulePreviewView | None, Problem | None]:
        """What the draft takes in; a registry that cannot be asked is no reason not to write it."""
        try:
            return (await yard.rules.preview(self._seen.rule or None, draft=draft))[0], None
        except ModelyardError as error:
            return None, Problem.of(error)

    def _written(self, rule: RuleView) -> None:
        # The draft's page lies on top of the editor: both have done their work.
        self.app.pop_screen()
        self.dismiss(rule)

    def _tell(self, lines: tuple[Line, ...]) -> None:
        if self.is_attached:
            self.query_one("#rule-problem", Lines).show(lines)
