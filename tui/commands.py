"""The command line after `:`: what can be typed, and what completes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tui.actions import ACTIONS, LISTS, Action

_ALIASES: Final = {
    "q": "quit",
    "q!": "quit",
    "wq": "quit",
    "exit": "quit",
    "0": "overview",
    "1": "library",
    "2": "queue",
    "3": "deployments",
    "4": "gpus",
    "5": "audit",
    "images": "library",
    "lib": "library",
    "candidates": "queue",
    "isvc": "deployments",
    "services": "deployments",
    "deploys": "deployments",
    "gpu": "gpus",
    "ledger": "audit",
    "h": "help",
}
_BY_COMMAND: Final = {action.command: action for action in ACTIONS if action.command}
_HISTORY: Final = 100


@dataclass(frozen=True)
class Command:
    """A typed command.

    Attributes:
        word: its name with aliases resolved.
        action: of the registry, or None for commands that are not actions (`theme`).
        arguments: words after it.
        filter: what stood after ` /`, None when nothing did.
        error: why it cannot be done, empty when it can.
    """

    word: str
    action: Action | None = None
    arguments: tuple[str, ...] = ()
    filter: str | None = None
    error: str = ""


def parse(line: str) -> Command:
    """Read a command line such as `deployments llm-prod /llama` or `sync nim-llama --dry-run`."""
    head, slash, pattern = line.strip().partition(" /") if not line.strip().startswith("/") else ("", "/", line[1:])
    import shlex

    try:
        words = shlex.split(head)
    except ValueError:
        words = head.split()
    if not words:
        return Command("", error="nothing was typed") if not slash else Command("", filter=pattern)
    word = _ALIASES.get(words[0], words[0])
    action = _BY_COMMAND.get(word) or _by_verb(word)
    if action is None and word != "theme":
        close = [name for name in names() if name.startswith(word[:2])]
        hint = f"; perhaps {', '.join(close[:3])}" if close else "; ? shows what there is"
        return Command(word, error=f"there is no command {word[:40]!r}{hint}")
    return Command(word, action, tuple(words[1:]), pattern if slash else None)


def names() -> list[str]:
    """Every word that a command may start with, aliases left out."""
    return sorted({*_BY_COMMAND, *(action.id.partition(".")[2] for action in ACTIONS if action.mutates), "theme"})


def complete(line: str, namespaces: Iterable[str], rules: Iterable[str], themes: Iterable[str]) -> list[str]:
    """Whole lines that the typed line may become, the likeliest first."""
    head, space, last = line.rpartition(" ")
    if not space:
        return [name for name in names() if name.startswith(last)] if last else []
    word = _ALIASES.get(head.split()[0], head.split()[0]) if head.split() else ""
    choices: Iterable[str] = ()
    if word in LISTS:
        choices = namespaces if word == "deployments" else ()
    elif word == "sync":
        choices = [*rules, "--dry-run"]
    elif word == "theme":
        choices = themes
    return [f"{head} {choice}" for choice in sorted(set(choices)) if choice.startswith(last) and choice != last]


class History:
    """What was typed, newest last."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._at = 0

    def add(self, line: str) -> None:
        """Remember a line, once."""
        if line:
            self._lines = [*(kept for kept in self._lines if kept != line), line][-_HISTORY:]
        self._at = len(self._lines)

    def step(self, by: int) -> str:
        """The line before or after the one shown; empty after the newest."""
        self._at = max(0, min(self._at + by, len(self._lines)))
        return self._lines[self._at] if self._at < len(self._lines) else ""


class Filter:
    """A filter as typed: a regular expression without regard to case, `!` inverts; what is no expression is literal."""

    def __init__(self, typed: str) -> None:
        self.typed = typed
        self.inverse = typed.startswith("!")
        wanted = typed[1:] if self.inverse else typed
        self.literal = False
        try:
            self.pattern = re.compile(wanted, re.IGNORECASE)
        except re.error:
            self.literal = True
            self.pattern = re.compile(re.escape(wanted), re.IGNORECASE)

    def keeps(self, haystack: str) -> bool:
        """Whether a text passes."""
        return (self.pattern.search(haystack) is None) == self.inverse

    def indices(self, haystacks: Sequence[str]) -> list[int]:
        """The positions of the texts that pass."""
        search, inverse = self.pattern.search, self.inverse
        return [index for index, haystack in enumerate(haystacks) if (search(haystack) is None) == inverse]


def _by_verb(word: str) -> Action | None:
    found = [action for action in ACTIONS if action.mutates and action.id.partition(".")[2] == word]
    return found[0] if found else None
