"""`deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.commands.deploy_changes import changes
from backend.cli.commands.deploy_fit import fit_command
from backend.cli.commands.deploy_logs import logs
from backend.cli.commands.deploy_proof import abort, canary, confirm_blast, promote, validate, validation_lines
from backend.cli.commands.deploy_running import running
from backend.cli.commands.plans import (
    Name,
    Namespace,
    Take,
    applied,
    apply_command,
    export_command,
    plan_command,
    print_applied,
    settle_command,
)
from backend.cli.output import Column, cell, note, pairs
from backend.cli.services import named
from backend.cli.session import Session
from backend.core.errors import ModelyardError, PartialFailureError, UsageError
from backend.core.service_query import FIELDS, ServiceQuery, parse_query
from backend.core.views import (
    AppliedView,
    CutOffView,
    ServiceDetailView,
    ServiceView,
    SnapshotView,
)
from backend.yard import Yard


def add_to(application: typer.Typer) -> None:
    """Add `deploy`."""
    deploy = typer.Typer(help="Services: plan, apply, follow, roll back.", rich_markup_mode=None)
    for name, command in (
        ("plan", plan_command),
        ("apply", apply_command),
        ("status", _status),
        ("scale", _scale),
        ("rollback", _rollback),
        ("weigh", _weigh),
        ("logs", logs),
        ("stop", _stop),
        ("start", _start),
        ("delete", _delete),
        ("export", export_command),
        ("settle", settle_command),
        ("snapshots", _snapshots),
        ("changes", changes),
        ("running", running),
        ("fit", fit_command),
        ("validate", validate),
        ("promote", promote),
        ("abort", abort),
        ("canary", canary),
    ):
        deploy.command(name)(command)
    application.add_typer(deploy, name="deploy")


_DONE = {"stop": "stopped", "start": "started", "delete": "deleted"}


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
    namespace: Namespace = None,
    query: Annotated[
        str | None, typer.Option("--filter", metavar="Q", help="Such as 'verdict:failed approved:no ns:llm-*'.")
    ] = None,
) -> None:
    """List services with their verdicts, worst first, or show one with its reasons.

    NAME is a service's name, NAMESPACE/NAME or CONTEXT/NAMESPACE/NAME.
    """
    session: Session = context.obj
    if name is None:
        _list(session, namespace, parse_query(query or ""))
        return
    if query is not None:
        raise UsageError("deploy status", "a filter and a name do not go together", "give one of them")

    async def work(yard: Yard) -> ServiceDetailView:
        found = await named(yard, name, namespace)
        return await yard.deployments.service(found.namespace, found.name, context=found.context)

    detail = session.run(work)
    session.print.item(detail, _detail_text(detail))


def _list(session: Session, namespace: str | None, query: ServiceQuery) -> None:
    away: list[tuple[str, ModelyardError]] = []

    async def work(yard: Yard) -> tuple[list[ServiceView], bool, list[CutOffView]]:
        rows = await yard.deployments.services(unread=lambda context, error: away.append((context, error)))
        contexts = yard.deployments.contexts()
        unsettled = [] if away else await yard.deployments.cut_off()
        return rows, len(contexts) > 1, unsettled

    services, several, unsettled = session.run(work)
    if query.unknown:
        raise UsageError(
            f"filter {query.unknown[0]}:",
            "there is no such field",
            f"ask of {', '.join(FIELDS[:-1])}, or by a part of the name",
        )
    wanted = [
        one
        for one in services
        if namespace in (None, one.namespace)
        and query.keeps(one)
        and query.rest.lower() in f"{one.namespace}/{one.name}".lower()
    ]
    columns = [("CONTEXT", _context_of), *_SERVICES] if several else _SERVICES
    session.print.rows(wanted, columns, empty="no services")
    for service in wanted:
        if service.proposal:
            note(
                f"{service.namespace}/{service.name}: its validation failed; proposed:"
                f" modelyard deploy rollback {service.name} -n {service.namespace} --to {service.proposal}"
            )
    for one in unsettled:
        note(
            f"the apply of {one.namespace}/{one.name} by {one.actor} was cut off: {one.told};"
            f" modelyard deploy settle {one.name} --complete, --undo or --leave"
        )
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
    for validation in detail.validations[:1]:
        lines += validation_lines(validation)
    lines += [f"endpoint {one.scope} {one.protocol} {one.url} {one.note}" for one in detail.endpoints]
    lines += [
        f"pod {one.name} on {one.node or '-'}: {one.state}, {one.restarts} restarts, {one.gpus} GPUs"
        for one in detail.pods
    ]
    lines += [f"condition {one.type} {one.status} {one.reason} {one.message}" for one in detail.conditions]
    lines += [f"step {one.name}: {one.note or cell(one.at)}" for one in detail.timeline]
    lines += [f"event {cell(one.at)} {one.type} {one.reason} {one.object}: {one.message}" for one in detail.events]
    return "\n".join(lines)


def _scale(
    context: typer.Context,
    name: Name,
    replicas: Annotated[int, typer.Argument(metavar="N", min=0)],
    namespace: Namespace = None,
) -> None:
    """Set how many replicas a service has."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        await confirm_blast(session, yard, found, "scale", replicas)
        return await yard.deployments.scale(found.namespace, found.name, replicas, context=found.context)

    print_applied(session, session.run(work), done="scaled")


def _rollback(
    context: typer.Context,
    name: Name,
    to: Annotated[str | None, typer.Option("--to", metavar="SNAPSHOT")] = None,
    namespace: Namespace = None,
    take: Take = None,
) -> None:
    """Go back to a snapshot; without --to, to the last good one whose image is still approved."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        plan = await yard.deployments.rollback_plan(
            found.namespace, found.name, to, take=take or (), context=found.context
        )
        return await applied(session, yard, plan)

    print_applied(session, session.run(work))


def _weigh(
    context: typer.Context,
    name: Name,
    weight: Annotated[int, typer.Argument(metavar="N", min=0)],
    namespace: Namespace = None,
) -> None:
    """Set the share of its group's traffic that an LLMInferenceService (llm:NAME) gets."""
    session: Session = context.obj

    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        session.confirm(f"give {found} weight {weight}?")
        return await yard.deployments.weigh(found.namespace, found.name, weight, context=found.context)

    print_applied(session, session.run(work), done="weighed")


def _stop(context: typer.Context, name: Name, namespace: Namespace = None) -> None:
    """Stop a service: its workload goes, the resource stays."""
    _mutate(context.obj, "stop", name, namespace)


def _start(context: typer.Context, name: Name, namespace: Namespace = None) -> None:
    """Start a stopped service."""
    _mutate(context.obj, "start", name, namespace)


def _delete(context: typer.Context, name: Name, namespace: Namespace = None) -> None:
    """Delete a service."""
    _mutate(context.obj, "delete", name, namespace)


def _mutate(session: Session, verb: str, name: str, namespace: str | None) -> None:
    async def work(yard: Yard) -> AppliedView:
        found = await named(yard, name, namespace)
        await confirm_blast(session, yard, found, verb)
        flows = {"stop": yard.deployments.stop, "start": yard.deployments.start, "delete": yard.deployments.delete}
        return await flows[verb](found.namespace, found.name, context=found.context)

    print_applied(session, session.run(work), done=_DONE[verb])


_SNAPSHOTS: list[Column[SnapshotView]] = [
    ("SNAPSHOT", lambda one: one.id),
    ("APPLIED", lambda one: one.at),
    ("BY", lambda one: one.actor),
    ("IMAGE", lambda one: one.image),
    ("STILL APPROVED", lambda one: one.still_approved),
    ("PROVED", lambda one: one.proved),
    ("NOTE", lambda one: one.note),
]


def _snapshots(context: typer.Context, name: Name, namespace: Namespace = None) -> None:
    """List what was applied and can be returned to."""
    session: Session = context.obj

    async def work(yard: Yard) -> list[SnapshotView]:
        found = await named(yard, name, namespace)
        return await yard.deployments.snapshots(found.namespace, found.name, context=found.context)

    session.print.rows(session.run(work), _SNAPSHOTS, empty="nothing was applied by modelyard")
