"""`gpu --watch`: in place on a terminal, line after line anywhere else."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import msgspec

from backend.cli.options import OutputFormat
from backend.cli.output import aligned, cell, note
from backend.core.text import sanitise
from backend.core.views import GpuSnapshotView

#: The alternate screen, so that what stood on the terminal stands there again afterwards; the cursor is hidden.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_LEAVING_KEYS: Final = (b"q", b"Q")


class Watch:
    """Shows snapshots until it is left.

    Args:
        table: the heading and the rows of a snapshot.
        data: what a program is given of it, in the order of the rows.
    """

    def __init__(
        self,
        output: OutputFormat,
        table: Callable[[GpuSnapshotView], Sequence[Sequence[object]]],
        data: Callable[[GpuSnapshotView], list[Any]],
    ) -> None:
        self._output = output
        self._table = table
        self._data = data
        self._has_heading = False
        self._told: tuple[str, ...] = ()

    async def run(self, snapshot: Callable[[], Awaitable[GpuSnapshotView]], interval: float) -> None:
        """Show what is sampled every `interval` seconds, until `q` is pressed; Ctrl-C ends it like any command."""
        in_place = self._output is OutputFormat.TABLE and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        with _screen(in_place):
            async with _left() as left:
                while not left.is_set():
                    found = await snapshot()
                    if in_place:
                        self._redraw(found)
                    else:
                        self._append(found)
                    await _pause(left, interval)

    def _redraw(self, snapshot: GpuSnapshotView) -> None:
        width, height = _size()
        table = [[cell(value) for value in row] for row in self._table(snapshot)]
        lines = aligned(table) if len(table) > 1 else ["no GPUs"]
        told = _told(snapshot)
        below = [f"{snapshot.at:%H:%M:%S}  {len(table) - 1} shown of {len(snapshot.gpus)}  q leaves", *told]
        room = max(1, height - len(below) - 1)
        if len(lines) > room:
            missing = len(lines) - room + 1
            lines = [*lines[: room - 1], f"and {missing} more: a filter, or a higher terminal"]
        # What is wider than the terminal would wrap, and the next drawing would not lie over it.
        shown = [sanitise(line)[: max(1, width - 1)] for line in [*lines, "", *below]][:height]
        sys.stdout.write(_HOME + (_END_OF_LINE + "\r\n").join(shown) + _END_OF_LINE + _END_OF_SCREEN)
        sys.stdout.flush()

    def _append(self, snapshot: GpuSnapshotView) -> None:
        if self._output is OutputFormat.TABLE:
            at = f"{snapshot.at:%Y-%m-%dT%H:%M:%SZ}"
            heading, *rows = self._table(snapshot)
            table = [["TIME", *map(cell, heading)], *([at, *map(cell, row)] for row in rows)]
            lines = aligned(table)
            sys.stdout.write("".join(line + "\n" for line in (lines[1:] if self._has_heading else lines)))
            self._has_heading = True
        else:
            self._write_data(snapshot)
        sys.stdout.flush()
        told = _told(snapshot)
        for text in told if told != self._told else ():
            note(text)
        self._told = told

    def _write_data(self, snapshot: GpuSnapshotView) -> None:
        document = {
            "at": msgspec.to_builtins(snapshot.at),
            "gpus": self._data(snapshot),
            "pending": msgspec.to_builtins(snapshot.pending),
            "notes": list(snapshot.notes),
        }
        if self._output is OutputFormat.JSON:
            sys.stdout.write(msgspec.json.encode(document).decode("utf-8") + "\n")
            return
        import yaml

        sys.stdout.write("---\n")
        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True)


def _size() -> tuple[int, int]:
    """Of the terminal itself: COLUMNS and LINES do not follow when it changes."""
    try:
        width, height = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        width, height = 0, 0
    return width or 80, height or 24


def _told(snapshot: GpuSnapshotView) -> tuple[str, ...]:
    waiting = (f"{one.namespace}/{one.pod} waits: {one.sentence}" for one in snapshot.pending)
    return (*(sanitise(text) for text in snapshot.notes), *(sanitise(text) for text in waiting))


async def _pause(left: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(left.wait(), seconds)
    except TimeoutError:
        return


@contextmanager
def _screen(in_place: bool) -> Iterator[None]:
    if not in_place:
        yield
        return
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


@asynccontextmanager
async def _left() -> AsyncIterator[asyncio.Event]:
    """An event that is set once `q` was pressed on the terminal, if there is one to press it on."""
    left = asyncio.Event()
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        yield left
        return
    import termios
    import tty

    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def pressed() -> None:
        typed = os.read(descriptor, 64)
        if not typed or any(key in typed for key in _LEAVING_KEYS):
            left.set()

    # Characters come one by one and unseen; Ctrl-C still interrupts.
    tty.setcbreak(descriptor, termios.TCSANOW)
    loop.add_reader(descriptor, pressed)
    try:
        yield left
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
