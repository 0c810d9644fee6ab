"""The menu of every action of a pane."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from backend.core.views import YardStatusView
from tui.actions import ACTIONS, Action, unavailable
from tui.document import EMPTY, Line, Span, text
from tui.keymap import KeyMap, key_of, shown
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable
from tui.widgets.one_line import OneLine

_LEFT_OUT = frozenset({"Move"})


def menu_actions(pane: str) -> list[Action]:
    """What the menu of a pane offers: what decides and changes first."""
    order = {"Decide": 0, "Change": 1, "Look": 2, "Panes": 3, "Program": 4}
    kept = [action for action in ACTIONS if action.works_in(pane) and action.group not in _LEFT_OUT]
    return sorted(kept, key=lambda action: order.get(action.group, 9))


class MenuPage(ModalScreen[Action]):
    """Choose an action by cursor, or by its own key."""

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "LineTable"
    CSS_PATH = "common.tcss"

    def __init__(self, pane: str) -> None:
        super().__init__()
        self._pane = pane
        self.settled = False

    def compose(self) -> ComposeResult:
        keymap = getattr(self.app, "keymap", None) or KeyMap()
        status = getattr(getattr(self.app, "model", None), "status", None)
        with Vertical(id="menu"):
            title = OneLine(id="menu-title")
            title.show(lambda _width: (Span("Menu", "title-focus"), *text(f"  {self._pane}", "muted")))
            yield title
            yield LineTable(_columns(keymap, status), lambda action: action.id, headings=False)
            hint = OneLine()
            hint.show(lambda _width: text("Enter does it   Esc leaves", "muted"))
            yield hint

    def on_mount(self) -> None:
        self.query_one(LineTable).show(menu_actions(self._pane))
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    def on_key(self, event: events.Key) -> None:
        table: LineTable[Action] = self.query_one(LineTable)
        keymap = getattr(self.app, "keymap", None) or KeyMap()
        action = keymap.action(self._pane, key_of(event.key, event.character))
        event.stop()
        event.prevent_default()
        if event.key == "enter":
            self.dismiss(table.current)
        elif action is None:
            return
        elif action.id == "program.back" or action.id == "program.menu":
            self.dismiss(None)
        elif action.id.startswith("move."):
            _move(table, action.id)
        else:
            self.dismiss(action)


def _move(table: LineTable[Action], action: str) -> None:
    steps = {"move.up": -1, "move.down": 1}
    if action in steps:
        table.move(steps[action])
    elif action in {"move.page-up", "move.page-down"}:
        table.move_page(-1 if action == "move.page-up" else 1)
    elif action in {"move.first", "move.last"}:
        table.move_to(0 if action == "move.first" else len(table.items))


def _columns(keymap: KeyMap, status: YardStatusView | None) -> tuple[Column[Action], ...]:
    def title(action: Action) -> Line:
        why = unavailable(action, status)
        return (*text(action.title, "faint" if why else ""), *(text(f"  {why}", "warn") if why else EMPTY))

    return (
        Column(key="group", title="", cell=lambda action: text(action.group, "faint"), minimum=8),
        Column(
            key="keys",
            title="",
            minimum=8,
            maximum=12,
            cell=lambda action: text(
                " ".join(shown(key) for key in keymap.keys(action.id)[:2]) or f":{action.command}", "key"
            ),
        ),
        Column(key="title", title="", cell=title, minimum=20, flex=1),
    )
