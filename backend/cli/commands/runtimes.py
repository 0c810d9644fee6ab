"""`runtimes`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.commands.plans import Namespace, diff_text, line_role, plan_text, print_applied, refuse
from backend.cli.output import Column, note, pairs
from backend.cli.session import Session
from backend.core.errors import ModelyardError, PartialFailureError, UsageError
from backend.core.text import sanitise
from backend.core.views import (
    AppliedView,
    DiffLineView,
    PlanView,
    RuntimeDetailView,
    RuntimeView,
    TemplateView,
)
from backend.yard import Yard

_Image = Annotated[str, typer.Option("--image", metavar="REF", help="An image of the library; it is used by digest.")]
_InNamespace = Annotated[str, typer.Option("-n", "--namespace", metavar="NS")]
_Template = Annotated[str, typer.Argument(metavar="TEMPLATE")]
_As = Annotated[str, typer.Option("--name", metavar="NAME", help="Instead of the name that is made.")]
_Secrets = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="VARIABLE=SECRET/KEY", help="Where a variable's secret is; repeatable."),
]
_PullSecrets = Annotated[
    list[str] | None, typer.Option("--pull-secret", metavar="NAME", help="A pull secret of the namespace; repeatable.")
]
_Claims = Annotated[
    list[str] | None,
    typer.Option("--claim", metavar="VOLUME=CLAIM", help="The volume claim that holds a volume; repeatable."),
]


def add_to(application: typer.Typer) -> None:
    """Add `runtimes`."""
    runtimes = typer.Typer(help="Serving runtimes, and the templates that they are made of.", rich_markup_mode=None)
    for name, command in (
        ("list", _list),
        ("show", _show),
        ("diff", _diff),
        ("catalogue", _catalogue),
        ("plan", _plan),
        ("install", _install),
    ):
        runtimes.command(name)(command)
    application.add_typer(runtimes, name="runtimes")


_RUNTIMES: list[Column[RuntimeView]] = [
    ("NAMESPACE", lambda one: one.namespace or "(cluster)"),
    ("NAME", lambda one: one.name),
    ("FORMATS", lambda one: one.formats),
    ("PROTOCOLS", lambda one: one.protocols),
    ("IMAGES", lambda one: one.images),
    ("APPROVED", lambda one: one.approved),
    ("DISABLED", lambda one: one.disabled),
    ("USED BY", lambda one: len(one.used_by)),
    ("TEMPLATE", lambda one: one.template),
]


def _list(context: typer.Context) -> None:
    """List ServingRuntimes and ClusterServingRuntimes with what they serve and how many services use them."""
    session: Session = context.obj
    away: list[tuple[str, ModelyardError]] = []

    async def work(yard: Yard) -> tuple[list[RuntimeView], int]:
        contexts = yard.deployments.contexts()
        if len(contexts) < 2:
            return await yard.runtimes.runtimes(), 1
        found: list[RuntimeView] = []
        for each in contexts:
            try:
                found += await yard.runtimes.runtimes(context=each)
            except ModelyardError as error:
                away.append((each, error))
        return found, len(contexts)

    runtimes, contexts = session.run(work)
    columns = [("CONTEXT", _context_of), *_RUNTIMES] if contexts > 1 else _RUNTIMES
    session.print.rows(runtimes, columns, empty="no runtimes")
    note(f"{len(runtimes)} runtimes")
    for place, error in away:
        note(f"{place} cannot be read: {error.why}")
    if away:
        places = ", ".join(place for place, _ in away)
        raise PartialFailureError("runtimes", f"{places} could not be read", "see the notes; the others are listed")


def _context_of(runtime: RuntimeView) -> str:
    return runtime.context


def _show(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")], namespace: Namespace = None
) -> None:
    """Show a runtime: who uses it, what to know before it is touched, and its manifest."""
    session: Session = context.obj
    before, slash, after = name.rpartition("/")
    place = ("" if before == "(cluster)" else before) if slash else namespace
    detail = session.run(lambda yard: yard.runtimes.runtime(after, place))
    session.print.item(detail, _detail_text(detail))


def _detail_text(detail: RuntimeDetailView) -> str:
    runtime = detail.runtime
    head = pairs(
        [
            ("runtime", f"{runtime.context} {runtime.namespace or '(cluster)'}/{runtime.name}"),
            ("images", runtime.images),
            ("approved", runtime.approval_note or runtime.approved),
            ("formats", runtime.formats),
            ("protocols", runtime.protocols),
            ("template", runtime.template),
            ("used by", runtime.used_by),
        ]
    )
    notes = [f"note: {sanitise(text)}" for text in detail.notes]
    return "\n".join([head, *notes, "", detail.manifest])


def _diff(
    context: typer.Context,
    one: Annotated[str, typer.Argument(metavar="A")],
    other: Annotated[str, typer.Argument(metavar="B")],
    full: Annotated[bool, typer.Option("--full", help="Show the lines that do not differ, too.")] = False,
) -> None:
    """Show how two runtimes differ; each is NAME, NAMESPACE/NAME or (cluster)/NAME."""
    session: Session = context.obj
    lines: tuple[DiffLineView, ...] = session.run(lambda yard: yard.runtimes.difference(one, other))
    text = "\n".join(diff_text(lines, full=full)) or "they have the same content"
    session.print.item(list(lines), text, role=line_role)


_TEMPLATES: list[Column[TemplateView]] = [
    ("TEMPLATE", lambda one: one.name),
    ("VERSION", lambda one: one.version),
    ("TITLE", lambda one: one.title),
    ("TYPES", lambda one: one.types),
    ("IMAGES", lambda one: one.images),
    ("SECRETS", lambda one: one.secrets),
    ("FROM", lambda one: one.source),
]


def _catalogue(context: typer.Context) -> None:
    """List the templates: those that come with the program, and those of the folder runtimes/ of the configuration."""
    session: Session = context.obj
    templates, problems = session.run(lambda yard: yard.runtimes.catalogue())
    session.print.rows(templates, _TEMPLATES, empty="no templates")
    for problem in problems[1:]:
        note(str(problem))
    if problems:
        raise problems[0]


def _plan(
    context: typer.Context,
    template: _Template,
    image: _Image,
    namespace: _InNamespace,
    name: _As = "",
    secret: _Secrets = None,
    pull_secret: _PullSecrets = None,
    claim: _Claims = None,
) -> None:
    """Tell what installing a runtime would change. Changes nothing. Exit 3 when it would be refused."""
    session: Session = context.obj
    secrets, claims = _named(secret, "--secret"), _named(claim, "--claim")

    async def work(yard: Yard) -> PlanView:
        return await yard.runtimes.plan(
            template, image, namespace, name=name, secrets=secrets, pull_secrets=pull_secret or (), claims=claims
        )

    plan = session.run(work)
    session.print.item(plan, plan_text(plan), role=line_role)
    refuse(plan)


def _install(
    context: typer.Context,
    template: _Template,
    image: _Image,
    namespace: _InNamespace,
    name: _As = "",
    secret: _Secrets = None,
    pull_secret: _PullSecrets = None,
    claim: _Claims = None,
) -> None:
    """Make a ServingRuntime of a template and an approved image: plan, ask, apply."""
    session: Session = context.obj
    secrets, claims = _named(secret, "--secret"), _named(claim, "--claim")

    async def work(yard: Yard) -> AppliedView:
        plan = await yard.runtimes.plan(
            template, image, namespace, name=name, secrets=secrets, pull_secrets=pull_secret or (), claims=claims
        )
        if plan.changes and not plan.refusals:
            session.tell(plan_text(plan))
            session.confirm(f"install {plan.name} in {plan.context} {plan.namespace}?")
        return await yard.runtimes.apply(plan)

    print_applied(session, session.run(work), done="installed")


def _named(given: list[str] | None, option: str) -> dict[str, str]:
    """`NAME=VALUE` of each, by name."""
    found: dict[str, str] = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise UsageError(f"option {option}", f"{text!r} has no value", "write NAME=VALUE")
        found[name] = value
    return found
