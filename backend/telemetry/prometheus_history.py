"""Series from a Prometheus that has scraped exporters and model servers for longer than we have.

A point of a mean over time looks back from its own time, so it is told as of the beginning of its step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from backend.core.views import PointView, SeriesView
from backend.telemetry.engines import ENGINES, Engine, Kind
from backend.telemetry.prometheus import Line, Prometheus
from backend.telemetry.series_metrics import SeriesKind, metric_of
from backend.telemetry.store import instant_of

#: Seconds that an expression looks back over at least, so that it meets two scrapes; and between two points.
_LEAST_RANGE: Final = 120
_LEAST_STEP: Final = 15.0
_MIB: Final = float(2**20)

#: dcgm-exporter's fields, and by what they are multiplied to be in our units.
_GPU: Final = {
    "utilisation": ("DCGM_FI_DEV_GPU_UTIL", 1.0),
    "engine_active": ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 100.0),
    "tensor_active": ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 100.0),
    "dram_active": ("DCGM_FI_PROF_DRAM_ACTIVE", 100.0),
    "memory_used": ("DCGM_FI_DEV_FB_USED", _MIB),
    "power": ("DCGM_FI_DEV_POWER_USAGE", 1.0),
    "temperature": ("DCGM_FI_DEV_GPU_TEMP", 1.0),
}
_RATES: Final = {
    "prompt_tokens_per_second": Kind.PROMPT,
    "generation_tokens_per_second": Kind.GENERATED,
}
_QUANTILES: Final = {
    f"{name}_p{percent}": (kind, percent / 100)
    for name, kind in (("ttft", Kind.TTFT), ("inter_token", Kind.INTER_TOKEN), ("end_to_end", Kind.END_TO_END))
    for percent in (50, 95, 99)
}


async def prometheus_series(
    prometheus: Prometheus, kind: SeriesKind, key: str, metric: str, *, start: datetime, end: datetime, step: float
) -> SeriesView | None:
    """A series as Prometheus has it; None: it has nothing of it.

    Args:
        key: of a GPU its UUID, of a service `context/namespace/name`.

    Raises:
        As `Prometheus.query_range`.
    """
    found = metric_of(kind, metric)
    step = max(step, _LEAST_STEP)
    span = f"{max(round(step), _LEAST_RANGE)}s"
    expressions = _expressions(prometheus, kind, key, metric, span)
    if found is None or not expressions:
        return None
    first = datetime.fromtimestamp(start.timestamp() // step * step, start.tzinfo)
    lines = [_only(await prometheus.query_range(expression, first, end, step)) for expression in expressions]
    if not lines[0]:
        return None
    low, high = (dict(lines[1]), dict(lines[2])) if len(lines) == 3 else ({}, {})
    points = tuple(
        PointView(
            at=instant_of(round((at - step) * 1000)),
            mean=mean,
            low=min(mean, low.get(at, mean)),
            high=max(mean, high.get(at, mean)),
        )
        for at, mean in lines[0]
    )
    return SeriesView(
        key=key, metric=metric, unit=found.unit, step=step, points=points, source=f"Prometheus {prometheus.name}"
    )


def _expressions(prometheus: Prometheus, kind: SeriesKind, key: str, metric: str, span: str) -> list[str]:
    """The mean, and where it can be told the smallest and the largest value."""
    if kind is SeriesKind.GPU and metric in _GPU:
        name, factor = _GPU[metric]
        uuid, _, instance = key.partition("/")
        chosen = prometheus.selector([name], UUID=uuid, **({"GPU_I_ID": instance} if instance else {}))
        # Two exporters may tell of the same GPU.
        forms = ("max(avg_over_time", "min(min_over_time", "max(max_over_time")
        return [f"{factor:g} * {form}({chosen}[{span}]))" for form in forms]
    if kind is SeriesKind.SERVICE and key.count("/") >= 2:
        told = _of_service(prometheus, key, metric, span)
        return [told] if told else []
    return []


def _of_service(prometheus: Prometheus, key: str, metric: str, span: str) -> str:
    _, namespace, service = key.rsplit("/", 2)

    def chosen(name: str) -> str:
        # The pods of a predictor are named after it, whatever makes them.
        pods = f"{re.escape(service)}-predictor.*".replace("\\", "\\\\")
        return f'{prometheus.selector([name], namespace=namespace)[:-1]},pod=~"{pods}"}}'

    def either(names: list[str], form: str) -> str:
        return " or ".join(form.format(chosen=chosen(name), span=span) for name in dict.fromkeys(names))

    if metric in _RATES:
        return either(_names(lambda engine: engine.counters.get(_RATES[metric], ())), "sum(rate({chosen}[{span}]))")
    if metric == "requests_per_second":
        first = _names(lambda engine: engine.counters.get(Kind.REQUESTS, ())[:1])
        return either(first, "sum(rate({chosen}[{span}]))")
    if metric in {"running", "waiting"}:
        return either(_names(lambda engine: getattr(engine, metric)), "sum(avg_over_time({chosen}[{span}]))")
    if metric == "kv_cache":
        return either(_names(lambda engine: engine.cache), "max(avg_over_time({chosen}[{span}]))")
    if metric in _QUANTILES:
        kind, quantile = _QUANTILES[metric]
        stems = _names(lambda engine: engine.histograms.get(kind, ()))
        form = f"histogram_quantile({quantile:g}, sum by (le) (rate({{chosen}}[{{span}}])))"
        return either([f"{stem}_bucket" for stem in stems], form)
    return ""


def _names(of: Callable[[Engine], Iterable[str]]) -> list[str]:
    return [name for engine in ENGINES for name in of(engine) if name]


def _only(lines: list[Line]) -> tuple[tuple[float, float], ...]:
    return lines[0].points if lines else ()
