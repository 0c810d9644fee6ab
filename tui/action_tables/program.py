"""Actions of the program itself."""

from __future__ import annotations

from typing import Final

from tui.action import Action

PROGRAM: Final[tuple[Action, ...]] = (
    Action(id="program.back", title="Back, or clear the filter", keys=("escape", "q"), group="Program"),
    Action(id="program.command", title="Type a command", keys=(":",), group="Program"),
    Action(id="program.menu", title="Menu of every action", keys=("m",), group="Program", hint="menu"),
    Action(
        id="program.log",
        title="Log of commands: what was done, as kubectl or modelyard would do it",
        keys=("@",),
        group="Program",
        command="log",
    ),
    Action(id="program.help", title="What works here", keys=("?",), group="Program", hint="help", command="help"),
    Action(id="program.quit", title="Leave", keys=("ctrl+c",), group="Program", command="quit"),
)
