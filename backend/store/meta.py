"""Named facts about a database: single values that no other table holds."""

from __future__ import annotations

from backend.store.connection import Database, Transaction


async def get(database: Database, name: str) -> str | None:
    """The value of that name, or None."""
    row = await database.fetch_one("SELECT value FROM meta WHERE name = ?", (name,))
    return None if row is None else str(row["value"])


async def put(transaction: Transaction, name: str, value: str) -> None:
    """Set the value of that name."""
    await transaction.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
