"""Differences of two texts, line by line, and which of their unchanged lines need not be seen. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final, NamedTuple

from backend.core.views import DiffLineView

#: Unchanged lines around a change that are shown with it.
CONTEXT: Final = 3
#: A fold that hides less than this saves nothing: it takes a line itself.
_LEAST_HIDDEN: Final = 2


class Run(NamedTuple):
    """Lines that belong together; `folds` where none of them changed and none stands beside a change."""

    lines: tuple[DiffLineView, ...]
    folds: bool


def difference(before: str, after: str) -> tuple[DiffLineView, ...]:
    """Every line of both texts with what becomes of it; empty where they are the same."""
    if before == after:
        return ()
    old, new = before.splitlines(), after.splitlines()
    lines: list[DiffLineView] = []
    for tag, old_from, old_to, new_from, new_to in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            lines += [DiffLineView(mark=" ", text=line) for line in old[old_from:old_to]]
            continue
        lines += [DiffLineView(mark="-", text=line) for line in old[old_from:old_to]]
        lines += [DiffLineView(mark="+", text=line) for line in new[new_from:new_to]]
    return tuple(lines)


def runs(lines: Sequence[DiffLineView], context: int = CONTEXT) -> tuple[Run, ...]:
    """The lines in their order, as runs that are seen and runs that fold.

    Args:
        context: unchanged lines that stay beside a change.
    """
    changed = [at for at, line in enumerate(lines) if line.mark != " "]
    seen = {near for at in changed for near in range(at - context, at + context + 1)}
    found: list[Run] = []
    at = 0
    while at < len(lines):
        end, folds = at, at not in seen
        while end < len(lines) and (end not in seen) == folds:
            end += 1
        run = tuple(lines[at:end])
        if folds and len(run) < _LEAST_HIDDEN:
            folds = False
        if found and not folds and not found[-1].folds:
            run = (*found.pop().lines, *run)
        found.append(Run(run, folds))
        at = end
    return tuple(found)
