"""`gpu history`, `gpu cost` and `gpu capacity`: what GPUs did, what they cost, and what more would take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import typer

from backend.cli.output import Column, note, pairs
from backend.cli.session import Session
from backend.core.errors import UsageError
from backend.core.settings import parse_duration
from backend.core.views import CapacityView, CostView, ReplicaAdviceView, SeriesView, WhatIfView
from backend.yard import Yard

_LONGEST: timedelta = timedelta(days=3650)

Point = dict[str, Any]
_Told = TypeVar("_Told")


def add_to(gpu: typer.Typer) -> None:
    """Add the commands to `gpu`."""
    gpu.command("history")(_history)
    gpu.command("cost")(_cost)
    gpu.command("capacity")(_capacity)


def _history(
    context: typer.Context,
    gpu: Annotated[str, typer.Option("--gpu", metavar="KEY", help="UUID, or NODE/INDEX.")] = "",
    service: Annotated[str, typer.Option("--service", metavar="NS/NAME", help="An InferenceService.")] = "",
    metric: Annotated[
        str,
        typer.Option("--metric", metavar="M", help="Such as engine_active, power, ttft_p95; a wrong one lists all."),
    ] = "",
    window: Annotated[
        str, typer.Option("--window", metavar="TIME", help="How far back, such as 15m, 24h, 30d.")
    ] = "24h",
) -> None:
    """Tell what a GPU, a service or, without either, every GPU type did: a line a point, times in UTC.

    Gaps are times that were not measured. `low` and `high` are the extremes within the time of a point.
    """
    session: Session = context.obj
    if gpu and service:
        raise UsageError("gpu history", "it is of one GPU or of one service", "give --gpu or --service")
    span = _span("--window", window)

    async def work(yard: Yard) -> list[SeriesView]:
        telemetry = yard.telemetry
        if gpu:
            return await telemetry.series([await telemetry.find("gpu", gpu, span)], metric or "engine_active", span)
        if service:
            key = await telemetry.find("service", service, span)
            return await telemetry.series([key], metric or "generation_tokens_per_second", span)
        known = await telemetry.known("type", span)
        return await telemetry.series(list(known), metric or "allocated", span)

    found = _asked(session, work)
    rows = [_point(series, number) for series in found for number in range(len(series.points))]
    session.print.rows(rows, _POINTS, empty="nothing was measured in that time", as_data=lambda row: row)
    for series in found:
        if not series.points:
            note(f"{series.key}: {series.metric} was not measured in that time")


def _cost(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="How far back, such as 24h or 7d.")] = "7d",
    by: Annotated[str, typer.Option("--by", metavar="GROUP", help="service, team or type.")] = "service",
) -> None:
    """Tell what GPUs cost by the price table ([[price]]): used and idle, estimates. Without a price: hours alone."""
    session: Session = context.obj
    span = _span("--since", since)

    async def work(yard: Yard) -> tuple[list[CostView], bool]:
        return await yard.telemetry.cost(span, by), (await yard.telemetry.state()).priced

    rows, priced = _asked(session, work)
    session.print.rows(rows, _COSTS, empty="nobody was seen holding a GPU in that time")
    if rows:
        note(f"estimates: hours held, times the price table; {rows[-1].measured:.0%} of the time was recorded")
    if not priced:
        note('no prices are configured: name them, such as [[price]] gpu = "*H100*" per_hour = 2.5')


def _capacity(
    context: typer.Context,
    what_if: Annotated[
        str,
        typer.Option("--what-if", metavar="NS/NAME+2", help="What more (or fewer) replicas of a service would take."),
    ] = "",
    replicas: Annotated[
        bool, typer.Option("--replicas", help="How many replicas services may need: forecasts, advice only.")
    ] = False,
    window: Annotated[str, typer.Option("--window", metavar="TIME", help="How far back.")] = "30d",
) -> None:
    """Tell supply of and demand for GPUs by type, and where it goes, with the interval of that estimate."""
    session: Session = context.obj
    if what_if:
        answer = session.run(lambda yard: yard.telemetry.what_if(what_if))
        session.print.item(answer, _what_if_text(answer))
        return
    if replicas:
        advice = _asked(session, lambda yard: yard.telemetry.advice())
        session.print.rows(advice, _ADVICE, empty="no service was recorded yet")
        note("forecasts from history: advice only, nothing acts on them")
        return
    span = _span("--window", window)
    types = _asked(session, lambda yard: yard.telemetry.capacity(span))
    session.print.rows(types, _TYPES, empty="no GPU was recorded in that time")


def _asked(session: Session, work: Callable[[Yard], Awaitable[_Told]]) -> _Told:
    """What history tells; notes on it, such as that a damaged file was moved aside, go to stderr."""

    async def noted(yard: Yard) -> _Told:
        told = await work(yard)
        for text in (await yard.telemetry.state()).notes:
            note(text)
        return told

    return session.run(noted)


def _span(option: str, text: str) -> timedelta:
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"option {option}", str(error), "see modelyard gpu --help") from error
    if not timedelta(minutes=1) <= span <= _LONGEST:
        raise UsageError(f"option {option}", "that is no time to look back over", "give 1m to 3650d")
    return span


def _point(series: SeriesView, number: int) -> Point:
    point = series.points[number]
    return {
        "key": series.key, "metric": series.metric, "unit": series.unit,
        "at": point.at.isoformat().replace("+00:00", "Z"), "step": series.step,
        "mean": _rounded(point.mean), "low": _rounded(point.low), "high": _rounded(point.high), "source": series.source,
    }  # fmt: skip


def _rounded(value: float) -> float:
    """Without the noise of binary fractions."""
    return float(f"{value:.9g}")


_POINTS: Sequence[Column[Point]] = (
    ("AT", lambda row: row["at"]),
    ("KEY", lambda row: row["key"]),
    ("METRIC", lambda row: row["metric"]),
    ("MEAN", lambda row: f"{row['mean']:.6g}"),
    ("LOW", lambda row: f"{row['low']:.6g}"),
    ("HIGH", lambda row: f"{row['high']:.6g}"),
    ("UNIT", lambda row: row["unit"]),
    ("SOURCE", lambda row: row["source"]),
)
_COSTS: Sequence[Column[CostView]] = (
    ("KEY", lambda row: row.key),
    ("GPU HOURS", lambda row: f"{row.gpu_hours:.1f}"),
    ("IDLE HOURS", lambda row: f"{row.idle_hours:.1f}"),
    ("COST", lambda row: None if row.cost is None else f"{row.cost:.2f}"),
    ("IDLE COST", lambda row: None if row.idle_cost is None else f"{row.idle_cost:.2f}"),
    ("TOKENS", lambda row: None if row.tokens is None else f"{row.tokens:.4g}"),
    ("PER 1M TOKENS", lambda row: None if row.per_million_tokens is None else f"{row.per_million_tokens:.2f}"),
    ("CURRENCY", lambda row: row.currency),
)
_TYPES: Sequence[Column[CapacityView]] = (
    ("TYPE", lambda row: row.key),
    ("SUPPLY", lambda row: f"{row.supply:.0f}"),
    ("HELD", lambda row: f"{row.allocated:.0f}"),
    ("WAITING", lambda row: f"{row.pending:.0f}"),
    ("IDLE", lambda row: f"{row.idle:.0f}"),
    ("PEAK", lambda row: None if row.peak is None else f"{row.peak:.0f}"),
    ("TREND", lambda row: row.trend.sentence),
    ("EXCEEDS SUPPLY", lambda row: row.full),
)
_ADVICE: Sequence[Column[ReplicaAdviceView]] = (
    ("SERVICE", lambda row: row.service),
    ("NOW", lambda row: None if row.replicas is None else f"{row.replicas:.0f}"),
    ("ADVISED", lambda row: row.advised),
    ("WHY", lambda row: row.sentence),
)


def _what_if_text(answer: WhatIfView) -> str:
    fits = {True: "yes", False: "no", None: "cannot be told"}[answer.fits]
    cost = (
        f"{answer.cost_per_hour:+.2f} {answer.currency} an hour (estimate)"
        if answer.cost_per_hour is not None
        else None
    )
    return pairs(
        [
            ("service", f"{answer.service} {answer.replicas:+d} replicas"),
            ("gpus", f"{answer.gpus:+d} {answer.type}"),
            ("free", answer.free),
            ("fits now", fits),
            ("cost", cost),
            ("why", answer.sentence),
        ]
    )
