"""The page of what a GPU or a service did, and the base of all pages that look back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from backend.core.errors import ModelyardError
from backend.core.views import HistoryView, SeriesView, TenureView
from tui.document import Line, Section, join, text
from tui.model import Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.gpus import history_model as model
from tui.panes.gpus.history_actions import HistoryActions
from tui.panes.gpus.history_model import WINDOWS, Subject
from tui.ports import ScreenYard
from tui.widgets.line_view import LineView

_READ_EVERY = 15.0


class OverTime(DetailPage, HistoryActions):
    """A page that looks back over one of several times, and reads again now and then."""

    CSS_PATH = "../common/common.tcss"
    first_window: ClassVar[int] = 1
    shortest: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._window = self.first_window
        self._told: Any = None
        self._told_of: object = None
        self._told_at: datetime | None = None
        self._state: HistoryView | None = None
        self._problem: Problem | None = None
        self._reading = False

    # ------------------------------------------------------------ what subclasses say

    async def read(self, yard: ScreenYard, window: timedelta) -> Any:
        """What is shown of the time."""
        raise NotImplementedError

    def tell(self, told: Any, now: datetime, width: int, height: int) -> Sequence[Section]:
        """What was read as sections.

        Args:
            now: when it was read.
            width: cells of a line. height: lines of the screen.
        """
        raise NotImplementedError

    def asked(self) -> object:
        """What tells one question from another: what was read for another one is not shown."""
        return self._window

    # ------------------------------------------------------------ reading

    @property
    def window(self) -> timedelta:
        """The time that is looked back over."""
        return WINDOWS[self._window][1]

    @property
    def window_name(self) -> str:
        """The same in a word."""
        return WINDOWS[self._window][0]

    def on_mount(self) -> None:
        self.read_again()
        self.set_interval(_READ_EVERY, self._read_if_seen)

    def read_again(self) -> None:
        """Read, unless that is under way."""
        yard = self.room.feed.yard
        if yard is not None and not self._reading:
            self._reading = True
            self.room.feed.spawn(self._read(yard), "reading history")

    def _read_if_seen(self) -> None:
        if self.is_whole and self.is_current and not self.room.paused:
            self.read_again()

    async def _read(self, yard: ScreenYard) -> None:
        asked = self.asked()
        try:
            self._told = await self.read(yard, self.window)
            self._problem = None
        except ModelyardError as error:
            self._problem = Problem.of(error, "reading history")
        finally:
            self._reading = False
        self._state = await yard.telemetry.state()
        self._told_of, self._told_at = asked, self.room.clock.now()
        if asked != self.asked():
            self.read_again()
        if self.is_whole:
            self.show()

    # ------------------------------------------------------------ showing

    def sections(self) -> Sequence[Section]:
        if self._told_of != self.asked() or self._told_at is None:
            return (Section("", (text("reading…", "muted"),)),)
        warnings = model.state_lines(self._state)
        if self._problem is not None:
            if self._state is not None and self._state.problem:
                return (Section("", model.nothing_lines(self.window_name, self._state)),)
            return (Section("Could not be read", problem_lines(self._problem)),)
        width = max(20, self.query_one("#main", LineView).inner_width - 2)
        told = self.tell(self._told, self._told_at, width, self.app.size.height)
        return (*((Section("", warnings),) if warnings else ()), *told)

    # ------------------------------------------------------------ actions

    def act_history_shorter(self) -> None:
        self._choose(self._window - 1)

    def act_history_longer(self) -> None:
        self._choose(self._window + 1)

    def act_look_refresh(self) -> None:
        self.read_again()
        self.room.flash("reading again")

    def _choose(self, window: int) -> None:
        if not self.shortest <= window < len(WINDOWS):
            self.room.flash(f"{self.window_name} is the {'shortest' if window < self._window else 'longest'} time")
            return
        self._window = window
        self.read_again()
        self.show()


class HistoryPage(OverTime):
    """Charts of a GPU or a service."""

    pane = "history"

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self._subject = subject

    def title_parts(self) -> tuple[str, str, Line, Line]:
        sources = {series.source for series in self._told[0] if series.points} if self._told is not None else set()
        right = join(text(self._subject.note, "muted"), text(", ".join(sorted(sources)), "faint"), gap="  ")
        return "4", f"HISTORY {self._subject.title}", model.window_line(self._window), right

    def reference(self) -> str:
        return self._subject.key

    async def read(self, yard: ScreenYard, window: timedelta) -> tuple[list[SeriesView], list[TenureView]]:
        states = model.STATE_METRICS if self._subject.holders else ()
        metrics = (*(drawn.metric for drawn in self._subject.metrics), *states)
        # Side by side: a Prometheus takes its time for each.
        lines = await asyncio.gather(
            *(yard.telemetry.series([self._subject.key], metric, window) for metric in metrics)
        )
        found = [series for line in lines for series in line]
        tenures = await yard.telemetry.tenures(self._subject.key, window) if self._subject.holders else []
        return found, tenures

    def tell(
        self, told: tuple[list[SeriesView], list[TenureView]], now: datetime, width: int, height: int
    ) -> Sequence[Section]:
        found, tenures = told
        sections = model.chart_sections(self._subject, found, now, self.window, width, height)
        if not sections:
            return (Section("", model.nothing_lines(self.window_name, self._state)),)
        if self._subject.holders:
            if (state := model.state_section(found, now, self.window, width)) is not None:
                sections.insert(0, state)
            sections.append(model.tenure_section(tenures, now))
        return sections
