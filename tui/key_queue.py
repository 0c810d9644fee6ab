"""Keys, one at a time and in their order.

A person who knows the keys, a slow line, or a paste is faster than a page, a prompt or a dialog that is still being
made. A key that is given on before the one before it was handled may reach the pane below, where the same letter means
something else; so each waits until what the last one opened is there and has the focus.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from textual import events
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    from textual.app import App

_PATIENCE_SECONDS: Final = 3.0
_HOP_SECONDS: Final = 0.25
# Enter in a field becomes a message of the field, then one of the prompt or dialog around it.
_PASSES: Final = 3


@runtime_checkable
class Settles(Protocol):
    """A screen that tells whether it is ready to be typed to."""

    @property
    def settled(self) -> bool:
        """Whether it is composed, and what is to have the focus has it."""


class KeyQueue:
    """Gives keys to the app one after the other.

    Args:
        give: handles a key as the app would.
    """

    def __init__(self, app: App[None], give: Callable[[events.Key], Awaitable[None]]) -> None:
        self._app = app
        self._give = give
        self._waiting: deque[events.Key] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, event: events.Key) -> None:
        """Give this key on when those before it were handled."""
        self._waiting.append(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._waiting:
            await self._settled()
            if not self._waiting:
                return
            event = self._waiting.popleft()
            app = self._app
            target: MessagePump = app.focused or app.screen
            await self._give(event)
            for _ in range(1 if event.is_printable and target is not app.screen else _PASSES):
                await self._passed(target)

    async def _settled(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _PATIENCE_SECONDS
        while loop.time() < end:
            screen = self._app.screen
            if not isinstance(screen, Settles) or screen.settled:
                return
            await asyncio.sleep(0.002)

    async def _passed(self, target: MessagePump) -> None:
        """Wait until what was sent to the target was handled by it and by everything that it bubbles to."""
        node: MessagePump | None = target
        while node is not None:
            reached = asyncio.Event()
            if node.is_running and node.call_later(reached.set):
                try:
                    await asyncio.wait_for(reached.wait(), _HOP_SECONDS)
                except TimeoutError:
                    # It is closing, or busy for longer than a person should wait for a letter.
                    return
            node = node._parent
