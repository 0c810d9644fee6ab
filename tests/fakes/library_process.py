"""A synchronisation in a process of its own that kills itself: `python -m tests.fakes.library_process PATH N`.

It dies by SIGKILL before its Nth statement to the database, or ends and prints how many there were.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from backend.core.actors import WORKER
from backend.core.ports import SystemClock
from backend.library.config import RuleConfig
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.store.connection import Database, Transaction
from tests.fakes.library_registry import FakeRegistry, fill


class Fuse:
    """Counts calls and kills the process at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def guard(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The method, counted."""

        async def guarded(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            return await method(*arguments)

        return guarded


async def work(path: Path, fuse: Fuse) -> None:
    """Synchronise a small registry into the database."""
    registry = FakeRegistry()
    fill(registry)
    database = await Database.open(path, clock=SystemClock())
    for name in ("execute", "execute_many", "fetch_all"):
        setattr(Transaction, name, fuse.guard(getattr(Transaction, name)))
    setting = Setting(
        database=database, source=registry, registry="local", host="127.0.0.1:5000", clock=SystemClock(), actor=WORKER
    )
    rule = RuleConfig(name="all", registry="local")
    await Synchroniser(setting).run(rule, run=f"run{fuse.at}")
    await database.close()


def main() -> None:
    """Run, and print how many statements there were."""
    fuse = Fuse(int(sys.argv[2]))
    asyncio.run(work(Path(sys.argv[1]), fuse))
    sys.stdout.write(f"{fuse.count}\n")


if __name__ == "__main__":
    main()
