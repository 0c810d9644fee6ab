"""The parent's side of the demo's servers: starts them as a child process, reads where they are, and ends them.

The child ends when its standard input closes. The operating system closes it with this process, however that ends, so
nothing is left behind even when nobody could call `close`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

START_LIMIT: Final = 20.0
_POLITE_LIMIT: Final = 1.2
_FIRM_LIMIT: Final = 0.4
_TAIL_LINES: Final = 12
_PIECE: Final = 1 << 16
_IMPORT_ROOT: Final = Path(__file__).resolve().parents[2]


class DemoStartError(Exception):
    """The demo's servers did not start; the text says why, with the end of what they wrote to standard error."""


@dataclass(frozen=True)
class RegistryAddress:
    """Where the demo's registry is.

    Attributes:
        host: `host:port`, as it stands in references.
        blob_host: `host:port` of the second host, which blobs are redirected to.
        public_key: PEM of the key that signed the images (ECDSA P-256).
    """

    url: str
    host: str
    username: str
    password: str = field(repr=False)
    blob_host: str
    public_key: str


@dataclass(frozen=True)
class ClusterAddress:
    """Where the demo's Kubernetes API is.

    Attributes:
        tokens: name of a user to the bearer token that makes requests theirs.
    """

    url: str
    tokens: Mapping[str, str] = field(repr=False)


@dataclass
class Servers:
    """The running servers; as an async context manager it closes them at the end.

    Attributes:
        cluster: None: the child serves no cluster.
    """

    registry: RegistryAddress
    cluster: ClusterAddress | None
    _child: _Child = field(repr=False)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.process.pid

    async def wait(self) -> int:
        """Wait until the child ends by itself or by `close`, and give its exit status (negative: a signal)."""
        return await self._child.process.wait()

    async def close(self) -> None:
        """End the servers within two seconds; a second call does nothing."""
        await self._child.close()

    async def __aenter__(self) -> Servers:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def start_servers(seed: int, *, limit: float = START_LIMIT, python: str = sys.executable) -> Servers:
    """Start the demo's servers in a child process and wait until they listen.

    Args:
        limit: seconds that the start may take.
        python: interpreter of the child.

    Raises:
        DemoStartError: the child could not be started, ended, or did not say in time where it listens.
    """
    child = await _Child.spawn(python, ["-P", "-m", "backend.demo", "--seed", str(seed)])
    try:
        async with asyncio.timeout(limit):
            line = await child.output.readline()
        if not line:
            raise DemoStartError(await child.fail(f"they ended with status {await child.process.wait()}"))
        return _read_announcement(line, child)
    except TimeoutError:
        raise DemoStartError(await child.fail(f"they did not say where they listen within {limit:g} s")) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DemoStartError(await child.fail("what they said is not understood")) from None
    except BaseException:
        # Cancelled, or interrupted: the child must not outlive the attempt.
        await child.close()
        raise


def _read_announcement(line: bytes, child: _Child) -> Servers:
    said: dict[str, Any] = json.loads(line)
    cluster = said.get("cluster")
    return Servers(RegistryAddress(**said["registry"]), ClusterAddress(**cluster) if cluster else None, child)


class _Child:
    """The child process with its pipes."""

    def __init__(self, process: Process) -> None:
        self.process = process
        # Never None: `spawn` asks for all three pipes.
        self._input = cast(asyncio.StreamWriter, process.stdin)
        self.output = cast(asyncio.StreamReader, process.stdout)
        self._errors = cast(asyncio.StreamReader, process.stderr)
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        # Read all the time: a full pipe would stop the child at its next line.
        self._reader = asyncio.create_task(self._read_errors())

    @classmethod
    async def spawn(cls, python: str, arguments: list[str]) -> _Child:
        paths = [str(_IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        try:
            # A session of its own: Ctrl-C in the terminal reaches this process alone, which then decides.
            process = await asyncio.create_subprocess_exec(
                python, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
            )
        except OSError as error:
            raise DemoStartError(f"the demo's servers did not start: {python}: {error.strerror}") from error
        return cls(process)

    async def fail(self, why: str) -> str:
        """End the child and say why it failed."""
        await self.close()
        tail = "\n".join(self._tail)
        return f"the demo's servers did not start: {why}" + (f"\n{tail}" if tail else "")

    async def close(self) -> None:
        self._input.close()
        for limit, number in ((_POLITE_LIMIT, signal.SIGTERM), (_FIRM_LIMIT, signal.SIGKILL)):
            try:
                async with asyncio.timeout(limit):
                    await self.process.wait()
                break
            except TimeoutError:
                # The child leads a group of its own, so this reaches whatever it started, too.
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, number)
        await self.process.wait()
        # The pipes are closed once they were read to their end.
        while await self.output.read(_PIECE):
            pass
        await self._reader

    async def _read_errors(self) -> None:
        while line := await _line(self._errors):
            self._tail.append(line.decode(errors="replace").rstrip())


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        # A line longer than the reader's limit; it has been dropped, the next one follows.
        return b"(a line too long)\n"
