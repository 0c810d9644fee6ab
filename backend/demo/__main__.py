"""The demo's child process: `python -m backend.demo --seed N`.

Prints one line of JSON on standard output that says where the servers are, then serves until its standard input
closes, a signal asks it to end, or its parent dies. It writes no file.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backend.demo.supervision import FAREWELL

if TYPE_CHECKING:
    from backend.demo.servers import Servers

#: linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_ENDING_LIMIT: Final = 1.0
#: Others that wrote to the folder end at the same moment as we do, and may write once more.
_REMOVAL_LIMIT: Final = 5.0
#: A signal may come from a person while the parent lives, or tell of the parent's death a moment before it.
_DOUBT_LIMIT: Final = 0.5


class _Parent:
    """The process that started this one.

    Args:
        pid: its process id.
        folder: what to remove after its death; None: nothing.
    """

    def __init__(self, pid: int, folder: Path | None) -> None:
        self._pid = pid
        self._folder = folder
        #: Our input is at its end: with a farewell the parent lives on, without one it is dead, or will be in a moment.
        self.said_farewell: bool | None = None

    def bind(self) -> None:
        """Ask Linux for SIGTERM when the parent dies, should somebody else hold our input open then."""
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    @property
    def is_gone(self) -> bool:
        """Whether it died: an orphan falls to another process."""
        return os.getppid() != self._pid

    def clear_up(self) -> None:
        """Remove the folder that a dead parent left."""
        began = time.monotonic()
        while self._folder is not None and not self.said_farewell and time.monotonic() - began < _REMOVAL_LIMIT:
            if self.is_gone:
                shutil.rmtree(self._folder, ignore_errors=True)
                if not self._folder.exists():
                    return
            elif self.said_farewell is None and time.monotonic() - began > _DOUBT_LIMIT:
                return
            # A dying parent closes its files, and has its children signalled, before it is gone for them.
            time.sleep(0.02)


def main() -> int:
    """Run the servers; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m backend.demo", description="The servers of the demo yard.")
    parser.add_argument("--seed", type=int, default=0, help="what everything in the demo follows from")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id of who started this")
    parser.add_argument("--remove-on-death", type=Path, help="folder to remove should the parent die")
    arguments = parser.parse_args()
    parent = _Parent(arguments.parent, arguments.remove_on_death)
    try:
        asyncio.run(_serve(arguments.seed, parent))
    finally:
        parent.clear_up()
    return 0


async def _serve(seed: int, parent: _Parent) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(_number: int, _frame: object) -> None:
        # The loop may be closed already: what is asked for is done then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    # Not the loop's own handlers, which end with it: the parent's death may be told of while we clear up.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, asked)
    parent.bind()
    threading.Thread(target=_watch_input, args=(loop, stop, parent), daemon=True).start()
    servers = _servers()
    try:
        await servers.start(seed)
        if not parent.is_gone:
            sys.stdout.write(json.dumps(servers.announcement) + "\n")
            sys.stdout.flush()
            await stop.wait()
    finally:
        timer = _end_at_the_latest(parent)
        await servers.close()
        timer.cancel()


def _servers() -> Servers:
    # aiohttp reads the system's certificates when it is imported, a tenth of the whole start; nothing here speaks TLS.
    os.environ |= {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
    from backend.demo.servers import Servers

    return Servers()


def _watch_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, parent: _Parent) -> None:
    """Set `stop` once standard input is at its end; a thread, since not every kind of input can be polled."""
    # An error is the end as well: the input was closed before, or is a terminal that was hung up.
    said = b""
    with suppress(OSError):
        while piece := os.read(0, 4096):
            said = piece
    parent.said_farewell = said.endswith(FAREWELL)
    # The loop may be closed already where something else ended us first.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


def _end_at_the_latest(parent: _Parent) -> threading.Timer:
    """End the process even if closing hangs; cancel what is returned once it did not."""

    def end() -> None:
        parent.clear_up()
        os._exit(1)

    timer = threading.Timer(_ENDING_LIMIT, end)
    timer.daemon = True
    timer.start()
    return timer


if __name__ == "__main__":
    sys.exit(main())
