"""History as sections: charts, who held a GPU, supply and demand, costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from backend.core.gpu_lists import short_product
from backend.core.views import (
    CapacityView,
    CostView,
    GpuView,
    HistoryView,
    ReplicaAdviceView,
    SeriesView,
    TenureView,
    WhatIfView,
)
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, ends, join, pad, text
from tui.widgets.chart import Chart, draw, margin_of, measured_share, strip, value_text

#: How far back a page looks: `[` and `]` go from one to the next.
WINDOWS: Final = (
    ("15m", timedelta(minutes=15)),
    ("1h", timedelta(hours=1)),
    ("6h", timedelta(hours=6)),
    ("24h", timedelta(hours=24)),
    ("7d", timedelta(days=7)),
    ("30d", timedelta(days=30)),
)
_CHART_LINES: Final = 7
_LOW_CHART_LINES: Final = 5
#: Lines of a screen from which charts are drawn higher.
_TALL: Final = 36
_WHOLLY: Final = 0.995
_WRITTEN_WITHIN: Final = timedelta(minutes=5)
#: Cells from which two charts stand side by side, and between them.
_TWO_BESIDE: Final = 150
_BETWEEN: Final = 3
#: States of a GPU as they are recorded, with their marks.
_STATES: Final = (("busy", "█", "gauge-middle"), ("idle", "i", "idle"), ("free", ".", "free"), ("fault", "!", "alarm"))
STATE_METRICS: Final = tuple(name for name, _, _ in _STATES)


class Drawn(NamedTuple):
    """A metric that is drawn: its name, its title, and the top of its scale where that is known."""

    metric: str
    title: str
    ceiling: float | None = None


class Subject(NamedTuple):
    """What a page of history is of.

    Attributes:
        key: as its series are kept.
        holders: whether it can be told who held it.
    """

    key: str
    title: str
    note: str
    metrics: tuple[Drawn, ...]
    holders: bool = False


def of_gpu(gpu: GpuView) -> Subject:
    """The history of a GPU."""
    memory = float(gpu.memory_total) if gpu.memory_total else None
    return Subject(
        gpu.key,
        f"{gpu.node}/{gpu.place}",
        f"{short_product(gpu.product)} {gpu.mig_profile}".strip(),
        (
            Drawn("engine_active", "engine active"),
            Drawn("utilisation", "utilisation: a kernel runs"),
            Drawn("tensor_active", "tensor cores active"),
            Drawn("dram_active", "memory bus active"),
            Drawn("memory_used", "memory", memory),
            Drawn("power", "power", gpu.power_limit),
            Drawn("temperature", "temperature", 100.0),
        ),
        holders=True,
    )


def of_service(key: str) -> Subject:
    """The history of a service, by `context/namespace/name`."""
    _, namespace, name = key.rsplit("/", 2)
    return Subject(
        key,
        f"{namespace}/{name}",
        "",
        (
            Drawn("generation_tokens_per_second", "generated tokens a second"),
            Drawn("requests_per_second", "requests a second"),
            Drawn("ttft_p95", "time to first token, p95"),
            Drawn("inter_token_p95", "inter-token latency, p95"),
            Drawn("end_to_end_p95", "end to end, p95"),
            Drawn("error_rate", "error rate"),
            Drawn("running", "requests running"),
            Drawn("waiting", "requests waiting"),
            Drawn("kv_cache", "KV cache in use, fullest replica"),
            Drawn("replicas", "replicas that told"),
        ),
    )


def window_line(at: int, windows: Sequence[tuple[str, timedelta]] = WINDOWS) -> Line:
    """The row of times; brackets mark the one that is looked back over, also without colours."""
    spans: list[Span] = []
    for number, (name, _) in enumerate(windows):
        spans.append(Span(f"[{name}]" if number == at else f" {name} ", "title-focus" if number == at else "muted"))
    return tuple(spans)


def chart_sections(
    subject: Subject, found: Sequence[SeriesView], now: datetime, window: timedelta, width: int, height: int
) -> list[Section]:
    """A chart for each metric that was measured, and which were not."""
    by_metric = {series.metric: series for series in found if series.points}
    lines = _CHART_LINES if height >= _TALL else _LOW_CHART_LINES
    end = latest(found, now)
    charts = [
        (drawn.title, Chart(by_metric[drawn.metric], end - window, end, drawn.ceiling))
        for drawn in subject.metrics
        if drawn.metric in by_metric
    ]
    beside = 2 if width >= _TWO_BESIDE else 1
    each = (width - _BETWEEN * (beside - 1)) // beside
    margin = max((margin_of(chart, lines) for _, chart in charts), default=0)
    sections: list[Section] = []
    for first in range(0, len(charts), beside):
        row = [_titled(title, chart, each, lines, margin) for title, chart in charts[first : first + beside]]
        sections.append(Section("", tuple(_beside(row))))
    absent = [drawn.title for drawn in subject.metrics if drawn.metric not in by_metric]
    if absent and sections:
        sections.append(Section("Not measured in this time", (text(", ".join(absent), "muted"),)))
    return sections


def latest(found: Iterable[SeriesView], now: datetime) -> datetime:
    """Where the time axis ends: now, or when the last samples were written, which is done about once a minute."""
    ends = [series.points[-1].at + timedelta(seconds=series.step) for series in found if series.points]
    last = max(ends, default=now)
    return last if timedelta(0) <= now - last <= _WRITTEN_WITHIN else now


def _titled(title: str, chart: Chart, width: int, height: int, margin: int) -> list[Line]:
    left = (*text(title, "heading"), Span(" "))
    right = (Span(" "), *text(summary(chart), "muted"))
    return [ends(left, right, width, Span("─", "rule")), *draw(chart, width, height, margin)]


def _beside(blocks: Sequence[Sequence[Line]]) -> list[Line]:
    """Blocks of lines of one width each, side by side."""
    lines: list[Line] = []
    for parts in zip(*blocks, strict=True):
        line = parts[0]
        for part in parts[1:]:
            line = (*line, Span(" " * _BETWEEN), *part)
        lines.append(line)
    return lines


def state_section(found: Sequence[SeriesView], now: datetime, window: timedelta, width: int) -> Section | None:
    """What a GPU did all the time, in a line; None: that was not recorded."""
    by_metric = {series.metric: series for series in found if series.points}
    states = [(Span(mark, role), by_metric[name]) for name, mark, role in _STATES if name in by_metric]
    if not states:
        return None
    shares = {name: _mean(by_metric[name]) for name, _, _ in _STATES if name in by_metric}
    legend: list[Span] = []
    for name, mark, role in _STATES:
        legend.extend((Span(f"{mark} ", role), *text(f"{name} {shares.get(name, 0.0):.0%}   ", "muted")))
    end = latest(found, now)
    line = strip(states, end - window, end, width, Span("·", "faint"))
    return Section("state", (line, tuple(legend)), note="· not known")


def _mean(series: SeriesView) -> float:
    return sum(point.mean for point in series.points) / len(series.points)


def summary(chart: Chart) -> str:
    """`now 87%  mean 74%  lowest 12%  highest 98%`, and how much of the time was measured where that is not all."""
    points, unit = chart.series.points, chart.series.unit
    if not points:
        return "not measured"
    last = points[-1]
    is_now = (chart.end - last.at).total_seconds() <= max(180.0, 2 * chart.series.step)
    told = [
        f"now {value_text(last.mean, unit)}" if is_now else f"not measured since {last.at:%m-%d %H:%M}Z",
        f"mean {value_text(sum(point.mean for point in points) / len(points), unit)}",
        f"{value_text(min(point.low for point in points), unit)} to "
        f"{value_text(max(point.high for point in points), unit)}",
    ]
    share = measured_share(chart)
    return "  ".join(told) + (f"  {share:.0%} measured" if share < _WHOLLY else "")


def tenure_section(tenures: Sequence[TenureView], now: datetime) -> Section:
    """Who held a GPU."""
    lines = []
    for tenure in tenures[:20]:
        lasted = fmt.span_of((tenure.until - tenure.since).total_seconds())
        lines.append(
            join(
                text(fmt.moment(tenure.since)[:16], "muted"),
                text(f"for {'less than a minute' if lasted in {'now', '<1m'} else lasted}".ljust(9), "muted"),
                text(tenure.holder, "name"),
                text("still" if (now - tenure.until) < timedelta(minutes=5) else "", "ok"),
                gap="  ",
            )
        )
    return Section("Held by", tuple(lines) or (text("nobody, as far as was recorded", "muted"),), note="the last first")


def state_lines(state: HistoryView | None) -> tuple[Line, ...]:
    """What is wrong with what is kept; empty: nothing."""
    if state is None:
        return ()
    problem = (text(f"No history for now: {state.problem}", "warn"),) if state.problem else ()
    return (*problem, *(text(note, "warn") for note in state.notes))


def nothing_lines(name: str, state: HistoryView | None) -> tuple[Line, ...]:
    """In place of charts where there is nothing to draw."""
    if state is not None and state.problem:
        return (*state_lines(state), EMPTY, text("Everything else goes on without it.", "muted"))
    told = (text(f"Nothing was recorded in the last {name}.", "strong"),)
    since = state.since if state is not None else None
    recorded = f"History is kept since {fmt.moment(since)[:16]} UTC." if since is not None else (
        "Whoever holds the yard's lease records: a screen that is open, or modelyard worker."
    )  # fmt: skip
    return (*told, text(recorded, "muted"), *state_lines(state))


# ------------------------------------------------------------ supply and demand


def capacity_sections(
    types: Sequence[CapacityView], now: datetime, window: timedelta, width: int, height: int
) -> list[Section]:
    """Demand against supply of each type."""
    sections = []
    lines = _CHART_LINES if height >= _TALL else _LOW_CHART_LINES
    end = latest([each.demand for each in types], now)
    charts = [Chart(each.demand, end - window, end, _most_supplied(each) or None) for each in types]
    margin = max((margin_of(chart, lines) for chart in charts), default=0)
    for each, chart in zip(types, charts, strict=True):
        over = each.allocated + each.pending > each.supply
        counts = join(
            text("supply", "muted"), text(f"{each.supply:.0f}", "strong"),
            text("held", "muted"), text(f"{each.allocated:.0f}", "strong"),
            text("waiting", "muted"), text(f"{each.pending:.0f}", "bad" if each.pending else "strong"),
            text("idle", "muted"), text(f"{each.idle:.0f}", "idle" if each.idle else "strong"),
            text("peak", "muted"), text(fmt.number(each.peak), "strong"),
        )  # fmt: skip
        told: list[Line] = [counts]
        if each.demand.points:
            told += draw(chart, width, lines, margin)
        told.append(join(text("trend", "label"), text(each.trend.sentence)))
        if each.full:
            told.append(join(text("exceeds supply", "label"), text(each.full, "warn" if over else "")))
        sections.append(Section(each.key, tuple(told), note="demand: held and waiting; top of the scale: supply"))
    return sections


def _most_supplied(capacity: CapacityView) -> float:
    return max([capacity.supply, *(point.high for point in capacity.supplied.points)])


def advice_section(advice: Sequence[ReplicaAdviceView]) -> Section:
    """Forecasts of replicas; advice only."""
    lines = []
    for each in advice:
        asked = each.advised is not None and each.replicas is not None and each.advised != round(each.replicas)
        counts = f"{fmt.number(each.replicas)} now, {each.advised if each.advised is not None else fmt.UNKNOWN} advised"
        lines.append(join(text(each.service, "name"), text(counts, "warn" if asked else "muted"), gap="  "))
        lines.append((Span("  "), *text(each.sentence.partition(": ")[2], "muted")))
    note = "forecast from history: advice only, nothing acts on it"
    return Section("Replicas", tuple(lines) or (text("No service was recorded yet.", "muted"),), note=note)


def what_if_section(answer: WhatIfView) -> Section:
    """What more replicas would take."""
    verdict = {True: ("fits now", "ok"), False: ("does not fit now", "bad"), None: ("cannot be told", "warn")}
    word, role = verdict[answer.fits]
    cost = (
        f"{answer.cost_per_hour:+.2f} {answer.currency} an hour, an estimate"
        if answer.cost_per_hour is not None
        else "no price: see [[price]]"
    )
    counts = f"{answer.gpus:+d} {short_product(answer.type) or 'GPUs'}, {fmt.number(answer.free)} free"
    return Section(
        f"What if {answer.service} {answer.replicas:+d}",
        (
            join(text(word, role), text(counts, "strong"), text(cost, "muted"), gap="  "),
            text(answer.sentence),
        ),
        note="an estimate; nothing was changed",
    )


# ------------------------------------------------------------ costs


def cost_section(rows: Sequence[CostView], by: str, name: str, width: int, *, priced: bool) -> Section:
    """Costs, the dearest first."""
    if not rows:
        return Section("", (text(f"Nobody was seen holding a GPU in the last {name}.", "muted"),))
    currency = next((row.currency for row in rows if row.currency), "")
    money = currency or "COST"
    heads = (by.upper(), "GPU H", "IDLE H", money, f"IDLE {money}", f"{money}/1M TOK")
    table = [heads, *(_cost_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    widths[0] = max(12, min(widths[0], width - sum(widths[1:]) - 2 * len(widths)))
    lines: list[Line] = [_row(heads, widths, "column", "column")]
    for row, cells in zip(rows, table[1:], strict=True):
        whole = row.key == "total"
        lines.append(_row(cells, widths, "strong" if whole else "name", "strong" if whole else ""))
    lines += [EMPTY, *_cost_notes(rows, priced)]
    return Section("", tuple(lines))


def _row(cells: Iterable[str], widths: Sequence[int], first: str, others: str) -> Line:
    spans: list[Span] = []
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        role = first if number == 0 else others
        spans.extend((*pad(text(cell, role), width, right=number > 0), Span("  ")))
    return tuple(spans)


def _cost_cells(row: CostView) -> tuple[str, ...]:
    return (
        row.key.removeprefix("/"),
        f"{row.gpu_hours:.1f}",
        f"{row.idle_hours:.1f}",
        fmt.number(row.cost, 2),
        fmt.number(row.idle_cost, 2),
        fmt.number(row.per_million_tokens, 2),
    )


def _cost_notes(rows: Sequence[CostView], priced: bool) -> list[Line]:
    measured = rows[-1].measured
    notes = [text(f"Estimates: hours held, times the price table. {measured:.0%} of the time was recorded.", "muted")]
    if not priced:
        notes.append(text('No prices: name them, such as [[price]] gpu = "*H100*" per_hour = 2.5', "warn"))
    elif any(row.cost is None for row in rows):
        notes.append(text("What has no price has no cost, and no total with it: see [[price]].", "warn"))
    return notes
