"""A real terminal: a program in tmux, typed at and read like a person would."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_LOOK_EVERY = 0.1


def require_tmux() -> None:
    """Skip where tmux is missing; where CI says that it must be there, fail."""
    if shutil.which("tmux") is None:
        if os.environ.get("CI"):
            pytest.fail("tmux is not installed")
        pytest.skip("tmux is not installed")


class Terminal:
    """A terminal of a size with one program in it. Use it as a context manager: its end takes the program with it."""

    def __init__(
        self, command: Sequence[str], *, width: int, height: int, environment: Mapping[str, str], status: Path
    ) -> None:
        """
        Args:
            status: a file that the program's exit status is written to when it ends.
        """
        self._socket = f"modelyard-{uuid.uuid4().hex[:12]}"
        self._status = status
        assignments = [f"{name}={value}" for name, value in environment.items()]
        program = shlex.join(["env", *assignments, *command])
        self._tmux(
            "-f",
            os.devnull,
            "new-session",
            "-d",
            "-s",
            "test",
            "-x",
            str(width),
            "-y",
            str(height),
            f"{program}; echo $? > {shlex.quote(str(status))}; exec sleep 60",
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.lose()

    def lose(self) -> None:
        """Take the terminal away from the program, as a broken connection does."""
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], check=False, capture_output=True)

    def type(self, text: str) -> None:
        """Type characters, as fast as they can be sent."""
        self._tmux("send-keys", "-t", "test", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys that tmux has names for."""
        self._tmux("send-keys", "-t", "test", *keys)

    def screen(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p", "-t", "test")

    def sees(self, *patterns: str, within: float = 20.0) -> str:
        """Wait until every regular expression matches the screen; gives the screen."""
        deadline = time.monotonic() + within
        while True:
            shown = self.screen()
            missing = [pattern for pattern in patterns if not re.search(pattern, shown)]
            if not missing:
                return shown
            if time.monotonic() > deadline:
                raise AssertionError(f"not on the screen within {within:g} s: {missing}\n{shown}")
            time.sleep(_LOOK_EVERY)

    def ended(self, within: float = 15.0) -> int:
        """Wait until the program ended; gives its exit status."""
        deadline = time.monotonic() + within
        while not (self._status.exists() and self._status.read_text(encoding="ascii").strip()):
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not end within {within:g} s\n{self.screen()}")
            time.sleep(_LOOK_EVERY)
        return int(self._status.read_text(encoding="ascii"))

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout
