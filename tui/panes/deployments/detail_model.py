"""A service and a plan as sections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.views import (
    ConditionView,
    ContainerView,
    GpuSnapshotView,
    KubeEventView,
    PodView,
    ServiceDetailView,
    ServiceMetricsView,
    ServiceView,
    StepView,
    Verdict,
)
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, label, pad, text
from tui.panes.deployments.tabs import WITH_PODS
from tui.panes.deployments.view_model import approved_cell, gpus_cell, is_unapproved, look, lost_note
from tui.panes.gpus.cells import tally_of
from tui.panes.gpus.ranks import rank_lines, replicas
from tui.panes.gpus.service_numbers import service_rows

_EVENTS_SHOWN: Final = 40


def verdict_section(service: ServiceView, now: datetime) -> Section:
    """Verdict, why and next; the first thing that is read."""
    _, word, role = look(service)
    rows = [
        (
            "verdict",
            join(
                (Span(word, "alarm" if role == "bad" else role),),
                text(f"for {fmt.age(service.since, now)}" if service.since else "", "muted"),
                text(f"{service.ready_replicas} of {service.wanted_replicas} replicas ready"),
                gap="  ",
            ),
        ),
        ("seen", text(lost_note(service), "warn") if service.as_of is not None else EMPTY),
        ("why", text(service.reason)),
        ("next", text(service.next_step, "accent")),
        ("approval", text(service.approval_note, "violet") if is_unapproved(service) else EMPTY),
    ]
    return Section("Verdict", facts(rows))


def facts_section(service: ServiceView, now: datetime) -> Section:
    """What it is."""
    rows = [
        ("GPUs", gpus_cell(service)),
        ("model", text(service.model)),
        ("runtime", join(text(service.runtime), text(service.mode, "muted"))),
        ("image", join(approved_cell(service), text(service.approval_note, "muted"))),
        *(("", text(image, "muted")) for image in service.images),
        ("owner", text(f"{service.owner} writes this object too", "warn") if service.owner else EMPTY),
        ("url", text(service.url, "accent")),
        ("created", text(fmt.ago(service.created_at, now)) if service.created_at else EMPTY),
    ]
    return Section("Service", facts(rows), side=True)


def gpu_section(service: ServiceView, snapshot: GpuSnapshotView | None) -> Section | None:
    """The GPUs that it holds, the ranks of each replica side by side."""
    held = [
        gpu
        for gpu in (snapshot.gpus if snapshot is not None else ())
        if gpu.service == service.name
        and gpu.namespace == service.namespace
        and (not gpu.context or not service.context or gpu.context == service.context)
    ]
    if not held:
        return None
    lines: list[Line] = []
    for pod, ranks in replicas(held):
        nodes = ", ".join(dict.fromkeys(gpu.node for gpu in ranks))
        lines.append(join(text(pod, "name"), text(nodes, "muted"), tally_of(ranks), gap="  "))
        lines.extend(rank_lines(ranks))
        lines.extend(text(f"{gpu.node}/{gpu.place} {gpu.error}", "bad") for gpu in ranks if gpu.error)
    return Section("GPUs", tuple(lines), note=fmt.count(len(held), "GPU"), side=True)


def metrics_section(metrics: ServiceMetricsView | None) -> Section | None:
    """What its model servers measure together, against what it promises."""
    if metrics is None:
        return None
    if metrics.note and metrics.requests_per_second is None and metrics.running is None and not metrics.objectives:
        return Section("Model servers", (text(metrics.note, "muted"),), side=True)
    note = f"{metrics.age:.0f}s old" if metrics.age is not None else ""
    return Section("Model servers", facts(service_rows(metrics)), note=note, side=True)


def service_sections(
    service: ServiceView,
    detail: ServiceDetailView | None,
    snapshot: GpuSnapshotView | None,
    now: datetime,
    metrics: ServiceMetricsView | None = None,
) -> list[Section]:
    """All sections of a service; without its detail, what the list knows."""
    found = (gpu_section(service, snapshot), metrics_section(metrics))
    held = [section for section in found if section is not None]
    verdict, about = verdict_section(service, now), facts_section(service, now)
    if detail is None:
        return [verdict, about, *held, Section("Details", (text("reading…", "muted"),))]
    sections = [verdict]
    if detail.pods or service.kind in WITH_PODS:
        sections.append(Section("Pods", pod_lines(detail.pods, now) or (text("no pods", "muted"),)))
    if detail.timeline:
        # Its steps are told by the time of day alone: they may be of another day.
        begun = detail.timeline[0].at
        note = fmt.ago(begun, now) if begun is not None else ""
        sections.append(Section("Start", _timeline(detail, metrics), note=note, side=True))
    sections.append(Section("Events", event_lines(detail, now), note="newest first"))
    sections += [about, *held, Section("Conditions", condition_lines(detail, now))]
    if detail.endpoints:
        lines = tuple(
            (
                *label(point.scope, 9),
                *pad(text(point.protocol, "muted"), 6),
                *text(point.url, "accent"),
                *text(f"  {point.note}" if point.note else "", "muted"),
            )
            for point in detail.endpoints
        )
        sections.append(Section("Endpoints", lines))
    return sections


def pod_lines(pods: Sequence[PodView], now: datetime) -> tuple[Line, ...]:
    """Pods with what they wait for."""
    lines: list[Line] = []
    for pod in pods:
        role = "ok" if pod.ready else "bad" if pod.restarts or pod.phase == "Failed" else "warn"
        restarts = f"{pod.restarts} restarts" if pod.restarts else ""
        lines.append(
            join(
                (Span("●" if pod.ready else "○", role),),
                text(pod.name, "name"),
                text(pod.state or pod.phase, role),
                text(restarts, "warn"),
                text(f"on {pod.node}" if pod.node else "on no node", "muted"),
                text(f"{fmt.count(pod.gpus, 'GPU')}" if pod.gpus else "", "muted"),
                text(fmt.age(pod.started_at, now) if pod.started_at else "", "faint"),
                gap="  ",
            )
        )
        if pod.message:
            lines.append((Span("    "), *text(pod.message, "muted")))
    return tuple(lines)


def pod_sections(pods: Sequence[PodView], now: datetime) -> list[Section]:
    """Each pod with all that is known of it."""
    return [Section(pod.name, _pod_facts(pod, now), note=fmt.age(pod.started_at, now)) for pod in pods]


def _pod_facts(pod: PodView, now: datetime) -> tuple[Line, ...]:
    role = "ok" if pod.ready else "bad" if pod.restarts or pod.phase == "Failed" else "warn"
    ready = text("ready", "ok") if pod.ready else text("not ready", role)
    return facts(
        [
            ("state", join(text(pod.state or pod.phase, role), ready)),
            ("why", text(pod.message)),
            ("node", text(pod.node, "name") if pod.node else text("none yet", "warn")),
            ("GPUs", text(str(pod.gpus)) if pod.gpus else EMPTY),
            ("made by", text(pod.owner, "muted")),
        ]
    ) + tuple(line for container in pod.containers for line in _container_lines(container, now))


def _container_lines(container: ContainerView, now: datetime) -> list[Line]:
    """A container: how it is, how its run before ended, and what it runs."""
    ended = container.initial and container.state == "Completed"
    role = "ok" if container.ready or ended else "bad" if container.restarts else "warn"
    lines = [
        join(
            (Span("●" if container.ready or ended else "○", role),),
            text(container.name, "name"),
            text("before the others" if container.initial else "", "faint"),
            text(container.state, role),
            text(f"{container.restarts} restarts" if container.restarts else "", "warn"),
            text(f"last {container.last}" if container.last else "", "bad"),
            text(fmt.count(container.gpus, "GPU") if container.gpus else "", "muted"),
            text(fmt.age(container.since, now) if container.since else "", "faint"),
            gap="  ",
        )
    ]
    if container.image_id or container.image:
        lines.append((Span("    "), *text(container.image_id or container.image, "muted")))
    return lines


def event_lines(detail: ServiceDetailView, now: datetime, *, most: int = _EVENTS_SHOWN) -> tuple[Line, ...]:
    """Events, the newest first."""
    ordered = sorted(detail.events, key=lambda event: event.at.timestamp() if event.at else 0, reverse=True)
    lines = tuple(_event_line(event, now) for event in ordered[:most])
    return lines or (text("none that the cluster still keeps", "muted"),)


def _event_line(event: KubeEventView, now: datetime) -> Line:
    times = f" ×{event.count}" if event.count > 1 else ""
    return (
        *label(f"{fmt.age(event.at, now):>4}", 6),
        *pad(text(f"{event.reason}{times}", "warn" if event.type == "Warning" else "name"), 16),
        Span(" "),
        *join(text(event.message), text(event.object, "faint"), gap="  "),
    )


def condition_lines(detail: ServiceDetailView, now: datetime) -> tuple[Line, ...]:
    """Conditions with their messages."""
    return tuple(_condition_line(condition, now) for condition in detail.conditions) or (text("none yet", "muted"),)


def _condition_line(condition: ConditionView, now: datetime) -> Line:
    # "Stopped" is the one condition that is good when it is false.
    good = (condition.status == "True") != (condition.type == "Stopped")
    return join(
        (Span("✓" if good else "✗" if condition.status in {"True", "False"} else "?", "ok" if good else "warn"),),
        pad(text(condition.type, "name"), 22),
        pad(text(condition.status, "muted"), 7),
        text(fmt.age(condition.since, now) if condition.since else "", "faint"),
        text(condition.reason, "label"),
        text(condition.message),
    )


def _timeline(detail: ServiceDetailView, metrics: ServiceMetricsView | None) -> tuple[Line, ...]:
    longest = max((step.seconds or 0 for step in detail.timeline), default=0)
    steps = list(detail.timeline)
    if metrics is not None and metrics.ttft is not None and steps and steps[-1].note:
        # When the first token of all came nobody tells; how long it takes now the model servers do.
        told = f"its time is not told; TTFT now p50 {fmt.duration(metrics.ttft.p50)}"
        steps[-1] = msgspec.structs.replace(steps[-1], note=told)
    return tuple(_step_line(step, longest) for step in steps)


def _step_line(step: StepView, longest: float) -> Line:
    done = step.at is not None
    if not done and step.note:
        return (Span("– ", "faint"), *pad(text(step.name, "muted"), 12), *text(step.note, "muted"))
    usual = f" ~{fmt.duration(step.usual)}" if step.usual is not None else ""
    bar = max(1, round(12 * step.seconds / longest)) if longest and step.seconds is not None else 0
    return (
        Span("✓ " if done else "· ", "ok" if done else "faint"),
        *pad(text(step.name, "name" if done else "faint"), 12),
        *pad(text(fmt.clock_time(step.at), "muted"), 7),
        *pad(text(fmt.duration(step.seconds) if done else "not yet", "muted"), 9, right=True),
        *pad(text(usual, "faint"), 8, right=True),
        Span("  " + "━" * bar, "gauge-low"),
    )


def summary(service: ServiceView) -> Line:
    """A service in a line, for dialogs."""
    _, word, role = look(service)
    doing = f"{service.ready_replicas} of {service.wanted_replicas} replicas ready"
    held = f", {fmt.count(service.gpus, 'GPU')}" if service.gpus else ""
    lost = " serving now" if service.verdict is Verdict.SERVING else ""
    return (Span(word, role), *text(f"  {doing}{held}{lost}"))
