"""Keys of actions: the registry's own, changed by the `[keys]` table, checked before the screen opens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from backend.core.errors import ConfigurationError
from tui.actions import ACTIONS, BY_ID, PANES, Action

_KEY: Final = re.compile(
    r"[!-~]\Z|(?:(?:ctrl|shift|alt)\+)*(?:[!-~]|tab|enter|escape|space|backspace|delete|insert|home|end|pageup|pagedown"
    r"|up|down|left|right|f[1-9]|f1[0-2])\Z"
)
_NAMES: Final = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "page-up": "pageup",
    "page-down": "pagedown",
}


class KeyMap:
    """Which key does what, in each pane.

    Raises:
        ConfigurationError: the table names no action, no key, or one key for two actions of a pane; all of it is told.
    """

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self._keys: dict[str, tuple[str, ...]] = {action.id: action.keys for action in ACTIONS}
        problems: list[str] = []
        for name, words in (overrides or {}).items():
            problems.extend(self._rebind(name, words))
        self._actions: dict[str, dict[str, Action]] = {pane: {} for pane in PANES}
        for pane in PANES:
            problems.extend(self._fill(pane))
        if problems:
            unique = list(dict.fromkeys(problems))
            raise ConfigurationError(
                f"[keys] cannot be used: {'; '.join(unique)}", "correct the table [keys]; `?` on the screen shows names"
            )

    def keys(self, action: str) -> tuple[str, ...]:
        """The keys of an action."""
        return self._keys[action]

    def action(self, pane: str, key: str) -> Action | None:
        """What a key does in a pane."""
        return self._actions.get(pane, {}).get(key)

    def _rebind(self, name: str, words: str) -> list[str]:
        if name not in BY_ID:
            import difflib

            close = difflib.get_close_matches(name, BY_ID, n=1)
            return [f"there is no action {name!r}" + (f", perhaps {close[0]!r}" if close else "")]
        keys = tuple(_normal(word) for word in words.split())
        if wrong := [key for key in keys if not _KEY.match(key)]:
            return [f"{name!r} has {wrong[0]!r}, which is no key"]
        self._keys[name] = keys
        return []

    def _fill(self, pane: str) -> list[str]:
        problems: list[str] = []
        table = self._actions[pane]
        for action in ACTIONS:
            if not action.works_in(pane):
                continue
            for key in self._keys[action.id]:
                if key in table:
                    problems.append(f"{key!r} is both {table[key].id} and {action.id}")
                else:
                    table[key] = action
        return problems


def key_of(key: str, character: str | None) -> str:
    """A key press as the registry writes it: the character where it prints, else Textual's name of the key."""
    if character is not None and len(character) == 1 and character.isprintable() and character != " ":
        return character
    return key


def shown(key: str) -> str:
    """A key as a person reads it."""
    names = {"escape": "Esc", "enter": "Enter", "tab": "Tab", "pageup": "PgUp", "pagedown": "PgDn", "space": "Space"}
    if key in names:
        return names[key]
    if "+" in key and len(key) > 1:
        return "-".join(part.capitalize() for part in key.split("+"))
    return key.capitalize() if len(key) > 1 else key


def _normal(word: str) -> str:
    if len(word) == 1:
        return word
    lowered = word.lower()
    *modifiers, last = lowered.split("+")
    return "+".join([*modifiers, _NAMES.get(last, last)])
