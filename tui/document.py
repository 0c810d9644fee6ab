"""Text with roles: what view models make and widgets draw.

A role names why a piece of text looks as it does ("failed", "muted"); the theme says how. Nothing here knows a
terminal, so view models are tested as plain values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from backend.core.text import ELLIPSIS, sanitise

_LEAST_RIGHT: Final = 14
_WORD: Final = re.compile(r"\s*\S+\s*|\s+")


class Span(NamedTuple):
    """A piece of text and the role of the palette that it is drawn in."""

    text: str
    role: str = ""


Line = tuple[Span, ...]
EMPTY: Line = ()


class Section(NamedTuple):
    """A titled part of a detail view. `side` sections stand in the left column where there are two."""

    title: str
    lines: tuple[Line, ...]
    note: str = ""
    side: bool = False


def text(value: object, role: str = "") -> Line:
    """One line of sanitised text in one role; empty text makes an empty line."""
    clean = sanitise(value if isinstance(value, str) else str(value))
    return (Span(clean, role),) if clean else EMPTY


def label(value: object, width: int) -> Line:
    """A label in at least `width` cells; what is wrapped after it stays to its right."""
    clean = sanitise(str(value))
    return (Span(clean + " " * max(1, width - cell_len(clean)), "label"),)


def join(*parts: Line, gap: str = " ") -> Line:
    """The parts that are not empty, one after the other with a gap between."""
    result: list[Span] = []
    for part in parts:
        if not part:
            continue
        if result and gap:
            result.append(Span(gap))
        result.extend(part)
    return tuple(result)


def cells(line: Line) -> int:
    """How many terminal cells the line takes."""
    return sum(len(span.text) if span.text.isascii() else cell_len(span.text) for span in line)


def plain(line: Line) -> str:
    """The text without roles."""
    return "".join(span.text for span in line)


def cut(value: str, width: int) -> str:
    """The text in at most `width` cells, an ellipsis at its end where something is missing."""
    if width <= 0:
        return ""
    if (len(value) if value.isascii() else cell_len(value)) <= width:
        return value
    if width == 1:
        return ELLIPSIS
    return set_cell_size(value, width - 1).rstrip() + ELLIPSIS


def difference(old: Line, new: Line, width: int) -> tuple[int, int]:
    """The first cell that differs between two lines, and the one after the last; equal where none does."""
    before, after = _cells_of(old, width), _cells_of(new, width)
    differing = [at for at in range(width) if before[at] != after[at]]
    return (differing[0], differing[-1] + 1) if differing else (0, 0)


def _cells_of(line: Line, width: int) -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for span in line:
        if span.text.isascii():
            result.extend((character, span.role) for character in span.text)
            continue
        for character in span.text:
            # The second cell of a wide character changes with the first.
            result.extend([(character, span.role)] * max(1, cell_len(character)))
    result.extend([(" ", "")] * (width - len(result)))
    return result[:width]


def fit(line: Line, width: int) -> Line:
    """The line in at most `width` cells, an ellipsis at its end where something is missing."""
    if cells(line) <= width:
        return line
    result: list[Span] = []
    left = width
    for position, span in enumerate(line):
        size = cell_len(span.text)
        is_last = position == len(line) - 1
        if size < left or (size == left and is_last):
            result.append(span)
            left -= size
            continue
        result.append(Span(cut(span.text + (ELLIPSIS if size == left else ""), left), span.role))
        break
    return tuple(result)


def fit_end(line: Line, width: int) -> Line:
    """The line in at most `width` cells, an ellipsis at its start where something is missing."""
    if cells(line) <= width:
        return line
    result: list[Span] = []
    left = width - 1
    for span in reversed(line):
        size = cell_len(span.text)
        if size > left:
            # Cut by characters from the end; a wide character that does not fit leaves its cell blank.
            kept = span.text
            while kept and cell_len(kept) > left:
                kept = kept[1:]
            result.append(Span(kept, span.role))
            break
        result.append(span)
        left -= size
    return (Span(ELLIPSIS, "faint"), *reversed(result)) if width > 0 else EMPTY


def pad(line: Line, width: int, *, right: bool = False) -> Line:
    """The line in exactly `width` cells, its text at the left or the right."""
    line = fit(line, width)
    missing = width - cells(line)
    if missing <= 0:
        return line
    blank = Span(" " * missing)
    return (blank, *line) if right else (*line, blank)


def ends(left: Line, right: Line, width: int, fill: Span | None = None) -> Line:
    """`left` and `right` at the two ends of `width` cells; `right` gives way where both do not fit."""
    filler = fill or Span(" ")
    room = width - cells(left)
    if right and room < cells(right) + 2:
        right = fit(right, room - 2) if room > _LEAST_RIGHT else EMPTY
    left = fit(left, width)
    missing = width - cells(left) - cells(right)
    return (*left, Span(filler.text * max(0, missing), filler.role), *right)


def wrap(line: Line, width: int, indent: int = 0) -> list[Line]:
    """The line over as many lines as it needs, broken at spaces; lines after the first start after `indent` cells."""
    if cells(line) <= width:
        return [line]
    width = max(width, indent + 8)
    margin = [Span(" " * indent)] if indent else []
    lines: list[list[Span]] = [[]]
    used = 0
    for word, role in _words(line):
        bare = cell_len(word.rstrip(" "))
        # A word longer than a line, such as a digest, is broken where it stands: it would be broken anyway.
        if used + bare > width and used > indent and (bare <= width - indent or used >= width):
            lines.append(list(margin))
            used = indent
        rest = word
        while used + cell_len(rest.rstrip(" ")) > width:
            head = chop_cells(rest, width - used)[0]
            lines[-1].append(Span(head, role))
            rest = rest[len(head) :]
            lines.append(list(margin))
            used = indent
        kept = rest if used + cell_len(rest) <= width else rest.rstrip(" ")
        if kept:
            lines[-1].append(Span(kept, role))
            used += cell_len(kept)
        if kept != rest and not rest.strip():
            # The gap before a word belongs to its line: where there is no room for it, there is none for the word.
            used = width
    return [tuple(spans) for spans in lines if spans]


def wrap_all(lines: Iterable[Line], width: int, indent: int = 2) -> tuple[Line, ...]:
    """Every line wrapped."""
    result: list[Line] = []
    for line in lines:
        result.extend(wrap(line, width, indent) if line else [EMPTY])
    return tuple(result)


def facts(rows: Sequence[tuple[str, Line]], label_width: int = 0) -> tuple[Line, ...]:
    """Label and value lines, the values under each other; rows without a value are left out."""
    kept = [(label, value) for label, value in rows if value]
    width = max([label_width, *(len(label) for label, _ in kept)], default=0)
    return tuple((Span(label.ljust(width + 2), "label"), *value) for label, value in kept)


def _words(line: Line) -> Iterable[tuple[str, str]]:
    """Words with the spaces after them, each with its role."""
    for span in line:
        for match in _WORD.finditer(span.text):
            yield match.group(), span.role
