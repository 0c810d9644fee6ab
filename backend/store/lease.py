"""Leases: work that must happen once is done by whoever holds its lease, among all processes on one database."""

from __future__ import annotations

from datetime import timedelta

from backend.core.ports import Clock, timestamp
from backend.store.connection import Database


class Lease:
    """Takes, keeps and gives up leases for one holder.

    A lease runs out by itself, so a holder that died stands in nobody's way for longer than the lease's duration.

    Args:
        database: shared by all who compete.
        clock: of this process; all processes of a database run on one machine and so share its clock.
        holder: unique to this process, and readable: it is shown as who holds the lease.
    """

    def __init__(self, database: Database, clock: Clock, holder: str) -> None:
        self._database = database
        self._clock = clock
        self.me = holder

    async def acquire(self, name: str, duration: timedelta) -> bool:
        """Take the lease when it is free, ran out, or is ours already; it then ends `duration` from now.

        All who compete for it take it for the same duration.

        Returns:
            whether we hold it.
        """
        now = self._clock.now()
        async with self._database.transaction() as transaction:
            changed = await transaction.execute(
                "INSERT INTO lease (name, holder, acquired_at, expires_at) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (name) DO UPDATE SET holder = ?2, expires_at = ?4,"
                " acquired_at = CASE WHEN holder = ?2 AND expires_at > ?3 THEN acquired_at ELSE ?3 END"
                # One that ends later than it may was taken by a clock that has been set back since.
                " WHERE holder = ?2 OR expires_at <= ?3 OR expires_at > ?5",
                (name, self.me, timestamp(now), timestamp(now + duration), timestamp(now + 2 * duration)),
            )
        return changed == 1

    async def renew(self, name: str, duration: timedelta) -> bool:
        """Prolong a lease that we still hold to `duration` from now.

        Returns:
            whether we hold it; False when it ran out, even if nobody took it meanwhile: acquire it anew.
        """
        now = self._clock.now()
        async with self._database.transaction() as transaction:
            changed = await transaction.execute(
                "UPDATE lease SET expires_at = ? WHERE name = ? AND holder = ? AND expires_at > ?",
                (timestamp(now + duration), name, self.me, timestamp(now)),
            )
        return changed == 1

    async def release(self, name: str) -> None:
        """Give the lease up; does nothing when somebody else holds it."""
        async with self._database.transaction() as transaction:
            await transaction.execute("DELETE FROM lease WHERE name = ? AND holder = ?", (name, self.me))

    async def holder(self, name: str) -> str | None:
        """Who holds the lease now, or None."""
        row = await self._database.fetch_one(
            "SELECT holder FROM lease WHERE name = ? AND expires_at > ?", (name, timestamp(self._clock.now()))
        )
        return None if row is None else str(row["holder"])
