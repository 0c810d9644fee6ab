"""Runs a program that somebody else wrote: bounded in time and output, with no secrets of ours, and ended whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

from backend.core.errors import LimitExceededError, ToolError
from backend.evidence.decoding import clean

#: Variables that a program may see: where things are, how to reach the network, and the scanners' own settings.
_PASSED: Final = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
        "XDG_DATA_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR",
    }
)  # fmt: skip
_PASSED_PREFIXES: Final = ("TRIVY_", "GRYPE_", "SYFT_")
_CHUNK: Final = 1 << 16
_ERROR_TAIL: Final = 4_000
_LONGEST_LINE: Final = 300
#: Seconds that a program has to end after it was asked to.
_GRACE: Final = 3.0


def clean_environment(
    own: Mapping[str, str], *, withheld: Container[str] = (), further: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables that a program is given.

    Args:
        own: ours.
        withheld: names that hold secrets of the configuration.
        further: given besides.
    """
    kept = {
        name: value
        for name, value in own.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and name not in withheld
    }
    return {**kept, **(further or {})}


async def run_program(
    arguments: Sequence[str],
    *,
    what: str,
    environment: Mapping[str, str],
    seconds: float,
    limit: int,
    on_line: Callable[[str], None] | None = None,
) -> bytes:
    """What a program writes to its standard output. It is ended with all that it started when it takes too long,
    writes too much, or the caller is cancelled.

    Args:
        what: that is done, for errors.
        seconds: that it may take.
        limit: bytes that it may write.
        on_line: told each line of its standard error.

    Raises:
        ToolError: it cannot be started, takes too long, or ends with another status than 0.
        LimitExceededError: it writes too much.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=dict(environment), start_new_session=True
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ToolError(what, f"{arguments[0]} cannot be started: {reason}", "check [scanner] command") from error
    telling = asyncio.create_task(_errors(process, on_line))
    finished = False
    try:
        async with asyncio.timeout(seconds):
            written = await _output(process, what, limit)
            told = await telling
            status = await process.wait()
        finished = True
    except TimeoutError as error:
        raise ToolError(
            what, f"it took longer than {seconds:g} s, and was ended", "give it more time with [scanner] timeout"
        ) from error
    finally:
        if not finished:
            telling.cancel()
            await _end(process)
    if status:
        raise ToolError(what, f"it ended with status {status}: {_last_words(told)}", "see what it says of itself")
    return written


async def _output(process: Process, what: str, limit: int) -> bytes:
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    written = bytearray()
    while chunk := await process.stdout.read(_CHUNK):
        written += chunk
        if len(written) > limit:
            raise LimitExceededError(
                what, f"it writes more than {limit / 2**20:.0f} MiB, and was ended", "check what was started"
            )
    return bytes(written)


async def _errors(process: Process, on_line: Callable[[str], None] | None) -> str:
    """The end of what it says of itself; lines may be endless, so they are cut from chunks."""
    assert process.stderr is not None  # noqa: S101 - it was started with a pipe
    tail = line = ""
    while chunk := await process.stderr.read(_CHUNK):
        text = chunk.decode("utf-8", "replace")
        tail = (tail + text)[-_ERROR_TAIL:]
        *lines, line = (line + text).replace("\r", "\n").split("\n")
        line = line[:_LONGEST_LINE]
        if on_line is not None and (said := next((each for each in reversed(lines) if each.strip()), "")):
            on_line(clean(said.strip(), _LONGEST_LINE))
    return tail


def _last_words(told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return clean(lines[-1], _LONGEST_LINE) if lines else "it says nothing of why"


async def _end(process: Process) -> None:
    """End what still runs, and all that it started: they share a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.wait()
    # What it started may live on in its session.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
