"""Alerts for the screen's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from backend.core.events import AlertsChanged, Topic
from backend.core.views import AlertView, SilenceView
from tests.fakes import screen_data as data

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard


def alert(id: str, **fields: Any) -> AlertView:
    """An alert that fires."""
    given = {
        "id": id * 32, "rule": "gpu-fault", "severity": "critical", "object": "prod-eu1/gpu-03 GPU 4",
        "summary": "XID 79: the GPU has fallen off the bus (hardware); node not cordoned", "state": "firing",
        "since": data.NOW - timedelta(minutes=21), "fired_at": data.NOW - timedelta(minutes=21),
    }  # fmt: skip
    return AlertView(**{**given, **fields})


class FakeAlerts:
    """Alerts: what is asked is done at once."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.over: list[AlertView] = []
        self.quiet: list[SilenceView] = []

    def put(self, *alerts: AlertView) -> None:
        """What goes on from now on."""
        self._yard.alert_views = list(alerts)
        self._yard.publish(Topic.ALERTS, AlertsChanged())

    async def alerts(self, resolved_since: datetime | None = None) -> list[AlertView]:
        self._yard.note("alerts", resolved_since)
        return [*self._yard.alert_views, *(self.over if resolved_since is not None else ())]

    async def silences(self) -> Sequence[SilenceView]:
        return list(self.quiet)

    async def acknowledge(self, alert: str, *, note: str, hand_to: str = "") -> AlertView:
        self._yard.note("acknowledge", alert, note, hand_to)
        taken = [
            msgspec.structs.replace(one, acknowledged_by="robin", note=note, handed_to=hand_to)
            if one.id == alert
            else one
            for one in self._yard.alert_views
        ]
        self.put(*taken)
        return next(one for one in taken if one.id == alert)

    async def silence(self, object: str, *, until: datetime, reason: str, rule: str = "") -> SilenceView:
        self._yard.note("silence", object, until, reason, rule)
        made = SilenceView(
            id="5" * 32, rule=rule, object=object, until=until, reason=reason, actor="robin", at=data.NOW
        )
        self.quiet.append(made)
        self.put(
            *(
                msgspec.structs.replace(one, silenced_until=until, silenced_by="robin", silence_reason=reason)
                if one.object == object
                else one
                for one in self._yard.alert_views
            )
        )
        return made

    async def lift(self, silence: str) -> int:
        self._yard.note("lift", silence)
        self.quiet.clear()
        self.put(*(msgspec.structs.replace(one, silenced_until=None) for one in self._yard.alert_views))
        return 1
