"""What a rule needs to know of an image, from the library or from what was just read of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from backend.core.ports import instant
from backend.library.records import ImageRecord
from backend.library.rules import ImageTraits, takes_platform
from backend.registry.manifests import INDEX_TYPES
from backend.store.connection import Database


def traits_of(record: ImageRecord) -> ImageTraits:
    """The traits of a catalogue entry as it was found out."""
    found = record.classifications
    return ImageTraits(
        type=found["type"].value,
        platforms=record.platforms,
        is_index=record.media_type in INDEX_TYPES,
        created_at=record.created_at,
    )


async def known_traits(database: Database, digest: str, platforms: Sequence[str] | None) -> ImageTraits | None:
    """What the library knows of a digest; None when it knows nothing, or lacks images of an index that are kept.

    Args:
        platforms: of a rule; None keeps all.
    """
    row = await database.fetch_one(
        "SELECT type, media_type, platforms, created_at FROM image WHERE digest = ?", (digest,)
    )
    if row is None:
        return None
    # Kind is what a person or rule may have corrected; what it is made of is not.
    is_index = row["media_type"] in INDEX_TYPES
    if is_index:
        missing = await database.fetch_all(
            "SELECT os, architecture, variant FROM image_child LEFT JOIN image ON image.digest = image_child.digest"
            " WHERE parent = ? AND image.digest IS NULL AND attests = '' AND os <> 'unknown'",
            (digest,),
        )
        if any(takes_platform(platforms, *child) for child in missing):
            return None
    return ImageTraits(
        type=row["type"],
        platforms=msgspec.json.decode(row["platforms"], type=tuple[str, ...]),
        is_index=is_index,
        created_at=instant(row["created_at"]) if row["created_at"] is not None else None,
    )
