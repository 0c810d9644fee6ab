"""Which content the library holds, told without a question to the database for each digest."""

from __future__ import annotations

import asyncio
from typing import Final

from backend.store.connection import Database

#: Of more contents than this, some 20 MB of digests, the database is asked one by one.
_MOST_REMEMBERED: Final = 150_000
_ASIDE: Final = 1000


class Holdings:
    """The digests that the library held when it was first asked, and those that were handed in since.

    What another process stores meanwhile is not known here: it is fetched again then, and stored once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: set[str] | None = None
        self._read = False
        self._reading = asyncio.Lock()

    async def lacks(self, digest: str) -> bool:
        """Whether the library surely does not hold a digest; else it may.

        Raises:
            StoreError: the database cannot be read.
        """
        if not self._read:
            async with self._reading:
                if not self._read:
                    self._held = await self._all()
                    self._read = True
        return self._held is not None and digest not in self._held

    def add(self, digest: str) -> None:
        """This digest is about to be stored."""
        if self._held is not None:
            self._held.add(digest)

    async def _all(self) -> set[str] | None:
        rows = await self._database.fetch_all("SELECT digest FROM content LIMIT ?", (_MOST_REMEMBERED + 1,))
        if len(rows) > _MOST_REMEMBERED:
            return None
        if len(rows) <= _ASIDE:
            return {row[0] for row in rows}
        return await asyncio.to_thread(lambda: {row[0] for row in rows})
