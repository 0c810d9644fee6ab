"""Actions of services, plans, GPUs and the ledger."""

from __future__ import annotations

from typing import Final

from tui.action import SERVICES, Action

SERVING: Final[tuple[Action, ...]] = (
    Action(
        id="deploy.form",
        title="Deploy an approved image",
        keys=("D",),
        group="Change",
        panes=("overview", "library", "image", "queue", "card"),
        hint="deploy",
        role="operator",
        command="deploy",
    ),
    Action(
        id="plan.apply",
        title="Apply the plan",
        keys=("D",),
        group="Change",
        panes=("plan",),
        hint="apply",
        mutates="deploy.apply",
        role="operator",
    ),
    Action(
        id="plan.edit",
        title="Edit the deployment file and plan again",
        keys=("e",),
        group="Change",
        panes=("plan",),
        hint="edit",
    ),
    Action(id="plan.older", title="Plan the return to an older snapshot", keys=("[",), group="Change", panes=("plan",)),
    Action(id="plan.newer", title="Plan the return to a newer snapshot", keys=("]",), group="Change", panes=("plan",)),
    Action(
        id="deploy.rollback",
        title="Roll back to a snapshot",
        keys=("B",),
        group="Change",
        panes=SERVICES,
        hint="roll back",
        mutates="deploy.rollback",
        role="operator",
        command="rollback",
    ),
    Action(
        id="deploy.stop",
        title="Stop, or start again",
        keys=("S",),
        group="Change",
        panes=(*SERVICES, "gpus", "gpu"),
        hint="stop",
        mutates="deploy.stop",
        role="operator",
    ),
    Action(
        id="deploy.start",
        title="Start a stopped service",
        keys=(),
        group="Change",
        panes=SERVICES,
        mutates="deploy.start",
        role="operator",
        command="start",
    ),
    Action(
        id="deploy.scale",
        title="Set the number of replicas",
        keys=("=",),
        group="Change",
        panes=SERVICES,
        mutates="deploy.scale",
        role="operator",
        command="scale",
    ),
    Action(
        id="deploy.delete",
        title="Delete the service",
        keys=("X",),
        group="Change",
        panes=("deployments", "service"),
        mutates="deploy.delete",
        role="operator",
    ),
    Action(
        id="audit.verify",
        title="Verify the ledger",
        keys=("v",),
        group="Look",
        panes=("audit", "entry"),
        hint="verify",
        command="verify",
    ),
)
