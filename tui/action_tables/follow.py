"""Actions of following a service: its log, its containers."""

from __future__ import annotations

from typing import Final

from tui.action import Action

FOLLOW: Final[tuple[Action, ...]] = (
    Action(
        id="log.follow",
        title="Follow the log, or stop following it",
        keys=("f",),
        group="Look",
        panes=("log",),
        hint="follow",
    ),
    Action(
        id="log.previous",
        title="Show the log of the run before, or of this one",
        keys=("p",),
        group="Look",
        panes=("log",),
        hint="previous",
    ),
    Action(
        id="deploy.exec",
        title="Open a shell in a container, by kubectl",
        keys=("b",),
        group="Change",
        panes=("deployments", "service"),
        mutates="deploy.exec",
        role="operator",
        command="shell",
    ),
    Action(
        id="deploy.forward",
        title="Forward a port to a pod, by kubectl",
        keys=("f",),
        group="Change",
        panes=("deployments", "service"),
        mutates="deploy.forward",
        role="operator",
        command="forward",
    ),
    Action(
        id="deploy.weigh",
        title="Set an LLMInferenceService's share of its group's traffic",
        keys=("%",),
        group="Change",
        panes=("deployments", "service"),
        mutates="deploy.weigh",
        role="operator",
        command="weigh",
    ),
    Action(id="log.save", title="Save the log to a file", keys=("x",), group="Look", panes=("log",), hint="save"),
)
