"""`deploy plan`, `apply`, `export` and `settle`, and what other commands that end in a plan share with them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.fits import fit_lines
from backend.cli.options import OutputFormat
from backend.cli.output import Column, note, pairs
from backend.cli.services import named
from backend.cli.session import Session
from backend.core.diffs import runs
from backend.core.errors import ConflictError, NotFoundError, RefusedError, UsageError
from backend.core.text import sanitise
from backend.core.views import AppliedView, CutOffView, DiffLineView, ExportView, PlanView, ValidationView
from backend.yard import Yard

File = Annotated[Path, typer.Option("-f", "--filename", metavar="FILE", help="A deployment file; - is standard input.")]
Namespace = Annotated[str | None, typer.Option("-n", "--namespace", metavar="NS")]
Name = Annotated[str, typer.Argument(metavar="NAME")]
Take = Annotated[
    list[str] | None,
    typer.Option("--take", metavar="FIELD", help="A field to take from its manager, as the plan names it; repeatable."),
]
_GitOps = Annotated[
    Path | None,
    typer.Option("--gitops", metavar="FILE", help="Write the manifests for the repository of Argo CD or Flux."),
]
_LARGEST_FILE = 1024 * 1024
_SHORTEST_ID = 6


async def text_of(file: Path) -> str:
    """The text of a deployment file.

    Raises:
        UsageError: it cannot be read.
    """
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


def plan_command(
    context: typer.Context,
    file: File,
    namespace: Namespace = None,
    take: Take = None,
    full: Annotated[bool, typer.Option("--full", help="Show the lines that do not change, too.")] = False,
    gitops: _GitOps = None,
) -> None:
    """Tell what an apply would change. Changes nothing. Exit 3 when it would be refused, 4 when it conflicts."""
    session: Session = context.obj

    async def work(yard: Yard) -> tuple[PlanView, str]:
        plan = await yard.deployments.plan(await text_of(file), namespace, take=take or ())
        return plan, await yard.deployments.manifests(plan) if gitops is not None else ""

    plan, manifests = session.run(work)
    if gitops is not None:
        write_manifests(gitops, manifests)
    if str(gitops) != "-":
        session.print.item(plan, plan_text(plan, full=full), role=line_role)
    refuse(plan)


def refuse(plan: PlanView) -> None:
    """
    Raises:
        RefusedError, ConflictError: the plan may not be applied.
    """
    if plan.refusals:
        more = f" (and {len(plan.refusals) - 1} more)" if len(plan.refusals) > 1 else ""
        kind = ConflictError if len(plan.refusals) == len(plan.conflicts) else RefusedError
        raise kind(
            f"plan of {plan.namespace}/{plan.name}",
            plan.refusals[0] + more,
            "see the plan's refusals, and correct them",
        )


def plan_text(plan: PlanView, *, full: bool = False) -> str:
    """A plan as `deploy plan` prints it: each object with its diff, then what to know before applying it.

    Args:
        full: with every line that does not change.
    """
    lines = [f"plan {plan.id[:19]} for {plan.context} {plan.namespace}/{plan.name}", f"image {plan.image}"]
    for planned in plan.objects:
        lines.append(f"{planned.action} {planned.kind} {planned.namespace}/{planned.name}")
        lines += diff_text(planned.diff, full=full)
    for claim in plan.fields:
        taken = "taken" if claim.taken else "not taken"
        lines.append(f"field {sanitise(claim.field)} of {claim.object}: managed by {sanitise(claim.manager)}, {taken}")
    lines += [f"needs {sanitise(check.about)}: {check.state}: {sanitise(check.sentence)}" for check in plan.checks]
    lines += [f"approved by decision {decision}" for decision in plan.decisions]
    lines += [f"gate {gate.kind}: {gate.value.value}: {sanitise(gate.sentence)}" for gate in plan.gates]
    lines += [f"not fixed: {text}" for text in plan.not_fixed]
    lines += [f"warning: {sanitise(text)}" for text in plan.warnings]
    lines += [f"outage: {plan.outage}"] if plan.outage else []
    lines += fit_lines(plan.fit) if plan.fit is not None else []
    lines += [f"REFUSED: {sanitise(text)}" for text in plan.refusals]
    lines += [f"equivalent: {command}" for command in plan.kubectl]
    return "\n".join(lines)


def diff_text(lines: Sequence[DiffLineView], *, full: bool = False) -> list[str]:
    """A diff as it is printed; runs of lines that do not change are one line, unless all are wanted."""
    told: list[str] = []
    for run in runs(lines):
        if run.folds and not full:
            told.append(f"    … {len(run.lines)} lines unchanged")
        else:
            told += [f"  {line.mark} {sanitise(line.text)}" for line in run.lines]
    return told


def line_role(line: str) -> str:
    """How a line of a plan is coloured."""
    return {"  + ": "add", "  - ": "remove", "REFU": "bad"}.get(line[:4], "")


def write_manifests(file: Path, text: str) -> None:
    """Write manifests for a repository; `-` is standard output.

    Raises:
        UsageError: the file cannot be written.
    """
    if str(file) == "-":
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"file {file}", error.strerror or str(error), "name a file that can be written") from error
    note(f"wrote {file}: commit it to the repository that the cluster is kept by")


def apply_command(
    context: typer.Context,
    file: File,
    namespace: Namespace = None,
    take: Take = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow it to its verdict and its validation; exit 1 when it failed.")
    ] = False,
) -> None:
    """Plan, ask, and apply what the plan showed."""
    from backend.cli.commands.deploy_proof import require_passed, validation_lines, waited

    session: Session = context.obj

    async def work(yard: Yard) -> tuple[AppliedView, ValidationView | None]:
        plan = await yard.deployments.plan(await text_of(file), namespace, take=take or ())
        done = await applied(session, yard, plan)
        return done, await waited(yard, done) if wait else None

    done, validation = session.run(work)
    print_applied(session, done)
    if validation is not None:
        for line in validation_lines(validation):
            note(line)
        require_passed(validation)
    elif wait and done.changed:
        note("it was not followed: policy turned validations off")
    elif done.validation:
        note(f"a worker or an open screen validates it, or modelyard deploy validate {done.name}")


async def applied(session: Session, yard: Yard, plan: PlanView) -> AppliedView:
    """Show a plan, ask, and apply it."""
    if plan.changes and not plan.refusals:
        session.tell(plan_text(plan))
        session.confirm(f"apply to {plan.context} {plan.namespace}/{plan.name}?")
    return await yard.deployments.apply(plan)


def print_applied(session: Session, applied: AppliedView, *, done: str = "applied") -> None:
    """Print what an apply did."""
    if applied.changed:
        text = f"{done} {', '.join(applied.objects)} in {applied.context}"
        text += f"; snapshot {applied.snapshot}" if applied.snapshot else ""
    else:
        text = f"{applied.namespace}/{applied.name} is as planned; nothing changed"
    session.print.item(applied, text)


_CUT_OFF: list[Column[CutOffView]] = [
    ("ID", lambda one: one.id[:12]),
    ("WHAT", lambda one: f"{one.namespace}/{one.name}" if one.subject == "service" else f"{one.subject} {one.name}"),
    ("BEGUN", lambda one: one.started_at),
    ("BY", lambda one: one.actor),
    ("HOW FAR", lambda one: one.told),
    ("UNDO", lambda one: one.undo),
]


def settle_command(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME|ID]")] = None,
    namespace: Namespace = None,
    complete: Annotated[bool, typer.Option("--complete", help="Apply the rest of it.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was applied.")] = False,
    leave: Annotated[bool, typer.Option("--leave", help="Leave it as it stands, and ask no more.")] = False,
) -> None:
    """List applies that were cut off, or complete, undo or leave one."""
    session: Session = context.obj
    if complete + undo + leave > 1:
        raise UsageError("deploy settle", "--complete, --undo and --leave exclude one another", "give one of them")
    if name is None:
        if complete or undo or leave:
            raise UsageError("deploy settle", "it is not said which apply", "name the service, or the id")
        found = session.run(lambda yard: yard.deployments.cut_off())
        session.print.rows(found, _CUT_OFF, empty="no apply was cut off")
        return

    async def work(yard: Yard) -> AppliedView | CutOffView:
        one = _cut_off(await yard.deployments.cut_off(), name, namespace)
        if leave:
            session.confirm(f"leave the apply of {one.namespace}/{one.name} as it stands ({one.told})?")
            return await yard.deployments.leave(one.id)
        if not (complete or undo):
            return one
        plan = await yard.deployments.settle_plan(one.id, undo=undo)
        return await applied(session, yard, plan)

    result = session.run(work)
    if isinstance(result, CutOffView):
        session.print.item(result, pairs([(title.lower(), value(result)) for title, value in _CUT_OFF]))
        return
    print_applied(session, result, done="undone:" if undo else "completed:")


def _cut_off(found: Sequence[CutOffView], name: str, namespace: str | None) -> CutOffView:
    before, slash, after = name.partition("/")
    wanted = (before, after) if slash else (namespace, name)
    named = [one for one in found if one.name == wanted[1] and wanted[0] in (None, one.namespace)]
    named = named or [one for one in found if len(name) >= _SHORTEST_ID and one.id.startswith(name)]
    if not named:
        raise NotFoundError(f"apply of {name}", "none was cut off", "see modelyard deploy settle")
    if len(named) > 1:
        told = ", ".join(one.id[:12] for one in named)
        raise UsageError(f"apply of {name}", f"several were cut off: {told}", "give the id of one")
    return named[0]


def export_command(context: typer.Context, name: Name, namespace: Namespace = None, gitops: _GitOps = None) -> None:
    """Write the deployment file of what runs to standard output; what it cannot say is told beside it."""
    session: Session = context.obj

    async def work(yard: Yard) -> ExportView:
        found = await named(yard, name, namespace)
        return await yard.deployments.export(found.namespace, found.name, context=found.context)

    exported = session.run(work)
    if session.print.output is not OutputFormat.TABLE:
        session.print.item(exported, "")
        return
    for line in exported.lost:
        note(f"not in the file: {line}")
    if gitops is not None:
        write_manifests(gitops, exported.manifests)
        return
    if not exported.deployment:
        what = f"export of {exported.namespace}/{exported.name}"
        raise RefusedError(what, exported.lost[0], "write its manifests with --gitops FILE instead")
    sys.stdout.write(exported.deployment)
