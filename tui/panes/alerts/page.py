"""The list of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from backend.core.errors import ModelyardError
from backend.core.views import AlertView
from tui.document import Line, Section, text
from tui.model import Part, PartName, Problem
from tui.panes.alerts import view_model
from tui.panes.alerts.actions import AlertActions
from tui.panes.common.listing import ListPage
from tui.ports import ScreenYard
from tui.widgets.columns import Column

_OVER_SHOWN_FOR: Final = timedelta(days=1)


class AlertsPage(ListPage[AlertView], AlertActions):
    """What needs a person, the worst first."""

    CSS_PATH = "../common/common.tcss"
    pane = "alerts"
    parts = frozenset({PartName.ALERTS})
    number = "!"
    heading_title = "ALERTS"
    order = "worst first"
    preview_from = 140

    def __init__(self) -> None:
        super().__init__()
        self._with_over = False
        self._over: Part[list[AlertView]] = Part([])

    def on_mount(self) -> None:
        self.room.feed.want(PartName.ALERTS)

    def columns(self) -> tuple[Column[AlertView], ...]:
        return view_model.alert_columns(self.room.clock.now, self._contexts)

    def _contexts(self) -> int:
        status = self.model.status
        return sum(source.kind == "cluster" for source in status.sources) if status is not None else 0

    def key(self, item: AlertView) -> str:
        return item.id

    def part(self) -> Part[Any]:
        return self._over if self._with_over else self.model.alerts

    def items(self) -> Sequence[AlertView]:
        value: list[AlertView] = self.part().value
        return value

    def haystack(self, item: AlertView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        return view_model.tally(self.items())

    def empty(self) -> Sequence[Line]:
        return (
            text("Nothing needs a person.", "strong"),
            text(
                "Whoever holds the yard's lease looks for faults, idle GPUs, missed objectives and services that fail."
            ),
            (*text("o", "key"), *text(" shows what was over in the last day.", "muted")),
        )

    def preview(self, item: AlertView) -> Sequence[Section]:
        return view_model.sections(item, self.room.clock.now())

    def reference(self) -> str:
        alert = self.table.current
        return alert.object if alert is not None else ""

    def alerts_here(self) -> Sequence[AlertView]:
        alert = self.table.current
        return (alert,) if alert is not None else ()

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        super().parts_changed(changed)
        if self._with_over and PartName.ALERTS in changed and self.room.feed.yard is not None:
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading what is over")

    async def _read(self, yard: ScreenYard) -> None:
        now = self.room.clock.now()
        try:
            self._over = Part(await yard.alerts.alerts(now - _OVER_SHOWN_FOR), now)
        except ModelyardError as error:
            self._over.problem = Problem.of(error, "reading what is over")
        if self.is_whole:
            self.show()

    # ------------------------------------------------------------ actions

    def act_alert_list(self) -> None:
        self.room.flash("these are the alerts")

    def act_alert_resolved(self) -> None:
        self._with_over = not self._with_over
        if self._with_over and self.room.feed.yard is not None:
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading what is over")
        self.show()

    def act_alert_silence(self) -> None:
        if alert := self.table.current:
            self.silence(alert)

    async def act_alert_lift(self) -> None:
        alert, yard = self.table.current, self.room.feed.yard
        if alert is None or yard is None:
            return
        if alert.silenced_until is None:
            self.room.flash("it is not silenced", bad=True)
            return
        meant = [one for one in await yard.alerts.silences() if one.until == alert.silenced_until]
        if not meant:
            self.room.feed.read(PartName.ALERTS)
            return
        silence = meant[0]
        lines = (
            text(f"People are told again of {silence.rule or 'every alert'} of {silence.object}."),
            text(f"{silence.actor} silenced it: {silence.reason}", "muted"),
        )

        async def perform(_values: object) -> object:
            command = f"modelyard alerts lift {silence.id[:12]}"
            try:
                await yard.alerts.lift(silence.id)
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return silence

        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.ALERTS)
                self.room.flash("lifted")

        self.ask("Lift the silence?", lines, "Lift", perform, done=done)

    def act_look_open(self) -> None:
        alert = self.table.current
        if alert is None:
            return
        if alert.services:
            context, namespace, name = alert.services[0].split("/", 2)
            self.room.show_service(context, namespace, name)
        else:
            self.room.go("gpus")
