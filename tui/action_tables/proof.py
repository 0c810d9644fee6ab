"""Actions on what changed, what runs unapproved, and what proves a rollout."""

from __future__ import annotations

from typing import Final

from tui.action import SERVICES, Action

PROOF: Final[tuple[Action, ...]] = (
    Action(
        id="look.changes",
        title="What changed: ours, others' edits, tags, scaling, nodes",
        keys=("t",),
        group="Look",
        panes=SERVICES,
        hint="what changed",
        command="changes",
    ),
    Action(
        id="look.running",
        title="What runs against what was approved and applied",
        keys=("o",),
        group="Look",
        panes=("overview", "deployments"),
        hint="unapproved",
        command="running",
    ),
    Action(
        id="running.state",
        title="Only what runs in one state, or all",
        keys=("o",),
        group="Look",
        panes=("running",),
        hint="one state",
    ),
    Action(
        id="running.export",
        title="Write the list to a file",
        keys=("x",),
        group="Look",
        panes=("running", "changes"),
        hint="export",
    ),
    Action(
        id="deploy.promote",
        title="Give a canary its next share of the traffic, or all of it",
        keys=("P",),
        group="Change",
        panes=SERVICES,
        mutates="deploy.promote",
        role="operator",
        command="promote",
    ),
    Action(
        id="deploy.abort",
        title="Take all traffic from a canary",
        group="Change",
        panes=SERVICES,
        mutates="deploy.abort",
        role="operator",
        command="abort",
    ),
    Action(
        id="deploy.validate",
        title="Ask the service for a real answer, and hold it to its bounds",
        keys=("z",),
        group="Change",
        panes=SERVICES,
        mutates="deploy.validate",
        role="operator",
        command="validate",
    ),
)
