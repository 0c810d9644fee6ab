"""What of a snapshot is kept: a sample of each GPU, service and GPU type, and of who holds what. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from backend.core.gpu_lists import STALE_AFTER, holder_of, is_stale, type_of
from backend.core.views import GpuSnapshotView, GpuState, GpuView, LatencyView, PendingView, ServiceMetricsView
from backend.telemetry.series_metrics import SeriesKind

_WHOLE: Final = "nvidia.com/gpu"
_MIG: Final = "nvidia.com/mig-"
_SEPARATOR: Final = "\t"
_TOLD: Final = (GpuState.BUSY, GpuState.IDLE, GpuState.FAULT)
#: Fields that tell who holds a GPU: where they are too old, that is not known.
_HOLDING: Final = frozenset({"pod", "service"})

Values = tuple[float | None, ...]


class Sample(NamedTuple):
    """Values of one series at one time, in the order of its kind's metrics."""

    kind: SeriesKind
    key: str
    label: str
    values: Values


class Holding(NamedTuple):
    """Who holds GPUs of a type: a service, or pods of a team or namespace that belong to none."""

    context: str
    namespace: str
    service: str
    team: str
    type: str

    @property
    def key(self) -> str:
        """As the series is kept."""
        return _SEPARATOR.join(self)

    @property
    def service_key(self) -> str:
        """`context/namespace/service`, as services are known."""
        return f"{self.context}/{self.namespace}/{self.service or '(no service)'}"


def holding_of(key: str) -> Holding | None:
    """What a key says, or None where it is none."""
    parts = key.split(_SEPARATOR)
    return Holding(*parts) if len(parts) == len(Holding._fields) else None


def samples_of(snapshot: GpuSnapshotView) -> list[Sample]:
    """What is kept of a snapshot. What was not measured, or too long ago, is None."""
    if snapshot.unreached:
        return []
    return [
        *(_gpu(gpu) for gpu in snapshot.gpus),
        *(_service(service) for service in snapshot.services),
        *_types(snapshot.gpus, snapshot.pending),
        *_holdings(snapshot.gpus),
    ]


def holders_of(snapshot: GpuSnapshotView) -> dict[str, str]:
    """Who holds each GPU, by its key, as `namespace/service` or pod; empty: nobody. Those not known are left out."""
    return {gpu.key: holder_of(gpu) for gpu in snapshot.gpus if _holder_is_known(gpu)}


def is_held(gpu: GpuView) -> bool:
    """Whether it is allocated; of a GPU of this machine alone, whether it works."""
    return bool(gpu.pod or gpu.service) or gpu.state in {GpuState.BUSY, GpuState.IDLE}


def _holder_is_known(gpu: GpuView) -> bool:
    ages = [cell.age for cell in gpu.cells if cell.field in _HOLDING]
    return all(age is not None and age <= STALE_AFTER for age in ages)


def _gpu(gpu: GpuView) -> Sample:
    values: Values = (None,) * 7
    if not is_stale(gpu):
        values = (
            gpu.utilisation, gpu.engine_active, gpu.tensor_active, gpu.dram_active, gpu.memory_used, gpu.power,
            gpu.temperature,
        )  # fmt: skip
    states: Values = (None,) * 4
    if gpu.state is not GpuState.UNKNOWN:
        states = tuple(float(gpu.state is state) for state in _STATES)
    profile = f" {gpu.mig_profile}" if gpu.mig_profile else ""
    return Sample(SeriesKind.GPU, gpu.key, f"{gpu.node}/{gpu.place}{profile}", values + states)


_STATES: Final = (GpuState.BUSY, GpuState.IDLE, GpuState.FREE, GpuState.FAULT)


def _service(service: ServiceMetricsView) -> Sample:
    label = f"{service.namespace}/{service.service}"
    if service.age is None or service.age > STALE_AFTER:
        # Of one that never told anything there is nothing to keep, not even that nobody tells.
        replicas = float(service.replicas) if service.replicas or service.age is not None else None
        return Sample(SeriesKind.SERVICE, service.key, label, (None,) * 14 + (replicas,))
    return Sample(
        SeriesKind.SERVICE,
        service.key,
        label,
        (
            service.requests_per_second,
            service.error_rate,
            service.prompt_tokens_per_second,
            service.generation_tokens_per_second,
            *_quantiles(service.ttft),
            *_quantiles(service.inter_token),
            service.end_to_end.p95 if service.end_to_end is not None else None,
            service.running,
            service.waiting,
            service.kv_cache,
            float(service.replicas),
        ),
    )


def _quantiles(latency: LatencyView | None) -> Values:
    return (None,) * 3 if latency is None else (latency.p50, latency.p95, latency.p99)


def _types(gpus: Iterable[GpuView], pending: Iterable[PendingView]) -> list[Sample]:
    """Supply and demand by type. A pod that waits for whole GPUs of no type in particular waits for a type of its own,
    `any`, where there are several.
    """
    by_type: dict[str, list[GpuView]] = defaultdict(list)
    resources: dict[str, set[str]] = defaultdict(set)
    for gpu in gpus:
        by_type[type_of(gpu)].append(gpu)
        resources[_MIG + gpu.mig_profile if gpu.mig_profile else _WHOLE].add(type_of(gpu))
    waiting: dict[str, int] = defaultdict(int)
    for pod in pending:
        types = resources.get(pod.resource, set())
        waiting[next(iter(types)) if len(types) == 1 else f"any {pod.resource}"] += pod.gpus
    samples = []
    for name in sorted({*by_type, *waiting}):
        held = [gpu for gpu in by_type[name] if is_held(gpu)]
        usable = [gpu for gpu in by_type[name] if gpu.state is not GpuState.FAULT or is_held(gpu)]
        states = [sum(gpu.state is state for gpu in by_type[name]) for state in _TOLD]
        counts = (len(usable), len(held), waiting[name], *states)
        samples.append(Sample(SeriesKind.TYPE, name, name, tuple(float(count) for count in counts)))
    return samples


def _holdings(gpus: Iterable[GpuView]) -> list[Sample]:
    held: dict[Holding, list[GpuView]] = defaultdict(list)
    for gpu in gpus:
        if is_held(gpu) and _holder_is_known(gpu):
            held[Holding(gpu.context, gpu.namespace, gpu.service, gpu.team, type_of(gpu))].append(gpu)
    return [
        Sample(
            SeriesKind.HOLDING, who.key, f"{who.service_key} {who.type}",
            (float(len(each)), float(sum(gpu.state is GpuState.IDLE for gpu in each))),
        )
        for who, each in held.items()
    ]  # fmt: skip
