"""What is kept of what: the metrics of each kind of series, their units and how finely they are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class SeriesKind(StrEnum):
    """What a series is of.

    GPU: a GPU or MIG instance. SERVICE: an InferenceService. TYPE: all GPUs of a product.
    HOLDING: the GPUs of one product that one service, or one team without a service, holds.
    """

    GPU = "gpu"
    SERVICE = "service"
    TYPE = "type"
    HOLDING = "holding"


class Metric(NamedTuple):
    """A metric of a kind.

    Attributes:
        code: identifies it in stored blocks; it is never given to another metric.
        unit: of the values, as `SeriesView.unit`.
        resolution: to which values are rounded when they are kept.
    """

    name: str
    code: int
    unit: str
    resolution: float


_GPU: Final = (
    Metric("utilisation", 1, "percent", 0.1),
    Metric("engine_active", 2, "percent", 0.1),
    Metric("tensor_active", 3, "percent", 0.1),
    Metric("dram_active", 4, "percent", 0.1),
    Metric("memory_used", 5, "bytes", float(4 * 2**20)),
    Metric("power", 6, "watts", 1.0),
    Metric("temperature", 7, "celsius", 0.5),
    # Share of the time in a state; none of them: it was not known.
    Metric("busy", 8, "share", 0.01),
    Metric("idle", 9, "share", 0.01),
    Metric("free", 10, "share", 0.01),
    Metric("fault", 11, "share", 0.01),
)
_SERVICE: Final = (
    Metric("requests_per_second", 20, "requests/s", 0.001),
    Metric("error_rate", 21, "share", 0.0001),
    Metric("prompt_tokens_per_second", 22, "tokens/s", 0.1),
    Metric("generation_tokens_per_second", 23, "tokens/s", 0.1),
    Metric("ttft_p50", 24, "seconds", 0.0001),
    Metric("ttft_p95", 25, "seconds", 0.0001),
    Metric("ttft_p99", 26, "seconds", 0.0001),
    Metric("inter_token_p50", 27, "seconds", 0.0001),
    Metric("inter_token_p95", 28, "seconds", 0.0001),
    Metric("inter_token_p99", 29, "seconds", 0.0001),
    Metric("end_to_end_p95", 30, "seconds", 0.001),
    Metric("running", 31, "requests", 0.1),
    Metric("waiting", 32, "requests", 0.1),
    Metric("kv_cache", 33, "share", 0.001),
    Metric("replicas", 34, "replicas", 0.01),
)
_TYPE: Final = (
    Metric("allocatable", 50, "GPUs", 0.01),
    Metric("allocated", 51, "GPUs", 0.01),
    Metric("pending", 52, "GPUs", 0.01),
    Metric("busy", 53, "GPUs", 0.01),
    Metric("idle", 54, "GPUs", 0.01),
    Metric("fault", 55, "GPUs", 0.01),
)
_HOLDING: Final = (Metric("gpus", 70, "GPUs", 0.01), Metric("idle", 71, "GPUs", 0.01))

METRICS: Final[dict[SeriesKind, tuple[Metric, ...]]] = {
    SeriesKind.GPU: _GPU,
    SeriesKind.SERVICE: _SERVICE,
    SeriesKind.TYPE: _TYPE,
    SeriesKind.HOLDING: _HOLDING,
}


def metric_of(kind: SeriesKind, name: str) -> Metric | None:
    """The metric of that name, or None where the kind has none."""
    return next((metric for metric in METRICS[kind] if metric.name == name), None)
