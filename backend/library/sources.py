"""What the library needs of a registry, and the account of what could not be read from it."""

from __future__ import annotations

from collections import Counter
from typing import Final, Protocol

import msgspec

from backend.core.actors import Actor
from backend.core.errors import AuthenticationError, ConfigurationError, ModelyardError, UnreachableError
from backend.core.ports import Clock
from backend.core.views import SyncFailureView
from backend.library.fetching import ContentSource
from backend.library.writer import Recorded
from backend.registry.manifests import Descriptor
from backend.store.connection import Database

# After so many requests in a row that reached nothing, for each of the concurrent ones, the rest is not tried.
_DEAD_AFTER: Final = 2


class RegistrySource(ContentSource, Protocol):
    """What is needed of a registry; the registry room's client has it."""

    @property
    def requests(self) -> int:
        """HTTP requests sent so far."""

    @property
    def bytes_received(self) -> int:
        """Bytes received so far."""

    async def tags(self, repository: str) -> list[str]:
        """All tags of the repository, or an error: never a part of them."""

    async def resolve(self, repository: str, reference: str) -> Descriptor:
        """What a tag names."""

    async def catalog(self) -> list[str]:
        """All repositories that the registry tells."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run works with.

    Attributes:
        registry: configured name; `host` its host with port.
        actor: who asked.
        concurrency: tags that are worked on at the same time.
        recorded: told of changes in the transaction that records them.
    """

    database: Database
    source: RegistrySource
    registry: str
    host: str
    clock: Clock
    actor: Actor
    concurrency: int = 8
    recorded: Recorded | None = None


class Account:
    """What a run could not read, and whether there is any use in trying on."""

    def __init__(self, registry: str, concurrency: int) -> None:
        self.failures: list[SyncFailureView] = []
        self._registry = registry
        self._patience = max(concurrency, 1) * _DEAD_AFTER
        self._in_a_row = 0
        self._untried: Counter[str] = Counter()
        self._last_reason = ""

    @property
    def dead(self) -> bool:
        """Whether the registry answered nothing for so long that the rest is not tried."""
        return self._in_a_row >= self._patience

    def answered(self) -> None:
        """The registry gave an answer."""
        self._in_a_row = 0

    def failed(self, repository: str, tag: str, error: ModelyardError, advice: str = "") -> None:
        """Something could not be read."""
        unreachable = isinstance(error, UnreachableError)
        if unreachable and not isinstance(error, AuthenticationError):
            self._in_a_row += 1
            self._last_reason = error.why
        self.failures.append(
            SyncFailureView(
                registry=self._registry,
                repository=repository,
                tag=tag,
                reason=f"{error.why}{advice}",
                unreachable=unreachable,
                misconfigured=isinstance(error, ConfigurationError),
                action=error.action,
            )
        )

    def not_tried(self, repository: str, tags: int) -> None:
        """Tags of a repository (0: its list) are left alone because the registry is dead."""
        self._untried[repository] += tags

    def close(self) -> None:
        """Account for what was not tried."""
        for repository, count in self._untried.items():
            what = f"{count} tags were" if count else "it was"
            reason = f"{what} not tried: {self._last_reason}"
            self.failures.append(
                SyncFailureView(registry=self._registry, repository=repository, tag="", reason=reason, unreachable=True)
            )
        self._untried.clear()
