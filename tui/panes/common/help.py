"""Help: what works in a pane."""

from __future__ import annotations

from collections.abc import Sequence

from tui.actions import PANES
from tui.document import Line, Section, text
from tui.hints import help_sections
from tui.panes.common.detail import DetailPage

_NAMES_FROM = 120
_MARKS = (
    ("X", "bad", "failed or stuck"),
    ("!", "warn", "degraded, slow, or a gate fails"),
    ("~", "info", "starting"),
    ("U", "violet", "runs, and nobody approved what it runs"),
    ("*", "mine", "waits for you"),
    ("i", "idle", "held by somebody and doing nothing"),
    (".", "free", "free"),
    ("?", "warn", "could not be measured"),
    ("■", "mine", "marked by you"),
    ("✓ ○ ✗", "ok", "approved; a candidate; rejected or revoked"),
)


class HelpPage(DetailPage):
    """What works in a pane, made from the registry of actions."""

    pane = "note"

    def __init__(self, about: str) -> None:
        super().__init__()
        self._about = about if about in PANES else "overview"

    def title_parts(self) -> tuple[str, str, Line, Line]:
        return "", "HELP", text(f"what works in: {self._about}", "muted"), text("Tab next group  Esc back", "muted")

    def sections(self) -> Sequence[Section]:
        marks = tuple((*text(f"{mark:<14}", role), *text(meaning)) for mark, role, meaning in _MARKS)
        typed = (
            text(":deployments llm-prod /llama    a pane, a namespace, a filter"),
            text(":sync nim-llama --dry-run       a rule, without changing anything"),
            text(":scale 3   :rollback   :deploy  what is under the cursor"),
            text(":theme day                      other colours"),
            text(":q                              leave"),
        )
        rebind = (
            text("The table [keys] binds actions by the names that this page shows on wide screens.", "muted"),
            text('[keys]  "queue.approve" = "ctrl+y"', "accent"),
        )
        return (
            *help_sections(self.room.keymap, self._about, names=self.app.size.width >= _NAMES_FROM),
            Section("Commands", typed),
            Section("Marks", marks),
            Section("Keys of your own", rebind),
        )

    def act_program_help(self) -> None:
        self.dismiss()
