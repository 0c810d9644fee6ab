"""Opens the screen: reads the configuration, and hands over a way to open the yard after the first paint."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from backend.cli.options import GlobalOptions, OutputFormat
from backend.cli.session import logging_to_file, yard_options
from backend.config import load_configuration
from backend.core.errors import UsageError
from backend.core.logs import Redactor
from backend.yard import ScreenRequest, Yard

if TYPE_CHECKING:
    from backend.cli.entry import OpenScreen


def show_screen(options: GlobalOptions, open_screen: OpenScreen) -> int:
    """Run the screen.

    Returns:
        Its exit status.

    Raises:
        UsageError: there is no terminal to show it on, or an output format was asked of it.
        ConfigurationError: the configuration is wrong.
    """
    if options.output is not OutputFormat.TABLE:
        raise UsageError("the screen", "it prints nothing", "give a command, such as modelyard images list -o json")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the screen", "it needs a terminal", "give a command to work without one: modelyard --help")
    configuration = load_configuration(options.config)
    redactor = Redactor()

    async def open_yard() -> Yard:
        return await Yard.open(configuration, yard_options(options), redactor=redactor)

    request = ScreenRequest(
        open_yard=open_yard,
        keys=configuration.settings.keys,
        confirm=configuration.settings.yard.confirm,
        theme=configuration.settings.yard.theme,
        theme_folder=configuration.folder / "themes",
        reasons=configuration.settings.queue.reasons.by_decision(),
        bell=configuration.settings.notify.bell,
        title=configuration.settings.notify.title,
    )
    with logging_to_file(redactor, debug=options.debug):
        return open_screen(request)
