"""The base of every page: keys to actions, the actions that all panes share, filter and command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from textual import events
from textual.binding import BindingType
from textual.widget import Widget

from tui.actions import LISTS, Action, unavailable
from tui.commands import Command, Filter, complete, parse
from tui.keymap import key_of
from tui.page_frame import Opening, PageFrame
from tui.widgets.line_scroll import LineScroll

if TYPE_CHECKING:
    from tui.widgets.prompt import Prompt

#: What may still be done while something is read before a dialog opens.
_WHILE_OPENING: Final = frozenset({"program.quit"})


class Page(PageFrame, inherit_bindings=False):
    """A page that does what the registry of actions says.

    Every action that works in its `pane` has a method `act_GROUP_VERB`; a key, the menu or a command calls it.
    """

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self) -> None:
        super().__init__()
        self._prompt_focus: Widget | None = None

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

    def perform(self, action: Action, *arguments: str) -> None:
        """Do an action, if the actor may and the pane can."""
        method = getattr(self, "act_" + action.id.replace(".", "_").replace("-", "_"), None)
        if method is None or not action.works_in(self.pane):
            self.room.flash(f"{action.title.lower()}: not in this pane", bad=True)
            return
        if self.opening is not None and action.id not in _WHILE_OPENING:
            self._not_yet(self.opening, action)
            return
        if why := unavailable(action, self.model.status):
            self.room.flash(f"{action.title}: {why}", bad=True)
            return
        result = method(*arguments) if _takes_words(method) else method()
        if inspect.isawaitable(result):
            self.room.feed.spawn(cast(Coroutine[Any, Any, None], result), action.title.lower())

    def _not_yet(self, opening: Opening, action: Action) -> None:
        """A dialog that opens late must not open over what a person has gone on to meanwhile."""
        if action.id == "program.back":
            opening.task.cancel()
            self.room.flash(f"given up: {opening.what}")
        else:
            self.room.flash(f"still {opening.what}; Esc gives it up", bad=True)

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

    def act_alert_list(self) -> None:
        from tui.panes.alerts.page import AlertsPage

        self.room.push_screen(AlertsPage())

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
        completer = self._complete if sign == ":" else self.complete_filter
        if sign == ":":
            self.room.feed.read_rules()
        self.query_one("#bottom").mount(Prompt(sign, value, completer, history))

    def _complete(self, line: str) -> Sequence[str]:
        namespaces = {service.namespace for service in self.model.services.value.values()}
        return complete(line, namespaces, self.model.rules, self.room.theme_names)

    def complete_filter(self, line: str) -> Sequence[str]:
        """Whole filters that the typed one may become, the likeliest first."""
        return ()

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
