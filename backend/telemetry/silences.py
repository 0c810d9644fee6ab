"""What nobody is to be told of for a while, and how many alerts are left. Imports little: the title bar counts them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from backend.core.ports import instant, timestamp
from backend.library.globs import matches
from backend.store.connection import Database, Transaction


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """What nobody is to be told of until an instant.

    Attributes:
        rule: a kind, or `alertmanager`; empty: all. object: a glob on the alert's object.
    """

    id: str
    rule: str
    object: str
    until: datetime
    reason: str
    actor: str
    at: datetime

    def covers(self, rule: str, object: str) -> bool:
        """Whether an alert is meant."""
        return self.rule in {"", rule} and matches(self.object, object)


async def silences(reader: Database | Transaction, now: datetime) -> list[Silence]:
    """The silences in force, the one that ends last first."""
    rows = await reader.fetch_all(
        "SELECT id, rule, object, until, reason, actor, at FROM alert_silence"
        " WHERE lifted_at IS NULL AND until > ? ORDER BY until DESC, id",
        (timestamp(now),),
    )
    return [
        Silence(
            id=row["id"],
            rule=row["rule"],
            object=row["object"],
            until=instant(row["until"]),
            reason=row["reason"],
            actor=row["actor"],
            at=instant(row["at"]),
        )
        for row in rows
    ]


async def firing_counts(reader: Database | Transaction, now: datetime) -> tuple[int, int]:
    """How many alerts fire and are not silenced, and how many of those nobody has taken up."""
    rows = await reader.fetch_all("SELECT rule, object, acknowledged_by FROM alert WHERE state = 'firing'")
    if not rows:
        return 0, 0
    quiet = await silences(reader, now)
    told = [row for row in rows if not any(one.covers(row["rule"], row["object"]) for one in quiet)]
    return len(told), sum(not row["acknowledged_by"] for row in told)
