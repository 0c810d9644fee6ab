"""The dialog before anything is decided or changed: what will happen, Cancel first, fields where they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Input

from backend.core.errors import ConflictError
from tui.document import Line, Span, text
from tui.model import Problem
from tui.palette import palette_of
from tui.widgets.fields import Field, Values
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine

_LINE = 32


class Choice(OneLine, can_focus=True):
    """A button of one line."""

    class Pressed(Message):
        """The button was chosen."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    def __init__(self, label: str, id: str, *, danger: bool = False) -> None:
        super().__init__(id=id, classes="choice")
        self.label = label
        self._danger = danger

    def render_line(self, y: int) -> Strip:
        role = ("chip-bad" if self._danger else "chip-mine") if self.has_focus else "bar"
        # The pointing marks tell which button has the focus where there are no colours.
        label = f"▸ {self.label} ◂" if self.has_focus else f"[ {self.label} ]"
        return palette_of(self).strip((Span(f" {label} ", role),), self.size.width)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self) -> None:
        self.post_message(self.Pressed(self))


class Ask(ModalScreen[object]):
    """Asks, does, and stays with the reason when it cannot be done, so that nothing typed is lost.

    Args:
        lines: what will happen.
        perform: does it with the fields' values; its result closes the dialog.
        outdated: called with the fields' values when a person wants to see what is there now, after `perform` said
            that it is no longer what the dialog was opened on; the dialog is closed then. None: it is not offered.
    """

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        title: str,
        lines: Sequence[Line],
        confirm: str,
        perform: Callable[[Values], Awaitable[object]],
        *,
        fields: Sequence[Field] = (),
        danger: bool = False,
        low: bool = False,
        outdated: Callable[[Values], None] | None = None,
    ) -> None:
        super().__init__(classes="-low" if low else "")
        self._title = title
        self._lines = lines
        self._confirm = confirm
        self._perform = perform
        self._fields = tuple(fields)
        self._danger = danger
        self._outdated = outdated
        self._sending: asyncio.Task[None] | None = None
        # Which offer stands in a field, and what had been typed there; -1 is what was typed.
        self._offered: dict[str, tuple[int, str]] = {}
        self.settled = False

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog", classes="-danger" if self._danger else ""):
            title = OneLine(id="dialog-title")
            title.show(lambda _width: text(self._title, "alarm" if self._danger else "title-focus"))
            yield title
            yield Lines(self._lines, id="dialog-lines")
            for field in self._fields:
                with Horizontal(classes="field"):
                    label = OneLine(classes="field-label")
                    label.show(partial(_label, field))
                    yield label
                    entry = Input(field.value, self._placeholder(field), compact=True, id=f"field-{field.id}")
                    entry.cursor_blink = False
                    yield entry
            yield Lines(id="dialog-problem")
            with Horizontal(id="dialog-choices"):
                yield Choice("Cancel", "cancel")
                again = Choice("Show what is there now", "again")
                again.display = False
                yield again
                yield Choice(self._confirm, "confirm", danger=self._danger)

    def _placeholder(self, field: Field) -> str:
        if field.offers and not field.placeholder:
            return f"write it, or ↓ for one of {len(field.offers)}"
        # Without a background of its own a field is seen by the line that is to be written on.
        return field.placeholder or ("_" * _LINE if self.app.native_ansi_color else "")

    def on_mount(self) -> None:
        widest = max((len(field.label) for field in self._fields), default=0)
        for label in self.query(".field-label"):
            label.styles.width = min(widest, max(12, self.app.size.width // 2)) + 2
        for choice in self.query(Choice):
            choice.styles.width = len(choice.label) + 6
        self.set_focus(self._entry(self._fields[0]) if self._fields else self.query_one("#cancel", Choice))
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    # ------------------------------------------------------------ keys

    def on_key(self, event: events.Key) -> None:
        focused = self.focused
        if event.key == "escape":
            self._cancel()
        elif event.key == "enter" and isinstance(focused, Choice):
            self._choose(focused)
        elif event.key in {"left", "right"} and isinstance(focused, Choice):
            self._next_choice(focused, 1 if event.key == "right" else -1).focus()
        elif event.key in {"up", "down"} and isinstance(focused, Input) and self._offer(focused, event.key):
            pass
        elif event.key in {"tab", "down"}:
            self.focus_next()
        elif event.key in {"shift+tab", "up"}:
            self.focus_previous()
        else:
            return
        event.stop()
        event.prevent_default()

    def on_choice_pressed(self, event: Choice.Pressed) -> None:
        self._choose(event.choice)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter sends when every field will do; else it goes to the first that will not."""
        event.stop()
        wrong = self._first_wrong()
        if wrong is None:
            self._submit()
            return
        field, why = wrong
        entry = self._entry(field)
        if entry is event.input:
            self._tell((text(why, "warn"),))
        entry.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._sending is None:
            self._tell(())

    # ------------------------------------------------------------ inside

    def _next_choice(self, choice: Choice, by: int) -> Choice:
        shown = [each for each in self.query(Choice) if each.display]
        return shown[(shown.index(choice) + by) % len(shown)]

    def _offer(self, entry: Input, key: str) -> bool:
        """Put the next or the previous offer into a field, or what was typed; whether the field has offers."""
        field = next((each for each in self._fields if entry.id == f"field-{each.id}"), None)
        if field is None or not field.offers:
            return False
        at, typed = self._offered.get(field.id, (-1, entry.value))
        if entry.value != (typed if at < 0 else field.offers[at]):
            # It was changed since: that is now what was typed.
            at, typed = -1, entry.value
        at += 1 if key == "down" else -1
        if not -1 <= at < len(field.offers):
            return False
        self._offered[field.id] = (at, typed)
        entry.value = typed if at < 0 else field.offers[at]
        entry.cursor_position = len(entry.value)
        return True

    def _choose(self, choice: Choice) -> None:
        if choice.id == "cancel":
            self._cancel()
            return
        if choice.id == "again":
            values = self._values()
            self.dismiss(None)
            if self._outdated is not None:
                self._outdated(values)
            return
        wrong = self._first_wrong()
        if wrong is None:
            self._submit()
        else:
            self._tell((text(wrong[1], "warn"),))
            self._entry(wrong[0]).focus()

    def _cancel(self) -> None:
        if self._sending is not None:
            self._tell((text("it was sent and cannot be called back; wait for the answer", "warn"),))
            return
        self.dismiss(None)

    def _submit(self) -> None:
        if self._sending is not None:
            return
        values = self._values()
        self._tell((text("sent, waiting for the answer…", "info"),))
        self._sending = asyncio.create_task(self._do(values))

    async def _do(self, values: Values) -> None:
        try:
            result = await self._perform(values)
        except Exception as error:
            problem = Problem.of(error, self._title)
            self._tell(
                (
                    (*text("✗ ", "alarm"), *text(problem.what, "bad")),
                    text(problem.why),
                    *(text(line, "warn") for line in problem.lines),
                    (*text("→ ", "accent"), *text(problem.action, "muted")),
                )
            )
            self._sending = None
            if self._outdated is not None and isinstance(error, ConflictError):
                again = self.query_one("#again", Choice)
                again.display = True
                again.focus()
        else:
            self.dismiss(result if result is not None else values)

    def _values(self) -> dict[str, str]:
        return {field.id: self._entry(field).value.strip() for field in self._fields}

    def _first_wrong(self) -> tuple[Field, str] | None:
        for field in self._fields:
            if why := field.check(self._entry(field).value):
                return field, why
        return None

    def _entry(self, field: Field) -> Input:
        return self.query_one(f"#field-{field.id}", Input)

    def _tell(self, lines: Sequence[Line]) -> None:
        told = self.query_one("#dialog-problem", Lines)
        told.show(lines)
        if lines:
            # In a small terminal it would stand below what can be seen, and the choices below it.
            self.call_after_refresh(self.query_one("#dialog").scroll_end, animate=False)


def _label(field: Field, _width: int) -> Line:
    return text(field.label, "label")
