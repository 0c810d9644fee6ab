"""The GPUs of a replica side by side, so that one that holds the others up stands out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from backend.core.gpu_lists import is_stale, load_of
from backend.core.views import GpuView
from tui.document import Line, Span, fit, pad, text
from tui.panes.gpus.cells import NOTHING, STATE_MARK, STATE_ROLE, shown_state

_LABEL: Final = 10
_RANK: Final = 5
_SIDE_BY_SIDE: Final = 8


class _Figure(NamedTuple):
    """Something that ranks of one replica have in common, and how far one may be from the others.

    Attributes:
        share: of the others' median; least: in the figure's own unit. Beyond both of them, it stands out.
        worse: of two ranks that are apart, which one is the odd one: the higher (1), the lower (-1), or neither (0).
    """

    name: str
    unit: str
    value: Callable[[GpuView], float | None]
    share: float
    least: float
    worse: int = 0


_FIGURES: Final = (
    _Figure("load", "%", load_of, 0.15, 12.0),
    _Figure("tensor", "%", lambda gpu: gpu.tensor_active, 0.3, 12.0),
    _Figure("memory", "GiB", lambda gpu: None if gpu.memory_used is None else gpu.memory_used / 2**30, 0.1, 2.0, 1),
    _Figure("power", "W", lambda gpu: gpu.power, 0.2, 40.0),
    _Figure("heat", "°C", lambda gpu: gpu.temperature, 0.15, 10.0, 1),
    _Figure("clock", "MHz", lambda gpu: gpu.sm_clock, 0.08, 60.0, -1),
)


def siblings(gpu: GpuView, gpus: Iterable[GpuView]) -> list[GpuView]:
    """The GPUs of the same replica, itself among them, by rank; empty when nobody holds it."""
    if not gpu.pod:
        return []
    held = [one for one in gpus if (one.context, one.namespace, one.pod) == (gpu.context, gpu.namespace, gpu.pod)]
    return by_rank(held)


def by_rank(gpus: Iterable[GpuView]) -> list[GpuView]:
    """In the order of their ranks."""
    return sorted(gpus, key=lambda gpu: (gpu.rank is None, gpu.rank or 0, gpu.node, gpu.index))


def replicas(gpus: Iterable[GpuView]) -> list[tuple[str, list[GpuView]]]:
    """Pods with their GPUs by rank."""
    found: dict[str, list[GpuView]] = {}
    for gpu in gpus:
        found.setdefault(gpu.pod, []).append(gpu)
    return [(pod, by_rank(held)) for pod, held in sorted(found.items())]


def stands_out(figure: str, gpu: GpuView, ranks: Sequence[GpuView]) -> int:
    """1 where a rank's figure lies above the others' by more than they differ in a replica that works, -1 below."""
    of = next(one for one in _FIGURES if one.name == figure)
    return _apart(of, gpu, ranks)


def _apart(figure: _Figure, gpu: GpuView, ranks: Sequence[GpuView]) -> int:
    value = None if is_stale(gpu) else figure.value(gpu)
    others = [
        told for one in ranks if one.key != gpu.key and not is_stale(one) and (told := figure.value(one)) is not None
    ]
    if value is None or not others:
        return 0
    middle = statistics.median(others)
    if abs(value - middle) <= max(figure.least, figure.share * abs(middle)):
        return 0
    way = 1 if value > middle else -1
    return way if len(others) > 1 or way == figure.worse else 0


def rank_lines(ranks: Sequence[GpuView], chosen: str = "") -> tuple[Line, ...]:
    """A column a rank, a line a figure; what stands out is marked with an arrow.

    Args:
        chosen: key of the GPU whose column is pointed at.
    """
    lines: list[Line] = []
    for start in range(0, len(ranks), _SIDE_BY_SIDE):
        shown = ranks[start : start + _SIDE_BY_SIDE]
        lines.append(_line("rank", [_head(gpu, gpu.key == chosen) for gpu in shown]))
        lines.append(_line("", [text(_place(gpu, shown), "muted") for gpu in shown]))
        told_of = [figure for figure in _FIGURES if any(figure.value(gpu) is not None for gpu in shown)]
        lines.extend(
            _line(f"{figure.name} {figure.unit}", [_cell(figure, gpu, ranks) for gpu in shown]) for figure in told_of
        )
    told = [_sentence(gpu, ranks) for gpu in ranks]
    return (*lines, *(text(sentence, "warn") for sentence in told if sentence))


def _line(label: str, cells: Sequence[Line]) -> Line:
    spans: list[Span] = [Span(label.ljust(_LABEL), "label")]
    for cell in cells:
        spans.extend(pad(fit(cell, _RANK), _RANK, right=True))
    return tuple(spans)


def _head(gpu: GpuView, is_chosen: bool) -> Line:
    name = f"r{gpu.rank}" if gpu.rank is not None else "r?"
    state = shown_state(gpu)
    mark = (Span(f"{STATE_MARK[state]} ", STATE_ROLE[state]),) if STATE_MARK[state].strip() else ()
    return (*mark, Span(f"›{name}" if is_chosen else name, "title-focus" if is_chosen else "strong"), Span(" "))


def _place(gpu: GpuView, shown: Sequence[GpuView]) -> str:
    """Where it is, as far as the ranks do not stand in one node."""
    if len({one.node for one in shown}) == 1:
        return f"/{gpu.place} "
    return f"{gpu.node[-2:]}/{gpu.place} "


def _cell(figure: _Figure, gpu: GpuView, ranks: Sequence[GpuView]) -> Line:
    value = figure.value(gpu)
    if value is None:
        return text(f"{NOTHING} ", "faint")
    if is_stale(gpu):
        return text(f"?{value:.0f} ", "faint")
    apart = _apart(figure, gpu, ranks)
    return (Span(f"{value:.0f}", "bad" if apart else ""), Span("▲" if apart > 0 else "▼" if apart else " ", "bad"))


def _sentence(gpu: GpuView, ranks: Sequence[GpuView]) -> str:
    apart = [(figure, way) for figure in _FIGURES if (way := _apart(figure, gpu, ranks))]
    if not apart:
        return ""
    told = ", ".join(f"{figure.name} {'above' if way > 0 else 'below'} the others" for figure, way in apart)
    held = f"; held down: {', '.join(gpu.throttle)}" if gpu.throttle else ""
    return f"{'r?' if gpu.rank is None else f'r{gpu.rank}'} ({gpu.node}/{gpu.place}) stands out: {told}{held}"
