"""What cold starts took: read once, kept as they are seen, and asked for while others start."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Sequence

from backend.core.errors import StoreError
from backend.serving import start_store
from backend.serving.starts import Start, Usual, usual_of
from backend.store.connection import Database

_LOG = logging.getLogger(__name__)


class StartHistory:
    """The starts of all contexts. Estimates are for an image on a type of GPU, or else on any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._starts: dict[str, dict[str, deque[Start]]] = defaultdict(dict)
        self._known: set[str] = set()
        self._is_read = False

    async def read(self) -> None:
        """Read what was kept; again is no work.

        Raises:
            StoreError: the database cannot be read.
        """
        if not self._is_read:
            for start in await start_store.kept(self._database):
                self._take(start)
            self._is_read = True

    def usual(self, digest: str, gpu_type: str) -> Usual | None:
        """What starts of an image usually take; None: none was seen."""
        by_type = self._starts.get(digest)
        if not by_type:
            return None
        return usual_of(by_type.get(gpu_type) or [start for starts in by_type.values() for start in starts])

    async def keep(self, starts: Sequence[Start]) -> None:
        """Keep starts that were seen."""
        fresh = newest_of_each([start for start in starts if start.pod not in self._known])
        for start in fresh:
            self._take(start)
        if not fresh or self._database.read_only:
            return
        try:
            async with self._database.transaction() as transaction:
                for start in fresh:
                    await start_store.keep(transaction, start)
        except StoreError as error:
            # An estimate is no reason to stop following.
            _LOG.warning("starts are not kept: %s", error)

    def _take(self, start: Start) -> None:
        self._known.add(start.pod)
        held = self._starts[start.digest].setdefault(start.gpu_type, deque(maxlen=start_store.KEPT))
        held.append(start)


def newest_of_each(starts: Sequence[Start]) -> list[Start]:
    """The newest of each image on each type of GPU, as many as are kept; a whole cluster is seen at once at first."""
    groups: dict[tuple[str, str], list[Start]] = defaultdict(list)
    for start in sorted(starts, key=lambda one: one.loaded_at):
        groups[start.digest, start.gpu_type].append(start)
    return [start for group in groups.values() for start in group[-start_store.KEPT :]]
