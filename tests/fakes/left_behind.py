"""What others left in a yard's database: an apply that was cut off, an alert, a silence."""

from __future__ import annotations

import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.core.ports import timestamp


def cut_off(database: Path) -> str:
    """Leave the last apply as one that was cut off before anything was sent; gives its id."""
    apply = "c0ffee" + secrets.token_hex(12)
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO apply_intent (id, context, cluster_id, namespace, name, image, plan, manifests, deployment,"
            " note, actor, started_at) SELECT ?, context, cluster_id, namespace, name, image, plan,"
            " replace(manifests, '48Gi', '49Gi'), deployment, note, actor, ? FROM apply_intent"
            " ORDER BY started_at DESC LIMIT 1",
            # Later than the last one that came about, by more than clocks may differ.
            (apply, timestamp(datetime.now(UTC) + timedelta(hours=1))),
        )
    connection.close()
    return apply


def alerting(database: Path) -> tuple[str, str]:
    """Leave an alert that fires and a silence in force; gives their ids."""
    alert, silence, since = secrets.token_hex(16), secrets.token_hex(16), "2026-11-20T12:00:00.000000Z"
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO alert (id, rule, object, severity, summary, services, state, since, fired_at)"
            " VALUES (?1, 'gpu-fault', ?1, 'critical', 'XID 79', '[]', 'firing', ?2, ?2)",
            (alert, since),
        )
        connection.execute(
            "INSERT INTO alert_silence (id, rule, object, until, reason, actor, at)"
            " VALUES (?1, '', ?1, '2099-01-01T00:00:00.000000Z', 'drill', 'robin', ?2)",
            (silence, since),
        )
    connection.close()
    return alert, silence
