"""Actions of history, supply and demand, and costs."""

from __future__ import annotations

from typing import Final

from tui.action import Action

_OVER_TIME: Final = ("history", "capacity", "cost")

HISTORY: Final[tuple[Action, ...]] = (
    Action(
        id="history.open",
        title="Show what the GPU or the service did, up to 30 days back",
        keys=("h",),
        group="Look",
        panes=("gpus", "gpu", "service", "deployments"),
        hint="history",
    ),
    Action(
        id="history.capacity",
        title="Show demand against supply by GPU type, and where it goes",
        keys=("t",),
        group="Look",
        panes=("gpus", "gpu", "history", "cost"),
        command="capacity",
    ),
    Action(
        id="history.cost",
        title="Show what GPUs cost, used and idle: estimates by the price table",
        keys=("$",),
        group="Look",
        panes=("gpus", "gpu", "history", "capacity"),
        command="cost",
    ),
    Action(
        id="history.shorter",
        title="Look back over a shorter time",
        keys=("[",),
        group="Look",
        panes=_OVER_TIME,
        hint="shorter",
    ),
    Action(
        id="history.longer",
        title="Look back over a longer time",
        keys=("]",),
        group="Look",
        panes=_OVER_TIME,
        hint="longer",
    ),
    Action(
        id="history.grouping",
        title="Tell costs by service, team or type",
        keys=("b",),
        group="Look",
        panes=("cost",),
        hint="by",
    ),
    Action(
        id="history.what-if",
        title="Ask what more replicas of a service would take",
        keys=("w",),
        group="Look",
        panes=("capacity",),
        hint="what if",
    ),
)
