"""What an action is, and who may do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backend.core.views import YardStatusView

EVERYWHERE: Final = ("*",)
LISTS: Final = ("overview", "library", "queue", "deployments", "gpus", "audit")
PANES: Final = (
    *LISTS,
    "image",
    "card",
    "evidence",
    "service",
    "plan",
    "gpu",
    "node",
    "entry",
    "text",
    "log",
    "note",
    "rules",
    "rule",
    "draft",
    "runs",
    "run",
    "alerts",
    "runtimes",
    "runtime",
    "difference",
    "history",
    "capacity",
    "cost",
    "running",
    "changes",
)
#: Where services, and where candidates are at hand.
SERVICES: Final = ("overview", "deployments", "service")
CANDIDATES: Final = ("overview", "queue", "card")


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that a person can do.

    Attributes:
        id: `group.verb`; `[keys]` of the configuration rebinds it by this name.
        title: for help and menu, an imperative.
        keys: as a person reads them: `A`, `?`, `ctrl+c`, `enter`.
        panes: where it works; `*` is everywhere.
        group: heading in the help.
        hint: word in the footer; empty: not shown there.
        mutates: name in the gate's table of mutations, or None when it changes nothing.
        role: who may do it, or empty; `also` are other roles that may.
        command: word on the command line after `:`, or empty.
    """

    id: str
    title: str
    keys: tuple[str, ...] = ()
    panes: tuple[str, ...] = EVERYWHERE
    group: str = "Program"
    hint: str = ""
    mutates: str | None = None
    role: str = ""
    also: tuple[str, ...] = ()
    command: str = ""

    def works_in(self, pane: str) -> bool:
        """Whether it is offered in a pane."""
        return self.panes == EVERYWHERE or pane in self.panes


def unavailable(action: Action, status: YardStatusView | None) -> str:
    """Why the actor may not do this now, in a clause; empty when they may.

    The yard decides again when it is asked; this only spares a person a form that cannot be sent.
    """
    if not action.role:
        return ""
    if status is None:
        return "the yard is still opening"
    if status.writes and action.mutates is not None:
        return f"writes are off: {status.writes}"
    if not status.unrestricted and not {action.role, *action.also} & set(status.roles):
        held = ", ".join(status.roles) or "none"
        return f"it needs the role {' or '.join((action.role, *action.also))}; {status.actor} has {held}"
    return ""
