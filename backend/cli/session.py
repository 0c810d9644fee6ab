"""What a command needs: the options, a printer, and a yard that is opened for it and closed after it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from backend.cli.options import GlobalOptions
from backend.cli.output import Printer, note
from backend.config import LoadedConfiguration, load_configuration, state_folder
from backend.core.errors import ModelyardError, StoreUnwritableError, UsageError
from backend.core.garbage import collect_from_now_on
from backend.core.logs import LogFile, Redactor
from backend.core.text import sanitise_lines
from backend.yard import Yard, YardOptions

if TYPE_CHECKING:
    from backend.cli.entry import OpenScreen

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


#: The rooms that commands, by their first word, work in. Importing them takes a moment that an event loop has not.
_ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("sync", "rules", "runs"), ("flows.synchronising", "flows.evidence", "registry.client")),
    "images": ("flows.library", "flows.services"),
    **dict.fromkeys(("queue", "approve", "reject", "waive", "comment", "break-glass"), ("flows.queue",)),
    "revoke": ("flows.queue", "flows.services"),
    "evidence": ("flows.evidence", "registry.client"),
    "policy": ("flows.policy",),
    "deploy": ("flows.deployments",),
    "runtimes": ("flows.runtimes",),
    "gpu": ("flows.gpus",),
    "doctor": ("flows.doctor", "flows.evidence", "flows.gpus", "registry.client"),
    "audit": ("flows.audit",),
    "worker": ("flows.schedule", "flows.synchronising", "flows.evidence", "flows.policy", "registry.client"),
}


class Session:
    """One invocation of the command line."""

    def __init__(self, options: GlobalOptions, open_screen: OpenScreen, *, command: str = "") -> None:
        """
        Args:
            command: its first word.
        """
        self.options = options
        self._command = command
        self.open_screen = open_screen
        self.print = Printer(options.output)

    def run(self, work: Callable[[Yard], Awaitable[_Result]]) -> _Result:
        """Open the yard, do the work on it, close it.

        Raises:
            ModelyardError: whatever failed.
        """
        configuration = load_configuration(self.options.config)
        redactor = Redactor()
        for room in _ROOMS.get(self._command, ()):
            importlib.import_module(f"backend.{room}")
        collect_from_now_on()
        with logging_to_file(redactor, debug=self.options.debug):
            return asyncio.run(self._worked(configuration, redactor, work))

    def tell(self, text: str) -> None:
        """Text to stderr, before something is asked about it."""
        sys.stderr.write(sanitise_lines(text) + "\n")

    def confirm(self, question: str) -> None:
        """Ask before something that cannot be taken back, unless `--yes` was given.

        Raises:
            UsageError: there is nobody to ask, or they said no.
        """
        if self.options.yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(question.rstrip("?"), "there is no terminal to ask on", "give --yes to go ahead")
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError(question.rstrip("?"), "you did not confirm", "answer y, or give --yes")

    async def _worked(
        self, configuration: LoadedConfiguration, redactor: Redactor, work: Callable[[Yard], Awaitable[_Result]]
    ) -> _Result:
        yard = await Yard.open(configuration, yard_options(self.options), redactor=redactor)
        try:
            for text in configuration.notes:
                note(text)
            return await work(yard)
        finally:
            await yard.close()


def yard_options(options: GlobalOptions) -> YardOptions:
    """The part of the options that the yard itself needs."""
    return YardOptions(database=options.database, context=options.context, read_only=options.read_only)


@contextmanager
def logging_to_file(redactor: Redactor, *, debug: bool) -> Iterator[None]:
    """Log to the state folder while the block runs.

    Raises:
        StoreUnwritableError: the log cannot be written.
    """
    try:
        log = LogFile(state_folder(), redactor=redactor, debug=debug)
    except OSError as error:
        raise StoreUnwritableError(
            f"log in {state_folder()}", error.strerror or str(error), "make the folder writable, or set XDG_STATE_HOME"
        ) from error
    try:
        yield
    except (ModelyardError, OSError):
        raise
    except Exception:
        _LOG.exception("unexpected failure")
        raise
    finally:
        log.close()
