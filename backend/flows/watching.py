"""Feeding boards from watches of several namespaces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, NamedTuple, TypeAlias

from backend.cluster.watch import Changed, Listed, Lost, Regained, Removed
from backend.core.errors import ModelyardError

#: Takes what a watch of a namespace tells: the whole list, or an object that changed, or one that went.
Keep: TypeAlias = Callable[[str, list[Any] | None, Any | None, Any | None], None]


class Listing(NamedTuple):
    """Who takes the objects of a kind: all of them anew, one that changed, one that is gone."""

    reset: Callable[[list[Any]], None]
    put: Callable[[Any], None]
    remove: Callable[[Any], None]


def keeper(listing: Listing) -> Keep:
    """Takes what watches of several namespaces tell; a list of one leaves what the others hold alone."""
    held: dict[str, dict[tuple[str, str], Any]] = {}

    def keep(where: str, listed: list[Any] | None, changed: Any | None, removed: Any | None) -> None:
        kept = held.setdefault(where, {})
        if listed is not None:
            held[where] = {item.key: item for item in listed}
            listing.reset([item for items in held.values() for item in items.values()])
        if changed is not None:
            kept[changed.key] = changed
            listing.put(changed)
        if removed is not None:
            kept.pop(removed.key, None)
            listing.remove(removed)

    return keep


async def take(watch: Any, where: str, keep: Keep, heard: Callable[[ModelyardError | None], None]) -> None:
    """Take all that a watch tells, until cancelled.

    Args:
        heard: told after each event, with what broke the watch where it broke.
    """
    async with aclosing(watch) as events:
        async for event in events:
            error = None
            match event:
                case Listed(objects=objects):
                    keep(where, list(objects), None, None)
                case Changed(object=item):
                    keep(where, None, item, None)
                case Removed(object=item):
                    keep(where, None, None, item)
                case Lost(error=lost):
                    error = lost
                case Regained():
                    pass
            heard(error)
