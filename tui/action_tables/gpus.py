"""Actions of the GPUs."""

from __future__ import annotations

from typing import Final

from tui.action import Action

GPUS: Final[tuple[Action, ...]] = (
    Action(
        id="gpus.idle",
        title="GPUs that are held and do nothing by wasted GPU hours, or all",
        keys=("i",),
        group="Look",
        panes=("overview", "gpus"),
        hint="idle",
        command="idle",
    ),
    Action(
        id="gpus.by",
        title="Group by node, service, team, type, or not at all: :by team",
        keys=("b",),
        group="Look",
        panes=("gpus",),
        hint="group",
        command="by",
    ),
    Action(
        id="gpus.view",
        title="A line a GPU, a line a node, a heat map, or what suits their number: :view map",
        keys=("v",),
        group="Look",
        panes=("gpus",),
        hint="view",
        command="view",
    ),
    Action(id="gpus.fold", title="Fold or unfold", keys=("space",), group="Look", panes=("gpus",), hint="fold"),
    Action(id="gpus.fold-all", title="Fold or unfold all groups", keys=("f",), group="Look", panes=("gpus",)),
    Action(
        id="gpus.wide",
        title="All that is measured of each GPU, or what is looked at most",
        keys=("w",),
        group="Look",
        panes=("gpus",),
        hint="wide",
    ),
    Action(
        id="gpus.service",
        title="Open the service that holds it",
        keys=("o",),
        group="Look",
        panes=("gpus", "gpu"),
        hint="service",
    ),
    Action(id="gpus.node", title="Open its node", keys=("u",), group="Look", panes=("gpus", "gpu"), hint="node"),
    Action(id="gpus.before", title="The GPU before it", keys=("[",), group="Look", panes=("gpu",)),
    Action(id="gpus.after", title="The GPU after it", keys=("]",), group="Look", panes=("gpu",)),
)
