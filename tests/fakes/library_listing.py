"""The library's images as a search finds them, for tests of the rooms beneath the flows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from backend.core.views import ImageView
from backend.library import catalogue
from backend.library.query import parse
from backend.library.search import NOTHING_DECIDED, Standing, find_entries
from backend.store.connection import Database

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def images_of(
    database: Database,
    query: str = "",
    *,
    standing: Standing = NOTHING_DECIDED,
    now: datetime = NOW,
    limit: int | None = None,
    **order: Any,
) -> list[ImageView]:
    """What a query finds, in order."""
    found = await find_entries(database, parse(query), now, standing, limit=limit, **order)
    return await catalogue.views_of(database, found.ids, states=standing.states, running=standing.running)
