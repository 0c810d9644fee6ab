"""The footer and the help, made from the registry of actions."""

from __future__ import annotations

from typing import Final

from tui.actions import ACTIONS, Action
from tui.document import EMPTY, Line, Section, Span, cells, ends, pad, text
from tui.keymap import KeyMap, shown

_GROUPS: Final = ("Decide", "Change", "Look", "Move", "Panes", "Program")
_ORDER: Final = {"look.open": 0, "Decide": 1, "Change": 2, "Look": 3}


def footer_line(keymap: KeyMap, pane: str, width: int, note: Line = EMPTY) -> Line:
    """The keys that matter most in a pane, as many as fit."""
    fixed: tuple[tuple[str, str], ...] = ((":", "command"), ("?", "help"))
    tail: list[Span] = []
    for key, word in fixed:
        tail.extend((Span(key, "key"), Span(f" {word}  ", "keytext")))
    line: list[Span] = [Span(" "), Span("0-5", "key"), Span(" panes  ", "keytext")]
    room = width - cells(tuple(tail)) - (cells(note) + 3 if note else 0)
    for action in sorted((item for item in ACTIONS if item.hint and item.works_in(pane)), key=_rank):
        keys = keymap.keys(action.id)
        if not keys or action.id == "program.help":
            continue
        piece = (Span(shown(keys[0]), "key"), Span(f" {action.hint}  ", "keytext"))
        if cells((*line, *piece)) > room:
            continue
        line.extend(piece)
    return ends((*line, *tail), note, width)


def help_sections(keymap: KeyMap, pane: str, *, names: bool = True) -> tuple[Section, ...]:
    """Every action that works in a pane, by group.

    Args:
        names: whether to show the names by which `[keys]` binds them.
    """
    sections: list[Section] = []
    for group in _GROUPS:
        lines: list[Line] = []
        for action in ACTIONS:
            if action.group != group or not action.works_in(pane):
                continue
            lines.append(help_line(keymap, action, names=names))
        if lines:
            sections.append(Section(group, tuple(lines)))
    return tuple(sections)


def help_line(keymap: KeyMap, action: Action, *, names: bool) -> Line:
    """An action with its keys, its command and its name for `[keys]`."""
    keys = " ".join(shown(key) for key in keymap.keys(action.id)) or (f":{action.command}" if action.command else "")
    command = f"  :{action.command}" if action.command and keymap.keys(action.id) else ""
    role = f"  {action.role}" if action.role else ""
    return (
        *pad(text(keys, "key"), 14),
        *text(action.title),
        *text(command, "accent"),
        *text(role, "warn"),
        *text(f"  {action.id}" if names else "", "faint"),
    )


def _rank(action: Action) -> tuple[int, int]:
    return _ORDER.get(action.id, _ORDER.get(action.group, 9)), 0
