"""A dialog in which something is chosen of a list, or several things marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.document import Line, Span, text
from tui.keymap import key_of
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine


class Offer(NamedTuple):
    """Something to be chosen."""

    id: str
    line: Line


class Pick(ModalScreen[tuple[str, ...]]):
    """Gives the ids of what was chosen; None when it was left.

    Args:
        lines: what is chosen for.
        several: space marks, and Enter gives what is marked; else Enter gives what is under the cursor.
        marked: ids that are marked at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = "LineTable"
    CSS_PATH = "pick.tcss"

    def __init__(
        self,
        title: str,
        lines: Sequence[Line],
        offers: Sequence[Offer],
        *,
        several: bool = False,
        marked: Sequence[str] = (),
        does: str = "chooses it",
    ) -> None:
        super().__init__()
        self._title = title
        self._lines = tuple(lines)
        self._offers = tuple(offers)
        self._several = several
        self._marked = set(marked)
        self._does = does
        self.settled = False

    def compose(self) -> ComposeResult:
        with Vertical(id="pick"):
            title = OneLine(id="pick-title")
            title.show(lambda _width: text(self._title, "title-focus"))
            yield title
            yield Lines(self._lines, id="pick-lines")
            yield LineTable(self._columns(), lambda offer: offer.id, headings=False, id="pick-table")
            hint = OneLine()
            hint.show(lambda _width: self._hint())
            yield hint

    def on_mount(self) -> None:
        table: LineTable[Offer] = self.query_one("#pick-table", LineTable)
        table.show(self._offers)
        table.styles.height = min(len(self._offers), max(3, self.app.size.height - 10))
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    def on_key(self, event: events.Key) -> None:
        table: LineTable[Offer] = self.query_one("#pick-table", LineTable)
        event.stop()
        event.prevent_default()
        key = key_of(event.key, event.character)
        if key in {"escape", "q"}:
            self.dismiss(None)
        elif key == "enter":
            self._choose(table.current)
        elif key == "space" and self._several and table.current is not None:
            self._marked ^= {table.current.id}
            table.repaint()
        elif key == "*" and self._several:
            everything = {offer.id for offer in self._offers}
            self._marked = set() if self._marked == everything else everything
            table.repaint()
        elif key in {"up", "k", "down", "j"}:
            table.move(-1 if key in {"up", "k"} else 1)

    def _choose(self, current: Offer | None) -> None:
        if self._several:
            self.dismiss(tuple(offer.id for offer in self._offers if offer.id in self._marked))
        elif current is not None:
            self.dismiss((current.id,))

    def _columns(self) -> tuple[Column[Offer], ...]:
        line: Column[Offer] = Column(key="line", title="", cell=lambda offer: offer.line, minimum=20, flex=1)
        if not self._several:
            return (line,)
        return (Column(key="mark", title="", cell=self._mark, minimum=3, tight=True), line)

    def _mark(self, offer: Offer) -> Line:
        return text("[x]", "warn") if offer.id in self._marked else text("[ ]", "muted")

    def _hint(self) -> Line:
        marks = (Span("Space", "key"), *text(" marks  "), Span("*", "key"), *text(" all  ")) if self._several else ()
        return (*marks, Span("Enter", "key"), *text(f" {self._does}  "), Span("Esc", "key"), *text(" leaves"))
