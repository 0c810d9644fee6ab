"""The page of supply and demand: what there is, what is wanted, where that goes, and what more would take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from backend.core.views import CapacityView, ReplicaAdviceView, WhatIfView
from tui.document import Line, Section, text
from tui.panes.gpus import history_model as model
from tui.panes.gpus.history import OverTime
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values


class CapacityPage(OverTime):
    """Demand against supply by GPU type."""

    pane = "capacity"
    first_window = 4

    def __init__(self) -> None:
        super().__init__()
        self._answer: WhatIfView | None = None

    def title_parts(self) -> tuple[str, str, Line, Line]:
        return "4", "SUPPLY AND DEMAND", model.window_line(self._window), text("forecasts are estimates", "muted")

    async def read(self, yard: ScreenYard, window: timedelta) -> tuple[list[CapacityView], list[ReplicaAdviceView]]:
        return await yard.telemetry.capacity(window), await yard.telemetry.advice()

    def tell(
        self, told: tuple[list[CapacityView], list[ReplicaAdviceView]], now: datetime, width: int, height: int
    ) -> Sequence[Section]:
        types, advice = told
        answer = [model.what_if_section(self._answer)] if self._answer is not None else []
        if not types:
            return (*answer, Section("", model.nothing_lines(self.window_name, self._state)))
        sections = model.capacity_sections(types, now, self.window, width, height)
        return (*answer, *sections, model.advice_section(advice))

    def act_history_capacity(self) -> None:
        self.room.flash("this is supply and demand")

    def act_history_what_if(self) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        services = [f"{service.namespace}/{service.name}+1" for service in self.model.services.value.values()]
        field = Field(
            id="what", label="Replicas more (or fewer)", value=services[0] if services else "",
            placeholder="NAMESPACE/NAME+2", offers=tuple(services),
        )  # fmt: skip

        async def perform(values: Values) -> object:
            found = await yard.telemetry.what_if(values["what"])
            self.room.log_command(f"modelyard gpu capacity --what-if {values['what'].strip()}", "done")
            return found

        def done(result: object) -> None:
            if isinstance(result, WhatIfView):
                self._answer = result
                self.show()
                self.query_one("#main").scroll_home(animate=False)

        lines = (text("It is worked out from what the service's pods take and what the nodes have left."),)
        self.ask("What if?", lines, "Work it out", perform, fields=(field,), done=done, low=True)
