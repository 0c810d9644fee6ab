"""A GPU and a node as sections."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from backend.core.gpu_lists import holder_of, load_of, type_of
from backend.core.views import AlertView, GpuSnapshotView, GpuState, GpuView, PendingView, ServiceView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, pad, text
from tui.panes.alerts.view_model import severity_cell
from tui.panes.deployments.detail_model import verdict_section
from tui.panes.gpus.cells import (
    NOTHING,
    STATE_ROLE,
    STATE_WORD,
    bar,
    held_cell,
    idle_note,
    memory_text,
    note_of,
    number_cell,
    seconds_text,
    shown_state,
    tally_of,
)
from tui.panes.gpus.measured import figure_lines, health_lines
from tui.panes.gpus.ranks import rank_lines, siblings
from tui.panes.gpus.service_numbers import server_section, service_section


def holder(gpu: GpuView, services: Iterable[ServiceView]) -> ServiceView | None:
    """The service that holds a GPU."""
    return next(
        (
            service
            for service in services
            if (service.name, service.namespace) == (gpu.service, gpu.namespace)
            and (not gpu.context or not service.context or gpu.context == service.context)
        ),
        None,
    )


def gpu_sections(
    gpu: GpuView, snapshot: GpuSnapshotView | None, service: ServiceView | None, now: datetime
) -> list[Section]:
    """A GPU: its numbers, its health, who holds it, and how that does."""
    sections = [
        Section(f"GPU {gpu.node}/{gpu.place}", (*facts(_identity(gpu, now)), *figure_lines(gpu)), side=True),
        Section("Health", (*facts(_health(gpu, now)), *health_lines(gpu)), side=True),
    ]
    if gpu.processes:
        sections.append(Section("Processes", process_lines(gpu), note="of this machine"))
    if holder_of(gpu) or not gpu.processes:
        sections.append(Section("Held by", facts(_held(gpu)) if holder_of(gpu) else (text("nobody", "muted"),)))
    if gpu.state is GpuState.IDLE or gpu.useless:
        sections.append(Section("Waste", facts(_waste(gpu, now))))
    everything = snapshot.gpus if snapshot is not None else ()
    ranks = siblings(gpu, everything)
    if len(ranks) > 1:
        sections.append(Section(f"Ranks of {gpu.pod}", rank_lines(ranks, gpu.key), note="▲▼ stands out"))
    if snapshot is not None:
        sections.extend(_told_by_servers(gpu, snapshot))
    if service is not None:
        sections.append(verdict_section(service, now))
    return sections


def _identity(gpu: GpuView, now: datetime) -> list[tuple[str, Line]]:
    shown = shown_state(gpu)
    state = (Span(STATE_WORD[shown], STATE_ROLE[shown]),)
    source = join(text(gpu.source or "no source", "muted"), text(_told_at(gpu), "muted"), gap="  ")
    return [
        ("state".ljust(15), join(state, note_of(gpu, now), gap="  ")),
        ("product", text(type_of(gpu) or "not told")),
        ("uuid", text(gpu.uuid or "not told", "muted")),
        ("source", source),
    ]


def _told_at(gpu: GpuView) -> str:
    return "never told" if gpu.age is None else f"{seconds_text(gpu.age)} ago"


def _health(gpu: GpuView, now: datetime) -> list[tuple[str, Line]]:
    first = f"since {fmt.ago(gpu.xid_at, now)}" if gpu.xid_at is not None else ""
    xid = join(text(f"XID {gpu.xid}", "bad"), text(gpu.xid_class, "warn"), text(first, "muted"), gap="  ")
    cordoned = {True: text("yes: takes no new pods", "warn"), False: text("no"), None: text("not told", "muted")}
    throttle = text(", ".join(gpu.throttle), "warn") if gpu.throttle else text("by nothing that is told", "muted")
    return [
        ("error".ljust(15), text(gpu.error, "bad") if gpu.error else text("none", "muted")),
        ("last XID", xid if gpu.xid is not None else text("none told", "muted")),
        ("held down", throttle),
        ("node cordoned", cordoned[gpu.cordoned]),
    ]


def _held(gpu: GpuView) -> list[tuple[str, Line]]:
    approval = {True: text("approved", "ok"), False: text("not approved", "violet"), None: text("not known", "muted")}
    return [
        ("service", held_cell(gpu) if gpu.service else text("none known", "muted")),
        ("pod", text(gpu.pod, "muted")),
        ("container", text(gpu.container, "muted")),
        ("team", text(gpu.team) if gpu.team else text("no label names one", "muted")),
        ("image", text(gpu.image_digest, "muted") if gpu.image_digest else text("digest not known", "muted")),
        ("approval", approval[gpu.approved]),
    ]


def _waste(gpu: GpuView, now: datetime) -> list[tuple[str, Line]]:
    since = f"{fmt.moment(gpu.idle_since)} UTC, {fmt.ago(gpu.idle_since, now)}" if gpu.idle_since else ""
    hours = text(f"{gpu.wasted_hours:.1f} GPU hours") if gpu.wasted_hours is not None else EMPTY
    cost = text(f"~{gpu.idle_cost:.2f} {gpu.currency} so far, an estimate") if gpu.idle_cost is not None else EMPTY
    return [
        ("what", text(gpu.useless or "it is held, and does nothing", "idle")),
        ("since", text(since)),
        ("wasted", hours),
        ("cost", cost or text("no price is configured for its type", "muted")),
        ("owner", text(gpu.team or f"{holder_of(gpu)}: no label names a team")),
    ]


def process_lines(gpu: GpuView) -> tuple[Line, ...]:
    """Processes of this machine that use it, the largest first."""
    ordered = sorted(gpu.processes, key=lambda process: -(process[2] or 0))
    return tuple(
        (
            *pad(text(str(number), "accent"), 9),
            *pad(text(fmt.size(used), "muted"), 10, right=True),
            Span("  "),
            *text(name),
        )
        for number, name, used in ordered
    )


def _told_by_servers(gpu: GpuView, snapshot: GpuSnapshotView) -> list[Section]:
    sections = [
        server_section(server)
        for server in snapshot.servers
        if (server.pod, server.namespace) == (gpu.pod, gpu.namespace) and gpu.pod
    ]
    sections += [
        service_section(metrics)
        for metrics in snapshot.services
        if (metrics.service, metrics.namespace) == (gpu.service, gpu.namespace) and gpu.service
    ]
    return sections


def alert_section(alerts: Iterable[AlertView], now: datetime) -> Section:
    """What goes on for it, the worst first, and who took it up."""
    lines = []
    for alert in alerts:
        taken = f"{alert.handed_to or alert.acknowledged_by} has it" if alert.acknowledged_by else "nobody has it"
        state = "silenced" if alert.silenced_until is not None else taken
        since = text(f"for {fmt.age(alert.since, now)}, {state}", "muted")
        lines.append(
            join(
                severity_cell(alert), text(alert.object.partition("/")[2], "name"), text(alert.summary), since, gap="  "
            )
        )
    return Section("Alerts", tuple(lines), note="a takes one up")


# ---------------------------------------------------------------- nodes


def node_sections(
    context: str, node: str, snapshot: GpuSnapshotView | None, services: Iterable[ServiceView], now: datetime
) -> list[Section]:
    """A node: its GPUs, its pods, and what waits and could run there."""
    gpus = [
        gpu for gpu in (snapshot.gpus if snapshot is not None else ()) if (gpu.context, gpu.node) == (context, node)
    ]
    if not gpus:
        return [Section(f"Node {node}", (text("it has no GPU any more", "muted"),))]
    cordoned = next((gpu.cordoned for gpu in gpus if gpu.cordoned is not None), None)
    told = {True: text("yes: it takes no new pods", "warn"), False: text("no"), None: text("not told", "muted")}
    free = sum(gpu.state is GpuState.FREE for gpu in gpus)
    known = snapshot.nodes if snapshot is not None else ()
    own = next((one for one in known if (one.context, one.name) == (context, node)), None)
    rows = [
        ("GPUs", join(text(str(len(gpus)), "strong"), tally_of(gpus), gap="  ")),
        ("type", text(", ".join(dict.fromkeys(type_of(gpu) for gpu in gpus)))),
        ("ready", EMPTY if own is None else text("yes") if own.ready else text("no", "bad")),
        ("cordoned", told[cordoned]),
        ("taints", text("not told" if own is None else ", ".join(own.taints) or "none", "muted")),
        ("pool", text(own.pool if own is not None else "")),
        ("cluster", text(context)),
    ]
    sections = [
        Section(f"Node {node}", facts(rows), side=True),
        Section("GPUs", tuple(_gpu_line(gpu, now) for gpu in gpus)),
        Section("Pods", _pod_lines(gpus, services, now) or (text("none holds a GPU", "muted"),)),
    ]
    if snapshot is not None and snapshot.pending:
        sections.append(
            Section("Waiting for GPUs", _waiting_lines(snapshot.pending, free, cordoned, context), side=True)
        )
    return sections


def _gpu_line(gpu: GpuView, now: datetime) -> Line:
    load = number_cell(gpu)
    power = NOTHING if gpu.power is None else f"{gpu.power:.0f} W"
    heat = NOTHING if gpu.temperature is None else f"{gpu.temperature:.0f} °C"
    return (
        *pad(text(f"/{gpu.place} {gpu.mig_profile}".strip(), "accent"), 4),
        *load,
        Span(" "),
        *bar(load_of(gpu) if shown_state(gpu) is GpuState.BUSY else None, 8),
        *pad(text(memory_text(gpu.memory_used, gpu.memory_total), "muted"), 10, right=True),
        *pad(text(power, "muted"), 8, right=True),
        *pad(text(heat, "muted"), 8, right=True),
        Span("  "),
        *join(held_cell(gpu), note_of(gpu, now), gap="  "),
    )


def _pod_lines(gpus: list[GpuView], services: Iterable[ServiceView], now: datetime) -> tuple[Line, ...]:
    known = list(services)
    pods: dict[tuple[str, str], list[GpuView]] = {}
    for gpu in gpus:
        if gpu.pod:
            pods.setdefault((gpu.namespace, gpu.pod), []).append(gpu)
    lines = []
    for (namespace, pod), held in sorted(pods.items()):
        service = holder(held[0], known)
        verdict = text(service.verdict.value, "muted") if service is not None else EMPTY
        idle = [gpu for gpu in held if gpu.state is GpuState.IDLE]
        waste = text(idle_note(idle, now), "idle") if idle else EMPTY
        name = (*text(f"{namespace}/", "space"), *text(pod, "name"))
        lines.append(join(name, text(fmt.count(len(held), "GPU"), "muted"), verdict, waste, gap="  "))
    return tuple(lines)


def _waiting_lines(pending: Iterable[PendingView], free: int, cordoned: bool | None, context: str) -> tuple[Line, ...]:
    lines: list[Line] = []
    for one in pending:
        if one.context and context and one.context != context:
            continue
        if cordoned:
            fits = text("not here: the node is cordoned", "muted")
        elif one.gpus <= free:
            fits = text(f"{one.gpus} of {free} free here would do", "ok")
        else:
            fits = text(f"needs {one.gpus - free} more here", "muted")
        lines.append(join((*text(f"{one.namespace}/", "space"), *text(one.pod, "name")), fits, gap="  "))
        lines.append((Span("    "), *text(one.sentence, "muted")))
    return tuple(lines) or (text("nothing in its cluster", "muted"),)
