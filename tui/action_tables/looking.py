"""Actions that move, look and search."""

from __future__ import annotations

from typing import Final

from tui.action import LISTS, PANES, SERVICES, Action

_SIDEWAYS: Final = ("text", "log", "library", "image", "gpus")

_LISTED: Final = ("rules", "rule", "runs", "run", "alerts", "runtimes", "running", "changes")
_SORTED: Final = (
    *("library", "queue", "deployments", "gpus", "audit"), *(pane for pane in _LISTED if pane != "rule"),
)  # fmt: skip


def _go(name: str, key: str, title: str) -> Action:
    return Action(id=f"go.{name}", title=title, keys=(key,), group="Panes", command=name)


LOOKING: Final[tuple[Action, ...]] = (
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
    Action(id="move.left", title="Left, or fold", keys=("left",), group="Move", panes=_SIDEWAYS),
    Action(
        id="move.right",
        title="Right, or unfold",
        keys=("right",),
        group="Move",
        panes=_SIDEWAYS,
    ),
    Action(id="move.page-up", title="A window up", keys=("pageup", "ctrl+u"), group="Move"),
    Action(id="move.page-down", title="A window down", keys=("pagedown", "ctrl+d"), group="Move"),
    Action(id="move.first", title="To the first", keys=("g", "home"), group="Move"),
    Action(id="move.last", title="To the last", keys=("G", "end"), group="Move"),
    Action(
        id="look.open",
        title="Open what is under the cursor",
        keys=("enter", "d"),
        panes=(*LISTS, *_LISTED, "evidence"),
        group="Look",
        hint="open",
    ),
    Action(
        id="look.filter",
        title="Filter by an expression, ! in front inverts, or by words such as type:chat, state:idle; a text searches",
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
        panes=_SORTED,
    ),
    Action(
        id="look.invert",
        title="Turn the order around",
        keys=("I",),
        group="Look",
        panes=_SORTED,
    ),
    Action(
        id="look.mark",
        title="Mark the row, or take the mark away",
        keys=("space",),
        group="Look",
        panes=("queue", "library", "deployments"),
        hint="mark",
    ),
    Action(
        id="look.mark-range",
        title="Mark from the last mark to the cursor",
        keys=("v",),
        group="Look",
        panes=("queue", "library", "deployments"),
    ),
    Action(
        id="look.mark-all",
        title="Mark all that the filter found, or take every mark away",
        keys=("*",),
        group="Look",
        panes=("queue", "library", "deployments"),
    ),
    Action(
        id="look.mark-invert",
        title="Mark what is not marked, and the other way round",
        keys=("~",),
        group="Look",
        panes=("queue", "library", "deployments"),
    ),
    Action(
        id="look.wide",
        title="Show facts in place of reasons, or reasons again",
        keys=("w",),
        group="Look",
        panes=("deployments",),
        hint="wide",
    ),
    Action(
        id="look.tab",
        title="Open a tab, or show a container, by its name; Tab goes to the next",
        keys=(),
        group="Look",
        panes=("service", "log"),
        command="tab",
    ),
    Action(
        id="look.copy",
        title="Send the reference to the terminal's clipboard (OSC 52)",
        keys=("c",),
        group="Look",
        panes=tuple(pane for pane in PANES if pane not in {"text", "note", "rules", "rule", "draft", "difference"}),
    ),
    Action(id="look.refresh", title="Read again", keys=("r",), group="Look"),
    Action(id="look.pause", title="Hold the screen still, or let it go on", keys=("Z",), group="Look"),
    Action(
        id="look.manifest",
        title="Show the manifest",
        keys=("y",),
        group="Look",
        hint="YAML",
        panes=("overview", "deployments", "service", "library", "image", "plan", "runtimes", "runtime"),
    ),
    Action(id="look.logs", title="Show the log of a pod", keys=("l",), group="Look", hint="logs", panes=SERVICES),
    Action(
        id="look.previous-logs",
        title="Show the log of the container before it was restarted",
        keys=("p",),
        group="Look",
        panes=SERVICES,
        hint="previous log",
    ),
    Action(id="look.events", title="Show the events", keys=("e",), group="Look", panes=SERVICES, hint="events"),
    Action(
        id="look.wrap",
        title="Break long lines, or let them run out of the window",
        keys=("w",),
        group="Look",
        panes=("text", "log"),
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
)
