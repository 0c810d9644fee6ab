"""The one registry of actions: help, menu, footer, keys and the command line are made from it."""

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
    "entry",
    "text",
    "note",
    "rules",
    "rule",
    "draft",
    "runs",
    "run",
)
_SERVICES: Final = ("overview", "deployments", "service")
_CANDIDATES: Final = ("overview", "queue", "card")


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


def _go(name: str, key: str, title: str) -> Action:
    return Action(id=f"go.{name}", title=title, keys=(key,), group="Panes", command=name)


ACTIONS: Final[tuple[Action, ...]] = (
    _go("overview", "0", "Go to the overview"),
    _go("library", "1", "Go to the library"),
    _go("queue", "2", "Go to the queue"),
    _go("deployments", "3", "Go to the deployments"),
    _go("gpus", "4", "Go to the GPUs"),
    _go("audit", "5", "Go to the audit log"),
    Action(id="pane.next", title="Next pane or section", keys=("tab",), group="Panes"),
    Action(id="pane.previous", title="Previous pane or section", keys=("shift+tab",), group="Panes"),
    Action(id="pane.zoom", title="Give the pane the whole screen", keys=("+",), panes=("overview",), group="Panes"),
    Action(id="pane.unzoom", title="Show all panes again", keys=("_",), panes=("overview",), group="Panes"),
    Action(id="move.up", title="Up", keys=("k", "up"), group="Move"),
    Action(id="move.down", title="Down", keys=("j", "down"), group="Move"),
    Action(id="move.left", title="Left, or fold", keys=("left",), group="Move", panes=("text", "library", "image")),
    Action(
        id="move.right", title="Right, or unfold", keys=("right",), group="Move", panes=("text", "library", "image")
    ),
    Action(id="move.page-up", title="A window up", keys=("pageup", "ctrl+u"), group="Move"),
    Action(id="move.page-down", title="A window down", keys=("pagedown", "ctrl+d"), group="Move"),
    Action(id="move.first", title="To the first", keys=("g", "home"), group="Move"),
    Action(id="move.last", title="To the last", keys=("G", "end"), group="Move"),
    Action(
        id="look.open",
        title="Open what is under the cursor",
        keys=("enter", "d"),
        panes=(*LISTS, "rules", "rule", "evidence", "runs", "run"),
        group="Look",
        hint="open",
    ),
    Action(
        id="look.filter",
        title="Filter by a regular expression, ! in front inverts; the library by words and type:chat; a text searches",
        keys=("/",),
        group="Look",
        hint="filter",
    ),
    Action(id="look.next", title="Next match", keys=("n",), group="Look"),
    Action(id="look.previous", title="Previous match", keys=("N",), group="Look"),
    Action(
        id="look.sort",
        title="Sort by the next column",
        keys=("s",),
        group="Look",
        panes=("library", "queue", "deployments", "gpus", "audit", "rules", "runs", "run"),
    ),
    Action(
        id="look.invert",
        title="Turn the order around",
        keys=("I",),
        group="Look",
        panes=("library", "queue", "deployments", "gpus", "audit", "rules", "runs", "run"),
    ),
    Action(
        id="look.mark",
        title="Mark the row, or take the mark away",
        keys=("space",),
        group="Look",
        panes=("queue", "library"),
        hint="mark",
    ),
    Action(
        id="look.mark-range",
        title="Mark from the last mark to the cursor",
        keys=("v",),
        group="Look",
        panes=("queue", "library"),
    ),
    Action(
        id="look.mark-all",
        title="Mark all that the filter found, or take every mark away",
        keys=("*",),
        group="Look",
        panes=("queue", "library"),
    ),
    Action(
        id="look.mark-invert",
        title="Mark what is not marked, and the other way round",
        keys=("~",),
        group="Look",
        panes=("queue", "library"),
    ),
    Action(
        id="look.copy",
        title="Send the reference to the terminal's clipboard (OSC 52)",
        keys=("c",),
        group="Look",
        panes=tuple(pane for pane in PANES if pane not in {"text", "note", "rules", "rule", "draft"}),
    ),
    Action(id="look.refresh", title="Read again", keys=("r",), group="Look"),
    Action(id="look.pause", title="Hold the screen still, or let it go on", keys=("Z",), group="Look"),
    Action(
        id="look.manifest",
        title="Show the manifest",
        keys=("y",),
        group="Look",
        hint="YAML",
        panes=("overview", "deployments", "service", "library", "image", "plan"),
    ),
    Action(id="look.logs", title="Show the log of a pod", keys=("l",), group="Look", hint="logs", panes=_SERVICES),
    Action(
        id="look.previous-logs",
        title="Show the log of the container before it was restarted",
        keys=("p",),
        group="Look",
        panes=_SERVICES,
        hint="previous log",
    ),
    Action(id="look.events", title="Show the events", keys=("e",), group="Look", panes=_SERVICES, hint="events"),
    Action(
        id="look.wrap",
        title="Break long lines, or let them run out of the window",
        keys=("w",),
        group="Look",
        panes=("text",),
        hint="wrap",
    ),
    Action(id="look.newest", title="Go to the newest line", keys=("f",), group="Look", panes=("text",), hint="newest"),
    Action(
        id="library.history",
        title="Show what the tag named over time",
        keys=("h",),
        group="Look",
        panes=("library", "image"),
        hint="history",
    ),
    Action(
        id="library.rules",
        title="Rules: what they take in, and what they leave out",
        keys=("u",),
        group="Look",
        panes=("library",),
        hint="rules",
        command="rules",
    ),
    Action(
        id="rules.edit",
        title="Edit the rule",
        keys=("e",),
        group="Change",
        panes=("rules", "rule"),
        hint="edit",
        mutates="rules.write",
        role="curator",
    ),
    Action(
        id="rules.new",
        title="Write a new rule",
        keys=("C",),
        group="Change",
        panes=("rules",),
        hint="new",
        mutates="rules.write",
        role="curator",
    ),
    Action(
        id="rules.switch",
        title="Switch the rule on or off",
        keys=("S",),
        group="Change",
        panes=("rules", "rule"),
        hint="on/off",
        mutates="rules.write",
        role="curator",
    ),
    Action(
        id="rules.remove",
        title="Remove the rule",
        keys=("X",),
        group="Change",
        panes=("rules", "rule"),
        mutates="rules.remove",
        role="curator",
    ),
    Action(
        id="rules.save",
        title="Write the draft into the file",
        keys=("enter",),
        group="Change",
        panes=("draft",),
        hint="write",
        mutates="rules.write",
        role="curator",
    ),
    Action(
        id="rules.past",
        title="What the rule would have taken in at a time that is past",
        keys=("p",),
        group="Look",
        panes=("rule",),
        hint="past",
    ),
    Action(
        id="library.tree",
        title="Tree of registries and repositories, or flat",
        keys=("t",),
        group="Look",
        panes=("library",),
        hint="tree",
        command="tree",
    ),
    Action(id="library.fold", title="Open or fold every repository", keys=("z",), group="Look", panes=("library",)),
    Action(
        id="library.runs",
        title="Runs of the synchroniser and their journals",
        keys=("J",),
        group="Look",
        panes=("library",),
        hint="runs",
        command="runs",
    ),
    Action(
        id="library.export",
        title="Write the marked rows, or all that is listed, to a file",
        keys=("x",),
        group="Look",
        panes=("library", "image", "run"),
        hint="export",
        command="export",
    ),
    Action(
        id="library.approved",
        title="Approved images only, or all",
        keys=("o",),
        group="Look",
        panes=("library",),
        hint="approved only",
        command="approved",
    ),
    Action(
        id="library.synchronise",
        title="Synchronise from the registries",
        keys=("f",),
        group="Change",
        panes=("overview", "library", "rules", "rule", "runs", "run"),
        hint="sync",
        mutates="library.synchronise",
        role="operator",
        command="sync",
    ),
    Action(
        id="library.cancel",
        title="Cancel the run that goes on",
        keys=("K",),
        group="Change",
        panes=("overview", "library", "runs", "run"),
        mutates="library.cancel",
        role="operator",
        command="cancel",
    ),
    Action(
        id="library.correct",
        title="Correct what an image was found to be",
        keys=("e",),
        group="Change",
        panes=("library", "image"),
        mutates="library.correct",
        role="curator",
        command="correct",
    ),
    Action(
        id="library.parent",
        title="Name what an image was made from",
        keys=("p",),
        group="Change",
        panes=("library", "image"),
        mutates="library.parent",
        role="curator",
        command="parent",
    ),
    Action(
        id="library.prune",
        title="Forget what is long gone and nobody needs: :prune 180d",
        keys=(),
        group="Change",
        panes=("library",),
        mutates="library.prune",
        role="operator",
        command="prune",
    ),
    Action(
        id="library.submit",
        title="Submit again to the queue",
        keys=("U",),
        group="Change",
        panes=("library", "image"),
        mutates="queue.submit",
        role="curator",
        also=("approver",),
    ),
    Action(
        id="library.reject",
        title="Reject",
        keys=("R",),
        group="Decide",
        panes=("library", "image"),
        mutates="queue.reject",
        role="approver",
    ),
    Action(
        id="queue.approve",
        title="Approve",
        keys=("A",),
        group="Decide",
        panes=_CANDIDATES,
        hint="approve",
        mutates="queue.approve",
        role="approver",
    ),
    Action(
        id="queue.reject",
        title="Reject",
        keys=("R",),
        group="Decide",
        panes=_CANDIDATES,
        hint="reject",
        mutates="queue.reject",
        role="approver",
    ),
    Action(
        id="queue.revoke",
        title="Revoke an approval",
        keys=("V",),
        group="Decide",
        panes=("queue", "card", "library", "image"),
        mutates="queue.revoke",
        role="approver",
    ),
    Action(
        id="queue.waive",
        title="Waive a finding until a date",
        keys=("W",),
        group="Decide",
        panes=("card", "evidence"),
        hint="waive",
        mutates="queue.waive",
        role="approver",
    ),
    Action(
        id="queue.break-glass",
        title="Break the glass: one person lets it run for a bounded time",
        keys=("E",),
        group="Decide",
        panes=("queue", "card"),
        mutates="queue.break-glass",
        role="approver",
        command="break-glass",
    ),
    Action(
        id="queue.review",
        title="Review a broken glass afterwards",
        keys=("Y",),
        group="Decide",
        panes=("queue", "card"),
        mutates="queue.review",
        role="approver",
        command="review",
    ),
    Action(
        id="queue.comment",
        title="Comment, or name a ticket",
        keys=("t",),
        group="Change",
        panes=("queue", "card"),
        mutates="queue.comment",
        role="approver",
        also=("curator", "operator", "admin"),
        command="comment",
    ),
    Action(
        id="queue.submit",
        title="Submit again what was decided against",
        keys=("u",),
        group="Change",
        panes=("queue", "card"),
        mutates="queue.submit",
        role="curator",
        also=("approver",),
        command="submit",
    ),
    Action(
        id="queue.evaluate",
        title="Collect evidence and judge it again",
        keys=("f",),
        group="Change",
        panes=("queue", "card", "evidence"),
        mutates="evidence.collect",
        role="operator",
        command="evaluate",
    ),
    Action(
        id="evidence.scan",
        title="Scan with trivy or grype of this machine, or end the scan",
        keys=("x",),
        group="Change",
        panes=("card", "evidence"),
        mutates="evidence.scan",
        role="operator",
        command="scan",
    ),
    Action(
        id="evidence.assert",
        title="Record that you reviewed it, with a note and a link",
        keys=("w",),
        group="Change",
        panes=("card", "evidence"),
        mutates="evidence.assert",
        role="curator",
        command="assert",
    ),
    Action(
        id="evidence.packages",
        title="Images that hold a package, such as :packages openssl<3.0.15",
        keys=("p",),
        group="Look",
        panes=("queue", "card", "evidence"),
        command="packages",
    ),
    Action(
        id="queue.evidence",
        title="Evidence: findings, packages, signatures",
        keys=("e",),
        group="Look",
        panes=("queue", "card"),
        hint="evidence",
        command="evidence",
    ),
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
        panes=_SERVICES,
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
        panes=(*_SERVICES, "gpus", "gpu"),
        hint="stop",
        mutates="deploy.stop",
        role="operator",
    ),
    Action(
        id="deploy.start",
        title="Start a stopped service",
        keys=(),
        group="Change",
        panes=_SERVICES,
        mutates="deploy.start",
        role="operator",
        command="start",
    ),
    Action(
        id="deploy.scale",
        title="Set the number of replicas",
        keys=("=",),
        group="Change",
        panes=_SERVICES,
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
        id="gpus.idle",
        title="GPUs that are held and do nothing, or all",
        keys=("i",),
        group="Look",
        panes=("overview", "gpus"),
        hint="idle",
        command="idle",
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
    Action(id="program.back", title="Back, or clear the filter", keys=("escape", "q"), group="Program"),
    Action(id="program.command", title="Type a command", keys=(":",), group="Program"),
    Action(id="program.menu", title="Menu of every action", keys=("m",), group="Program", hint="menu"),
    Action(
        id="program.log",
        title="Log of commands: what was done, as kubectl or modelyard would do it",
        keys=("@",),
        group="Program",
        command="log",
    ),
    Action(id="program.help", title="What works here", keys=("?",), group="Program", hint="help", command="help"),
    Action(id="program.quit", title="Leave", keys=("ctrl+c",), group="Program", command="quit"),
)

BY_ID: Final = {action.id: action for action in ACTIONS}


def mutating() -> tuple[Action, ...]:
    """Every action that changes a cluster, a decision or the library."""
    return tuple(action for action in ACTIONS if action.mutates is not None)


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
