"""Finding out what a rule needs to know of a digest, once a run however many tags name it."""

from __future__ import annotations

import asyncio

from backend.core.errors import ModelyardError
from backend.library.config import RuleConfig
from backend.library.fetching import Fetcher, by_rule
from backend.library.rules import ImageTraits
from backend.library.sources import Setting
from backend.library.traits import known_traits, traits_of
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
        if not await self._fetcher.holdings.lacks(digest):
            known = await known_traits(self._database, digest, self._rule.platforms)
            if known is not None:
                return known
        records = await self._fetcher.image(repository, digest, tags=(tag,), platforms=self._rule.platforms)
        if self._rule.kind is not None:
            records = [by_rule(record, self._rule.kind, self._rule.name) for record in records]
        if self._writer is not None:
            await self._writer.add_images(records)
        return traits_of(records[-1])
