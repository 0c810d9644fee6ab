"""The line at the bottom while a command or a filter is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from tui.commands import History
from tui.document import Line, cells, text
from tui.widgets.one_line import OneLine

Completer = Callable[[str], Sequence[str]]


class _Suggest(Suggester):
    def __init__(self, complete: Completer) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        found = self._complete(value)
        return found[0] if found else None


class Prompt(Horizontal):
    """A sign, an input, completion by Tab and history by the arrows; at the right what is to be told of the text."""

    class Opened(Message):
        """The input has the focus."""

    class Typed(Message):
        """The text changed."""

        def __init__(self, sign: str, value: str) -> None:
            super().__init__()
            self.sign = sign
            self.value = value

    class Done(Message):
        """Enter was pressed (`value`), or the prompt was left (None)."""

        def __init__(self, sign: str, value: str | None) -> None:
            super().__init__()
            self.sign = sign
            self.value = value

    def __init__(self, sign: str, value: str, complete: Completer, history: History) -> None:
        super().__init__(id="prompt")
        self._sign = sign
        self._value = value
        self._complete = complete
        self._history = history
        self._left = False

    def compose(self) -> ComposeResult:
        sign = OneLine("prompt", classes="sign")
        sign.show(lambda _width: text(f" {self._sign}", "prompt"))
        yield sign
        entry = Input(value=self._value, compact=True, suggester=_Suggest(self._complete), select_on_focus=False)
        entry.cursor_blink = False
        yield entry
        yield OneLine(classes="told")

    def tell(self, line: Line) -> None:
        """Say something of what is typed, such as why it will not do; an empty line says nothing."""
        told = self.query_one(".told", OneLine)
        told.styles.width = min(cells(line), self.size.width * 2 // 3)
        told.show(lambda _width: line)

    def on_mount(self) -> None:
        # At once, not by a message: keys that are already on their way go to the input.
        self.screen.set_focus(self.query_one(Input))
        self.post_message(self.Opened())

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(self._sign, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._leave(event.value)

    def on_descendant_blur(self) -> None:
        self._leave(None)

    def on_key(self, event: events.Key) -> None:
        entry = self.query_one(Input)
        if event.key == "escape" or (event.key == "backspace" and not entry.value):
            self._leave(None)
        elif event.key in {"up", "down"}:
            entry.value = self._history.step(-1 if event.key == "up" else 1)
            entry.cursor_position = len(entry.value)
        elif event.key == "tab":
            if found := self._complete(entry.value):
                entry.value = found[0] + (" " if self._sign == ":" and " " not in found[0] else "")
                entry.cursor_position = len(entry.value)
        else:
            return
        event.stop()
        event.prevent_default()

    def _leave(self, value: str | None) -> None:
        if self._left:
            return
        self._left = True
        if value is not None:
            self._history.add(value)
        self.post_message(self.Done(self._sign, value))
