"""Drives the screen in tests: starts it on a fake yard, reads what it shows, waits for what must come."""

from __future__ import annotations

import contextvars
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from textual import _wait, events
from textual.pilot import Pilot

from tests.fakes.screen_yard import FakeClock, FakeYard, opener
from tui.app import ModelyardApp
from tui.ports import ScreenSettings

_PATIENCE_SECONDS = 10.0
# Textual looks three times a key whether the process used less than 1 ms of 20: shorter looks tell the same.
_wait.SLEEP_GRANULARITY = 0.008
_wait.SLEEP_IDLE = 0.001
NIGHT = {"COLORTERM": "truecolor"}


@dataclass
class Desk:
    """A running screen."""

    app: ModelyardApp
    pilot: Pilot[None]
    yard: FakeYard
    clock: FakeClock

    def text(self) -> str:
        """What stands on the screen, line by line."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"it did not come to hold; the screen shows:\n{self.text()}"
            await self.pilot.pause(0.01)

    async def sees(self, *words: str) -> None:
        """Wait until all words stand on the screen."""
        await self.until(lambda: all(word in self.text() for word in words))

    async def sees_not(self, *words: str) -> None:
        """Wait until none of the words stands on the screen."""
        await self.until(lambda: not any(word in self.text() for word in words))

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other has been handled."""
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def hurry(self, *keys: str) -> None:
        """Press keys as a paste does: none waits for what the one before it opens."""
        for key in keys:
            character = key if len(key) == 1 else None
            self.app.post_message(contextvars.Context().run(events.Key, _key_name(key), character))
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type a text."""
        # All of it at once, as a paste: waiting for an idle screen after each character takes most of a test's time.
        await self.hurry(*text)

    async def command(self, line: str) -> None:
        """Type a command after `:` and send it."""
        await self.press("colon")
        await self.until(lambda: self.app.screen.query("#prompt Input"))
        await self.type(line)
        await self.press("enter")


def _key_name(key: str) -> str:
    from textual.keys import _character_to_key

    return _character_to_key(key) if len(key) == 1 else key


@asynccontextmanager
async def desk(
    yard: FakeYard | None = None,
    *,
    size: tuple[int, int] = (80, 24),
    keys: Mapping[str, str] | None = None,
    confirm: str = "type-name",
    theme: str = "",
    environment: Mapping[str, str] | None = None,
    reasons: Mapping[str, Sequence[str]] | None = None,
    ready: bool = True,
) -> AsyncIterator[Desk]:
    """The screen on a fake yard, once the yard's parts were read."""
    yard = yard or FakeYard()
    clock = FakeClock()
    settings = ScreenSettings(keys=keys or {}, confirm=confirm, theme=theme, reasons=reasons or {})
    app = ModelyardApp(opener(yard), settings=settings, clock=clock, environment=environment or NIGHT)
    async with app.run_test(size=size) as pilot:
        table = Desk(app, pilot, yard, clock)
        if ready:
            await table.until(lambda: yard.started and (app.model.library.known or app.model.library.problem))
            await pilot.pause(0.15)
        yield table
