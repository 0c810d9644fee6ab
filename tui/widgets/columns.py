"""Which columns of a table fit, and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tui.document import Line

Item = TypeVar("Item")
GAP = 2


@dataclass(frozen=True, kw_only=True)
class Column(Generic[Item]):
    """A column: how a cell is made of an item, and how it gives way.

    Attributes:
        key: what `s` sorts by and tests name.
        title: heading, empty for columns of marks.
        cell: the text of an item's cell; must be cheap, it is asked at every repaint.
        minimum, maximum: cells; the column takes what its contents need in between.
        flex: share of what is left over after every column has what it needs.
        priority: 1 stays longest.
        right: text stands at the right, for numbers.
        sort: what the column sorts by; None: it cannot be sorted by.
        tight: only one blank cell follows.
        keep_end: a text that is cut loses its start: the end of an image's name tells more.
        shown_from: cells that the row must have for it to be shown at all.
    """

    key: str
    title: str
    cell: Callable[[Item], Line]
    minimum: int
    maximum: int = 0
    flex: int = 0
    priority: int = 1
    right: bool = False
    sort: Callable[[Item], object] | None = None
    tight: bool = False
    keep_end: bool = False
    shown_from: int = 0

    @property
    def most(self) -> int:
        """The largest width without a share of what is left over."""
        return max(self.minimum, self.maximum)

    @property
    def gap(self) -> int:
        """Blank cells after it."""
        return 1 if self.tight else GAP


def fit_columns(columns: Sequence[Column[Item]], needed: Sequence[int], width: int) -> list[tuple[int, int]]:
    """The columns that are shown, as index and width, in their order.

    Args:
        needed: cells that the contents of each column would take.
        width: cells of the whole row, gaps included.
    """
    allowed = [index for index, column in enumerate(columns) if column.shown_from <= width]
    order = sorted(allowed, key=lambda index: (columns[index].priority, index))
    shown: list[int] = []
    used = 0
    for index in order:
        column = columns[index]
        cost = column.minimum + (column.gap if shown else 0)
        if used + cost > width and shown:
            # Nothing that matters less is shown in place of what matters more.
            break
        shown.append(index)
        used += cost
    widths = {index: min(columns[index].minimum, width) for index in shown}
    left = width - _total(columns, sorted(shown), widths)
    # What does not share the rest comes first: a number cut short is worse than a sentence cut short.
    for index in sorted(shown, key=lambda index: (columns[index].flex > 0, columns[index].priority, index)):
        wanted = min(max(needed[index], columns[index].minimum), columns[index].most)
        grown = min(wanted - widths[index], left)
        if grown > 0:
            widths[index] += grown
            left -= grown
    shares = sum(columns[index].flex for index in shown)
    for index in sorted(shown):
        flex = columns[index].flex
        if flex and left > 0 and shares:
            share = left * flex // shares
            widths[index] += share
            left -= share
            shares -= flex
    return [(index, widths[index]) for index in sorted(shown) if widths[index] > 0]


def _total(columns: Sequence[Column[Item]], shown: Sequence[int], widths: dict[int, int]) -> int:
    gaps = sum(columns[index].gap for index in shown[:-1])
    return sum(widths[index] for index in shown) + gaps
