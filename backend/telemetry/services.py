"""What the replicas of a service do together, and what each of them says. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from backend.core.views import GpuView, ModelServerView, ServiceMetricsView
from backend.telemetry.engines import Kind
from backend.telemetry.model_servers import ServerMetrics, Window
from backend.telemetry.quantiles import latency, merged

#: Seconds after which what a model server said says nothing of now.
SERVER_STALE_AFTER: Final = 30.0


class Replica(NamedTuple):
    """A pod of a service.

    Attributes:
        metrics: what it last said; None: nothing ever. age: seconds since then.
        failure: why it does not tell now; empty: it does.
        good_for: seconds that what it said tells of now.
    """

    namespace: str
    pod: str
    service: str
    metrics: ServerMetrics | None
    age: float | None
    failure: str
    good_for: float = SERVER_STALE_AFTER

    @property
    def now(self) -> ServerMetrics | None:
        """What it says of now; None: nothing."""
        return self.metrics if self.age is not None and self.age <= self.good_for else None


def server_view(replica: Replica, context: str) -> ModelServerView:
    """What the model server of one pod says."""
    metrics = replica.metrics
    notes = [replica.failure] if replica.failure else []
    if metrics is None:
        return ModelServerView(
            context=context, namespace=replica.namespace, pod=replica.pod, service=replica.service, engine="",
            running=None, waiting=None, kv_cache=None, ttft_p95=None, inter_token_p95=None,
            prompt_tokens_per_second=None, generation_tokens_per_second=None, age=replica.age, note="; ".join(notes),
        )  # fmt: skip
    ttft, inter_token = metrics.ttft_p95, metrics.inter_token_p95
    for name, quantile in (("TTFT", ttft), ("inter-token latency", inter_token)):
        if quantile is not None and quantile.at_least:
            notes.append(f"{name} is at least {quantile.value:g} s")
    if metrics.gauges.asleep:
        notes.append("asleep: it gave its GPUs' memory back until it is woken")
    if not notes and metrics.generation_rate == 0 and ttft is None:
        notes.append("no traffic")
    return ModelServerView(
        context=context,
        namespace=replica.namespace,
        pod=replica.pod,
        service=replica.service,
        engine=metrics.engine,
        running=metrics.gauges.running,
        waiting=metrics.gauges.waiting,
        kv_cache=metrics.gauges.cache,
        prefix_hits=metrics.prefix_hits,
        ttft_p95=None if ttft is None else ttft.value,
        inter_token_p95=None if inter_token is None else inter_token.value,
        requests_per_second=metrics.window.rate(Kind.REQUESTS),
        prompt_tokens_per_second=metrics.prompt_rate,
        generation_tokens_per_second=metrics.generation_rate,
        queue_time=metrics.mean(Kind.QUEUE),
        prefill_time=metrics.mean(Kind.PREFILL),
        decode_time=metrics.mean(Kind.DECODE),
        preemptions_per_second=metrics.window.rate(Kind.PREEMPTIONS),
        age=replica.age,
        note="; ".join(notes),
    )


class Silent:
    """The views of servers that never told anything, made once: thousands may be of that kind.

    Args:
        context: of the servers.
    """

    def __init__(self, context: str) -> None:
        self._context = context
        self._replicas: Sequence[Replica] = ()
        self._views: tuple[ModelServerView, ...] = ()
        self._services: dict[tuple[str, str], tuple[list[Replica], ServiceMetricsView]] = {}

    def servers(self, replicas: Sequence[Replica]) -> tuple[ModelServerView, ...]:
        """What the model server of each pod says, by `server_view`."""
        known = zip_longest(self._replicas[: len(replicas)], self._views[: len(replicas)], replicas)
        self._views = tuple(
            view if replica is before and replica.metrics is None else server_view(replica, self._context)
            for before, view, replica in known
        )
        self._replicas = replicas
        return self._views

    def services(self, replicas: Iterable[Replica], gpus: Sequence[GpuView]) -> tuple[ServiceMetricsView, ...]:
        """What each service does, by `service_views`."""
        before, self._services = self._services, {}
        by_service = _by_service(replicas)
        held = _held(gpus)
        views = []
        for key in sorted(by_service):
            own = by_service[key]
            known = before.get(key)
            is_silent = all(replica.metrics is None for replica in own)
            if known is None or not is_silent or known[0] != own:
                known = (own, _service(key, own, held.get(key, ()), self._context))
            if is_silent:
                self._services[key] = known
            views.append(known[1])
        return tuple(views)


def service_views(replicas: Iterable[Replica], gpus: Sequence[GpuView], context: str) -> list[ServiceMetricsView]:
    """What each service does, by namespace and name.

    Args:
        gpus: of the context: their power says what a token costs.
    """
    by_service, held = _by_service(replicas), _held(gpus)
    return [_service(key, by_service[key], held.get(key, ()), context) for key in sorted(by_service)]


def _by_service(replicas: Iterable[Replica]) -> dict[tuple[str, str], list[Replica]]:
    by_service: dict[tuple[str, str], list[Replica]] = defaultdict(list)
    for replica in replicas:
        if replica.service:
            by_service[replica.namespace, replica.service].append(replica)
    return by_service


def _held(gpus: Sequence[GpuView]) -> dict[tuple[str, str], list[GpuView]]:
    held: dict[tuple[str, str], list[GpuView]] = defaultdict(list)
    for gpu in gpus:
        if gpu.service:
            held[gpu.namespace, gpu.service].append(gpu)
    return held


def tokens_per_joule(rate: float | None, gpus: Sequence[GpuView]) -> float | None:
    """Generated tokens for a joule; None: no tokens are told, or the power of one GPU is not.

    Args:
        rate: tokens a second that the GPUs make together.
    """
    watts = {gpu.uuid or gpu.key: gpu.power for gpu in gpus}
    told = [power for power in watts.values() if power is not None]
    # A MIG instance shares its GPU's power with others, who may be somebody else.
    if rate is None or not told or len(told) < len(watts) or any(gpu.mig_profile for gpu in gpus) or not sum(told):
        return None
    return rate / sum(told)


def _service(
    key: tuple[str, str], replicas: Sequence[Replica], gpus: Sequence[GpuView], context: str
) -> ServiceMetricsView:
    told = [replica for replica in replicas if replica.now is not None]
    if not told:
        # Thousands of services whose servers cannot be asked are all alike.
        return ServiceMetricsView(
            context=context,
            namespace=key[0],
            service=key[1],
            replicas=0,
            pods=tuple(sorted(replica.pod for replica in replicas)),
            note=_note(replicas, told, quiet=False),
        )
    now = [metrics for replica in told if (metrics := replica.now) is not None]
    windows = [metrics.window for metrics in now]
    requests, errors = _rate(windows, Kind.REQUESTS), _rate(windows, Kind.ERRORS)
    generated = _sum(metrics.generation_rate for metrics in now)
    ttft, inter_token, end_to_end = (
        latency(merged([window.histograms[kind] for window in windows if kind in window.histograms]))
        for kind in (Kind.TTFT, Kind.INTER_TOKEN, Kind.END_TO_END)
    )
    quiet = generated == 0 and not requests and ttft is None
    return ServiceMetricsView(
        context=context,
        namespace=key[0],
        service=key[1],
        engine=", ".join(sorted({metrics.engine for metrics in now})),
        replicas=len(told),
        pods=tuple(sorted(replica.pod for replica in replicas)),
        running=_sum(metrics.gauges.running for metrics in now),
        waiting=_sum(metrics.gauges.waiting for metrics in now),
        kv_cache=max((m.gauges.cache for m in now if m.gauges.cache is not None), default=None),
        prefix_hits=_prefix_hits(now),
        requests_per_second=requests,
        errors_per_second=errors,
        error_rate=min(1.0, errors / requests) if requests and errors is not None else None,
        ttft=ttft,
        inter_token=inter_token,
        end_to_end=end_to_end,
        prompt_tokens_per_second=_sum(metrics.prompt_rate for metrics in now),
        generation_tokens_per_second=generated,
        # With a replica that does not tell, tokens of some would be divided by the energy of all.
        tokens_per_joule=tokens_per_joule(generated, gpus) if len(told) == len(replicas) else None,
        age=max((replica.age for replica in told if replica.age is not None), default=None),
        note=_note(replicas, told, quiet=quiet),
    )


def _note(replicas: Sequence[Replica], told: Sequence[Replica], *, quiet: bool) -> str:
    notes = ["no traffic"] if quiet else []
    silent = [replica for replica in replicas if replica not in told]
    if silent:
        why = silent[0].failure or "not read yet"
        notes.append(why if not told else f"{len(silent)} of {len(replicas)} replicas do not tell: {why}")
    return "; ".join(notes)


def _sum(values: Iterable[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) if told else None


def _rate(windows: Sequence[Window], kind: Kind) -> float | None:
    return _sum(window.rate(kind) for window in windows)


def _prefix_hits(servers: Sequence[ServerMetrics]) -> float | None:
    """By counters where there are any, each token counting the same; else the mean of what the servers say."""
    queries = sum(server.window.counts.get(Kind.QUERIES, 0.0) for server in servers)
    if queries:
        return min(1.0, sum(server.window.counts.get(Kind.HITS, 0.0) for server in servers) / queries)
    told = [server.gauges.hits for server in servers if server.gauges.hits is not None]
    return sum(told) / len(told) if told else None
