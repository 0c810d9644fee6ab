"""Runs the real command line: in this process with its output caught, or as a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backend.cli.entry import run as run_command_line
from backend.yard import ScreenRequest

ROOT = Path(__file__).parents[2]


class Ran(NamedTuple):
    """How a command ended: its exit status and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON; fails when anything else is on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of the contract; fails unless there is exactly one, and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("modelyard: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err + self.out
        what, _, rest = lines[0].removeprefix("modelyard: ").partition(": ")
        assert what and ";" in rest, lines[0]
        return lines[0]


def modelyard(*words: str | Path, stdin: str = "") -> Ran:
    """Run a command in this process. Standard input is no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        code = run_command_line([str(word) for word in words], _no_screen)
    return Ran(code, out.getvalue(), err.getvalue())


def _no_screen(_: ScreenRequest) -> int:
    raise AssertionError("a command must not open the screen")


def start(*words: str | Path, environment: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start the program as a process, with pipes for its output."""
    return subprocess.Popen(
        [sys.executable, "-m", "tui.main", *map(str, words)],
        cwd=ROOT, env={**os.environ, **(environment or {})}, text=True, encoding="utf-8", stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a process to end."""
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out or "", err)


@dataclass
class Place:
    """A folder with a configuration file and a database, and the command line on them.

    Attributes:
        text: tables of the configuration after `[yard]`.
        yard: lines of `[yard]`.
    """

    folder: Path
    text: str = ""
    yard: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configure(self.text, self.yard)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def database(self) -> Path:
        return self.folder / "yard" / "modelyard.db"

    @property
    def logs(self) -> Path:
        """Where the program logs: the state folder of the test's home."""
        return Path(os.environ["HOME"]) / ".local" / "state" / "modelyard"

    def configure(self, text: str, yard: str = "") -> None:
        """Write the configuration anew."""
        head = ["[yard]", 'name = "test"', f"database = {json.dumps(str(self.database))}", yard]
        self.config.write_text("\n".join(head) + "\n" + text, encoding="utf-8")

    def run(self, *words: str | Path, stdin: str = "") -> Ran:
        """Run a command on this yard in this process."""
        return modelyard(*words, "--config", self.config, stdin=stdin)

    def json(self, *words: str | Path) -> Any:
        """Run a command that must succeed, and read what it printed."""
        ran = self.run(*words, "-o", "json")
        assert ran.code == 0, ran.err
        return ran.data

    def start(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Run a command on this yard as a process."""
        return start(*words, "--config", self.config, **options)

    def written(self) -> bytes:
        """Everything that the program keeps of this yard: database with its log, and log files."""
        files = [*self.database.parent.glob("*"), *self.logs.glob("*")]
        return b"".join(file.read_bytes() for file in files if file.is_file())


def registry_table(name: str, url: str, *lines: str) -> str:
    """A `[[registry]]` table."""
    return "\n".join(["[[registry]]", f'name = "{name}"', f'url = "{url}"', "insecure = true", *lines]) + "\n"


def rule_table(name: str, registry: str, *lines: str) -> str:
    """A `[[rule]]` table."""
    return "\n".join(["[[rule]]", f'name = "{name}"', f'registry = "{registry}"', *lines]) + "\n"
