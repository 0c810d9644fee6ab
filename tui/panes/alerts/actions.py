"""What can be done about alerts, from every page that shows whom they hit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.core.ports import instant
from backend.core.settings import parse_duration
from backend.core.views import AlertView
from tui.document import text
from tui.model import PartName
from tui.page import Page
from tui.panes.alerts.view_model import is_open, severity_cell
from tui.widgets.fields import Field, Values, required

_SILENCED_FOR: Final = ("4h", "1h", "1d", "7d")


class AlertActions(Page):
    """Taking alerts up."""

    def alerts_here(self) -> Sequence[AlertView]:
        """Those of what is under the cursor, the worst first."""
        raise NotImplementedError

    def act_alert_acknowledge(self) -> None:
        here = [alert for alert in self.alerts_here() if alert.state == "firing"]
        alert = next((alert for alert in here if is_open(alert)), here[0] if here else None)
        if alert is None:
            self.room.flash("no alert fires here; ! lists all", bad=True)
            return
        self._take_up(alert, len(here) - 1)

    def _take_up(self, alert: AlertView, others: int) -> None:
        yard = self.room.feed.yard
        lines = [
            (*severity_cell(alert), *text(f"  {alert.object}", "name")),
            text(alert.summary),
        ]
        if alert.acknowledged_by:
            lines.append(text(f"{alert.handed_to or alert.acknowledged_by} has it already: {alert.note}", "warn"))
        if others:
            lines.append(text(f"{others} more fire here; ! lists them.", "muted"))
        fields = (
            required("note", "Note", "say what is known or done: others read it"),
            Field(id="to", label="Hand over to", placeholder="empty: I take it"),
        )

        async def perform(values: Values) -> object:
            if yard is None:
                return None
            command = f"modelyard alerts acknowledge {alert.id[:12]} --note …"
            try:
                await yard.alerts.acknowledge(alert.id, note=values["note"], hand_to=values["to"])
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return values

        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.ALERTS)
                self.room.flash(f"taken up: {alert.object}; nobody is told of it again")

        self.ask("Take this alert up?", lines, "Take up", perform, fields=fields, done=done)

    def silence(self, alert: AlertView) -> None:
        """Ask until when and why alerts of the same object are to be silent."""
        yard, now = self.room.feed.yard, self.room.clock.now()
        lines = (
            text("Nobody is told of such alerts until then. They are shown all the same, marked as silenced."),
            text(f"Now: {alert.severity}: {alert.summary}", "muted"),
        )
        fields = (
            required("object", "Object (a glob)", "name what it is about", value=alert.object),
            Field(id="rule", label="Rule", value=alert.rule, placeholder="empty: every rule"),
            Field(
                id="until",
                label="For, or until (UTC)",
                value=_SILENCED_FOR[0],
                check=lambda value: "" if end_of(value, now) is not None else "write 4h, 2d or 2026-01-31T14:00Z",
                offers=_SILENCED_FOR,
            ),
            required("reason", "Reason", "say why: it goes into the ledger"),
        )

        async def perform(values: Values) -> object:
            until = end_of(values["until"], self.room.clock.now())
            if yard is None or until is None:
                return None
            command = f"modelyard alerts silence '{values['object']}' --until {values['until']} --reason …"
            try:
                await yard.alerts.silence(
                    values["object"], until=until, reason=values["reason"], rule=values["rule"].strip()
                )
            except Exception:
                self.room.log_command(command, "refused")
                raise
            self.room.log_command(command, "done")
            return values

        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.ALERTS)
                self.room.flash("silenced")

        self.ask("Silence alerts?", lines, "Silence", perform, fields=fields, done=done)


def end_of(typed: str, now: datetime) -> datetime | None:
    """When a silence ends: a duration from now, or a time; None: it is neither."""
    typed = typed.strip()
    try:
        length = parse_duration(typed)
        return now + length if length > timedelta(0) else None
    except (ValueError, OverflowError):
        pass
    try:
        return instant(typed)
    except ValueError:
        return None
