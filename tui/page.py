"""The base of every page: the bars, keys to actions, filter and command line, and what all panes share."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget

from tui import header
from tui.actions import LISTS, Action, unavailable
from tui.commands import Command, Filter, complete, parse
from tui.document import EMPTY, Line, Span, text
from tui.hints import footer_line
from tui.keymap import key_of
from tui.model import Model, PartName
from tui.widgets.line_scroll import LineScroll
from tui.widgets.one_line import OneLine

if TYPE_CHECKING:
    from textual.types import CSSPathType

    from tui.app import ModelyardApp
    from tui.widgets.fields import Field, Values
    from tui.widgets.prompt import Prompt

SMALLEST = (48, 12)


class Page(Screen[None], inherit_bindings=False):
    """A screen with the bars at the top and the keys at the bottom.

    Every action of the registry that works in its `pane` has a method `act_GROUP_VERB`; a key or the menu calls it.
    """

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "LineScroll"
    CSS_PATH: ClassVar[CSSPathType | None] = None
    pane: ClassVar[str] = ""
    parts: ClassVar[frozenset[PartName]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.filter: Filter | None = None
        self._prompt_focus: Widget | None = None
        self.settled = False
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
        self._is_built = True
        self.show_bars()
        self.show()
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    def on_screen_resume(self) -> None:
        if not self._is_built:
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
        self.call_after_refresh(self.show)

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        """Show what changed, or remember to do so when the page is seen again."""
        if not self._is_built or not self.is_current:
            self._stale = self._stale or bool(changed & self.parts)
            return
        self.show_bars()
        if changed & self.parts:
            self.show()

    def age(self) -> None:
        """Let ages go on; only lines whose text changed are drawn."""
        if not self._is_built:
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
        now = self.room.clock.now()
        model, room = self.model, self.room
        self.query_one("#title", OneLine).show(
            lambda width: header.title_line(model, now, width, paused=room.paused)
        )
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

    # ------------------------------------------------------------ keys

    async def on_key(self, event: events.Key) -> None:
        if self.focused is not None and not isinstance(self.focused, LineScroll):
            return
        self.room.clear_flash()
        action = self.room.keymap.action(self.pane, key_of(event.key, event.character))
        if action is None:
            return
        event.stop()
        event.prevent_default()
        self.perform(action)

    def open_later(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Do something that reads first and then opens a page or a dialog; keys typed meanwhile wait for that."""

        async def opened() -> None:
            try:
                await work
            finally:
                self.settled = True

        self.settled = False
        self.room.feed.spawn(opened(), what)

    def perform(self, action: Action, *arguments: str) -> None:
        """Do an action, if the actor may and the pane can."""
        method = getattr(self, "act_" + action.id.replace(".", "_").replace("-", "_"), None)
        if method is None or not action.works_in(self.pane):
            self.room.flash(f"{action.title.lower()}: not in this pane", bad=True)
            return
        if why := unavailable(action, self.model.status):
            self.room.flash(f"{action.title}: {why}", bad=True)
            return
        result = method(*arguments) if _takes_words(method) else method()
        if inspect.isawaitable(result):
            self.room.feed.spawn(cast(Coroutine[Any, Any, None], result), action.title.lower())

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
    ) -> None:
        """Ask in a dialog; see `Ask`. `done` gets what `perform` gave, or None when nothing was done."""
        # Imported late: a first paint needs no fields to type in.
        from tui.widgets.ask import Ask

        self.room.push_screen(Ask(title, lines, confirm, perform, fields=fields, danger=danger, low=low), done)

    # ------------------------------------------------------------ actions of every page

    def act_go_overview(self) -> None:
        self.room.go("overview")

    def act_go_library(self) -> None:
        self.room.go("library")

    def act_go_queue(self) -> None:
        self.room.go("queue")

    def act_go_deployments(self) -> None:
        self.room.go("deployments")

    def act_go_gpus(self) -> None:
        self.room.go("gpus")

    def act_go_audit(self) -> None:
        self.room.go("audit")

    def act_pane_next(self) -> None:
        self.focus_next(LineScroll)

    def act_pane_previous(self) -> None:
        self.focus_previous(LineScroll)

    def _scroller(self) -> LineScroll | None:
        return self.focused if isinstance(self.focused, LineScroll) else None

    def act_move_up(self) -> None:
        if view := self._scroller():
            view.move(-1)

    def act_move_down(self) -> None:
        if view := self._scroller():
            view.move(1)

    def act_move_page_up(self) -> None:
        if view := self._scroller():
            view.move_page(-1)

    def act_move_page_down(self) -> None:
        if view := self._scroller():
            view.move_page(1)

    def act_move_first(self) -> None:
        if view := self._scroller():
            view.move_to(0)

    def act_move_last(self) -> None:
        if view := self._scroller():
            view.move_end()

    def act_look_next(self) -> None:
        self.act_move_down()

    def act_look_previous(self) -> None:
        self.act_move_up()

    def act_look_filter(self) -> None:
        self._ask_line("/", self.filter.typed if self.filter else "")

    def act_look_copy(self) -> None:
        if copied := self.reference():
            self.room.copy(copied)
        else:
            self.room.flash("there is nothing here to copy", bad=True)

    def act_look_refresh(self) -> None:
        self.room.feed.read()
        self.room.flash("reading again")

    def act_look_pause(self) -> None:
        self.room.pause(not self.room.paused)

    def act_program_command(self) -> None:
        self._ask_line(":", "")

    def act_program_help(self) -> None:
        from tui.panes.common.help import HelpPage

        self.room.push_screen(HelpPage(self.pane))

    def act_program_menu(self) -> None:
        from tui.panes.common.menu import MenuPage

        def chosen(action: Action | None) -> None:
            if action is not None:
                self.perform(action)

        self.room.push_screen(MenuPage(self.pane), chosen)

    def act_program_log(self) -> None:
        from tui.panes.common.command_log import CommandLogPage

        self.room.push_screen(CommandLogPage())

    def act_program_back(self) -> None:
        if self.filter is not None and self.filter.typed:
            self._find("")
        elif self.pane not in LISTS:
            self.dismiss()
        elif self.pane != "overview":
            self.room.go("overview")
        else:
            self.room.flash(":q or Ctrl-C leaves")

    def act_program_quit(self) -> None:
        self.room.leave()

    # ------------------------------------------------------------ the prompt

    def _ask_line(self, sign: str, value: str) -> None:
        from tui.widgets.prompt import Prompt

        if self.query("#prompt"):
            return
        self._prompt_focus = self.focused
        self.settled = False
        self.query_one("#hints").display = False
        history = self.room.histories[sign]
        completer = self._complete if sign == ":" else lambda _line: ()
        self.query_one("#bottom").mount(Prompt(sign, value, completer, history))

    def _complete(self, line: str) -> Sequence[str]:
        namespaces = {service.namespace for service in self.model.services.value.values()}
        rules = {image.rule for image in self.model.library.value if image.rule}
        return complete(line, namespaces, rules, self.room.theme_names)

    def on_prompt_opened(self) -> None:
        self.settled = True

    def on_prompt_typed(self, event: Prompt.Typed) -> None:
        if event.sign == "/":
            self._find(event.value)

    def on_prompt_done(self, event: Prompt.Done) -> None:
        focus = self._prompt_focus
        for prompt in self.query("#prompt"):
            prompt.remove()
        self.query_one("#hints").display = True
        if focus is not None and focus.is_attached:
            focus.focus()
        if event.sign == "/":
            if event.value is not None:
                self._find(event.value)
        elif event.value is not None and event.value.strip():
            self.room.command(parse(event.value))
        self.show_hints()

    def _find(self, typed: str) -> None:
        self.filter = Filter(typed) if typed else None
        told = self.find(self.filter)
        if told:
            self.room.flash(told)
        self.show_hints()

    def run_command(self, command: Command) -> None:
        """Do a command that was typed on this page."""
        if command.error:
            self.room.flash(command.error, bad=True)
        elif command.action is not None and command.action.id.startswith("go."):
            self.room.go(command.word, arguments=command.arguments, filter=command.filter)
        elif command.word == "theme":
            self.room.choose_theme(command.arguments[0] if command.arguments else "")
        elif command.action is not None:
            self.perform(command.action, *command.arguments)
        elif command.filter is not None:
            self._find(command.filter)

    def enter(self, arguments: Sequence[str], pattern: str | None) -> None:
        """Come to this page by a command with arguments, such as a namespace and a filter."""
        if pattern is not None or arguments:
            words = [*arguments, *([pattern] if pattern else [])]
            self._find(".*".join(words) if arguments else pattern or "")


def _takes_words(method: Callable[..., object]) -> bool:
    return bool(inspect.signature(method).parameters)
