"""What curation and the cluster say of the digests of the library, for searching it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from backend.core.errors import ConfigurationError, ModelyardError, RefusedError, UnreachableError
from backend.core.views import ImageState
from backend.curation import curated
from backend.flows.decided import DecidedStates
from backend.flows.foundation import Foundation
from backend.library.search import Standing

if TYPE_CHECKING:
    from backend.flows.services import Services

_LOG = logging.getLogger(__name__)
#: How long a cluster may take to say what runs, where that is told beside other things.
_PATIENCE: Final = 5.0


class Standings:
    """Asked at each keystroke: states are kept until decisions change, and what runs is taken as it is watched."""

    def __init__(
        self,
        foundation: Foundation,
        services: Callable[[], Services],
        watched: Callable[[], Services | None],
        decided: DecidedStates,
    ) -> None:
        """
        Args:
            services: of the cluster, for reading them.
            watched: the same while they are watched, else None.
            decided: where digests stand.
        """
        self._foundation = foundation
        self._services = services
        self._watched = watched
        self._decided = decided

    async def standing(self, *, approved: bool = False, at: datetime | None = None, ask: bool = False) -> Standing:
        """What is to be known for a search.

        Args:
            approved: only what is approved, or with `at`, what was approved then.
            ask: read what runs from the cluster when it is not watched.

        Raises:
            ModelyardError: it cannot be told.
        """
        states = await self._decided.states()
        only = None
        if approved and at is not None:
            only = await curated.approved_digests(self._foundation.database, at)
        elif approved:
            only = frozenset(digest for digest, state in states.items() if state is ImageState.APPROVED)
        users = await self.users() if ask else self.users_watched()
        running = None if users is None else {digest: len(names) for digest, names in users.items()}
        return Standing(states=states, running=running, only=only)

    def users_watched(self) -> Mapping[str, tuple[str, ...]] | None:
        """By digest, the services that name or run it, as watched; None: that is not known."""
        watched = self._watched()
        return None if watched is None else watched.users()

    async def users(self) -> Mapping[str, tuple[str, ...]]:
        """The same, read from the cluster where it is not watched.

        Raises:
            UnreachableError: there is no kubeconfig to ask a cluster by.
            ModelyardError: it cannot be read.
        """
        try:
            return await self._services().users_now()
        except ConfigurationError as error:
            if await self._foundation.cluster.has_kubeconfig():
                raise
            raise UnreachableError("what runs", f"no cluster could be asked: {error.why}", error.action) from error

    async def users_if_told(self) -> Mapping[str, tuple[str, ...]] | None:
        """The same; None when the cluster does not tell it, or not soon. While it is watched nothing is asked."""
        if self._watched() is not None:
            return self.users_watched()
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.users()
        except (ModelyardError, TimeoutError) as error:
            _LOG.info("what runs is not told: %s", error)
            return None

    async def users_anywhere(self) -> Mapping[str, tuple[str, ...]] | None:
        """The same; None where there is no cluster at all: no table, no context and no kubeconfig.

        Raises:
            RefusedError: `--context` asks for one of several clusters: what the others use is not known.
            ModelyardError: one of those there are does not tell.
        """
        configured = self._foundation.configuration.settings.cluster
        if len(configured) > len(self._foundation.clusters.links):
            raise RefusedError(
                "what runs",
                f"--context asks for one of {len(configured)} clusters: what the others use is not known",
                "do it without --context",
            )
        if not configured and not await self._foundation.cluster.is_named():
            return None
        return await self.users()
