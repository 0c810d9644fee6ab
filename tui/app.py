"""The application: modes, theme, and what pages share. Everything else is in the pages and the feed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

import themes
from backend.core.errors import ConfigurationError
from backend.core.garbage import collect_from_now_on
from backend.core.ports import Clock, SystemClock
from backend.core.text import sanitise
from tui.attention import Attention, has_title
from tui.commands import Command, History
from tui.feed import Feed
from tui.key_queue import KeyQueue
from tui.keymap import KeyMap
from tui.model import LoggedCommand, Model, PartName
from tui.page import Page
from tui.palette import Palette, textual_theme
from tui.panes.overview.page import OverviewPage
from tui.ports import ScreenSettings, ScreenYard

_AGE_SECONDS: Final = 3.0
_FLASH_SECONDS: Final = 8.0
#: The first rows are there by then, or the yard could not be opened.
_STARTED_SECONDS: Final = 1.5
_COMMANDS_KEPT: Final = 500


def _library() -> Screen[None]:
    from tui.panes.library.page import LibraryPage

    return LibraryPage()


def _queue() -> Screen[None]:
    from tui.panes.queue.page import QueuePage

    return QueuePage()


def _deployments() -> Screen[None]:
    from tui.panes.deployments.page import DeploymentsPage

    return DeploymentsPage()


def _gpus() -> Screen[None]:
    from tui.panes.gpus.page import GpusPage

    return GpusPage()


def _audit() -> Screen[None]:
    from tui.panes.audit.page import AuditPage

    return AuditPage()


class ModelyardApp(App[None], inherit_bindings=False):
    """The screen.

    Args:
        open_yard: opens the yard; called after the first paint. It raises ModelyardError where that is not possible.
        settings: what the configuration says about the screen.
        clock: where ages come from.
        environment: of the process; chooses the colours.

    Raises:
        ConfigurationError: `[keys]` clashes or names what is not there.
    """

    CSS_PATH = "app.tcss"
    TITLE = "Modelyard"
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "overview"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "overview": OverviewPage,
        "library": _library,
        "queue": _queue,
        "deployments": _deployments,
        "gpus": _gpus,
        "audit": _audit,
    }
    # Whatever else is bound, and whatever has the focus, Ctrl-C leaves.
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "leave", show=False, priority=True)]

    def __init__(
        self,
        open_yard: Callable[[], Awaitable[ScreenYard]],
        *,
        settings: ScreenSettings | None = None,
        clock: Clock | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings or ScreenSettings()
        self.keymap = KeyMap(self.settings.keys)
        chosen, self._theme_problem = self._choose(os.environ if environment is None else environment)
        self.palette = Palette(chosen.roles)
        # An ANSI theme set after __init__ would leave NO_COLOR painting black on black.
        super().__init__(ansi_color=chosen.ansi)
        self.animation_level = "none"
        self._use(chosen)
        self.clock: Clock = clock or SystemClock()
        self.model = Model()
        self.feed = Feed(open_yard, self.model, self.clock, self._parts_changed)
        self._key_queue = KeyQueue(self, self._give_key)
        told = os.environ if environment is None else environment
        self._attention = Attention(
            self._write_through, bell=self.settings.bell, title=self.settings.title and has_title(told)
        )
        self.paused = False
        self.histories = {":": History(), "/": History()}
        self.theme_names: Sequence[str] = themes.SHIPPED
        self.flash_now: tuple[str, bool] | None = None
        self._flash_until = 0.0
        self._held: set[PartName] = set()
        self._running_loop: asyncio.AbstractEventLoop | None = None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"rule": "#444444"}

    # ------------------------------------------------------------ life

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded and event.key != "ctrl+c":
            self._key_queue.put(event)
        else:
            await super().on_event(event)

    async def _give_key(self, event: events.Key) -> None:
        await super().on_event(event)

    def on_load(self) -> None:
        self._running_loop = asyncio.get_running_loop()

    def on_mount(self) -> None:
        self.set_interval(_AGE_SECONDS, self._let_age)
        self.call_after_refresh(self._open)
        self.set_timer(_STARTED_SECONDS, collect_from_now_on)
        if self._theme_problem:
            self.flash(self._theme_problem, bad=True)

    def _open(self) -> None:
        self.feed.start()

    async def on_unmount(self) -> None:
        self._key_queue.close()
        self._attention.close()
        await self.feed.close()

    def action_leave(self) -> None:
        """Leave; Ctrl-C."""
        self.leave()

    def leave_soon(self) -> bool:
        """Leave; for signal handlers.

        Returns:
            False when the loop does not run yet, or no more: then nothing was done.
        """
        if self._running_loop is None or self._running_loop.is_closed():
            return False
        self._running_loop.call_soon_threadsafe(self.leave)
        return True

    def leave(self) -> None:
        """Leave with the status that tells how it went: of the yard that could not be opened, or 0."""
        problem = self.model.problem if self.feed.yard is None else None
        self.exit(return_code=problem.exit_code if problem is not None else 0)

    # ------------------------------------------------------------ what pages use

    def page(self) -> Page | None:
        """The page that is seen, also beneath a dialog."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Page)), None)

    def go(self, mode: str, *, arguments: Sequence[str] = (), filter: str | None = None) -> None:
        """Show a pane; its details that were open are closed."""
        self.switch_mode(mode)
        while len(self.screen_stack) > 1:
            self.pop_screen()
        page = self.page()
        if page is not None and (arguments or filter is not None):
            page.call_after_refresh(page.enter, tuple(arguments), filter)

    def show_service(self, context: str, namespace: str, name: str) -> None:
        """Open the page of a service; plans that led to it are closed."""
        from tui.panes.deployments.service import ServicePage

        while self.screen_stack and getattr(self.screen, "pane", "") in {"plan", "card", "image", "service"}:
            self.pop_screen()
        self.push_screen(ServicePage(f"{context}/{namespace}/{name}"))

    def command(self, command: Command) -> None:
        """Do a typed command on the page that is seen."""
        if page := self.page():
            page.run_command(command)

    def flash(self, told: str, *, bad: bool = False) -> None:
        """Say something in the bottom line until a key is pressed or some seconds have passed."""
        self.flash_now = (sanitise(told, 400), bad)
        self._flash_until = time.monotonic() + _FLASH_SECONDS * (3 if bad else 1)
        self._show_hints()

    def clear_flash(self) -> None:
        """Take away what was said."""
        if self.flash_now is not None:
            self.flash_now = None
            self._show_hints()

    def copy(self, *lines: str) -> None:
        """Send lines to the terminal's clipboard. Whether they arrive cannot be known, so that is not claimed."""
        self.copy_to_clipboard("\n".join(sanitise(line) for line in lines))
        told = lines[0] if len(lines) == 1 else f"{len(lines)} lines"
        self.flash(f"sent to the terminal's clipboard (OSC 52), if it takes that: {told}")

    def log_command(self, command: str, outcome: str) -> None:
        """Remember what was done, as a command would have done it."""
        self.model.commands.append(LoggedCommand(self.clock.now(), sanitise(command), outcome))
        del self.model.commands[:-_COMMANDS_KEPT]

    def pause(self, paused: bool) -> None:
        """Hold the screen still, or show what came since."""
        self.paused = paused
        if not paused:
            held, self._held = frozenset(self._held), set()
            self._parts_changed(held | {PartName.STATUS})
        elif page := self.page():
            page.show_bars()

    def choose_theme(self, name: str) -> None:
        """Change the colours."""
        try:
            chosen = themes.load(name, self.settings.theme_folder)
        except ConfigurationError as error:
            self.flash(f"{error.why}; {error.action}", bad=True)
            return
        if chosen.ansi != self.native_ansi_color:
            self.flash(f"theme {name} needs another start: set theme in the table [yard]", bad=True)
            return
        self._use(chosen)
        for screen in self.screen_stack:
            if isinstance(screen, Page):
                screen.repaint_all()

    # ------------------------------------------------------------ inside

    def _choose(self, environment: Mapping[str, str]) -> tuple[themes.ThemeData, str]:
        suited = themes.suitable(environment)
        wanted = self.settings.theme
        if not wanted or (suited == themes.SIXTEEN and "NO_COLOR" in environment):
            return themes.load(suited), ""
        try:
            return themes.load(wanted, self.settings.theme_folder), ""
        except ConfigurationError as error:
            return themes.load(suited), f"theme {suited} is shown instead of {wanted}: {error.why}"

    def _use(self, data: themes.ThemeData) -> None:
        self.palette = Palette(data.roles)
        theme = textual_theme(data)
        self.register_theme(theme)
        self.theme = theme.name

    def _write_through(self, told: str) -> None:
        """Send a control sequence that is no part of what is drawn."""
        # While another program has the terminal, nothing is written between its lines.
        if self._driver is not None and not self.is_headless and not self._batch_count:
            self._driver.write(told)
            self._driver.flush()

    def _parts_changed(self, parts: frozenset[PartName]) -> None:
        if (
            not parts.isdisjoint({PartName.QUEUE, PartName.ALERTS})
            and self.model.status is not None
            and self.model.queue.known
        ):
            self._attention.look(
                self.model.status.name, self.model.queue.value, self.clock.now(), self.model.alerts.value
            )
        if self.paused:
            self._held.update(parts)
            return
        problem = self.model.problem
        if problem is not None and self.feed.yard is not None:
            self.model.problem = None
            self.flash(f"{problem.what}: {problem.why}; {problem.action}", bad=True)
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, Page) and screen.is_mounted:
                    screen.parts_changed(parts)

    def _let_age(self) -> None:
        if self.flash_now is not None and time.monotonic() > self._flash_until:
            self.clear_flash()
        page = self.page()
        if page is not None and not self.paused:
            page.age()

    def _show_hints(self) -> None:
        page = self.page() if self.screen_stack else None
        if page is not None and page.is_mounted:
            page.show_hints()
