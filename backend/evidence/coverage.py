"""Which images anything is known of."""

from __future__ import annotations

from backend.store.connection import Database


async def evaluated_digests(database: Database) -> frozenset[str]:
    """The digests that evidence was collected or handed in on, or that it was tried for.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await database.fetch_all("SELECT DISTINCT digest FROM evidence")
    return frozenset(row["digest"] for row in rows)
