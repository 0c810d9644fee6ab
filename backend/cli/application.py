"""The command tree, built only when a command was given."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from backend.cli.commands import (
    alerts,
    audit,
    decide,
    deploy,
    evidence,
    gpu,
    library,
    policy,
    queue,
    rules,
    runtimes,
    setup,
    sync,
)
from backend.cli.options import HELP, GlobalOptions
from backend.cli.session import Session
from backend.core.errors import InterruptedByUserError, UsageError

if TYPE_CHECKING:
    from backend.cli.entry import OpenScreen


def build() -> typer.Typer:
    """The whole command tree."""
    application = typer.Typer(
        name="modelyard",
        no_args_is_help=False,
        add_completion=True,
        rich_markup_mode=None,
        epilog=HELP,
        pretty_exceptions_enable=False,
        help="A terminal control room for large language models on Kubernetes. Without a command: the screen.",
    )
    application.callback(invoke_without_command=True)(_root)
    for room in (setup, sync, library, rules, queue, decide, policy, evidence, deploy, runtimes, gpu, alerts, audit):
        room.add_to(application)
    return application


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        sys.stdout.write(f"modelyard {_version()}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError("command line", "it names no command", "see modelyard --help")


def _version() -> str:
    try:
        return importlib.metadata.version("modelyard")
    except importlib.metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def invoke(options: GlobalOptions, words: list[str], open_screen: OpenScreen) -> int:
    """Run a command.

    Returns:
        Its exit status.

    Raises:
        ModelyardError: what the command failed of, wrong use among it.
    """
    session = Session(options, open_screen, command=words[0] if words else "")
    try:
        status = build()(words, standalone_mode=False, prog_name="modelyard", obj=session)
    except TyperException as error:
        raise UsageError("command line", error.format_message().rstrip("."), "see modelyard --help") from error
    except typer.Abort as error:
        raise InterruptedByUserError from error
    except typer.Exit as error:
        return error.exit_code
    except SystemExit as error:
        # The library's answer to a reader that went away, which is for `run` to give.
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise
    if status == InterruptedByUserError.exit_code:
        # The library's answer to Ctrl-C, which says nothing of it.
        raise InterruptedByUserError
    return status if isinstance(status, int) else 0
