"""GPUs and model servers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from backend.core.views.base import View


class GpuState(StrEnum):
    """What a GPU does: idle is allocated and doing nothing; free is allocated to nobody."""

    BUSY = "busy"
    IDLE = "idle"
    FREE = "free"
    FAULT = "fault"
    UNKNOWN = "unknown"


class CellView(View, frozen=True, kw_only=True):
    """Where the value of one field comes from, where that is not the row's own source.

    Attributes:
        field: the name of the view's field.
        source: as in `GpuView.source`.
        age: seconds since the value was last known true; None: never.
        note: why there is no value, or what is odd about it.
    """

    field: str
    source: str
    age: float | None
    note: str = ""


class GpuView(View, frozen=True, kw_only=True):
    """A GPU or MIG instance.

    Attributes:
        context: of the kubeconfig; empty: this machine's own GPU, in no cluster that is known.
        utilisation: percent of time with a kernel running; engine_active, tensor_active, dram_active: percent in use.
        memory_used, memory_total: bytes. power, power_limit: watts. temperature, memory_temperature: degrees Celsius.
        sm_clock, memory_clock: MHz. energy: joules since the driver was loaded.
        pcie_receive, pcie_send, nvlink: bytes a second.
        throttle: why its clocks are held down, such as `thermal` or `power cap`; empty: they are not.
        source: where the numbers come from; age: seconds since they last were known true; None: never.
        cells: fields that come from elsewhere, or are older, than the row.
        rank: of the GPUs of one replica, counted from 0 in the order of their indexes; None: nobody holds it.
        team: of the pod that holds it, by the labels that name one.
        tokens_per_second: of the service that holds it, shared over its GPUs; None: no model server told.
        tokens_per_joule: generated tokens for a joule of its replica's GPUs; None: one of them is not told.
        idle_since: allocated and doing nothing since then; wasted_hours: GPU hours since; idle_cost: the same by the
            price table, an estimate; None: it has no price.
        price: what an hour of it costs, in `currency`; None: the price table does not name it.
        useless: busy without tokens or tensor work, in a sentence; empty: it is not.
        error: the last XID or what the driver says; empty when nothing is wrong.
        xid: the last error's number; xid_class: `application` or `hardware`; xid_at: when it appeared; None: it was
            there when we first looked.
        ecc_uncorrected: since the driver was loaded. remapped_rows: since it was made; remap_pending: until a reset.
        cordoned: whether its node takes no new pods; None: not told.
        processes: of this machine, `(process id, name, memory in bytes or None)`.
    """

    key: str
    node: str
    index: int
    uuid: str
    product: str
    context: str = ""
    mig_profile: str = ""
    state: GpuState
    utilisation: float | None
    engine_active: float | None
    tensor_active: float | None = None
    dram_active: float | None = None
    memory_used: int | None
    memory_total: int | None
    power: float | None
    power_limit: float | None = None
    temperature: float | None
    memory_temperature: float | None = None
    sm_clock: float | None = None
    memory_clock: float | None = None
    energy: float | None = None
    pcie_receive: float | None = None
    pcie_send: float | None = None
    nvlink: float | None = None
    throttle: tuple[str, ...] = ()
    namespace: str = ""
    pod: str = ""
    container: str = ""
    service: str = ""
    rank: int | None = None
    team: str = ""
    image_digest: str = ""
    approved: bool | None = None
    tokens_per_second: float | None = None
    tokens_per_joule: float | None = None
    idle_since: datetime | None = None
    wasted_hours: float | None = None
    idle_cost: float | None = None
    price: float | None = None
    currency: str = ""
    useless: str = ""
    error: str = ""
    xid: int | None = None
    xid_class: str = ""
    xid_at: datetime | None = None
    ecc_uncorrected: int | None = None
    remapped_rows: int | None = None
    remap_pending: bool | None = None
    cordoned: bool | None = None
    processes: tuple[tuple[int, str, int | None], ...] = ()
    source: str
    age: float | None
    cells: tuple[CellView, ...] = ()

    @property
    def place(self) -> str:
        """Which GPU of its node, `7`; a MIG instance with its own number, since a GPU has several: `7:2`."""
        _, slash, instance = self.key.rpartition("/")
        return f"{self.index}:{instance}" if self.mig_profile and slash else str(self.index)


class LatencyView(View, frozen=True, kw_only=True):
    """Quantiles of a latency in seconds over the last half minute, from bucket deltas summed over replicas.

    Attributes:
        at_least: names of quantiles that lie beyond the highest bucket; what is told is that bucket's bound.
    """

    p50: float
    p95: float
    p99: float
    at_least: tuple[str, ...] = ()


class ModelServerView(View, frozen=True, kw_only=True):
    """What the model server of one pod says; latencies are seconds over the last half minute, None: no traffic.

    Attributes:
        queue_time, prefill_time, decode_time: that a request spent on the average; None: no traffic, or not told.
        preemptions_per_second: requests that gave their place in the KV cache to others.
        bottleneck: queue, KV cache, prefill, decode or asleep; empty: none stands out, or it cannot be told.
        evidence: the numbers that the bottleneck rests on, in a sentence.
    """

    context: str = ""
    namespace: str
    pod: str
    service: str
    engine: str
    running: float | None
    waiting: float | None
    kv_cache: float | None
    prefix_hits: float | None = None
    ttft_p95: float | None
    inter_token_p95: float | None
    requests_per_second: float | None = None
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    queue_time: float | None = None
    prefill_time: float | None = None
    decode_time: float | None = None
    preemptions_per_second: float | None = None
    bottleneck: str = ""
    evidence: str = ""
    age: float | None
    note: str = ""


class ObjectiveView(View, frozen=True, kw_only=True):
    """What a service promises, and how it does.

    Attributes:
        name: `ttft_p95`, `inter_token_p95`, `error_rate` or `availability`.
        promised, measured: seconds, or a share of 0 to 1; `measured` None: not measured, or no traffic.
        burn: how many times faster than allowed the error budget is used up over the last hour; None: not known yet.
        met: None: it cannot be told.
        sentence: for a person.
    """

    name: str
    promised: float
    measured: float | None
    burn: float | None
    met: bool | None
    sentence: str


class ServiceMetricsView(View, frozen=True, kw_only=True):
    """What all replicas of a service do together.

    Attributes:
        replicas: that told; `pods`, names of those that are looked at.
        kv_cache: share in use of the fullest replica, 0 to 1; prefix_hits: share of prompt tokens found in the cache.
        requests_per_second, errors_per_second: finished and failed ones; error_rate: the share, None without traffic.
        ttft, inter_token, end_to_end: None: no traffic, or the engine does not tell.
        objectives: those of the configuration that apply; `slow` the worst one that is missed, in a sentence.
        age: seconds since the oldest of the numbers was true.
        note: such as "no traffic".
    """

    context: str = ""
    namespace: str
    service: str
    engine: str = ""
    replicas: int
    pods: tuple[str, ...] = ()
    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None
    prefix_hits: float | None = None
    requests_per_second: float | None = None
    errors_per_second: float | None = None
    error_rate: float | None = None
    ttft: LatencyView | None = None
    inter_token: LatencyView | None = None
    end_to_end: LatencyView | None = None
    prompt_tokens_per_second: float | None = None
    generation_tokens_per_second: float | None = None
    tokens_per_joule: float | None = None
    objectives: tuple[ObjectiveView, ...] = ()
    slow: str = ""
    age: float | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """`context/namespace/service`."""
        return f"{self.context}/{self.namespace}/{self.service}"


class PendingView(View, frozen=True, kw_only=True):
    """A pod that waits for GPUs.

    Attributes:
        gpus: of `resource` that it asks for.
        sentence: why it does not fit, such as "8 GPUs: 11 free, no node has more than 5".
    """

    context: str = ""
    namespace: str
    pod: str
    service: str
    resource: str
    gpus: int
    since: datetime | None
    sentence: str


class GpuNodeView(View, frozen=True, kw_only=True):
    """A node with GPUs, as its cluster tells of it.

    Attributes:
        pool: of the provider, by the label that names one; empty: none does.
        taints: as `key=value:effect`, without those that only say that it is cordoned or not ready.
    """

    context: str = ""
    name: str
    pool: str = ""
    ready: bool
    cordoned: bool
    taints: tuple[str, ...] = ()


class GpuSnapshotView(View, frozen=True, kw_only=True):
    """All GPUs at one time; `notes` say what could not be measured and what would be needed.

    Attributes:
        nodes: those of clusters; this machine's own is none of them where it is in no cluster.
        pending: pods that wait for GPUs.
        unreached: why nothing at all is known, when the cluster cannot be reached or refuses us; else empty.
    """

    at: datetime
    gpus: tuple[GpuView, ...]
    servers: tuple[ModelServerView, ...]
    services: tuple[ServiceMetricsView, ...] = ()
    nodes: tuple[GpuNodeView, ...] = ()
    pending: tuple[PendingView, ...] = ()
    notes: tuple[str, ...]
    unreached: str = ""


class AlertView(View, frozen=True, kw_only=True):
    """Something that needs a person.

    Attributes:
        id: of this episode; a new one starts when it fires again after it was resolved.
        rule: the kind of its rule, or `alertmanager`.
        object: what it is about: a service, node or GPU; `services` whom it hits.
        state: `pending` (not lasting long enough yet), `firing` or `resolved`.
        acknowledged_by: and with which note; handed_to: who took it over.
        silenced_until: with `silenced_by` and `silence_reason`; None: it is not silenced.
        source: `modelyard`, or the Alertmanager's address.
    """

    id: str
    rule: str
    severity: str
    object: str
    summary: str
    state: str
    since: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    services: tuple[str, ...] = ()
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    note: str = ""
    handed_to: str = ""
    silenced_until: datetime | None = None
    silenced_by: str = ""
    silence_reason: str = ""
    source: str = "modelyard"


class SilenceView(View, frozen=True, kw_only=True):
    """What nobody is told of until an instant.

    Attributes:
        rule: a kind, or `alertmanager`; empty: all. object: a glob on what alerts are about.
    """

    id: str
    rule: str
    object: str
    until: datetime
    reason: str
    actor: str
    at: datetime


class PointView(View, frozen=True, kw_only=True):
    """A point of a chart: the mean, smallest and largest value of the time from `at` to the next point."""

    at: datetime
    mean: float
    low: float
    high: float


class SeriesView(View, frozen=True, kw_only=True):
    """A line of a chart. Times without a point were not measured.

    Attributes:
        key: what it is of: a GPU, a service, a GPU type; `metric` the view's field.
        unit: such as `percent`, `bytes`, `watts`, `seconds`, `tokens/s`.
        step: seconds between two points.
        source: `modelyard` or the Prometheus it was read from.
    """

    key: str
    metric: str
    unit: str
    step: float
    points: tuple[PointView, ...]
    source: str = "modelyard"


class CostView(View, frozen=True, kw_only=True):
    """What GPUs cost over a time, by the price table: an estimate.

    Attributes:
        key: a service as `context/namespace/name`, a GPU type, a team, or `total`.
        gpu_hours: that were allocated; idle_hours: of them doing nothing.
        cost, idle_cost: in the price table's currency; None: no price.
        per_million_tokens: None: no price, or no tokens.
        measured: share of the time that was measured, 0 to 1.
    """

    key: str
    gpu_hours: float
    idle_hours: float
    cost: float | None
    idle_cost: float | None
    tokens: float | None
    per_million_tokens: float | None
    measured: float
    currency: str = ""
