"""Actions of alerts."""

from __future__ import annotations

from typing import Final

from tui.action import EVERYWHERE, Action

ALERTS: Final[tuple[Action, ...]] = (
    Action(
        id="alert.list",
        title="Alerts: what needs a person, and what is silenced",
        keys=("!",),
        group="Look",
        panes=EVERYWHERE,
        command="alerts",
    ),
    Action(
        id="alert.acknowledge",
        title="Take an alert up, or hand it over",
        keys=("a",),
        group="Change",
        panes=("overview", "deployments", "service", "gpus", "gpu", "node", "alerts"),
        hint="take up",
        mutates="alert.acknowledge",
        role="operator",
        also=("approver", "curator", "admin"),
    ),
    Action(
        id="alert.silence",
        title="Silence alerts of an object until a time",
        keys=("S",),
        group="Change",
        panes=("alerts",),
        hint="silence",
        mutates="alert.silence",
        role="operator",
        also=("admin",),
    ),
    Action(
        id="alert.lift",
        title="Lift the silence",
        keys=("X",),
        group="Change",
        panes=("alerts",),
        mutates="alert.lift",
        role="operator",
        also=("admin",),
    ),
    Action(
        id="alert.resolved",
        title="Show what was over in the last day too, or hide it",
        keys=("o",),
        group="Look",
        panes=("alerts",),
        hint="over",
    ),
)
