"""Finds the line of a key in a TOML text, which no TOML reader tells after parsing.

Only used to say where an error is: on a text that TOML itself accepted, by the grammar of TOML 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_PART: Final = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_KEY_PART: Final = re.compile(_PART)
_NOT_STRUCTURE: Final = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]')


def key_lines(text: str) -> dict[KeyPath, int]:
    """The 1-based line of every table header and key; elements of arrays of tables carry their index."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    depth = 0
    quote = ""
    # Lines as TOML knows them: `splitlines` would also break at characters that comments and texts may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if depth == 0 and not quote:
            if header := _HEADER.match(line):
                table = _open_table(header.group(1) == "[[", _parts(header.group(2)), counts)
                lines.setdefault(table, number)
                continue
            if key := _KEY.match(line):
                path = table + _parts(key.group(1))
                lines.setdefault(path, number)
                line = line[key.end() :]
        depth, quote = _open_brackets(line, depth, quote)
    return lines


def line_of(lines: dict[KeyPath, int], path: Sequence[str | int]) -> int | None:
    """The line of the longest known part of a path; parts that the text lacks (a union's tag) are passed over."""
    known: KeyPath = ()
    found: int | None = lines.get(known)
    for part in path:
        longer = (*known, part)
        if any(candidate[: len(longer)] == longer for candidate in lines):
            known = longer
            found = lines.get(known, found)
    return found


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _KEY_PART.findall(dotted))


def _open_table(is_element: bool, names: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    path: KeyPath = ()
    for position, name in enumerate(names):
        path = (*path, name)
        last = position == len(names) - 1
        if last and is_element:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _open_brackets(line: str, depth: int, quote: str) -> tuple[int, str]:
    """How many brackets, and which multi-line string, are still open after the line."""
    position = 0
    while position < len(line):
        if quote:
            end = line.find(quote, position)
            if end < 0:
                return depth, quote
            position, quote = end + 3, ""
            continue
        token = _NOT_STRUCTURE.search(line, position)
        if token is None:
            break
        position = token.end()
        if token.group() in ('"""', "'''"):
            quote = token.group()
        elif token.group() in "[{":
            depth += 1
        elif token.group() in "]}":
            depth = max(0, depth - 1)
    return depth, quote
