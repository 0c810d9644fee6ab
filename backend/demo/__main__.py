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
import signal
import sys
import threading
from typing import Final

from backend.demo.servers import Servers

#: linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_ENDING_LIMIT: Final = 1.0


def main() -> int:
    """Run the servers; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m backend.demo", description="The servers of the demo yard.")
    parser.add_argument("--seed", type=int, default=0, help="what everything in the demo follows from")
    arguments = parser.parse_args()
    _die_with_parent()
    asyncio.run(_serve(arguments.seed))
    return 0


async def _serve(seed: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    threading.Thread(target=_watch_input, args=(loop, stop), daemon=True).start()
    servers = Servers()
    try:
        await servers.start(seed)
        sys.stdout.write(json.dumps(servers.announcement) + "\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        _end_at_the_latest()
        await servers.close()


def _watch_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` once standard input is at its end; a thread, since not every kind of input can be polled."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        # Closed or gone, such as a terminal that was hung up: the end as well.
        pass
    finally:
        loop.call_soon_threadsafe(stop.set)


def _die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, should somebody else hold our input open then."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_at_the_latest() -> None:
    """End the process even if closing hangs."""
    timer = threading.Timer(_ENDING_LIMIT, os._exit, (1,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
