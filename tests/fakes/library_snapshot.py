"""What a library holds, to compare two of them."""

from __future__ import annotations

from typing import Any

from backend.store.connection import Database


async def snapshot(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What the library holds, without the times and numbers that differ between runs."""
    queries = {
        "tags": "SELECT name, tag, digest, gone_at IS NULL FROM tag JOIN repository ON id = repository ORDER BY 1, 2",
        "images": "SELECT digest, kind, type, framework, size, platforms FROM image ORDER BY 1",
        "content": "SELECT digest, data FROM content ORDER BY 1",
        "children": "SELECT parent, position, digest FROM image_child ORDER BY 1, 2",
        "events": "SELECT name, tag, change, digest FROM tag_event JOIN repository ON repository.id = repository"
        " ORDER BY tag_event.repository, tag, tag_event.id",
    }
    found = {}
    for name, query in queries.items():
        found[name] = [tuple(row) for row in await database.fetch_all(query)]
    found["events"].sort(key=repr)
    return found
