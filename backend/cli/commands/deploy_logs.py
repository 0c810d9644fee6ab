"""`deploy logs`: the log of a container of a service."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import Annotated

import typer

from backend.cli.options import OutputFormat
from backend.cli.output import note
from backend.cli.services import named
from backend.cli.session import Session
from backend.core.errors import NotFoundError, UsageError
from backend.core.text import sanitise
from backend.core.views import PodView
from backend.yard import Yard


def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", metavar="NS")] = None,
    pod: Annotated[str | None, typer.Option("--pod", metavar="POD", help="Else the one whose log tells most.")] = None,
    container: Annotated[str | None, typer.Option("--container", metavar="C", help="Else the first.")] = None,
    previous: Annotated[bool, typer.Option("--previous", help="Of the run before.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is written, until it ends.")] = False,
    tail: Annotated[int, typer.Option("--tail", metavar="N", min=1, max=100_000)] = 500,
) -> None:
    """Print the log of a container of a service, without what could move a terminal's cursor."""
    session: Session = context.obj
    if session.options.output is not OutputFormat.TABLE:
        raise UsageError("deploy logs", "a log is no document", "leave -o away")
    if previous and follow:
        raise UsageError("deploy logs", "what ended cannot be followed", "give one of --previous and --follow")

    async def work(yard: Yard) -> None:
        found = await named(yard, name, namespace)
        detail = await yard.deployments.service(found.namespace, found.name, context=found.context)
        chosen = _pod(detail.pods, pod, previous=previous, what=str(found))
        one = container or (chosen.containers[0].name if chosen.containers else "")
        note(f"{chosen.name}/{one} on {chosen.node or 'no node'}: {chosen.state}")
        place = (found.namespace, chosen.name)
        if not follow:
            told = await yard.deployments.logs(*place, previous, tail, container=one, context=found.context)
            for line in told.splitlines():
                _write(line)
            return
        lines = yard.deployments.follow_logs(*place, container=one, tail=tail, context=found.context)
        async with aclosing(lines) as opened:
            async for line in opened:
                _write(line)
                sys.stdout.flush()

    session.run(work)


def _pod(pods: tuple[PodView, ...], wanted: str | None, *, previous: bool, what: str) -> PodView:
    if wanted is not None:
        found = [one for one in pods if one.name == wanted]
        if not found:
            names = ", ".join(one.name for one in pods) or "it has none"
            raise NotFoundError(f"pod {wanted} of {what}", f"its pods: {names}", "name one of these")
        return found[0]
    if not pods:
        raise NotFoundError(f"log of {what}", "it has no pod", "see modelyard deploy status")
    return max(pods, key=lambda one: (previous and one.restarts > 0, not one.ready, one.restarts, one.name))


def _write(line: str) -> None:
    sys.stdout.write(sanitise(line.replace("\t", "    ")) + "\n")
