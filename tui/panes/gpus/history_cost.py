"""The page of costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.core.views import CostView
from tui.document import Line, Section, text
from tui.panes.gpus import history_model as model
from tui.panes.gpus.history import OverTime
from tui.ports import ScreenYard

_GROUPINGS: Final = ("service", "team", "type")


class CostPage(OverTime):
    """What GPUs cost, used and idle."""

    pane = "cost"
    first_window = 4
    shortest = 1

    def __init__(self) -> None:
        super().__init__()
        self._by = 0

    def asked(self) -> object:
        return self._window, self._by

    def title_parts(self) -> tuple[str, str, Line, Line]:
        left = (*model.window_line(self._window), *text(f"  by {_GROUPINGS[self._by]}", "muted"))
        return "4", "COST", left, text("estimates", "muted")

    async def read(self, yard: ScreenYard, window: timedelta) -> list[CostView]:
        return await yard.telemetry.cost(window, _GROUPINGS[self._by])

    def tell(self, told: list[CostView], now: datetime, width: int, height: int) -> Sequence[Section]:
        if not told:
            return (Section("", model.nothing_lines(self.window_name, self._state)),)
        priced = self._state is not None and self._state.priced
        return (model.cost_section(told, _GROUPINGS[self._by], self.window_name, width, priced=priced),)

    def act_history_cost(self) -> None:
        self.room.flash("these are the costs")

    def act_history_grouping(self) -> None:
        self._by = (self._by + 1) % len(_GROUPINGS)
        self.read_again()
        self.show()
