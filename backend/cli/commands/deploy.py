"""`deploy` and `runtimes`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.commands.deploy_changes import changes
from backend.cli.commands.deploy_running import running
from backend.cli.output import Column, cell, note, pairs
from backend.cli.services import named
from backend.cli.session import Session
from backend.core.errors import ConflictError, ModelyardError, PartialFailureError, RefusedError, UsageError
from backend.core.text import sanitise
from backend.core.views import (
    AppliedView,
    PlanView,
    RuntimeView,
    ServiceDetailView,
    ServiceView,
    SnapshotView,
)
from backend.yard import Yard

_File = Annotated[
    Path, typer.Option("-f", "--filename", metavar="FILE", help="A deployment file; - is standard input.")
]
_Namespace = Annotated[str | None, typer.Option("-n", "--namespace", metavar="NS")]
_Name = Annotated[str, typer.Argument(metavar="NAME")]
_LARGEST_FILE = 1024 * 1024


def add_to(application: typer.Typer) -> None:
    """Add `deploy` and `runtimes`."""
    deploy = typer.Typer(help="Services: plan, apply, follow, roll back.", rich_markup_mode=None)
    for name, command in (
        ("plan", _plan),
        ("apply", _apply),
        ("status", _status),
        ("scale", _scale),
        ("rollback", _rollback),
        ("stop", _stop),
        ("start", _start),
        ("delete", _delete),
        ("export", _export),
        ("snapshots", _snapshots),
        ("changes", changes),
        ("running", running),
    ):
        deploy.command(name)(command)
    application.add_typer(deploy, name="deploy")
    runtimes = typer.Typer(help="Serving runtimes.", rich_markup_mode=None)
    runtimes.command("list")(_runtimes)
    application.add_typer(runtimes, name="runtimes")


async def _text_of(file: Path) -> str:
    return await asyncio.to_thread(_read, file)


def _read(file: Path) -> str:
    what = f"deployment file {file}"
    try:
        if str(file) == "-":
            return sys.stdin.read(_LARGEST_FILE + 1)
        if file.stat().st_size > _LARGEST_FILE:
            raise UsageError(what, "it is larger than 1 MiB", "name a deployment file")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(what, error.strerror or str(error), "name a file that can be read") from error
    except UnicodeDecodeError as error:
        raise UsageError(what, "it is not UTF-8 text", "save it as UTF-8") from error


def _plan(context: typer.Context, file: _File, namespace: _Namespace = None) -> None:
    """Tell what an apply would change. Changes nothing. Exit 3 when it would be refused, 4 when it conflicts."""
    session: Session = context.obj

    async def work(yard: Yard) -> PlanView:
        return await yard.deployments.plan(await _text_of(file), namespace)

    plan = session.run(work)
    session.print.item(plan, plan_text(plan))
    _refuse(plan)


def _refuse(plan: PlanView) -> None:
    if plan.refusals:
        more = f" (and {len(plan.refusals) - 1} more)" if len(plan.refusals) > 1 else ""
        kind = ConflictError if len(plan.refusals) == len(plan.conflicts) else RefusedError
        raise kind(
            f"plan of {plan.namespace}/{plan.name}",
            plan.refusals[0] + more,
            "see the plan's refusals, and correct them",
        )


def plan_text(plan: PlanView) -> str:
    """A plan as `deploy plan` prints it: each object with its diff, then what to know before applying it."""
    lines = [f"plan {plan.id[:19]} for {plan.context} {plan.namespace}/{plan.name}", f"image {plan.image}"]
    for planned in plan.objects:
        lines.append(f"{planned.action} {planned.kind} {planned.namespace}/{planned.name}")
        lines += [f"  {line.mark} {sanitise(line.text)}" for line in planned.diff]
    lines += [f"gate {gate.kind}: {gate.value.value}: {sanitise(gate.sentence)}" for gate in plan.gates]
    lines += [f"not fixed: {text}" for text in plan.not_fixed]
    lines += [f"warning: {sanitise(text)}" for text in plan.warnings]
    lines += [f"outage: {plan.outage}"] if plan.outage else []
    lines += [f"REFUSED: {sanitise(text)}" for text in plan.refusals]
    lines += [f"equivalent: {command}" for command in plan.kubectl]
    return "\n".join(lines)


def _apply(context: typer.Context, file: _File, namespace: _Namespace = None) -> None:
    """Plan, ask, and apply what the plan showed."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        plan = await yard.deployments.plan(await _text_of(file), namespace)
        return await _applied(session, yard, plan)

    _print_applied(session, session.run(work))


async def _applied(session: Session, yard: Yard, plan: PlanView) -> AppliedView:
    if plan.changes and not plan.refusals:
        sys.stderr.write(plan_text(plan) + "\n")
        session.confirm(f"apply to {plan.context} {plan.namespace}/{plan.name}?")
    return await yard.deployments.apply(plan)


_DONE = {"stop": "stopped", "start": "started", "delete": "deleted"}


def _print_applied(session: Session, applied: AppliedView, *, done: str = "applied") -> None:
    if applied.changed:
        text = f"{done} {', '.join(applied.objects)} in {applied.context}"
        text += f"; snapshot {applied.snapshot}" if applied.snapshot else ""
    else:
        text = f"{applied.namespace}/{applied.name} is as planned; nothing changed"
    session.print.item(applied, text)


_SERVICES: list[Column[ServiceView]] = [
    ("NAMESPACE", lambda one: one.namespace),
    ("NAME", lambda one: one.name),
    ("VERDICT", lambda one: one.verdict.value),
    ("READY", lambda one: f"{one.ready_replicas}/{one.wanted_replicas}"),
    ("GPUS", lambda one: one.gpus),
    ("APPROVED", lambda one: one.approved),
    ("SINCE", lambda one: one.since),
    ("REASON", lambda one: one.reason),
]


def _status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    namespace: _Namespace = None,
) -> None:
    """List services with their verdicts, worst first, or show one with its reasons.

    NAME is a service's name, NAMESPACE/NAME or CONTEXT/NAMESPACE/NAME.
    """
    session: Session = context.obj
    if name is None:
        _list(session, namespace)
        return

    async def work(yard: Yard) -> ServiceDetailView:
        found = await named(yard, name, namespace)
        return await yard.deployments.service(found.namespace, found.name, context=found.context)

    detail = session.run(work)
    session.print.item(detail, _detail_text(detail))


def _list(session: Session, namespace: str | None) -> None:
    away: list[tuple[str, ModelyardError]] = []

    async def work(yard: Yard) -> tuple[list[ServiceView], bool]:
        rows = await yard.deployments.services(unread=lambda context, error: away.append((context, error)))
        return rows, len(yard.deployments.contexts()) > 1

    services, several = session.run(work)
    wanted = [one for one in services if namespace in (None, one.namespace)]
    columns = [("CONTEXT", _context_of), *_SERVICES] if several else _SERVICES
    session.print.rows(wanted, columns, empty="no services")
    if away:
        for place, error in away:
            note(f"{place} cannot be read: {error.why}")
        places = ", ".join(place for place, _ in away)
        raise PartialFailureError("services", f"{places} could not be read", "see the notes; the others are listed")


def _context_of(service: ServiceView) -> str:
    return service.context


def _detail_text(detail: ServiceDetailView) -> str:
    service = detail.service
    lines = [
        pairs(
            [
                ("service", f"{service.context} {service.namespace}/{service.name}"),
                ("verdict", service.verdict.value),
                ("why", service.reason),
                ("next", service.next_step),
                ("since", service.since),
                ("replicas", f"{service.ready_replicas} of {service.wanted_replicas} ready"),
                ("GPUs", f"{service.gpus} {service.gpu_type}"),
                ("images", service.images),
                ("approved", service.approval_note or service.approved),
                ("runtime", service.runtime),
                ("mode", service.mode),
            ]
        )
    ]
    lines += [f"endpoint {one.scope} {one.protocol} {one.url} {one.note}" for one in detail.endpoints]
    lines += [
        f"pod {one.name} on {one.node or '-'}: {one.state}, {one.restarts} restarts, {one.gpus} GPUs"
        for one in detail.pods
    ]
    lines += [f"condition {one.type} {one.status} {one.reason} {one.message}" for one in detail.conditions]
    lines += [f"step {one.name}: {cell(one.at)}" for one in detail.timeline]
    lines += [f"event {cell(one.at)} {one.type} {one.reason} {one.object}: {one.message}" for one in detail.events]
    return "\n".join(lines)


def _scale(
    context: typer.Context,
    name: _Name,
    replicas: Annotated[int, typer.Argument(metavar="N", min=0)],
    namespace: _Namespace = None,
) -> None:
    """Set how many replicas a service has."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        session.confirm(f"scale {found} to {replicas}?")
        return await yard.deployments.scale(found.namespace, found.name, replicas, context=found.context)

    _print_applied(session, session.run(work), done="scaled")


def _rollback(
    context: typer.Context,
    name: _Name,
    to: Annotated[str | None, typer.Option("--to", metavar="SNAPSHOT")] = None,
    namespace: _Namespace = None,
) -> None:
    """Go back to a snapshot; without --to, to the last good one whose image is still approved."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        plan = await yard.deployments.rollback_plan(found.namespace, found.name, to, context=found.context)
        return await _applied(session, yard, plan)

    _print_applied(session, session.run(work))


def _stop(context: typer.Context, name: _Name, namespace: _Namespace = None) -> None:
    """Stop a service: its workload goes, the resource stays."""
    _mutate(context.obj, "stop", name, namespace)


def _start(context: typer.Context, name: _Name, namespace: _Namespace = None) -> None:
    """Start a stopped service."""
    _mutate(context.obj, "start", name, namespace)


def _delete(context: typer.Context, name: _Name, namespace: _Namespace = None) -> None:
    """Delete a service."""
    _mutate(context.obj, "delete", name, namespace)


def _mutate(session: Session, verb: str, name: str, namespace: str | None) -> None:
    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        session.confirm(f"{verb} {found}?")
        flows = {"stop": yard.deployments.stop, "start": yard.deployments.start, "delete": yard.deployments.delete}
        return await flows[verb](found.namespace, found.name, context=found.context)

    _print_applied(session, session.run(work), done=_DONE[verb])


def _export(context: typer.Context, name: _Name, namespace: _Namespace = None) -> None:
    """Write the deployment file of what runs to standard output."""
    session: Session = context.obj

    async def work(yard: Yard) -> str:
        found = await named(yard, name, namespace)
        return await yard.deployments.export(found.namespace, found.name, context=found.context)

    sys.stdout.write(session.run(work))


_SNAPSHOTS: list[Column[SnapshotView]] = [
    ("SNAPSHOT", lambda one: one.id),
    ("APPLIED", lambda one: one.at),
    ("BY", lambda one: one.actor),
    ("IMAGE", lambda one: one.image),
    ("STILL APPROVED", lambda one: one.still_approved),
    ("NOTE", lambda one: one.note),
]


def _snapshots(context: typer.Context, name: _Name, namespace: _Namespace = None) -> None:
    """List what was applied and can be returned to."""
    session: Session = context.obj

    async def work(yard: Yard) -> list[SnapshotView]:
        found = await named(yard, name, namespace)
        return await yard.deployments.snapshots(found.namespace, found.name, context=found.context)

    session.print.rows(session.run(work), _SNAPSHOTS, empty="nothing was applied by modelyard")


_RUNTIMES: list[Column[RuntimeView]] = [
    ("NAMESPACE", lambda one: one.namespace or "(cluster)"),
    ("NAME", lambda one: one.name),
    ("FORMATS", lambda one: one.formats),
    ("IMAGES", lambda one: one.images),
    ("DISABLED", lambda one: one.disabled),
    ("USED BY", lambda one: len(one.used_by)),
]


def _runtimes(context: typer.Context) -> None:
    """List ServingRuntimes and ClusterServingRuntimes."""
    session: Session = context.obj
    runtimes = session.run(lambda yard: yard.deployments.runtimes())
    session.print.rows(runtimes, _RUNTIMES, empty="no runtimes")
    note(f"{len(runtimes)} runtimes")
