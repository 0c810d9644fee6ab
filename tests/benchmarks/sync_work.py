"""What the benchmarks of synchronisation time, each in a process of its own that prints JSON.

`python -m tests.benchmarks.sync_work yard` synchronises the yard of its environment; `... bare URL REPOSITORIES TAGS
CONCURRENCY first|unchanged` sends the same requests with nothing but httpx.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
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


async def synchronise() -> dict[str, Any]:
    """Synchronise by every rule, without evidence, and tell what it cost."""
    import backend.flows.synchronising
    import backend.registry.client  # noqa: F401

    yard = await Yard.open(load_configuration(None), YardOptions())
    watchdog = Watchdog()
    watching = asyncio.create_task(watchdog.watch())
    try:
        started = time.perf_counter()
        result = await yard.runs.synchronise(allow_many=True, evaluate=False)
        seconds = time.perf_counter() - started
    finally:
        watching.cancel()
        await yard.close()
    return {
        "seconds": seconds, "requests": result.requests, "new": len(result.new), "unchanged": result.unchanged,
        "failed": len(result.failed), "held_up": watchdog.longest,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


async def bare(url: str, repositories: int, tags: int, concurrency: int, *, first: bool) -> dict[str, Any]:
    """Send what a synchronisation sends, lists first, each of so many workers with a connection of its own."""
    lists = [f"{url}/v2/_catalog?n=1000"]
    lists += [f"{url}/v2/{repository_name(number)}/tags/list?n=1000" for number in range(repositories)]
    started = time.perf_counter()
    await _in_turns(((("GET", path),) for path in lists), concurrency)
    seconds = time.perf_counter() - started
    # What is asked for is worked out beforehand, a part at a time so that it need not be held.
    sent = len(lists)
    for number in range(repositories):
        asked = list(_asked(url, number, tags, first=first))
        sent += sum(map(len, asked))
        started = time.perf_counter()
        await _in_turns(asked, concurrency)
        seconds += time.perf_counter() - started
    return {"seconds": seconds, "requests": sent}


def _asked(url: str, repository: int, tags: int, *, first: bool) -> Iterator[tuple[tuple[str, str], ...]]:
    base = f"{url}/v2/{repository_name(repository)}"
    for tag in range(tags):
        head = ("HEAD", f"{base}/manifests/{tag_name(tag)}")
        if not first:
            yield (head,)
            continue
        manifest, config = image(repository, tag)
        yield head, ("GET", f"{base}/manifests/{digest_of(manifest)}"), ("GET", f"{base}/blobs/{digest_of(config)}")


async def _in_turns(work: Iterable[tuple[tuple[str, str], ...]], concurrency: int) -> None:
    waiting = iter(work)

    async def worker() -> None:
        client = _CLIENTS.pop() if _CLIENTS else httpx.AsyncClient()
        for requests in waiting:
            for method, url in requests:
                answer = await client.request(method, url, headers=_ACCEPT)
                answer.raise_for_status()
        _CLIENTS.append(client)

    await asyncio.gather(*(worker() for _ in range(concurrency)))


_CLIENTS: Final[list[httpx.AsyncClient]] = []


def main() -> None:
    """Do what the arguments say and print what it cost."""
    if sys.argv[1] == "yard":
        # As the command line does, before there is a loop to hold up.
        for room in ("flows.synchronising", "flows.evidence", "registry.client"):
            importlib.import_module(f"backend.{room}")
        found = asyncio.run(synchronise())
    else:
        url, repositories, tags, concurrency, kind = sys.argv[2:]
        found = asyncio.run(bare(url, int(repositories), int(tags), int(concurrency), first=kind == "first"))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
