"""A process of its own on a database, for tests of several processes: `python -m tests.fakes.store_process JOB PATH N`.

It waits for a line on stdin, so that a test can start several and let them go at once.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from datetime import timedelta
from pathlib import Path

from backend.core.actors import Actor, ActorSource
from backend.core.errors import StoreError
from backend.core.ports import SystemClock
from backend.store import ledger
from backend.store.connection import Database
from backend.store.lease import Lease
from backend.store.migration import Migration, shipped

CLOCK = SystemClock()


async def append(path: Path, argument: str) -> str:
    """Open, then append N entries, each in a transaction."""
    database = await Database.open(path, clock=CLOCK, patience=timedelta(seconds=60))
    actor = Actor(name=argument, source=ActorSource.OPERATING_SYSTEM)
    try:
        for number in range(int(argument.partition(":")[0])):
            async with database.transaction() as transaction:
                await ledger.append(
                    transaction, at=CLOCK.now(), actor=actor, action="test", object=str(number), outcome="done",
                    detail={},
                )  # fmt: skip
    finally:
        await database.close()
    return "ok"


async def lease(path: Path, argument: str) -> str:
    """Try once to take the lease."""
    database = await Database.open(path, clock=CLOCK, patience=timedelta(seconds=60))
    taken = await Lease(database, CLOCK, argument).acquire("worker", timedelta(minutes=5))
    await database.close()
    return "taken" if taken else "not"


async def migrate(path: Path, argument: str) -> str:
    """Open with migrations beyond the shipped ones."""
    number = shipped()[-1].number
    extra = [
        Migration(number + step, f"extra{step}", f"CREATE TABLE extra{step} (x INTEGER);")
        for step in range(1, int(argument) + 1)
    ]
    database = await Database.open(path, clock=CLOCK, migrations=[*shipped(), *extra])
    row = await database.fetch_one("PRAGMA user_version")
    await database.close()
    return str(row[0] - number if row is not None else None)


async def small_disk(path: Path, argument: str) -> str:
    """Append under a limit of N bytes a file, as a full disk gives it; tells the error and how many entries stand."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(argument), int(argument)))
    try:
        return await append(path, "2000")
    except StoreError as error:
        return type(error).__name__


def main() -> None:
    """Run the job named on the command line and print what it returns."""
    job, path, argument = sys.argv[1:4]
    jobs = {"append": append, "lease": lease, "migrate": migrate, "small-disk": small_disk}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(asyncio.run(jobs[job](Path(path), argument)) + "\n")


if __name__ == "__main__":
    main()
