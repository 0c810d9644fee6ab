"""The whole path by keys, in a real terminal, on the demo yard: approve, deploy through a plan, see it serve."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.terminal import Terminal, require_tmux

_ROOT = Path(__file__).parents[2]
_IMAGE = "llama-3.3-70b-instruct:1.10.1"
pytestmark = pytest.mark.timeout(180)


def _demo(tmp_path: Path, width: int, height: int) -> tuple[Terminal, Path]:
    require_tmux()
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    environment = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "TERM": "screen-256color",
        "LC_ALL": "C.UTF-8",
    }
    command = [sys.executable, "-m", "tui.main", "demo"]
    terminal = Terminal(command, width=width, height=height, environment=environment, status=tmp_path / "status")
    return terminal, temporary


def _clean(temporary: Path, within: float = 10.0) -> None:
    """No process, and so no port, and no file is left of the demo whose temporary folder this is."""
    deadline = time.monotonic() + within
    while True:
        left = [str(path) for path in temporary.iterdir()] + _processes(str(temporary))
        if not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _processes(mention: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            told = command + (entry / "environ").read_bytes()
            name = (entry / "comm").read_text(encoding="utf-8").strip()
        except OSError:
            continue
        # The shell that waits in the terminal carries the folder in its own command line.
        if mention.encode() in told and name.startswith("python"):
            found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode(errors='replace')[:200]}")
    return found


@pytest.mark.parametrize(("width", "height"), [(160, 45), (80, 24)])
def test_the_path_from_a_candidate_to_a_serving_model_by_keys(tmp_path: Path, width: int, height: int) -> None:
    terminal, temporary = _demo(tmp_path, width, height)
    with terminal:
        terminal.sees("DEPLOYMENTS", "QUEUE", r"FAILED +llm-", "LIBRARY", "GPUS", within=30)
        terminal.type("2")
        terminal.sees("2 QUEUE", within=10)
        terminal.type(f"/{_IMAGE}")
        terminal.press("Enter")
        terminal.sees(rf"{re.escape(_IMAGE[-12:])} .*1/2", within=60)
        terminal.press("Enter")
        card = terminal.sees("Gates", "approvals +1 of 2", "signed by key demo")
        terminal.type("A")
        terminal.sees("Approve demo/nim/meta", "Reason", "Last six digits")
        digits = re.search(r"sha256 +([0-9a-f]{64})", terminal.screen())
        assert digits is not None, card
        terminal.type("fits the chat team")
        terminal.press("Enter")
        terminal.type(digits.group(1)[-6:])
        terminal.press("Enter")
        # The next card opens by itself; what the crew decides meanwhile may be any other.
        terminal.sees(r"━ 2 demo/(?!nim/meta/llama-3\.3-70b-instruct:1\.10\.1)\S+ ")
        terminal.type("2")
        terminal.sees(r"2 QUEUE")
        terminal.sees(rf"{re.escape(_IMAGE[-12:])} .*approved")
        terminal.type("D")
        terminal.sees("Service name", "Namespace", "estimate")
        terminal.type("my-chat")
        terminal.press("Enter")
        terminal.sees("PLAN llm-prod/my-chat", r"\+ kind: InferenceService", "nothing was changed yet")
        terminal.type("D")
        terminal.sees("Apply llm-prod/my-chat", "my-chat")
        terminal.type("my-chat")
        terminal.press("Enter")
        terminal.sees("llm-prod/my-chat", "STARTING|SERVING")
        terminal.sees("llm-prod/my-chat", "SERVING", r"1 of 1", within=40)
        terminal.type("4")
        terminal.sees("4 GPUS")
        terminal.type("/my-chat")
        terminal.press("Enter")
        terminal.sees("my-chat", "busy|tok/s", within=30)
        terminal.type("5")
        terminal.sees("5 AUDIT", "deploy.apply", "queue.approve")
        terminal.type(":q")
        terminal.press("Enter")
        assert terminal.ended() == 0
        _clean(temporary)


def test_a_lost_terminal_leaves_nothing_behind(tmp_path: Path) -> None:
    terminal, temporary = _demo(tmp_path, 120, 40)
    with terminal:
        terminal.sees("DEPLOYMENTS", within=30)
        assert _processes(str(temporary))
        terminal.lose()
        _clean(temporary)


def test_ctrl_c_leaves_the_screen_and_nothing_behind(tmp_path: Path) -> None:
    terminal, temporary = _demo(tmp_path, 120, 40)
    with terminal:
        terminal.sees("DEPLOYMENTS", within=30)
        terminal.press("C-c")
        assert terminal.ended() in (0, 130)
        _clean(temporary)
