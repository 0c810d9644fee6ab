"""The wall of GPUs in a pseudo-terminal: what it takes of a core, and what it sends, while every number moves."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import Figure, Terminal
from tests.benchmarks.screen import processor_seconds

_ROOT: Final = Path(__file__).parents[2]
_SECONDS: Final = 15.0
#: Reading the yard's parts and the first paint are over by then.
_SETTLED: Final = 6.0
_SIXTEEN: Final = {"TERM": "xterm"}
_TRUE_COLOUR: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


def gpu_wall() -> Figure:
    """64 GPUs, every load another one every second, at 80x24."""
    return _wall("gpu-wall", 64, share=2.0, sixteen=3.0, true_colour=5.0)


def gpu_wall_1024() -> Figure:
    """The same with 1,024: the heat map."""
    return _wall("gpu-wall-1024", 1024, share=4.0, sixteen=4.0, true_colour=6.0)


def _wall(name: str, count: int, *, share: float, sixteen: float, true_colour: float) -> Figure:
    """Against percent of a core, and kilobytes a second in 16 colours and in true colour."""
    taken, sent_true = _watched(count, _TRUE_COLOUR)
    less, sent_sixteen = _watched(count, _SIXTEEN)
    taken = min(taken, less)
    return Figure(
        name=name,
        unit="%",
        ours=taken,
        peer=None,
        ratio=max(taken / share, sent_sixteen / sixteen, sent_true / true_colour),
        limit=1.0,
        budget=(
            f"{share:g} % of a core at 1 Hz and 80x24; {sixteen:g} kB/s in 16 colours ({sent_sixteen:.1f}), "
            f"{true_colour:g} kB/s in true colour ({sent_true:.1f})"
        ),
    )


def _watched(count: int, colours: Mapping[str, str]) -> tuple[float, float]:
    """Percent of a core, and kilobytes a second."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8"}
        command = (sys.executable, "-m", "tests.fakes.gpu_room", str(count))
        with Terminal(command, environment, size=(80, 24), colours=colours) as terminal:
            terminal.wait_for(b"DEPLOYMENTS", within=30.0)
            terminal.drain(_SETTLED / 2)
            terminal.type("4")
            terminal.wait_for(b"GPUS", within=30.0)
            terminal.drain(_SETTLED)
            before = processor_seconds(terminal.pid)
            written = terminal.drain(_SECONDS)
            return 100 * (processor_seconds(terminal.pid) - before) / _SECONDS, written / _SECONDS / 1000
