"""Starts a program for a notice: the notice as JSON on its standard input, a bounded time, none of our secrets.

Of our environment the program gets what it needs to run and to write text, and `MODELYARD_EVENT` with the kind of the
notice; variables that hold tokens or passwords are never among them. What it writes to standard output is not read;
the end of its standard error is told where it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.core.errors import ModelyardError, NotFoundError, UnreachableError
from backend.core.text import sanitise
from backend.curation.notice_store import Delivery
from backend.curation.notify_config import CommandTarget

_KEPT: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR")
_STDERR_READ: Final = 65_536
_STDERR_TOLD: Final = 200
_SEE: Final = "run it by hand with the notice on its standard input"


def environment_of(ours: Mapping[str, str], delivery: Delivery) -> dict[str, str]:
    """What the program gets of our environment."""
    kept = {name: ours[name] for name in _KEPT if name in ours}
    return {**kept, "MODELYARD_EVENT": delivery.kind.value}


def program_of(target: CommandTarget, folder: Path) -> tuple[str, ...]:
    """The program and its arguments; a relative path starts at the configuration's folder, a bare name at PATH."""
    program, *arguments = target.command
    if "/" in program:
        program = str(folder / Path(program).expanduser())
    return (program, *arguments)


async def start(target: CommandTarget, delivery: Delivery, folder: Path) -> None:
    """Run the program once and wait for its end.

    Raises:
        NotFoundError: it cannot be started.
        UnreachableError: it took too long and was ended with all that it had started.
        ModelyardError: it ended with another status than 0.
    """
    program = program_of(target, folder)
    where = f"command {sanitise(program[0], 100)}"
    limit = target.limit.total_seconds()
    try:
        process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment_of(os.environ, delivery),
            cwd=folder,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NotFoundError(
            where, f"it cannot be started: {sanitise(why, 100)}", "name a program that exists"
        ) from error
    try:
        async with asyncio.timeout(limit):
            told = await _talk(process, delivery.body)
            status = await process.wait()
    except TimeoutError as error:
        raise UnreachableError(where, f"it took longer than {limit:g} s and was ended", _SEE) from error
    finally:
        await _end(process)
    if status != 0:
        last = sanitise(told.strip().splitlines()[-1], _STDERR_TOLD) if told.strip() else ""
        raise ModelyardError(where, f"it ended with status {status}{': ' if last else ''}{last}", _SEE)


async def _talk(process: asyncio.subprocess.Process, body: bytes) -> str:
    """Give it the notice, and read what it complains of; the rest of a long complaint is read and dropped."""
    stdin, stderr = process.stdin, process.stderr
    assert stdin is not None  # noqa: S101 - both are pipes
    assert stderr is not None  # noqa: S101
    # A program that does not read its input closes it: that is not for us to judge.
    with contextlib.suppress(OSError):
        stdin.write(body)
        await stdin.drain()
    with contextlib.suppress(OSError):
        stdin.close()
    told = bytearray()
    while piece := await stderr.read(_STDERR_READ):
        told = (told + piece)[-_STDERR_READ:]
    return told.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what still runs of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()
