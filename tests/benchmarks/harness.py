"""A benchmark is a figure of ours beside a peer's from the same run, against a budget of DESIGN."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final


class SkippedError(Exception):
    """The benchmark cannot run here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured.

    Attributes:
        ours, peer: in `unit`; the peer is None where the budget is an absolute one.
        ratio: ours to the peer's, or to the budget's figure; what it must not exceed is `limit`.
        budget: in words.
        also_holds: an alternative of the budget that was met although the ratio was not.
    """

    name: str
    unit: str
    ours: float
    peer: float | None
    ratio: float
    limit: float
    budget: str
    also_holds: bool = False

    @property
    def state(self) -> str:
        """`ok` or `short`."""
        return "ok" if self.ratio <= self.limit or self.also_holds else "short"

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "state": self.state}

    def line(self) -> str:
        """For people: name, our figure, the peer's, the ratio, the budget, the state."""
        peer = "-" if self.peer is None else f"{self.peer:.4g} {self.unit}"
        return (
            f"{self.name:16} ours {self.ours:.4g} {self.unit}  peer {peer}  ratio {self.ratio:.2f}  "
            f"budget {self.budget}  {self.state}"
        )


Benchmark = Callable[[], Figure]


def best_of(times: int, measure: Callable[[], float]) -> float:
    """The smallest of several measurements: what the work costs when nothing else disturbs it."""
    return min(measure() for _ in range(times))


_TRUE_COLOUR: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Terminal:
    """A command in a pseudo-terminal; times what it writes. Use it as a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        size: tuple[int, int] = (120, 40),
        colours: Mapping[str, str] = _TRUE_COLOUR,
    ) -> None:
        """
        Args:
            size: columns and lines.
            colours: variables that say how many colours it has.
        """
        self.written = b""
        self.started = time.perf_counter()
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.environ.clear()
            os.environ.update({**environment, **colours})
            os.execvp(command[0], list(command))
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + 5
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(self.pid, signal.SIGKILL)
                self._read(0.05)
        except ChildProcessError:
            pass
        os.close(self._descriptor)

    def wait_for(self, text: bytes, *, within: float) -> float:
        """Seconds from the start until the text was written.

        Raises:
            SkippedError: it was not written in time.
        """
        while text not in self.written:
            if time.perf_counter() - self.started > within:
                tail = self.written[-300:].decode("utf-8", "replace")
                raise SkippedError(f"{text!r} was not on the screen within {within:g} s; last {tail!r}")
            self._read(0.05)
        return time.perf_counter() - self.started

    def drain(self, seconds: float) -> int:
        """Go on reading for a while; gives how many bytes came."""
        before = len(self.written)
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._read(min(0.05, left))
        return len(self.written) - before

    def first_seen(self, pattern: re.Pattern[bytes], seconds: float) -> dict[bytes, float]:
        """For a while, when each text that a pattern's first group matches was written first, by `perf_counter`."""
        found: dict[bytes, float] = {}
        end = time.perf_counter() + seconds
        at = len(self.written)
        while (left := end - time.perf_counter()) > 0:
            self._read(min(0.05, left))
            now = time.perf_counter()
            for match in pattern.finditer(self.written, at):
                found.setdefault(match.group(1), now)
            # What was cut off at the end of a read is found with the next.
            at = max(at, len(self.written) - 64)
        return found

    def type(self, text: str) -> None:
        """Type into it."""
        os.write(self._descriptor, text.encode())

    def _read(self, timeout: float) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if not ready:
            return
        try:
            self.written += os.read(self._descriptor, 1 << 16)
        except OSError:
            # Linux answers EIO once the program has closed its end.
            time.sleep(min(timeout, 0.02))
