"""A GPU as a row and as sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from backend.core.gpu_lists import short_product
from backend.core.views import GpuSnapshotView, GpuState, GpuView, ModelServerView, ServiceView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, text
from tui.panes.deployments.detail_model import verdict_section
from tui.panes.gpus.view_model import STATE_MARK, STATE_ROLE, gauge_role, load_of
from tui.widgets.columns import Column

_RANK: Final = {GpuState.FAULT: 0, GpuState.IDLE: 1, GpuState.UNKNOWN: 2, GpuState.BUSY: 3, GpuState.FREE: 4}
_FOREVER: Final = datetime.max.replace(tzinfo=UTC)
_STALE_SECONDS: Final = 30


def worst_first(snapshot: GpuSnapshotView | None) -> list[GpuView]:
    """Faults, then what has been idle longest, then the rest by node."""
    gpus = snapshot.gpus if snapshot is not None else ()
    return sorted(gpus, key=lambda gpu: (_RANK[gpu.state], gpu.idle_since or _FOREVER, gpu.node, gpu.index, gpu.key))


def holder(gpu: GpuView, services: Iterable[ServiceView]) -> ServiceView | None:
    """The service that holds a GPU."""
    return next(
        (service for service in services if service.name == gpu.service and service.namespace == gpu.namespace), None
    )


def held_cell(gpu: GpuView) -> Line:
    """Who holds it."""
    if not gpu.pod and not gpu.service:
        return text("nobody", "faint")
    return (*text(f"{gpu.namespace}/", "space"), *text(gpu.service or gpu.pod, "name"))


def load_cell(gpu: GpuView) -> Line:
    """Its load in percent; a dash where nothing measured it."""
    load = load_of(gpu)
    return text(fmt.UNKNOWN, "warn") if load is None else (Span(f"{load:.0f}%", gauge_role(load)),)


def note_cell(gpu: GpuView, now: datetime) -> Line:
    """What is to be known of it: a fault, how long it is idle, that its numbers are old."""
    if gpu.error:
        return text(gpu.error, "bad")
    if gpu.state is GpuState.IDLE:
        return text(f"idle for {fmt.age(gpu.idle_since, now)}", "idle")
    if gpu.age is None or gpu.age > _STALE_SECONDS:
        return text(f"not measured for {fmt.span_of(gpu.age)}" if gpu.age is not None else "never measured", "warn")
    if gpu.approved is False:
        return text("runs an unapproved image", "violet")
    return text(f"{gpu.tokens_per_second:.0f} tok/s", "muted") if gpu.tokens_per_second is not None else EMPTY


def gpu_columns(now: Callable[[], datetime]) -> tuple[Column[GpuView], ...]:
    """The columns of GPUs."""

    def memory_cell(gpu: GpuView) -> Line:
        if gpu.memory_used is None or not gpu.memory_total:
            return text(fmt.UNKNOWN, "warn")
        return text(f"{gpu.memory_used / gpu.memory_total:.0%}", "muted")

    return (
        Column(
            key="mark",
            title="",
            cell=lambda gpu: (Span(STATE_MARK[gpu.state], STATE_ROLE[gpu.state]),),
            minimum=1,
            tight=True,
        ),
        Column(
            key="gpu",
            title="GPU",
            cell=lambda gpu: (*text(gpu.node, "name"), *text(f"/{gpu.index}", "accent")),
            minimum=9,
            maximum=20,
            sort=lambda gpu: (gpu.node, gpu.index),
        ),
        Column(
            key="product",
            title="TYPE",
            minimum=4,
            maximum=14,
            priority=4,
            sort=lambda gpu: gpu.product,
            cell=lambda gpu: text(f"{short_product(gpu.product)} {gpu.mig_profile}".strip(), "muted"),
        ),
        Column(
            key="state",
            title="STATE",
            cell=lambda gpu: (Span(gpu.state.value, STATE_ROLE[gpu.state]),),
            minimum=7,
            sort=lambda gpu: _RANK[gpu.state],
        ),
        Column(key="load", title="LOAD", cell=load_cell, minimum=5, right=True, sort=lambda gpu: -(load_of(gpu) or -1)),
        Column(
            key="memory",
            title="MEM",
            cell=memory_cell,
            minimum=4,
            right=True,
            priority=2,
            sort=lambda gpu: -(gpu.memory_used or 0),
        ),
        Column(
            key="power",
            title="WATT",
            cell=lambda gpu: text(fmt.number(gpu.power), "muted"),
            minimum=4,
            right=True,
            priority=5,
            sort=lambda gpu: -(gpu.power or 0),
        ),
        Column(
            key="heat",
            title="°C",
            cell=lambda gpu: text(fmt.number(gpu.temperature), "muted"),
            minimum=3,
            right=True,
            priority=6,
            sort=lambda gpu: -(gpu.temperature or 0),
        ),
        Column(
            key="holder",
            title="HELD BY",
            cell=held_cell,
            minimum=14,
            maximum=34,
            flex=1,
            priority=1,
            sort=lambda gpu: (gpu.namespace, gpu.service or gpu.pod),
        ),
        Column(
            key="note", title="NOTE", cell=lambda gpu: note_cell(gpu, now()), minimum=12, maximum=40, flex=1, priority=3
        ),
    )


def gpu_sections(
    gpu: GpuView, snapshot: GpuSnapshotView | None, service: ServiceView | None, now: datetime
) -> list[Section]:
    """A GPU, who holds it, and what its model server says."""
    load = load_of(gpu)
    what = "engine active" if gpu.engine_active is not None else "time with a kernel running"
    rows = [
        ("state", join((Span(gpu.state.value, STATE_ROLE[gpu.state]),), note_cell(gpu, now), gap="  ")),
        ("load", join(load_cell(gpu), text(what if load is not None else "nothing measured it", "muted"), gap="  ")),
        ("memory", text(f"{fmt.size(gpu.memory_used)} of {fmt.size(gpu.memory_total)}")),
        ("power", text(fmt.number(gpu.power, 0, " W"))),
        ("temperature", text(fmt.number(gpu.temperature, 0, " °C"))),
        ("product", join(text(gpu.product), text(gpu.mig_profile, "accent"))),
        ("uuid", text(gpu.uuid, "muted")),
        (
            "source",
            join(text(gpu.source), text("never told" if gpu.age is None else fmt.span_of(gpu.age), "muted"), gap="  "),
        ),
    ]
    sections = [Section(f"GPU {gpu.node}/{gpu.index}", facts(rows), side=True)]
    held = [
        ("service", held_cell(gpu)),
        ("pod", text(gpu.pod, "muted")),
        ("container", text(gpu.container, "muted")),
        ("image", text(gpu.image_digest, "muted")),
        ("approved", text("no", "violet") if gpu.approved is False else EMPTY),
    ]
    sections.append(Section("Held by", facts(held), side=True))
    servers = [
        server
        for server in (snapshot.servers if snapshot is not None else ())
        if server.pod == gpu.pod and server.namespace == gpu.namespace
    ]
    sections.extend(server_section(server) for server in servers)
    if service is not None:
        sections.append(verdict_section(service, now))
    return sections


def server_section(server: ModelServerView) -> Section:
    """What a model server says of itself."""
    rows = [
        ("engine", text(server.engine)),
        ("requests", text(f"{fmt.number(server.running)} running, {fmt.number(server.waiting)} waiting")),
        ("KV cache", text(fmt.number(None if server.kv_cache is None else server.kv_cache * 100, 0, "%"))),
        ("TTFT p95", text(fmt.duration(server.ttft_p95))),
        (
            "between tokens",
            text(fmt.number(None if server.inter_token_p95 is None else server.inter_token_p95 * 1000, 0, " ms p95")),
        ),
        (
            "tokens",
            text(
                f"{fmt.number(server.prompt_tokens_per_second)} in, "
                f"{fmt.number(server.generation_tokens_per_second)} out a second"
            ),
        ),
        ("note", text(server.note, "warn")),
    ]
    return Section(f"Model server {server.pod}", facts(rows))
