"""The parent's side of the demo's child processes: starts them, reads where the servers are, and ends them.

A child ends when its standard input closes. The operating system closes it with this process, however that ends, so
nothing is left behind even when nobody could call `close`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, cast

START_LIMIT: Final = 20.0
_POLITE_LIMIT: Final = 1.2
_FIRM_LIMIT: Final = 0.4
_TAIL_LINES: Final = 12
_PIECE: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 20
#: What a child reads last when it is ended on purpose; without it, its input ended because its parent died.
FAREWELL: Final = b"farewell\n"
_IMPORT_ROOT: Final = Path(__file__).resolve().parents[2]


class ServersFailedError(Exception):
    """A child process of the demo did not start; the text says why, with the end of what it wrote to standard error."""


@dataclass(frozen=True)
class RegistryAddress:
    """Where the demo's registry is.

    Attributes:
        host: `host:port`, as it stands in references.
        blob_host: `host:port` of the second host, which blobs are redirected to.
        public_key: PEM of the key that signed most images (ECDSA P-256).
        further_keys: by name, PEM: of a vendor (RSA) and of the release team (Ed25519).
    """

    url: str
    host: str
    username: str
    password: str = field(repr=False)
    blob_host: str
    public_key: str
    further_keys: Mapping[str, str]


@dataclass(frozen=True)
class ClusterAddress:
    """Where the demo's Kubernetes API is.

    Attributes:
        tokens: name of a user to the bearer token that makes requests theirs.
    """

    url: str
    tokens: Mapping[str, str] = field(repr=False)


class Child:
    """A child process that ends with its standard input; as a context manager it is closed at the end.

    Args:
        command: the program and its arguments. It imports what this process imports, not what lies in the folder.

    Raises:
        ServersFailedError: the program cannot be run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        paths = [str(_IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
        try:
            # A session of its own: Ctrl-C in the terminal reaches this process alone, which then decides.
            self._process = subprocess.Popen(  # noqa: S603 - the command is this program's own
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ServersFailedError(f"{command[0]}: {error.strerror}") from error
        # Never None: all three pipes were asked for.
        self._input = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)
        self._errors = cast(IO[bytes], self._process.stderr)
        self._tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
        # Read all the time: a full pipe would stop the child at its next line.
        self._reader = threading.Thread(target=self._read_errors, name="demo errors", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def complaints(self) -> str:
        """The last lines that it wrote to standard error."""
        return b"".join(self._tail).decode(errors="replace").strip()

    def first_line(self, limit: float) -> bytes:
        """Wait for a line of standard output; empty when it ended before one was whole.

        Args:
            limit: seconds.

        Raises:
            TimeoutError: no line came in time.
            ValueError: the line is longer than a mebibyte.
        """
        deadline = time.monotonic() + limit
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            piece = os.read(self._output.fileno(), _PIECE)
            if not piece:
                return b""
            line += piece
            if len(line) > _LONGEST_LINE:
                raise ValueError("the line is too long")
        return line

    def wait(self, limit: float) -> int:
        """Wait until it ended; gives its exit status.

        Raises:
            TimeoutError: it still runs after `limit` seconds.
        """
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error

    def close(self) -> None:
        """End it within two seconds; a second call does nothing."""
        with suppress(BrokenPipeError, ValueError):
            self._input.write(FAREWELL)
        with suppress(BrokenPipeError):
            self._input.close()
        for limit, number in ((_POLITE_LIMIT, signal.SIGTERM), (_FIRM_LIMIT, signal.SIGKILL)):
            try:
                self.wait(limit)
                break
            except TimeoutError:
                # The child leads a group of its own, so this reaches whatever it started, too.
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, number)
        self._process.wait()
        self._reader.join()
        self._output.close()
        self._errors.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_errors(self) -> None:
        # Bounded reads: a line without an end must not fill the memory.
        while line := self._errors.readline(_PIECE):
            self._tail.append(line)


@dataclass(frozen=True)
class Servers:
    """The running servers; as a context manager they are closed at the end."""

    registry: RegistryAddress
    cluster: ClusterAddress
    child: Child = field(repr=False)

    def close(self) -> None:
        """End the servers within two seconds; a second call does nothing."""
        self.child.close()

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_servers(
    seed: int, *, remove_on_death: Path | None = None, limit: float = START_LIMIT, python: str = sys.executable
) -> Servers:
    """Start the demo's servers in a child process and wait until they listen. Blocks; call it before a loop runs.

    Args:
        remove_on_death: a folder that the child removes should this process die without a chance to do so itself.
        limit: seconds that the start may take.
        python: interpreter of the child.

    Raises:
        ServersFailedError: the child could not be started, ended, or did not say in time where it listens.
    """
    command = [python, "-m", "backend.demo", "--seed", str(seed), "--parent", str(os.getpid())]
    if remove_on_death is not None:
        command += ["--remove-on-death", str(remove_on_death.absolute())]
    child = Child(command)
    try:
        return _announced(child, limit)
    except BaseException:
        # Failed or interrupted: the child must not outlive the attempt.
        child.close()
        raise


def start_crew(command: Sequence[str]) -> Child:
    """Start another process that belongs to the demo and ends when its standard input closes.

    Raises:
        ServersFailedError: the program cannot be run.
    """
    return Child(command)


def _announced(child: Child, limit: float) -> Servers:
    try:
        line = child.first_line(limit)
        if line:
            said: dict[str, Any] = json.loads(line)
            return Servers(RegistryAddress(**said["registry"]), ClusterAddress(**said["cluster"]), child)
        why = f"ended with status {child.wait(limit)}"
    except TimeoutError:
        why = f"did not say where they listen within {limit:g} s"
    except (ValueError, KeyError, TypeError, AttributeError):
        why = "said something that is not understood"
    child.close()
    raise ServersFailedError(f"they {why}" + (f"\n{child.complaints}" if child.complaints else ""))
