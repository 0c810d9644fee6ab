"""A page of long text: a manifest, a log, events."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.widget import Widget

from tui.commands import Filter
from tui.document import EMPTY, Line, Span, text
from tui.page import Page
from tui.widgets.line_view import TextView
from tui.widgets.one_line import OneLine, heading

if TYPE_CHECKING:
    from textual.types import CSSPathType

_YAML_KEY = re.compile(r"(\s*(?:- )?)([^\s:#'\"][^:#]*)(:)(\s.*|$)")
_LOG_BAD = re.compile(r"\b(error|fatal|critical|traceback|exception|panic|oom|killed)\b", re.IGNORECASE)
_LOG_WARN = re.compile(r"\bwarn(ing)?\b", re.IGNORECASE)


def yaml_line(line: str) -> Line:
    """A line of YAML with its key apart from its value."""
    if line.lstrip().startswith("#") or line.strip() in {"---", "..."}:
        return (Span(line, "faint"),)
    match = _YAML_KEY.match(line)
    if match is None:
        return (Span(line),)
    indent, key, colon, rest = match.groups()
    return Span(indent, "faint"), Span(key, "accent"), Span(colon, "faint"), Span(rest)


def log_line(line: str) -> Line:
    """A line of a log; what looks like an error stands out."""
    if _LOG_BAD.search(line):
        return (Span(line, "bad"),)
    return (Span(line, "warn"),) if _LOG_WARN.search(line) else (Span(line),)


class TextPage(Page):
    """Long text, with a search.

    Args:
        read: reads it; again on `r`. It raises ModelyardError.
        at_end: start at the newest line, as a log does.
        wraps: break long lines; `w` changes it.
    """

    CSS_PATH: ClassVar[CSSPathType | None] = "common.tcss"
    AUTO_FOCUS = "TextView"
    pane = "text"

    def __init__(
        self,
        title: str,
        read: Callable[[], Awaitable[str]],
        colour: Callable[[str], Line] = yaml_line,
        *,
        at_end: bool = False,
        wraps: bool = False,
        note: str = "",
    ) -> None:
        super().__init__()
        self._title = title
        self._read = read
        self._colour = colour
        self._at_end = at_end
        self._wraps = wraps
        self._note = note

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        view = TextView(self._colour)
        view.wraps = self._wraps
        yield view

    def on_mount(self) -> None:
        self.room.feed.spawn(self._load(), self._title)

    def show(self) -> None:
        title, note = self._title, self._note
        self.query_one("#heading", OneLine).show(partial(heading, "", title, EMPTY, text(note, "muted"), True))

    async def _load(self) -> None:
        told = await self._read()
        if not self.is_whole:
            return
        view = self.query_one(TextView)
        view.show(told or "(nothing was written)", at_end=self._at_end)
        self._note = f"{view.line_count:,} lines".replace(",", " ")
        self.show()

    def find(self, pattern: Filter | None) -> str:
        view = self.query_one(TextView)
        number = view.search(pattern.pattern if pattern is not None else None)
        if pattern is None:
            return ""
        return f"{number} lines match; n next, N previous" if number else "nothing matches"

    def act_look_refresh(self) -> None:
        self.room.feed.spawn(self._load(), self._title)

    def act_look_next(self) -> None:
        self._step(1)

    def act_look_previous(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        view = self.query_one(TextView)
        if view.pattern is None:
            self.room.flash("search with / first", bad=True)
        elif not view.next_match(by):
            self.room.flash("no further match")

    def act_move_left(self) -> None:
        self.query_one(TextView).move_sideways(-16)

    def act_move_right(self) -> None:
        self.query_one(TextView).move_sideways(16)

    def act_look_wrap(self) -> None:
        self.query_one(TextView).toggle_wrap()

    def act_look_newest(self) -> None:
        self.query_one(TextView).move_end()
