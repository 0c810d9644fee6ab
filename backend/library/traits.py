"""What a rule needs to know of a digest, found out once a run however many tags name it."""

from __future__ import annotations

import asyncio

import msgspec

from backend.core.errors import ModelyardError
from backend.core.ports import instant
from backend.library.config import RuleConfig
from backend.library.fetching import Fetcher
from backend.library.rules import ImageTraits, takes_platform
from backend.library.sources import Setting
from backend.library.writer import Writer


class Examiner:
    """Looks at images, in the library where they are there, else in the registry.

    Args:
        writer: takes in what was fetched; None: nothing is taken in.
    """

    def __init__(self, setting: Setting, rule: RuleConfig, writer: Writer | None) -> None:
        self._database = setting.database
        self._rule = rule
        self._writer = writer
        self._fetcher = Fetcher(setting.source, setting.database, setting.registry)
        self._asked: dict[str, asyncio.Future[ImageTraits]] = {}

    async def traits(self, repository: str, tag: str, digest: str) -> ImageTraits:
        """What a digest is. Afterwards it is handed to the writer, or stored.

        Raises:
            ModelyardError: it cannot be told.
        """
        if (asked := self._asked.get(digest)) is not None:
            return await asyncio.shield(asked)
        future: asyncio.Future[ImageTraits] = asyncio.get_running_loop().create_future()
        self._asked[digest] = future
        try:
            found = await self._find_out(repository, tag, digest)
        except ModelyardError as error:
            future.set_exception(error)
            future.exception()  # Marks it as seen: it is raised here, and maybe nobody else asks.
            raise
        except BaseException:
            future.cancel()
            raise
        future.set_result(found)
        return found

    async def _find_out(self, repository: str, tag: str, digest: str) -> ImageTraits:
        known = await self._known(digest)
        if known is not None:
            return known
        records = await self._fetcher.image(repository, digest, tags=(tag,), platforms=self._rule.platforms)
        if self._writer is not None:
            await self._writer.add_images(records)
        entry = records[-1]
        found = entry.classifications
        return ImageTraits(
            type=found["type"].value, platforms=entry.platforms, is_index=found["kind"].value == "index",
            created_at=entry.created_at,
        )  # fmt: skip

    async def _known(self, digest: str) -> ImageTraits | None:
        """What the library knows of a digest; None when it knows nothing, or lacks images of an index that are kept."""
        row = await self._database.fetch_one(
            "SELECT type, kind, platforms, created_at FROM image WHERE digest = ?", (digest,)
        )
        if row is None:
            return None
        if row["kind"] == "index":
            missing = await self._database.fetch_all(
                "SELECT os, architecture, variant FROM image_child LEFT JOIN image ON image.digest = image_child.digest"
                " WHERE parent = ? AND image.digest IS NULL AND attests = '' AND os <> 'unknown'",
                (digest,),
            )
            if any(takes_platform(self._rule.platforms, *child) for child in missing):
                return None
        return ImageTraits(
            type=row["type"], platforms=msgspec.json.decode(row["platforms"], type=tuple[str, ...]),
            is_index=row["kind"] == "index",
            created_at=instant(row["created_at"]) if row["created_at"] is not None else None,
        )  # fmt: skip
