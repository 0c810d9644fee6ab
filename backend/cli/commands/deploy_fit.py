"""`deploy fit`: where a deployment would run now, and what would suit it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.commands.plans import Namespace, text_of
from backend.cli.fits import fit_lines
from backend.cli.session import Session
from backend.core.errors import UsageError
from backend.core.text import sanitise
from backend.core.views import AdviceView
from backend.yard import Yard


def fit_command(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Option("-f", "--filename", metavar="FILE", help="A deployment file; - is standard input.")
    ] = None,
    namespace: Namespace = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="REF", help="An image of the library, as the form would deploy it.")
    ] = None,
) -> None:
    """Estimate on which nodes a deployment would run now, what it waits for, or what would have to go.

    Tells also what would suit the model and the GPUs. Changes nothing.
    """
    session: Session = context.obj
    if (file is None) == (image is None):
        raise UsageError("deploy fit", "it takes either a file or an image", "give -f FILE or --image REF")

    async def work(yard: Yard) -> AdviceView:
        if file is not None:
            return await yard.fits.of_file(await text_of(file), namespace)
        form = await yard.forms.open(image or "", namespace=namespace or "")
        return await yard.forms.advice(form.deployment, context=form.context)

    advice = session.run(work)
    session.print.item(advice, advice_text(advice))


def advice_text(advice: AdviceView) -> str:
    """A fit and its suggestions as `deploy fit` prints them."""
    lines = fit_lines(advice.fit)
    for one in advice.suggestions:
        present = f" (now {one.present})" if one.present else ""
        lines.append(f"suggestion: {one.label} {one.value}{present}: {sanitise(one.reason)}")
    lines += [f"assumed: {sanitise(text)}" for text in advice.assumed]
    return "\n".join(lines)
