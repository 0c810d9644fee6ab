"""Theme files and their loader.

A theme is a TOML file: `name`, `dark`, `ansi`, a table `[colours]` for what Textual draws itself, and a table `[roles]`
that says how each role of the screen's text looks, in the words of rich's styles ("bold #ff6b6b on #10141a"). A theme
of a user may leave roles out: they come from the shipped theme of the same kind.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.core.errors import ConfigurationError

NIGHT: Final = "night"
DAY: Final = "day"
SIXTEEN: Final = "sixteen"
SHIPPED: Final = (NIGHT, DAY, SIXTEEN)
_FOLDER: Final = Path(__file__).parent
_MAX_FILE: Final = 64 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}\Z|ansi_[a-z_]{3,20}\Z")
_WORD: Final = re.compile(r"#[0-9a-fA-F]{6}\Z|[a-z_]{2,16}\Z")
_ATTRIBUTES: Final = frozenset({"bold", "dim", "italic", "underline", "reverse", "strike", "on", "default"})
_ANSI_NAMES: Final = frozenset({"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"})


@dataclass(frozen=True, kw_only=True)
class ThemeData:
    """A theme as its file says it.

    Attributes:
        ansi: its colours are the terminal's own sixteen.
        colours: for Textual: background, foreground, surface, panel, primary, accent, warning, error, success, rule.
        roles: role to rich style words; complete, a user theme's gaps filled from the shipped one.
    """

    name: str
    dark: bool
    ansi: bool
    colours: Mapping[str, str]
    roles: Mapping[str, str]


def load(name: str, folder: Path | None = None) -> ThemeData:
    """The theme of a name: the user's own file in `folder` first, else a shipped one. Reads small files.

    Raises:
        ConfigurationError: there is no such theme, or its file is malformed.
    """
    if not _NAME.match(name):
        raise ConfigurationError(f"{name[:60]!r} is no name of a theme", f"choose one of {', '.join(SHIPPED)}")
    own = folder / f"{name}.toml" if folder is not None else None
    if own is not None and own.is_file():
        return _read(own, name, complete=False)
    if name in SHIPPED:
        return _read(_FOLDER / f"{name}.toml", name, complete=True)
    raise ConfigurationError(f"there is no theme {name!r}", f"choose one of {', '.join(SHIPPED)}")


def suitable(environment: Mapping[str, str]) -> str:
    """The shipped theme for a terminal, from NO_COLOR, COLORTERM and TERM: `night` where colours are many."""
    if "NO_COLOR" in environment:
        return SIXTEEN
    terminal = environment.get("TERM", "")
    many = (
        environment.get("COLORTERM", "").lower() in {"truecolor", "24bit"}
        or "256color" in terminal
        or "direct" in terminal
        or terminal in {"alacritty", "foot", "xterm-kitty", "xterm-ghostty", "wezterm"}
    )
    return NIGHT if many else SIXTEEN


def _read(path: Path, name: str, *, complete: bool) -> ThemeData:
    try:
        data = path.read_bytes()[: _MAX_FILE + 1]
        table = tomllib.loads(data.decode("utf-8")) if len(data) <= _MAX_FILE else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(path, str(error)) from error
    unknown = set(table) - {"name", "dark", "ansi", "colours", "roles"}
    if unknown or not table:
        raise _bad(path, f"unknown key {min(unknown)!r}" if unknown else "the file is empty or too large")
    dark, ansi = table.get("dark", True), table.get("ansi", False)
    if not isinstance(dark, bool) or not isinstance(ansi, bool):
        raise _bad(path, "dark and ansi are true or false")
    colours = _strings(path, "colours", table.get("colours", {}))
    roles = _strings(path, "roles", table.get("roles", {}))
    if not complete:
        base = load(SIXTEEN if ansi else NIGHT if dark else DAY)
        _check_known(path, colours, base.colours)
        _check_known(path, roles, base.roles)
        colours, roles = {**base.colours, **colours}, {**base.roles, **roles}
    for key, value in colours.items():
        if not _COLOUR.match(value):
            raise _bad(path, f"colours.{key} is {value!r}, not #rrggbb or ansi_NAME")
    for key, value in roles.items():
        if not all(_is_style_word(word) for word in value.split()):
            raise _bad(path, f"roles.{key} is {value!r}, which is no style")
    return ThemeData(name=name, dark=dark, ansi=ansi, colours=colours, roles=roles)


def _strings(path: Path, where: str, table: object) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise _bad(path, f"[{where}] holds texts only")
    return {str(key): str(value) for key, value in table.items()}


def _check_known(path: Path, given: Mapping[str, str], known: Mapping[str, str]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise _bad(path, f"unknown key {unknown[0]!r}")


def _is_style_word(word: str) -> bool:
    return bool(_WORD.match(word)) and (
        word.startswith("#") or word in _ATTRIBUTES or word.removeprefix("bright_") in _ANSI_NAMES
    )


def _bad(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"the theme cannot be used: {why}", "correct the file or choose another theme", path=path)
