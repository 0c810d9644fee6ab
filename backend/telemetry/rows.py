"""Joins what sources tell into rows: GPU, node, pod, service, image, approval, work. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from backend.core.views import GpuState, GpuView
from backend.telemetry.idle import Quiet, Work, does_nothing, follow, idle_since
from backend.telemetry.inventory import Claim, NodeGpus, assign, profile_of, slots
from backend.telemetry.model_servers import ServerMetrics
from backend.telemetry.readings import GpuReading

#: Seconds after which a value says nothing of now: three times the exporter's own default interval.
STALE_AFTER: Final = 90.0

#: Whether the digests that a container names or runs are approved; None: it names none, or that is not known.
Approved: TypeAlias = Callable[[Sequence[str]], bool | None]


class Measured(NamedTuple):
    """A reading and how old it is, in seconds."""

    reading: GpuReading
    age: float


class Inputs(NamedTuple):
    """All that is known at one time.

    Attributes:
        nodes: those that have GPUs, as the cluster says.
        claims: what pods were given.
        measured: readings by the name of their node.
        servers: what model servers do, by `namespace/pod`.
        quiet: what was known of idleness before, by the GPU's key.
    """

    now: datetime
    nodes: Sequence[NodeGpus]
    claims: Sequence[Claim]
    measured: Mapping[str, Sequence[Measured]]
    servers: Mapping[str, ServerMetrics]
    quiet: Mapping[str, Quiet]
    approved: Approved


class Joined(NamedTuple):
    """Rows by node and index, what is known of idleness now, and the nodes where the holder of a GPU is guessed."""

    rows: tuple[GpuView, ...]
    quiet: dict[str, Quiet]
    guessed: tuple[str, ...]


def join(inputs: Inputs) -> Joined:
    """One row for each GPU and MIG instance, whether something measures it or not."""
    rows: list[GpuView] = []
    quiet: dict[str, Quiet] = {}
    guessed: list[str] = []
    by_node: dict[str, list[Claim]] = {}
    gpus_of_pod: dict[str, int] = {}
    for claim in inputs.claims:
        by_node.setdefault(claim.node, []).append(claim)
        gpus_of_pod[claim.holder] = gpus_of_pod.get(claim.holder, 0) + claim.count
    known = {node.name: node for node in inputs.nodes}
    for name in sorted({*known, *(name for name, readings in inputs.measured.items() if readings)}):
        claims = by_node.get(name, [])
        measured = inputs.measured.get(name, ())
        if not measured:
            rows += _unmeasured(known[name], claims, inputs.approved)
            continue
        held, guess = assign([each.reading for each in measured], claims)
        if guess:
            guessed.append(name)
        for each in measured:
            holder = held.get(each.reading.key)
            name_of_pod = holder.holder if holder is not None else ""
            row = _Row(each, holder, inputs.servers.get(name_of_pod), gpus_of_pod.get(name_of_pod, 1))
            view, mark = _measured(row, inputs)
            rows.append(view)
            quiet[view.key] = mark
    return Joined(tuple(rows), quiet, tuple(guessed))


class _Row(NamedTuple):
    measured: Measured
    claim: Claim | None
    server: ServerMetrics | None
    gpus_of_pod: int


def _measured(row: _Row, inputs: Inputs) -> tuple[GpuView, Quiet]:
    reading, age = row.measured
    claim, server = row.claim, row.server
    stale = age > STALE_AFTER
    tokens = server.token_rate if server is not None else None
    work = Work(
        activity=None if stale else reading.activity,
        running=server.gauges.running if server is not None else None,
        waiting=server.gauges.waiting if server is not None else None,
        tokens_per_second=tokens,
    )
    nothing = None if stale else does_nothing(work)
    mark = follow(inputs.quiet.get(reading.key), claim.holder if claim is not None else "", nothing, inputs.now)
    since = idle_since(mark, inputs.now) if claim is not None else None
    view = GpuView(
        key=reading.key,
        node=reading.node,
        index=reading.index,
        uuid=reading.uuid,
        product=reading.product,
        mig_profile=reading.mig_profile,
        state=_state(reading, stale=stale, held=claim is not None, nothing=nothing, idle=since is not None),
        utilisation=reading.utilisation,
        engine_active=reading.engine_active,
        memory_used=reading.memory_used,
        memory_total=reading.memory_total,
        power=reading.power,
        temperature=reading.temperature,
        namespace=claim.namespace if claim is not None else "",
        pod=claim.pod if claim is not None else "",
        container=claim.container if claim is not None else "",
        service=claim.service if claim is not None else "",
        image_digest=_shown_digest(claim),
        approved=inputs.approved(claim.digests) if claim is not None and claim.digests else None,
        tokens_per_second=None if tokens is None else tokens / max(1, row.gpus_of_pod),
        idle_since=since,
        error=reading.error,
        source=reading.source,
        age=age,
    )
    return view, mark


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


def _unmeasured(node: NodeGpus, claims: Sequence[Claim], approved: Approved) -> list[GpuView]:
    """Rows of a node of which only the cluster's books tell: who holds how many, not which and not what they do."""
    rows = []
    for number, (resource, claim, healthy) in enumerate(slots(node, claims)):
        state = GpuState.UNKNOWN if claim is not None or not node.ready else GpuState.FREE
        rows.append(
            GpuView(
                key=f"{node.name}/{number}",
                node=node.name,
                index=number,
                uuid="",
                product=node.product,
                mig_profile=profile_of(resource),
                state=state if healthy else GpuState.FAULT,
                utilisation=None,
                engine_active=None,
                memory_used=None,
                memory_total=None if profile_of(resource) else node.memory,
                power=None,
                temperature=None,
                namespace=claim.namespace if claim is not None else "",
                pod=claim.pod if claim is not None else "",
                container=claim.container if claim is not None else "",
                service=claim.service if claim is not None else "",
                image_digest=_shown_digest(claim),
                approved=approved(claim.digests) if claim is not None and claim.digests else None,
                error=""
                if healthy
                else "the node has it and does not give it out: its device plugin finds it unhealthy",
                source="cluster",
                age=None,
            )
        )
    return rows


def _shown_digest(claim: Claim | None) -> str:
    return claim.digests[0] if claim is not None and claim.digests else ""
