"""Where the digests stand that were ever decided on: asked often, read when it may have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backend.core.views import ImageState
from backend.curation import curated
from backend.flows.foundation import Foundation

#: For how long states are taken for what they were although something was committed: as runs do all the time.
_HELD: Final = 5.0
#: For how long they are at most, as approvals expire by themselves.
_HELD_AT_MOST: Final = 30.0


class DecidedStates:
    """Keeps what was read last."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._states: Mapping[str, ImageState] = {}
        self._marks: tuple[int, int] | None = None
        self._read_at = 0.0

    async def states(self) -> Mapping[str, ImageState]:
        """Where each digest stands that was ever decided on; kept until decisions change, or for some seconds.

        Raises:
            StoreError: of its kind.
        """
        marks = await self._now()
        age = self._foundation.clock.monotonic() - self._read_at
        same = self._marks is not None and self._marks[0] == marks[0]
        if same and age < (_HELD_AT_MOST if self._marks == marks else _HELD):
            return self._states
        return await self._read(marks)

    async def fresh(self) -> Mapping[str, ImageState]:
        """The same, read now.

        Raises:
            StoreError: of its kind.
        """
        return await self._read(await self._now())

    async def _now(self) -> tuple[int, int]:
        """What tells that decisions changed, and that anything did."""
        database = self._foundation.database
        row = await database.fetch_one("SELECT coalesce(max(seq), 0) FROM decision")
        return (0 if row is None else row[0], await database.data_version())

    async def _read(self, marks: tuple[int, int]) -> Mapping[str, ImageState]:
        foundation = self._foundation
        self._states = await curated.decided_states(foundation.database, foundation.policy.hash, foundation.clock.now())
        self._marks, self._read_at = marks, foundation.clock.monotonic()
        return self._states
