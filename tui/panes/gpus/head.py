"""What stands above the wall: how many of each state, what waits, and what to do where there is nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from backend.core.gpu_lists import ORDERS, holder_of, short_product
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from tui import format as fmt
from tui.commands import Filter
from tui.document import EMPTY, Line, Span, join, text
from tui.model import Model
from tui.panes.common.messages import problem_lines
from tui.panes.gpus.cells import tally_of
from tui.panes.gpus.view_model import idle_rate_text
from tui.panes.gpus.wall import FLAT, Choice

_MOST_COMPLETIONS: Final = 12


def heading_left(snapshot: GpuSnapshotView | None, shown: Sequence[GpuView], total: int, choice: Choice) -> Line:
    """How many there are, and how many of each state."""
    number = f"{total:,}".replace(",", " ")
    counted = text(number if len(shown) == total else f"{len(shown)} of {number}", "strong")
    rate = idle_rate_text(snapshot.gpus) if snapshot is not None else ""
    cost = text(f"{rate} idle", "idle") if rate else EMPTY
    only = (Span("idle only", "idle"),) if choice.idle else EMPTY
    return join(counted, tally_of(shown), cost, only, gap="  ")


def order_text(choice: Choice) -> str:
    """How the wall is grouped and ordered."""
    order = "by wasted GPU hours" if choice.idle and choice.order == "worst" else ORDERS[choice.order].title
    turned = ", turned around" if choice.inverted else ""
    by = "service" if choice.idle and choice.by == "node" else choice.by
    return f"{order}{turned}" if by == FLAT else f"by {by}, {order}{turned}"


def waiting_line(snapshot: GpuSnapshotView | None, now: datetime) -> Line:
    """The pod that has waited longest for GPUs, and how many others do."""
    pending = snapshot.pending if snapshot is not None else ()
    if not pending:
        return EMPTY
    first = min(pending, key=lambda one: (one.since is None, one.since.timestamp() if one.since else 0.0, one.pod))
    more = f"and {len(pending) - 1} more" if len(pending) > 1 else ""
    name = (*text(f"{first.namespace}/", "space"), *text(first.pod, "name"))
    since = f"for {fmt.age(first.since, now)}" if first.since is not None else ""
    return join(
        (Span("WAITS", "warn"),), name, text(first.sentence), text(since, "muted"), text(more, "warn"), gap="  "
    )


def empty_lines(model: Model, is_closed: bool, choice: Choice, filter: Filter | None) -> Sequence[Line]:
    """What stands in place of the wall while there is nothing to show."""
    part, snapshot = model.gpus, model.gpus.value
    if model.problem is not None and is_closed:
        return problem_lines(model.problem)
    if not part.known:
        return () if part.problem is not None else (text("reading…", "muted"),)
    if filter is not None and filter.typed:
        return (text(f"Nothing matches {filter.typed}", "muted"), text("Esc clears the filter", "muted"))
    if choice.idle and snapshot is not None and snapshot.gpus:
        return (text("No GPU is held and idle.", "ok"), text("i shows all.", "muted"))
    notes = snapshot.notes if snapshot is not None else ()
    return (
        text("No GPU is known.", "strong"),
        EMPTY,
        *(text(note) for note in notes),
        *(() if notes else (text("modelyard doctor tells which sources of GPU metrics could not be read."),)),
    )


def completions(line: str, gpus: Iterable[GpuView], fields: Sequence[str]) -> list[str]:
    """Whole filters that the typed one may become: names of fields, and what they may be."""
    head, space, last = line.rpartition(" ")
    name, colon, typed = last.partition(":")
    if not colon:
        words = [f"{field}:" for field in fields if last and field.startswith(last)]
    else:
        words = [f"{name}:{value}" for value in _values(name, gpus) if value.startswith(typed) and value != typed]
    return [f"{head}{space}{word}" for word in words[:_MOST_COMPLETIONS]]


def _values(field: str, gpus: Iterable[GpuView]) -> list[str]:
    if field == "state":
        return [state.value for state in GpuState]
    found = {_value(field, gpu) for gpu in gpus}
    return sorted(value for value in found if value and " " not in value)


def _value(field: str, gpu: GpuView) -> str:
    if field == "service":
        return holder_of(gpu) if gpu.service else ""
    if field == "type":
        return short_product(gpu.product)
    value = getattr(gpu, field, "")
    return value if isinstance(value, str) else ""
