"""Actions of plans, of applies that were cut off, and of serving runtimes."""

from __future__ import annotations

from typing import Final

from tui.action import Action

PLANS: Final[tuple[Action, ...]] = (
    Action(
        id="plan.fold",
        title="Show the lines that do not change, or fold them again",
        keys=("z",),
        group="Look",
        panes=("plan", "difference"),
        hint="unfold",
    ),
    Action(
        id="plan.take",
        title="Choose fields to take from those who manage them",
        keys=("t",),
        group="Change",
        panes=("plan",),
        hint="take fields",
        role="operator",
    ),
    Action(
        id="plan.write",
        title="Write the manifests to a file, for the repository of Argo CD or Flux",
        keys=("w",),
        group="Look",
        panes=("plan",),
        hint="write",
    ),
    Action(
        id="deploy.export",
        title="Write its deployment file, or its manifests for a repository",
        keys=("x",),
        group="Look",
        panes=("deployments", "service"),
        hint="export",
        command="write",
    ),
    Action(
        id="deploy.runtimes",
        title="Serving runtimes: what they serve, and who uses them",
        keys=("u",),
        group="Look",
        panes=("deployments", "service"),
        hint="runtimes",
        command="runtimes",
    ),
    Action(
        id="runtimes.install",
        title="Make a runtime of a template and an approved image",
        keys=("D",),
        group="Change",
        panes=("runtimes", "runtime"),
        hint="install",
        mutates="runtime.apply",
        role="operator",
        command="install",
    ),
    Action(
        id="runtimes.compare",
        title="Compare it with another runtime",
        keys=("v",),
        group="Look",
        panes=("runtimes", "runtime"),
        hint="compare",
    ),
    Action(
        id="deploy.settle",
        title="Complete or take back an apply that was cut off",
        keys=("U",),
        group="Change",
        panes=("overview", "deployments"),
        mutates="deploy.settle",
        role="operator",
        command="settle",
    ),
)
