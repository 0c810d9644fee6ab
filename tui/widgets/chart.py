"""Charts as lines of text: blocks and shades, no braille, readable without colours, a row of the plot one segment.

A column stands for a span of time. It is filled up to the mean of what was measured then; between the smallest and the
largest value it is shaded, so that a peak which the mean hides is seen. Where nothing was measured there is a dot at
the bottom and nothing else: a gap is no zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from backend.core.views import PointView, SeriesView
from tui import format as fmt
from tui.document import Line, Span

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_FULL, _UPPER, _BAND, _GAP = "█", "▓", "░", "·"
_NICE: Final = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_BINARY: Final = 1024.0
#: Cells between two marks of the time axis, and the seconds that they may be apart.
_BETWEEN: Final = 13
_DAY: Final = 86400
_NOW: Final = " now"
_MARKS: Final = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, _DAY, 2 * _DAY, 5 * _DAY, 10 * _DAY)
#: Units whose scale is the same in every chart, and its top.
_FIXED: Final = {"percent": 100.0, "share": 1.0}


class Bucket(NamedTuple):
    """What was measured in the time of one column."""

    mean: float
    low: float
    high: float


class Chart(NamedTuple):
    """A chart to be drawn.

    Attributes:
        start, end: of the time axis.
        ceiling: top of the scale at least, such as a GPU's memory; None: what was measured decides.
        role: of the plot.
    """

    series: SeriesView
    start: datetime
    end: datetime
    ceiling: float | None = None
    role: str = "gauge-middle"


def draw(chart: Chart, width: int, height: int, margin: int = 0) -> list[Line]:
    """The plot with its axes in so many cells and lines, the time axis among them.

    Args:
        margin: cells left of the axis at least, so that charts below each other share one.
    """
    rows = max(1, height - 1)
    top = scale_of(chart)
    names = _axis_names(top, rows, chart.series.unit)
    margin = max(margin, margin_of(chart, height))
    columns = buckets(chart, max(1, width - margin - 1))
    lines: list[Line] = []
    for row in range(rows - 1, -1, -1):
        name = names.get(row, "").rjust(margin)
        mark = "┤" if row in names else "│"
        lines.append((Span(name, "muted"), Span(mark, "rule"), Span(plot_row(columns, row, rows, top), chart.role)))
    lines.append((Span(" " * margin), Span("└", "rule"), Span(time_axis(chart, len(columns)), "muted")))
    return lines


def margin_of(chart: Chart, height: int) -> int:
    """Cells that the names of the axis take."""
    names = _axis_names(scale_of(chart), max(1, height - 1), chart.series.unit)
    return max((len(name) for name in names.values()), default=0)


def strip(states: Sequence[tuple[Span, SeriesView]], start: datetime, end: datetime, width: int, unknown: Span) -> Line:
    """One line that shows which of several states prevailed over the time of each cell.

    Args:
        states: a mark for each, and the share of the time spent in it.
        unknown: where none was measured.
    """
    columns = [buckets(Chart(series, start, end), width) for _, series in states]
    cells = []
    for column in range(width):
        found = [
            (bucket.mean, mark) for (mark, _), line in zip(states, columns, strict=True) if (bucket := line[column])
        ]
        cells.append(max(found, key=lambda each: each[0])[1] if found else unknown)
    joined: list[Span] = []
    for cell in cells:
        if joined and joined[-1].role == cell.role:
            joined[-1] = Span(joined[-1].text + cell.text, cell.role)
        else:
            joined.append(cell)
    return tuple(joined)


def buckets(chart: Chart, width: int) -> list[Bucket | None]:
    """What was measured in the time of each column; None: nothing was.

    A point fills the columns of its own step, so that a coarse series is no comb.
    """
    seconds = (chart.end - chart.start).total_seconds()
    found: list[list[PointView]] = [[] for _ in range(width)]
    if seconds <= 0:
        return [None] * width
    for point in chart.series.points:
        offset = (point.at - chart.start).total_seconds()
        first = math.floor(offset / seconds * width + 1e-9)
        last = math.ceil((offset + chart.series.step) / seconds * width - 1e-9) - 1
        for column in range(max(0, first), min(width - 1, max(first, last)) + 1):
            found[column].append(point)
    return [_together(points) for points in found]


def plot_row(columns: Sequence[Bucket | None], row: int, rows: int, top: float) -> str:
    """One row of the plot, the lowest being 0."""
    cells = []
    for bucket in columns:
        if bucket is None:
            cells.append(_GAP if row == 0 else " ")
            continue
        low, mean, high = (max(0.0, min(1.0, value / top)) * rows for value in (bucket.low, bucket.mean, bucket.high))
        cells.append(_cell(low - row, mean - row, high - row, row == 0))
    return "".join(cells)


def scale_of(chart: Chart) -> float:
    """The top of the scale: fixed for percentages, else a round number above all that was measured."""
    unit = chart.series.unit
    fixed = _FIXED.get(unit)
    if fixed is not None:
        return fixed
    most = max((point.high for point in chart.series.points), default=0.0)
    if chart.ceiling is not None and chart.ceiling >= most:
        return chart.ceiling
    if most <= 0:
        return _BINARY**3 if unit == "bytes" else 1.0
    base = _BINARY if unit == "bytes" else 10.0
    power = math.pow(base, math.floor(math.log(most, base)))
    decades = [power * factor * 10.0**exponent for exponent in range(4) for factor in _NICE]
    return next(nice for nice in decades if nice >= most)


def value_text(value: float | None, unit: str) -> str:
    """A value as it is read: `87%`, `412 W`, `1.2 s`, `62.5 GiB`."""
    if value is None:
        return fmt.UNKNOWN
    if unit == "percent":
        return f"{value:.0f}%"
    if unit == "share":
        return f"{value * 100:.0f}%" if value == 0 or value >= 0.01 else f"{value * 100:.2f}%"
    if unit == "bytes":
        return fmt.size(round(value))
    if unit == "seconds":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"
    suffix = {"watts": " W", "celsius": " °C", "tokens/s": "/s", "requests/s": "/s"}.get(unit, "")
    return f"{short(value)}{suffix}"


def short(value: float) -> str:
    """A number in four characters or a few more: `0.25`, `12`, `1.3k`, `2.1M`."""
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.3g}M"
    if size >= 9_999.5:
        return f"{value / 1e3:.3g}k"
    if size >= 100 or value == round(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def time_axis(chart: Chart, width: int) -> str:
    """Round times in UTC, and `now` at the end."""
    span = (chart.end - chart.start).total_seconds()
    cells = [" "] * width
    wanted = span * _BETWEEN / width
    step = next((step for step in _MARKS if step >= wanted), _MARKS[-1])
    form = "%H:%M" if step < _DAY and span <= 2 * _DAY else "%d %H:%M" if step < _DAY else "%m-%d"
    at = math.ceil(chart.start.timestamp() / step) * step
    while at < chart.end.timestamp():
        column = int((at - chart.start.timestamp()) / span * width)
        word = f"╵{datetime.fromtimestamp(at, UTC).strftime(form)}"
        if column + len(word) <= width - len(_NOW):
            _put(cells, column, word)
        at += step
    _put(cells, width - len(_NOW), _NOW)
    return "".join(cells)


def measured_share(chart: Chart, width: int = 200) -> float:
    """Share of the time in which something was measured, to a column."""
    columns = buckets(chart, width)
    return sum(bucket is not None for bucket in columns) / len(columns)


def _together(points: Sequence[PointView]) -> Bucket | None:
    if not points:
        return None
    return Bucket(
        sum(point.mean for point in points) / len(points),
        min(point.low for point in points),
        max(point.high for point in points),
    )


def _cell(low: float, mean: float, high: float, lowest: bool) -> str:
    """A cell of which the three values are known from its own bottom, in heights of a cell."""
    if low >= 1:
        return _FULL
    if mean >= 1:
        return _UPPER
    if mean > 0.5 / 8:
        return _BAND if high >= 1 and mean < 0.5 else _EIGHTHS[max(1, round(mean * 8))]
    if high >= 0.5:
        return _BAND
    # What was measured as nothing is a line, not a gap.
    return _EIGHTHS[1] if lowest else " "


def _axis_names(top: float, rows: int, unit: str) -> dict[int, str]:
    """Rows of the plot that are named: the highest by the top of the scale, the lowest by 0, one between."""
    names = {rows - 1: value_text(top, unit)}
    if rows > 1:
        names[0] = "0"
    if rows >= 4 and rows % 2 == 0:
        # A row is named by the value at its top.
        names[rows // 2 - 1] = value_text(top / 2, unit)
    return names


def _put(cells: list[str], at: int, word: str) -> None:
    for offset, character in enumerate(word):
        if 0 <= at + offset < len(cells):
            cells[at + offset] = character
