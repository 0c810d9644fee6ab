"""The log of commands: what was done on the screen, as kubectl or modelyard would have done it."""

from __future__ import annotations

from collections.abc import Sequence

from tui.document import EMPTY, Line, Section, Span, text
from tui.format import moment
from tui.panes.common.detail import DetailPage

_ROLES = {"done": "ok", "failed": "bad", "refused": "bad"}


class CommandLogPage(DetailPage):
    """Every command of this session, the newest first."""

    pane = "note"

    def title_parts(self) -> tuple[str, str, Line, Line]:
        return "", "LOG OF COMMANDS", EMPTY, text("newest first  Esc back", "muted")

    def sections(self) -> Sequence[Section]:
        commands = self.model.commands
        if not commands:
            return (Section("", (text("Nothing was changed from this screen yet.", "muted"),)),)
        lines = tuple(
            (
                *text(moment(logged.at) + "  ", "muted"),
                Span(f"{logged.outcome or 'sent':<8}", _ROLES.get(logged.outcome, "info")),
                *text(logged.command),
            )
            for logged in reversed(commands)
        )
        return (Section("", lines),)

    def act_program_log(self) -> None:
        self.dismiss()
