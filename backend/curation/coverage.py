"""Which images were submitted, without anything else about them."""

from __future__ import annotations

from backend.store.connection import Database


async def submitted_digests(database: Database) -> frozenset[str]:
    """The digests that were ever put before gates and people.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await database.fetch_all("SELECT digest FROM candidate")
    return frozenset(row["digest"] for row in rows)
