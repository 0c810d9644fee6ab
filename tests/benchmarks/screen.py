"""The screen in a pseudo-terminal: how soon it shows rows, what it holds, and what it does while nothing changes."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import Figure, SkippedError, Terminal
from tests.benchmarks.setting import MODELYARD, PODS, SERVICES, Home, cluster, home

_TIMES: Final = 7
_PATIENCE: Final = 30.0
#: Of a repository in the library, as its row on the screen tells it.
_LIBRARY_ROW: Final = b"bench-1"
#: Of a service, as its row tells it.
_SERVICE_ROW: Final = b"llama-0"
_PAINTED: Final = "an-empty-app"
_EMPTY_APP: Final = f"""
from textual.app import App
from textual.widget import Widget

class Word(Widget):
    def render(self):
        return "{_PAINTED}"

class Empty(App):
    def compose(self):
        yield Word()

Empty().run(mouse=False)
"""
_MEGABYTE: Final = 1_000_000
#: Part of a core below which a screen counts as at rest, and over how many seconds.
_AT_REST: Final = 0.06
#: The same where thousands of model servers are looked at all the time.
_QUIET: Final = 0.3
_REST_SECONDS: Final = 6.0
_IDLE_SECONDS: Final = 20.0
_RATE: Final = 200.0
_EVENT_SECONDS: Final = 15.0
#: Seconds from the event to the row, and percent of a core.
_EVENT_LIMIT: Final = 0.1
_EVENT_SHARE: Final = 25.0
#: Ready and wanted replicas in a row; the benchmark's probes want 1,001 and more.
_PROBE: Final = re.compile(rb"\d/(1\d{3})\b")
_TICK: Final = os.sysconf("SC_CLK_TCK")


def first_paint() -> Figure:
    """From exec to the first row of the library, beside a Textual app that shows one word."""
    with home() as place:
        place.fill_library()
        ours, peer = _first_row(place), _empty_app(place)
        for _ in range(_TIMES):
            ours = min(ours, _first_row(place))
            peer = min(peer, _empty_app(place))
    return Figure(
        name="first-paint",
        unit="s",
        ours=ours,
        peer=peer,
        ratio=ours / peer,
        limit=2.0,
        budget="0.45 s, or 2 times an empty Textual app",
        also_holds=ours <= 0.45,
    )


def memory() -> Figure:
    """What the screen's process holds with 5,000 services and 10,000 entries, once it has settled (PSS)."""
    with home() as place, cluster(pods=PODS) as server:
        place.fill_library()
        place.name_cluster(server.url)
        with Terminal(MODELYARD, place.environment) as terminal:
            _settled(terminal, _QUIET)
            held = _proportional_size(terminal.pid) / _MEGABYTE
    return Figure(
        name="memory",
        unit="MB",
        ours=held,
        peer=None,
        ratio=held / 150,
        limit=1.0,
        budget=f"150 MB with {SERVICES} services, {PODS * SERVICES} pods and 10k entries",
    )


def event_to_row() -> Figure:
    """From a write at the API server to the row that shows it (p95), while many other objects change, and its cost."""
    with home() as place, cluster(pods=PODS) as server:
        place.name_cluster(server.url)
        with Terminal(MODELYARD, place.environment) as terminal:
            _settled(terminal, _QUIET)
            terminal.type("3")
            terminal.drain(2.0)
            server.change(_RATE, _EVENT_SECONDS)
            before = processor_seconds(terminal.pid)
            seen = terminal.first_seen(_PROBE, _EVENT_SECONDS + 2.0)
            share = 100 * (processor_seconds(terminal.pid) - before) / _EVENT_SECONDS
        made = {str(told["probe"]).encode(): float(told["at"]) for told in server.told()}
    # A change that a later one overtook was on the screen when the later one was.
    shown = sorted((int(probe), at) for probe, at in seen.items())
    latencies = sorted(
        min((at for number, at in shown if number >= int(probe)), default=float("inf")) - made_at
        for probe, made_at in made.items()
    )
    if not shown:
        raise SkippedError("no change came on the screen")
    slow = latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))]
    return Figure(
        name="event-to-row",
        unit="ms",
        ours=1000 * slow,
        peer=None,
        ratio=max(slow / _EVENT_LIMIT, share / _EVENT_SHARE),
        limit=1.0,
        budget=f"100 ms and 25 % of a core at {_RATE:g} events a second ({share:.0f} % of a core)",
    )


def idle() -> Figure:
    """What the screen's process does while nothing changes: part of a core; not a byte may go to the terminal."""
    with home() as place, cluster() as server:
        place.fill_library()
        place.name_cluster(server.url)
        with Terminal(MODELYARD, place.environment) as terminal:
            _settled(terminal)
            before = processor_seconds(terminal.pid)
            written = terminal.drain(_IDLE_SECONDS)
            share = 100 * (processor_seconds(terminal.pid) - before) / _IDLE_SECONDS
    return Figure(
        name="idle",
        unit="%",
        ours=share,
        peer=None,
        ratio=share if not written else float("inf"),
        limit=1.0,
        budget=f"1 % of a core, 0 B to the terminal ({written} B in {_IDLE_SECONDS:g} s)",
    )


def _first_row(place: Home) -> float:
    with Terminal(MODELYARD, place.environment) as terminal:
        return terminal.wait_for(_LIBRARY_ROW, within=_PATIENCE)


def _empty_app(place: Home) -> float:
    with Terminal((sys.executable, "-c", _EMPTY_APP), place.environment) as terminal:
        return terminal.wait_for(_PAINTED.encode(), within=_PATIENCE)


def _settled(terminal: Terminal, share: float = _AT_REST) -> None:
    """Wait until rows are there and the process has taken no more than a share of a core for some seconds.

    Raises:
        SkippedError: it never rests.
    """
    terminal.wait_for(_SERVICE_ROW, within=_PATIENCE)
    deadline = time.monotonic() + 2 * _PATIENCE
    while True:
        before = processor_seconds(terminal.pid)
        terminal.drain(_REST_SECONDS)
        if processor_seconds(terminal.pid) - before <= share * _REST_SECONDS:
            return
        if time.monotonic() > deadline:
            raise SkippedError(f"the screen did not come to rest within {2 * _PATIENCE:g} s")


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _proportional_size(pid: int) -> int:
    """The process's proportional set size, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise SkippedError("the kernel tells no proportional set size")
