"""What the tabs of a service show; `SERVICE_TABS` is the registry, in the order of the tabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from backend.core.views import CanaryView, ChangeView, ServiceView, SnapshotView, ValidationView
from tui import format as fmt
from tui.document import EMPTY, Section, Span, join, text
from tui.panes.common.messages import problem_lines
from tui.panes.common.text import yaml_line
from tui.panes.deployments.detail_model import condition_lines, event_lines, pod_sections, service_sections
from tui.panes.deployments.proof_model import PROVED_ROLE, canary_sections, change_lines, proof_sections
from tui.panes.deployments.tabs import INFERENCE_SERVICE, WITH_PODS, ServiceTab, TabContext
from tui.panes.deployments.view_model import metrics_key
from tui.ports import ScreenYard
from tui.service_tally import metrics_by_key

_DAYS: Final = 7
_READING: Final = Section("", (text("reading…", "muted"),))


def _overview(context: TabContext) -> Sequence[Section]:
    metrics = metrics_by_key(context.snapshot, context.service.context).get(metrics_key(context.service))
    return service_sections(context.service, context.detail, context.snapshot, context.now, metrics)


def _pods(context: TabContext) -> Sequence[Section]:
    if context.detail is None:
        return (_READING,)
    sections = pod_sections(context.detail.pods, context.now)
    return sections or (Section("", (text("No pods.", "muted"),)),)


def _conditions(context: TabContext) -> Sequence[Section]:
    return (_READING,) if context.detail is None else (Section("", condition_lines(context.detail, context.now)),)


def _events(context: TabContext) -> Sequence[Section]:
    if context.detail is None:
        return (_READING,)
    return (Section("", event_lines(context.detail, context.now, most=500)),)


def _manifest(context: TabContext) -> Sequence[Section]:
    if context.detail is None:
        return (_READING,)
    return (Section("", tuple(yaml_line(line) for line in context.detail.manifest.splitlines())),)


def _owners(context: TabContext) -> Sequence[Section]:
    if context.detail is None:
        return (_READING,)
    lines = tuple(
        join(
            (Span("  " * owner.depth + ("└ " if owner.depth else "")), *text(owner.kind, "label")),
            text(owner.name, "name"),
            text(owner.note, "muted"),
            gap="  ",
        )
        for owner in context.detail.owners
    )
    return (Section("", lines or (text("Nothing tells who made it.", "muted"),)),)


async def _read_snapshots(yard: ScreenYard, service: ServiceView) -> list[SnapshotView]:
    held = await yard.deployments.snapshots(service.namespace, service.name, context=service.context)
    return sorted(held, key=lambda snapshot: snapshot.at, reverse=True)


def _snapshots(context: TabContext) -> Sequence[Section]:
    if context.problem is not None:
        return (Section("Could not be read", problem_lines(context.problem)),)
    if context.told is None:
        return (_READING,)
    held: list[SnapshotView] = context.told
    if not held:
        told = text("Nothing was applied here by Modelyard: there is nothing to go back to.", "muted")
        return (Section("", (told,)),)
    lines = []
    for position, snapshot in enumerate(held):
        lines.append(
            join(
                (Span("●" if position == 0 else "○", "ok" if position == 0 else "faint"),),
                text(snapshot.id[:12], "name"),
                text(fmt.moment(snapshot.at), "muted"),
                text(f"by {snapshot.actor}"),
                text("approved", "ok") if snapshot.still_approved else text("no longer approved", "bad"),
                text(f"validation {snapshot.proved}", PROVED_ROLE.get(snapshot.proved, "muted"))
                if snapshot.proved
                else EMPTY,
                text("last good", "strong") if snapshot.good else EMPTY,
                text(snapshot.note, "accent"),
                gap="  ",
            )
        )
        lines.append((Span("    "), *text(snapshot.image, "muted")))
    return (Section("Newest first", tuple(lines), note="B goes back"),)


async def _read_changes(yard: ScreenYard, service: ServiceView) -> list[ChangeView]:
    return await yard.deployments.changes(service.namespace, service.address, context=service.context, hours=_DAYS * 24)


def _changes(context: TabContext) -> Sequence[Section]:
    if context.problem is not None:
        return (Section("Could not be read", problem_lines(context.problem)),)
    if context.told is None:
        return (_READING,)
    none = (text(f"Nothing of it was changed in {_DAYS} days.", "muted"),)
    note = "← stands nearest before a failure: a guess by time"
    return (Section("Newest first", change_lines(context.told, context.now) or none, note=note),)


async def _read_proof(yard: ScreenYard, service: ServiceView) -> tuple[list[ValidationView], CanaryView]:
    where = {"namespace": service.namespace, "name": service.name, "context": service.context}
    return await yard.deployments.validations(**where), await yard.deployments.canary(**where)


def _proof(context: TabContext) -> Sequence[Section]:
    if context.problem is not None:
        return (Section("Could not be read", problem_lines(context.problem)),)
    if context.told is None:
        return (_READING,)
    validations, canary = context.told
    return (*canary_sections(canary), *proof_sections(validations, context.now))


SERVICE_TABS: Final[tuple[ServiceTab, ...]] = (
    ServiceTab(id="overview", title="overview", sections=_overview),
    ServiceTab(
        id="pods",
        title="pods",
        sections=_pods,
        kinds=WITH_PODS,
        count=lambda context: None if context.detail is None else len(context.detail.pods),
    ),
    ServiceTab(id="conditions", title="conditions", sections=_conditions),
    ServiceTab(
        id="events",
        title="events",
        sections=_events,
        count=lambda context: None if context.detail is None else len(context.detail.events),
    ),
    ServiceTab(id="owners", title="owners", sections=_owners, kinds=WITH_PODS),
    ServiceTab(id="yaml", title="YAML", sections=_manifest),
    ServiceTab(id="changes", title="changes", sections=_changes, read=_read_changes, kinds=(INFERENCE_SERVICE,)),
    ServiceTab(id="proof", title="proof", sections=_proof, read=_read_proof, kinds=(INFERENCE_SERVICE,)),
    ServiceTab(
        id="snapshots", title="snapshots", sections=_snapshots, read=_read_snapshots, kinds=(INFERENCE_SERVICE,)
    ),
)
