"""What the benchmarks of synchronisation time, each in a process of its own that does a part at a time.

`python -m tests.benchmarks.sync_work yard` reads the names of rules, a line each, runs each and answers with a line of
JSON; `... bare URL TAGS CONCURRENCY first|unchanged` reads `FIRST COUNT` of repositories and sends the same requests
with nothing but httpx. So both can take turns, and whatever else the machine does hits both alike.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import httpx

from backend.config import load_configuration
from backend.registry.manifests import MANIFEST_TYPES, digest_of
from backend.yard import Yard, YardOptions
from tests.benchmarks.registry_server import image, repository_name, tag_name

_ACCEPT: Final = {"Accept": ", ".join(MANIFEST_TYPES)}
_LOOK_EVERY: Final = 0.005


class Watchdog:
    """Finds out for how long at most the event loop was held up."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_LOOK_EVERY)
            self.longest = max(self.longest, time.perf_counter() - before - _LOOK_EVERY)


async def synchronise() -> None:
    """Run rules as they are asked for, without evidence, and tell what each cost."""
    yard = await Yard.open(load_configuration(None), YardOptions())
    try:
        while rule := await _next_line():
            watchdog = Watchdog()
            watching = asyncio.create_task(watchdog.watch())
            started = time.perf_counter()
            result = await yard.runs.synchronise(rule, allow_many=True, evaluate=False)
            seconds = time.perf_counter() - started
            watching.cancel()
            _tell(
                seconds=seconds, requests=result.requests, new=len(result.new), unchanged=result.unchanged,
                failed=len(result.failed), held_up=watchdog.longest,
                peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            )  # fmt: skip
    finally:
        await yard.close()


async def bare(url: str, tags: int, concurrency: int, *, first: bool) -> None:
    """Send what a synchronisation sends, lists first, each of so many workers with a connection of its own."""
    clients = [httpx.AsyncClient() for _ in range(concurrency)]
    while line := await _next_line():
        start, count = map(int, line.split())
        numbers = range(start, start + count)
        # What is asked for is worked out beforehand.
        work = [(("GET", f"{url}/v2/{repository_name(number)}/tags/list?n=1000"),) for number in numbers]
        work += [requests for number in numbers for requests in _asked(url, number, tags, first=first)]
        started = time.perf_counter()
        await _in_turns(work, clients)
        _tell(seconds=time.perf_counter() - started, requests=sum(map(len, work)))


async def _next_line() -> str:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.strip()


def _tell(**found: Any) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def _asked(url: str, repository: int, tags: int, *, first: bool) -> Iterator[tuple[tuple[str, str], ...]]:
    base = f"{url}/v2/{repository_name(repository)}"
    for tag in range(tags):
        head = ("HEAD", f"{base}/manifests/{tag_name(tag)}")
        if not first:
            yield (head,)
            continue
        manifest, config = image(repository, tag)
        yield head, ("GET", f"{base}/manifests/{digest_of(manifest)}"), ("GET", f"{base}/blobs/{digest_of(config)}")


async def _in_turns(work: Iterable[tuple[tuple[str, str], ...]], clients: Sequence[httpx.AsyncClient]) -> None:
    waiting = iter(work)

    async def worker(client: httpx.AsyncClient) -> None:
        for requests in waiting:
            for method, url in requests:
                answer = await client.request(method, url, headers=_ACCEPT)
                answer.raise_for_status()

    await asyncio.gather(*map(worker, clients))


def main() -> None:
    """Do what the arguments say."""
    if sys.argv[1] == "yard":
        # As the command line does, before there is a loop to hold up.
        for room in ("flows.synchronising", "flows.evidence", "registry.client"):
            importlib.import_module(f"backend.{room}")
        asyncio.run(synchronise())
    else:
        url, tags, concurrency, kind = sys.argv[2:]
        asyncio.run(bare(url, int(tags), int(concurrency), first=kind == "first"))


if __name__ == "__main__":
    main()
