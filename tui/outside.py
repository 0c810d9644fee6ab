"""Another program on the terminal for a while: the screen steps aside, and comes back when it ends."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual.app import SuspendNotSupported

if TYPE_CHECKING:
    from tui.app import ModelyardApp

_NOT_FOUND: Final = 127


def missing(program: str) -> str:
    """Why a program cannot be run; empty when it can."""
    return "" if shutil.which(program) else f"{program} is not on the PATH: install it, or leave this to where it is"


async def run_outside(app: ModelyardApp, arguments: Sequence[str]) -> int | None:
    """Give the terminal to a program and wait for its end. Watches go on meanwhile; nothing is drawn.

    Returns:
        its exit status; None where the terminal cannot be given away.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        # What is drawn while the screen is aside would land in the other program's output.
        with app.batch_update(), app.suspend():
            # Ctrl-C is for the program; a handler, unlike to ignore it, is not handed down to it.
            signal.signal(signal.SIGINT, lambda *_: None)
            sys.stdout.write(f"$ {shlex.join(arguments)}\n")
            sys.stdout.flush()
            try:
                process = await asyncio.create_subprocess_exec(*arguments)
                return await process.wait()
            except FileNotFoundError:
                return _NOT_FOUND
            finally:
                signal.signal(signal.SIGINT, before)
    except SuspendNotSupported:
        return None
