"""Alerts and silences in the yard's database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from backend.core.ports import instant, timestamp
from backend.core.views import AlertView
from backend.store.connection import Database, Transaction
from backend.telemetry.alert_config import AlertKind, Severity
from backend.telemetry.episodes import Episode, State
from backend.telemetry.silences import Silence, silences

#: Who raised what is not read from an Alertmanager.
OURS: Final = "modelyard"
#: What is over is forgotten here after so long; the ledger keeps it.
KEPT: Final = timedelta(days=90)

_COLUMNS: Final = (
    "id, rule, object, source, severity, summary, services, state, since, fired_at, clear_since, resolved_at,"
    " acknowledged_by, acknowledged_at, note, handed_to"
)


async def going(reader: Database | Transaction) -> list[Episode]:
    """Our own episodes that go on."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM alert WHERE state <> 'resolved' AND source = ?",  # noqa: S608 - constant columns
        (OURS,),
    )
    return [_episode(row) for row in rows if row["rule"] in set(AlertKind)]


def _episode(row: Any) -> Episode:
    return Episode(
        id=row["id"],
        kind=AlertKind(row["rule"]),
        object=row["object"],
        severity=Severity(row["severity"]),
        summary=row["summary"],
        services=tuple(json.loads(row["services"])),
        state=State(row["state"]),
        since=instant(row["since"]),
        fired_at=_instant(row["fired_at"]),
        clear_since=_instant(row["clear_since"]),
        resolved_at=_instant(row["resolved_at"]),
    )


async def put(transaction: Transaction, episodes: Iterable[Episode]) -> None:
    """Write episodes as they are now; who took them up stays."""
    await transaction.execute_many(
        "INSERT INTO alert (id, rule, object, severity, summary, services, state, since, fired_at, clear_since,"
        " resolved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, summary = excluded.summary,"
        " services = excluded.services, state = excluded.state, since = excluded.since, fired_at = excluded.fired_at,"
        " clear_since = excluded.clear_since, resolved_at = excluded.resolved_at",
        [
            (
                one.id,
                one.kind.value,
                one.object,
                one.severity.value,
                one.summary,
                json.dumps(one.services),
                one.state.value,
                timestamp(one.since),
                _timestamp(one.fired_at),
                _timestamp(one.clear_since),
                _timestamp(one.resolved_at),
            )
            for one in episodes
        ],
    )


async def drop(transaction: Transaction, ids: Iterable[str]) -> None:
    """Forget episodes that were over before anybody was told."""
    await transaction.execute_many("DELETE FROM alert WHERE id = ?", [(one,) for one in ids])


async def reopen(transaction: Transaction, ids: Iterable[str]) -> None:
    """Nobody has these up any more: they are about more than what was taken up."""
    await transaction.execute_many(
        "UPDATE alert SET acknowledged_by = '', acknowledged_at = NULL, note = '', handed_to = '' WHERE id = ?",
        [(one,) for one in ids],
    )


async def replace_foreign(transaction: Transaction, source: str, alerts: Sequence[AlertView], now: datetime) -> None:
    """Take over what an Alertmanager tells: new ones, changed ones, and that those it tells no more are over."""
    told = json.dumps([alert.id for alert in alerts])
    await transaction.execute(
        "UPDATE alert SET state = 'resolved', resolved_at = ? WHERE source = ? AND state <> 'resolved'"
        " AND id NOT IN (SELECT value FROM json_each(?))",
        (timestamp(now), source, told),
    )
    await transaction.execute_many(
        "INSERT INTO alert (id, rule, object, source, severity, summary, services, state, since, fired_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'firing', ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, summary = excluded.summary,"
        " services = excluded.services, state = 'firing', resolved_at = NULL",
        [
            (
                alert.id, alert.rule, alert.object, source, alert.severity, alert.summary, json.dumps(alert.services),
                timestamp(alert.since), timestamp(alert.since),
            )
            for alert in alerts
        ],
    )  # fmt: skip


async def end_foreign(transaction: Transaction, source: str, now: datetime) -> None:
    """End what other Alertmanagers told than the one that is read now: nobody would say that it is over."""
    await transaction.execute(
        "UPDATE alert SET state = 'resolved', resolved_at = ? WHERE source NOT IN (?, ?) AND state <> 'resolved'",
        (timestamp(now), OURS, source),
    )


async def forget_old(transaction: Transaction, now: datetime) -> None:
    """Forget what is over for long."""
    await transaction.execute(
        "DELETE FROM alert WHERE state = 'resolved' AND resolved_at < ?", (timestamp(now - KEPT),)
    )


async def put_silence(transaction: Transaction, silence: Silence) -> None:
    """Keep a silence."""
    await transaction.execute(
        "INSERT INTO alert_silence (id, rule, object, until, reason, actor, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            silence.id, silence.rule, silence.object, timestamp(silence.until), silence.reason, silence.actor,
            timestamp(silence.at),
        ),
    )  # fmt: skip


async def lift(transaction: Transaction, ids: Sequence[str], actor: str, now: datetime) -> None:
    """End silences before their time."""
    await transaction.execute_many(
        "UPDATE alert_silence SET lifted_at = ?, lifted_by = ? WHERE id = ?",
        [(timestamp(now), actor, one) for one in ids],
    )


async def acknowledge(
    transaction: Transaction, id: str, *, actor: str, note: str, handed_to: str, now: datetime
) -> None:
    """Note who took an alert up, and to whom it was handed over."""
    await transaction.execute(
        "UPDATE alert SET acknowledged_by = ?, acknowledged_at = ?, note = ?, handed_to = ? WHERE id = ?",
        (actor, timestamp(now), note, handed_to, id),
    )


async def views(
    reader: Database | Transaction, now: datetime, *, resolved_since: datetime | None = None
) -> list[AlertView]:
    """Alerts as people see them: what goes on, and what was over since an instant; the worst and newest first."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM alert WHERE state <> 'resolved' OR (?1 IS NOT NULL AND resolved_at >= ?1)"  # noqa: S608 - constant columns
        " ORDER BY state = 'resolved', state = 'pending',"
        " CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, since DESC, id",
        (_timestamp(resolved_since),),
    )
    quiet = await silences(reader, now)
    return [_view(row, quiet) for row in rows]


def _view(row: Any, quiet: Sequence[Silence]) -> AlertView:
    silence = next((one for one in quiet if one.covers(row["rule"], row["object"])), None)
    return AlertView(
        id=row["id"],
        rule=row["rule"],
        severity=row["severity"],
        object=row["object"],
        summary=row["summary"],
        state=row["state"],
        since=instant(row["since"]),
        fired_at=_instant(row["fired_at"]),
        resolved_at=_instant(row["resolved_at"]),
        services=tuple(json.loads(row["services"])),
        acknowledged_by=row["acknowledged_by"],
        acknowledged_at=_instant(row["acknowledged_at"]),
        note=row["note"],
        handed_to=row["handed_to"],
        silenced_until=silence.until if silence is not None else None,
        silenced_by=silence.actor if silence is not None else "",
        silence_reason=silence.reason if silence is not None else "",
        source=row["source"],
    )


def _instant(text: str | None) -> datetime | None:
    return instant(text) if text else None


def _timestamp(at: datetime | None) -> str | None:
    return timestamp(at) if at is not None else None
