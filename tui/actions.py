"""The one registry of actions: help, menu, footer, keys and the command line are made from it."""

from __future__ import annotations

from typing import Final

from tui.action import EVERYWHERE, LISTS, PANES, Action, unavailable
from tui.action_tables.alerts import ALERTS
from tui.action_tables.follow import FOLLOW
from tui.action_tables.gpus import GPUS
from tui.action_tables.history import HISTORY
from tui.action_tables.library import LIBRARY
from tui.action_tables.looking import LOOKING
from tui.action_tables.plans import PLANS
from tui.action_tables.program import PROGRAM
from tui.action_tables.proof import PROOF
from tui.action_tables.queue import QUEUE
from tui.action_tables.services import SERVING

__all__ = ["ACTIONS", "BY_ID", "EVERYWHERE", "LISTS", "PANES", "Action", "mutating", "unavailable"]

ACTIONS: Final[tuple[Action, ...]] = (
    *LOOKING,
    *LIBRARY,
    *QUEUE,
    *SERVING,
    *PROOF,
    *PLANS,
    *FOLLOW,
    *GPUS,
    *ALERTS,
    *HISTORY,
    *PROGRAM,
)
BY_ID: Final = {action.id: action for action in ACTIONS}


def mutating() -> tuple[Action, ...]:
    """Every action that changes a cluster, a decision or the library."""
    return tuple(action for action in ACTIONS if action.mutates is not None)
