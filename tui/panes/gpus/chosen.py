"""The line beneath the wall: the numbers of what is under the cursor."""

from __future__ import annotations

from datetime import datetime

from backend.core.gpu_lists import GpuGroup, is_stale, load_of, short_product
from backend.core.views import GpuView
from tui.document import EMPTY, Line, Span, cells, ends, fit, join, text
from tui.panes.gpus.cells import (
    NOTHING,
    STATE_MARK,
    STATE_ROLE,
    STATE_WORD,
    age_text,
    group_note,
    held_cell,
    memory_text,
    note_of,
    seconds_text,
    shown_state,
    tally_of,
    watts,
)


def chosen_line(gpu: GpuView, now: datetime, width: int) -> Line:
    """A GPU: state, load, memory, power, heat, clock, who holds it; at the right where that comes from and its age."""
    load = load_of(gpu)
    what = "engine" if gpu.engine_active is not None else "busy"
    limit = "" if gpu.power_limit is None else f"/{gpu.power_limit:.0f}"
    figures = (
        f"{load:.0f}% {what}" if load is not None else f"load {NOTHING}",
        f"{gpu.tensor_active:.0f}% tensor" if gpu.tensor_active is not None else "",
        memory_text(gpu.memory_used, gpu.memory_total),
        f"{gpu.power:.0f}{limit} W" if gpu.power is not None else f"{NOTHING} W",
        f"{gpu.temperature:.0f} °C" if gpu.temperature is not None else f"{NOTHING} °C",
        f"{gpu.sm_clock:.0f} MHz" if gpu.sm_clock is not None else "",
    )
    tokens = f"{gpu.tokens_per_second:.0f} tok/s" if gpu.tokens_per_second is not None else ""
    shown, old = shown_state(gpu), is_stale(gpu)
    state = (Span(f"{STATE_MARK[shown]} {STATE_WORD[shown]}".strip(), STATE_ROLE[shown]),)
    left = join(
        (*text(f"{gpu.node}/{gpu.place}", "strong"), *text(f" {short_product(gpu.product)}", "muted")),
        state,
        *(text(f"?{figure}" if old else figure, "faint" if old else "") for figure in figures if figure),
        held_cell(gpu),
        text(gpu.team, "muted"),
        text(tokens),
        note_of(gpu, now),
        gap="  ",
    )
    source = gpu.source.partition(" ")[0] if width < 130 else gpu.source
    return _ruled(left, join(text(source, "faint"), age_text(gpu)), width)


def group_sums(group: GpuGroup, now: datetime, width: int) -> Line:
    """A group: how many of each state, its sums, what they wasted."""
    memory = memory_text(*group.memory) if group.memory is not None else ""
    figures = (
        f"{group.load:.0f}% on average" if group.load is not None else "not measured",
        memory,
        watts(group.power),
        f"{group.tokens_per_second:.0f} tok/s" if group.tokens_per_second else "",
    )
    left = join(
        text(group.name, "strong"),
        tally_of(group.gpus),
        *(text(figure) for figure in figures),
        group_note(group.gpus, now),
        gap="  ",
    )
    ages = [gpu.age for gpu in group.gpus if gpu.age is not None]
    oldest = f"oldest {seconds_text(max(ages))}" if ages else "never measured"
    return _ruled(left, text(oldest, "muted"), width)


def _ruled(left: Line, right: Line, width: int) -> Line:
    rule = Span("─", "rule")
    tail = (Span(" "), *right, Span(" "), rule)
    head = (rule, Span(" "), *fit(left, max(8, width - cells(tail) - 5)), Span(" "))
    return ends(head, tail if right else EMPTY, width, rule)
