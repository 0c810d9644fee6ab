"""Joins what sources tell into rows: GPU, node, pod, service, image, approval, work. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from backend.core.views import CellView, GpuState, GpuView
from backend.telemetry.devices import Allocated, ClusterDevice
from backend.telemetry.following import Measured
from backend.telemetry.idle import (
    Futile,
    Quiet,
    Work,
    achieves_nothing,
    does_nothing,
    follow,
    follow_futile,
    idle_since,
    useless,
)
from backend.telemetry.inventory import Claim, NodeGpus, assign, profile_of, slots
from backend.telemetry.prices import share_of
from backend.telemetry.readings import GpuReading
from backend.telemetry.services import Replica, tokens_per_joule

#: Seconds after which a value says nothing of now: three times the exporter's own default interval.
STALE_AFTER: Final = 90.0
_UNHEALTHY: Final = "its device plugin finds it unhealthy, and its node does not give it out"

#: Whether the digests that a container names or runs are approved; None: it names none, or that is not known.
Approved: TypeAlias = Callable[[Sequence[str]], bool | None]


class Past(NamedTuple):
    """What was known of GPUs before, by their keys."""

    quiet: Mapping[str, Quiet]
    futile: Mapping[str, Futile]

    def shifted(self, by: timedelta) -> Past:
        """The same after the calendar's clock was set: what lasted a while has lasted no longer for it."""
        return Past(
            {
                key: quiet if quiet.since is None else quiet._replace(since=quiet.since + by)
                for key, quiet in self.quiet.items()
            },
            {key: futile._replace(since=futile.since + by) for key, futile in self.futile.items()},
        )


NO_PAST: Final = Past({}, {})


def past_of(gpus: Iterable[GpuView]) -> Past:
    """What rows that were shown a while ago say of the time before: they went on as they were."""
    return Past(
        {gpu.key: Quiet(f"{gpu.namespace}/{gpu.pod}", gpu.idle_since, True) for gpu in gpus if gpu.idle_since}, {}
    )


class Inputs(NamedTuple):
    """All that is known of a cluster, or of this machine alone, at one time.

    Attributes:
        context: of the kubeconfig.
        nodes: those that have GPUs, as the cluster says. claims: what pods were given.
        allocated: devices that the cluster names with their holders, by UUID.
        books_age: seconds since all of these were read; None: never.
        measured: readings by the name of their node.
        servers: model servers that tell of now, by `namespace/pod`.
    """

    now: datetime
    context: str
    nodes: Sequence[NodeGpus]
    claims: Sequence[Claim]
    allocated: Mapping[str, Allocated]
    books_age: float | None
    measured: Mapping[str, Sequence[Measured]]
    servers: Mapping[str, Replica]
    past: Past
    approved: Approved


class Joined(NamedTuple):
    """Rows by node and index, what is to be known the next time, and the nodes where a GPU's holder is guessed."""

    rows: tuple[GpuView, ...]
    past: Past
    guessed: tuple[str, ...]


def join(inputs: Inputs) -> Joined:
    """One row for each GPU and MIG instance, whether something measures it or not."""
    rows: list[GpuView] = []
    quiet: dict[str, Quiet] = {}
    futile: dict[str, Futile] = {}
    guessed: list[str] = []
    by_node: dict[str, list[Claim]] = defaultdict(list)
    gpus_of_pod: dict[str, int] = defaultdict(int)
    for claim in inputs.claims:
        by_node[claim.node].append(claim)
        gpus_of_pod[claim.holder] += claim.count
    known = {node.name: node for node in inputs.nodes}
    for name in sorted({*known, *(name for name, readings in inputs.measured.items() if readings)}):
        claims, measured = by_node.get(name, []), inputs.measured.get(name, ())
        if not measured:
            rows += _unmeasured(known[name], claims, inputs)
            continue
        held, guess = assign([each.reading for each in measured], claims, inputs.allocated)
        if guess:
            guessed.append(name)
        for each in measured:
            holder = held.get(each.reading.key)
            pod = holder.holder if holder is not None else ""
            told = inputs.allocated.get(each.reading.mig_uuid or each.reading.uuid)
            if told is not None and told.healthy is False and not each.reading.failure:
                each = each._replace(reading=msgspec.structs.replace(each.reading, failure=_UNHEALTHY))
            named = bool(each.reading.holders) or told is not None
            row = _Row(each, holder, inputs.servers.get(pod), gpus_of_pod.get(pod, 1), known.get(name), guess, named)
            view, mark, waste = _measured(row, inputs)
            rows.append(view)
            quiet[view.key] = mark
            if waste is not None:
                futile[view.key] = waste
    return Joined(_with_replicas(rows, inputs.servers), Past(quiet, futile), tuple(guessed))


class _Row(NamedTuple):
    measured: Measured
    claim: Claim | None
    server: Replica | None
    gpus_of_pod: int
    node: NodeGpus | None
    guessed: bool
    named: bool


def _measured(row: _Row, inputs: Inputs) -> tuple[GpuView, Quiet, Futile | None]:
    reading, age, _ = row.measured
    claim, stale, now = row.claim, age > STALE_AFTER, inputs.now
    work, tensor = _work(row, stale=stale), None if stale else reading.tensor_active
    nothing = None if stale else does_nothing(work)
    holder = claim.holder if claim is not None else ""
    mark = follow(inputs.past.quiet.get(reading.key), holder, nothing, now)
    futile = follow_futile(
        inputs.past.futile.get(reading.key), holder, claim is not None and achieves_nothing(work, tensor), now
    )
    since = idle_since(mark, now) if claim is not None else None
    view = GpuView(
        key=reading.key,
        node=reading.node,
        index=reading.index,
        uuid=reading.uuid,
        product=reading.product or (row.node.product if row.node is not None else ""),
        # This machine may be no node of the cluster.
        context=inputs.context if row.node is not None or reading.source != "nvml" else "",
        mig_profile=reading.mig_profile,
        state=_state(reading, stale=stale, held=claim is not None, nothing=nothing, idle=since is not None),
        utilisation=reading.utilisation,
        engine_active=reading.engine_active,
        tensor_active=reading.tensor_active,
        dram_active=reading.dram_active,
        memory_used=reading.memory_used,
        memory_total=reading.memory_total,
        power=reading.power,
        power_limit=reading.power_limit,
        temperature=reading.temperature,
        memory_temperature=reading.memory_temperature,
        sm_clock=reading.sm_clock,
        memory_clock=reading.memory_clock,
        energy=reading.energy,
        pcie_receive=reading.pcie_receive,
        pcie_send=reading.pcie_send,
        nvlink=reading.nvlink,
        throttle=() if stale else reading.throttle,
        **_of_claim(claim, inputs.approved),
        tokens_per_second=None if work.tokens_per_second is None else work.tokens_per_second / max(1, row.gpus_of_pod),
        idle_since=since,
        wasted_hours=None if since is None else _hours(reading, now - since),
        useless=useless(futile, work, tensor, now),
        error=reading.error,
        xid=reading.xid or None,
        xid_at=row.measured.xid_at,
        ecc_uncorrected=reading.ecc_uncorrected,
        remapped_rows=reading.remapped_rows,
        remap_pending=reading.remap_pending,
        cordoned=row.node.cordoned if row.node is not None else None,
        processes=tuple((process.pid, process.name, process.memory) for process in reading.processes or ()),
        source=reading.source,
        age=age,
        cells=_cells(row, inputs.books_age),
    )
    return view, mark, futile


def _work(row: _Row, *, stale: bool) -> Work:
    metrics = row.server.metrics if row.server is not None else None
    return Work(
        activity=None if stale else row.measured.reading.activity,
        running=metrics.gauges.running if metrics is not None else None,
        waiting=metrics.gauges.waiting if metrics is not None else None,
        tokens_per_second=metrics.token_rate if metrics is not None else None,
    )


def _hours(reading: GpuReading, time: timedelta) -> float:
    """GPU hours; of a MIG instance its share of the GPU."""
    return time.total_seconds() / 3600 * share_of(reading.mig_profile)


def _of_claim(claim: Claim | None, approved: Approved) -> dict[str, Any]:
    if claim is None:
        return {}
    return {
        "namespace": claim.namespace,
        "pod": claim.pod,
        "container": claim.container,
        "service": claim.service,
        "team": claim.team,
        "image_digest": claim.digests[0] if claim.digests else "",
        "approved": approved(claim.digests) if claim.digests else None,
    }


def _cells(row: _Row, books_age: float | None) -> tuple[CellView, ...]:
    """Where fields come from that the row's own source does not tell."""
    reading, cells = row.measured.reading, []
    if row.server is not None and row.server.metrics is not None:
        source = row.server.metrics.engine
        cells.append(CellView(field="tokens_per_second", source=source, age=row.server.age))
    if row.claim is not None:
        note = "which of the node's GPUs the pod holds is a guess" if row.guessed and not row.named else ""
        # The exporter tells the pod; of what service, image and team that is, the API server.
        field, source = ("pod", "cluster") if not reading.holders else ("service", "cluster")
        cells.append(CellView(field=field, source=source, age=books_age, note=note))
    if row.node is not None:
        cells.append(CellView(field="cordoned", source="cluster", age=books_age))
    cells += [
        CellView(field=name, source=reading.source, age=row.measured.age, note="of the whole GPU")
        for name in reading.shared
    ]
    if reading.instance and reading.utilisation is None:
        cells.append(CellView(field="utilisation", source=reading.source, age=None, note="not told of a MIG instance"))
    if reading.processes_note:
        cells.append(CellView(field="processes", source=reading.source, age=None, note=reading.processes_note))
    return tuple(cells)


def _state(reading: GpuReading, *, stale: bool, held: bool, nothing: bool | None, idle: bool) -> GpuState:
    if reading.faulty:
        return GpuState.FAULT
    if stale:
        return GpuState.UNKNOWN
    if not held:
        # Somebody who is no pod can use it: a process of the machine itself.
        busy = nothing is False or bool(reading.processes)
        return GpuState.BUSY if busy else GpuState.FREE
    if nothing is None:
        return GpuState.UNKNOWN
    return GpuState.IDLE if idle else GpuState.BUSY


def _unmeasured(node: NodeGpus, claims: Sequence[Claim], inputs: Inputs) -> list[GpuView]:
    """Rows of a node of which only the cluster's books tell: who holds how many, and not what they do.

    Where a driver publishes devices one by one, it is known which; else only how many.
    """
    if node.devices:
        return [
            _bare(node, inputs, number, device.profile, _claim_of(device, claims, inputs), "", device)
            for number, device in enumerate(node.devices)
        ]
    return [
        _bare(node, inputs, number, profile_of(resource), claim, "" if healthy else _UNHEALTHY, None)
        for number, (resource, claim, healthy) in enumerate(slots(node, claims))
    ]


def _claim_of(device: ClusterDevice, claims: Sequence[Claim], inputs: Inputs) -> Claim | None:
    told = inputs.allocated.get(device.uuid or device.name)
    if told is None:
        return None
    return next((claim for claim in claims if (claim.namespace, claim.pod) == (told.namespace, told.pod)), None)


def _bare(
    node: NodeGpus, inputs: Inputs, number: int, profile: str, claim: Claim | None, error: str,
    device: ClusterDevice | None,
) -> GpuView:  # fmt: skip
    place = f"{node.name}/{number}"
    state = GpuState.UNKNOWN if claim is not None or not node.ready else GpuState.FREE
    return GpuView(
        key=f"{inputs.context}/{place}" if inputs.context else place,
        node=node.name,
        index=number,
        uuid=device.uuid if device is not None else "",
        product=(device.product if device is not None else "") or node.product,
        context=inputs.context,
        mig_profile=profile,
        state=GpuState.FAULT if error else state,
        utilisation=None,
        engine_active=None,
        memory_used=None,
        memory_total=device.memory if device is not None else None if profile else node.memory,
        power=None,
        temperature=None,
        **_of_claim(claim, inputs.approved),
        error=error,
        cordoned=node.cordoned,
        source="cluster",
        age=None,
    )


def _with_replicas(rows: Sequence[GpuView], servers: Mapping[str, Replica]) -> tuple[GpuView, ...]:
    """The rows with what only all GPUs of their replica tell: rank, and tokens for a joule."""
    by_pod: dict[str, list[GpuView]] = defaultdict(list)
    for row in rows:
        if row.pod:
            by_pod[f"{row.namespace}/{row.pod}"].append(row)
    changes: dict[str, dict[str, Any]] = {}
    for pod, gpus in by_pod.items():
        server = servers.get(pod)
        rate = server.metrics.generation_rate if server is not None and server.metrics is not None else None
        joule = tokens_per_joule(rate, gpus)
        in_order = sorted(gpus, key=lambda gpu: (gpu.index, gpu.mig_profile, gpu.key))
        changes |= {gpu.key: {"rank": rank, "tokens_per_joule": joule} for rank, gpu in enumerate(in_order)}
    return tuple(msgspec.structs.replace(row, **changes[row.key]) if row.key in changes else row for row in rows)
