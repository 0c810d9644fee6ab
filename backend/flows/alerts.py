"""Alerts as people see them, and what they do about them: take up, hand over, silence."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from backend.core.errors import ConflictError, ModelyardError, NotFoundError, UsageError
from backend.core.events import AlertsChanged, Topic
from backend.core.permits import Permit
from backend.core.ports import timestamp
from backend.core.text import sanitise
from backend.core.views import AlertView, CheckView, SilenceView
from backend.flows.alert_reading import address, firing
from backend.flows.foundation import Foundation
from backend.store import ledger
from backend.telemetry import alert_store, alertmanager
from backend.telemetry.alert_config import AlertKind
from backend.telemetry.silences import Silence, silences

#: A silence is for a time that somebody remembers.
LONGEST_SILENCE: Final = timedelta(days=30)
_SHORTEST_PREFIX: Final = 6
_LONGEST_TEXT: Final = 2000


class AlertsFlow:
    """What needs a person now."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def alerts(self, resolved_since: datetime | None = None) -> list[AlertView]:
        """What fires or is about to, the worst first; with an instant also what was over since."""
        foundation = self._foundation
        return await alert_store.views(foundation.database, foundation.clock.now(), resolved_since=resolved_since)

    async def check(self) -> list[CheckView]:
        """For `doctor`: whether the Alertmanager that the configuration names can be read."""
        foundation = self._foundation
        config = foundation.configuration.settings.alertmanager
        if not config.url:
            return []
        now, folder = foundation.clock.now(), foundation.configuration.folder
        try:
            told = await firing(config, folder, foundation.cluster.context, now)
        except ModelyardError as error:
            return [CheckView(name="Alertmanager", state="failed", detail=error.why, action=error.action)]
        return [CheckView(name="Alertmanager", state="ok", detail=f"{address(config)}, firing: {len(told)}")]

    async def silences(self) -> list[SilenceView]:
        """The silences in force."""
        foundation = self._foundation
        found = await silences(foundation.database, foundation.clock.now())
        return [_view(one) for one in found]

    async def acknowledge(self, alert: str, *, note: str, hand_to: str = "") -> AlertView:
        """Take an alert up, or hand it over.

        Args:
            alert: its id, a prefix of that of six characters or more, or its object where one alert alone is of it.
            note: what is known or done.
            hand_to: who takes it over; empty: whoever acts.

        Raises:
            UsageError: it lacks a note. NotFoundError: there is no such alert. ConflictError: several are meant.
            RefusedError: of its kind.
        """
        found = await self._found(alert)
        note, hand_to = _text(note, "note"), sanitise(hand_to.strip(), 200)
        foundation = self._foundation

        async def action(permit: Permit) -> None:
            permit.spend("alert.acknowledge")
            now = foundation.clock.now()
            async with foundation.database.transaction() as transaction:
                await alert_store.acknowledge(
                    transaction, found.id, actor=permit.actor.name, note=note, handed_to=hand_to, now=now
                )
                await ledger.append(
                    transaction,
                    at=now,
                    actor=permit.actor,
                    action="alert.acknowledge",
                    object=_named(found),
                    outcome="done",
                    detail={"alert": found.id, "note": note, **({"handed_to": hand_to} if hand_to else {})},
                )

        await foundation.gate.run("alert.acknowledge", _named(found), action, detail={"alert": found.id, "note": note})
        foundation.hub.publish(Topic.ALERTS, AlertsChanged())
        return await self._found(found.id)

    async def silence(self, object: str, *, until: datetime, reason: str, rule: str = "") -> SilenceView:
        """Tell nobody of alerts of these objects until an instant; they are shown all the same, and marked.

        Args:
            object: a glob on what alerts are about (`*` stays within a segment, `**` crosses slashes).
            rule: only of this kind; empty: of all.

        Raises:
            UsageError: it lacks a reason, ends in the past or too late, or names a kind that is none.
            RefusedError: of its kind.
        """
        foundation = self._foundation
        now = foundation.clock.now()
        reason, object = _text(reason, "reason"), object.strip()
        what = "silence"
        if not object:
            raise UsageError(what, "it names no object", "name what the alert is about, or a glob such as 'llm-dev/*'")
        if rule and rule not in {*AlertKind, alertmanager.RULE}:
            raise UsageError(
                what, f"no rule is called {rule}", f"known are {', '.join([*AlertKind, alertmanager.RULE])}"
            )
        if not now < until <= now + LONGEST_SILENCE:
            raise UsageError(what, "it ends in the past or after more than 30 days", "name a time within 30 days")
        id = foundation.ids.new_id()

        async def action(permit: Permit) -> Silence:
            permit.spend("alert.silence")
            kept = Silence(id=id, rule=rule, object=object, until=until, reason=reason, actor=permit.actor.name, at=now)
            async with foundation.database.transaction() as transaction:
                await alert_store.put_silence(transaction, kept)
                await ledger.append(
                    transaction,
                    at=now,
                    actor=permit.actor,
                    action="alert.silence",
                    object=object,
                    outcome="done",
                    detail={"silence": id, "rule": rule, "until": timestamp(until), "reason": reason},
                )
            return kept

        kept = await foundation.gate.run(
            "alert.silence", object, action, detail={"rule": rule, "until": timestamp(until), "reason": reason}
        )
        foundation.hub.publish(Topic.ALERTS, AlertsChanged())
        return _view(kept)

    async def lift(self, silence: str) -> int:
        """End silences before their time.

        Args:
            silence: the id of one, a prefix of that, or the object that it names.

        Returns:
            how many were lifted.

        Raises:
            NotFoundError: none in force is meant. RefusedError: of its kind.
        """
        foundation = self._foundation
        now = foundation.clock.now()
        in_force = await silences(foundation.database, now)
        meant = [one for one in in_force if one.object == silence or _is_prefix(silence, one.id)]
        if not meant:
            raise NotFoundError(f"silence {silence}", "none in force is meant", "see modelyard alerts silences")
        ids = [one.id for one in meant]

        async def action(permit: Permit) -> None:
            permit.spend("alert.lift")
            async with foundation.database.transaction() as transaction:
                await alert_store.lift(transaction, ids, permit.actor.name, now)
                await ledger.append(
                    transaction,
                    at=now,
                    actor=permit.actor,
                    action="alert.lift",
                    object=meant[0].object,
                    outcome="done",
                    detail={"silences": ids},
                )

        await foundation.gate.run("alert.lift", meant[0].object, action, detail={"silences": ids})
        foundation.hub.publish(Topic.ALERTS, AlertsChanged())
        return len(ids)

    async def _found(self, named: str) -> AlertView:
        foundation = self._foundation
        going = await alert_store.views(foundation.database, foundation.clock.now())
        meant = [one for one in going if one.object == named or _is_prefix(named, one.id)]
        if not meant:
            raise NotFoundError(f"alert {named}", "none of that id or object goes on", "see modelyard alerts list")
        if len(meant) > 1:
            raise ConflictError(
                f"alert {named}",
                f"{len(meant)} are meant",
                "name one by its id",
                conflicts=[f"{one.id[:12]} {one.rule} {one.object}" for one in meant],
            )
        return meant[0]


def _view(silence: Silence) -> SilenceView:
    return SilenceView(
        id=silence.id,
        rule=silence.rule,
        object=silence.object,
        until=silence.until,
        reason=silence.reason,
        actor=silence.actor,
        at=silence.at,
    )


def _is_prefix(text: str, id: str) -> bool:
    return len(text) >= _SHORTEST_PREFIX and id.startswith(text)


def _named(alert: AlertView) -> str:
    return f"{alert.rule} {alert.object}"


def _text(told: str, what: str) -> str:
    told = sanitise(told.strip(), _LONGEST_TEXT)
    if not told:
        raise UsageError(f"alert {what}", f"it lacks a {what}", f"write a {what}: others read it")
    return told
