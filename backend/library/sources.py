"""What the library needs of a registry, and the account of what could not be read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from backend.core.actors import Actor
from backend.core.errors import AuthenticationError, ConfigurationError, ModelyardError, UnreachableError
from backend.core.ports import Clock
from backend.core.views import SyncFailureView
from backend.library.fetching import ContentSource
from backend.library.journal import Journal
from backend.library.writer import Recorded
from backend.registry.manifests import Descriptor
from backend.store.connection import Database

# After so many requests in a row that reached nothing, for each of the concurrent ones, the rest is not tried.
_DEAD_AFTER: Final = 2


class RegistrySource(ContentSource, Protocol):
    """What is needed of a registry; the registry room's client has it.

    What is sent is counted for whoever asked (`backend.registry.usage`).
    """

    async def tags(self, repository: str) -> list[str]:
        """All tags of the repository, or an error: never a part of them."""

    async def resolve(self, repository: str, reference: str) -> Descriptor:
        """What a tag names."""

    async def catalog(self, globs: Sequence[str] = ()) -> list[str]:
        """The repositories that the registry tells, at least those of them that one of the globs matches."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run works with.

    Attributes:
        registry: configured name; `host` its host with port.
        actor: who asked.
        concurrency: tags that are worked on at the same time.
        process: mark of this process; empty: not known.
        recorded: told of changes in the transaction that records them.
    """

    database: Database
    source: RegistrySource
    registry: str
    host: str
    clock: Clock
    actor: Actor
    concurrency: int = 8
    process: str = ""
    recorded: Recorded | None = None


class Account:
    """What a run could not read, and whether there is any use in trying on."""

    def __init__(self, registry: str, concurrency: int, journal: Journal) -> None:
        self.failures: list[SyncFailureView] = []
        self._registry = registry
        self._journal = journal
        self._patience = max(concurrency, 1) * _DEAD_AFTER
        self._in_a_row = 0
        self._last_reason = ""
        self._refused: Counter[str] = Counter()
        self._untried: dict[str, tuple[int, str]] = {}

    @property
    def dead(self) -> bool:
        """Whether the registry answered nothing for so long that the rest is not tried."""
        return self._in_a_row >= self._patience

    def gives_up_on(self, repository: str) -> bool:
        """Whether the rest of a repository is not tried: the registry is dead, or refused us that often in a row."""
        return self.dead or self._refused[repository] >= self._patience

    def answered(self, repository: str) -> None:
        """The registry gave an answer."""
        self._in_a_row = 0
        if self._refused:
            self._refused.pop(repository, None)

    def failed(self, repository: str, tag: str, error: ModelyardError, advice: str = "") -> None:
        """Something could not be read; no tag: the repository's list; no repository: the registry's."""
        unreachable = isinstance(error, UnreachableError)
        if isinstance(error, AuthenticationError):
            self._refused[repository] += 1
        elif unreachable:
            self._in_a_row += 1
        self._last_reason = error.why if unreachable else self._last_reason
        reason = f"{error.why}{advice}"
        self.failures.append(
            SyncFailureView(
                registry=self._registry,
                repository=repository,
                tag=tag,
                reason=reason,
                unreachable=unreachable,
                misconfigured=isinstance(error, ConfigurationError),
                action=error.action,
            )
        )
        line = self._journal.note(repository)
        if tag:
            line.settle("failed")
        else:
            line.list_failed = True
        line.add_reason(tag, reason)

    def not_tried(self, repository: str, tags: int) -> None:
        """Tags of a repository (0: its list) are left alone because there is no use in trying."""
        self._untried[repository] = (self._untried.get(repository, (0, ""))[0] + tags, self._last_reason)

    def close(self) -> None:
        """Account for what was not tried."""
        for repository, (count, last) in self._untried.items():
            what = f"{count} tags were" if count else "it was"
            reason = f"{what} not tried: {last}"
            self.failures.append(
                SyncFailureView(registry=self._registry, repository=repository, tag="", reason=reason, unreachable=True)
            )
            line = self._journal.note(repository)
            line.settle("failed", count)
            line.add_reason("", reason)
        self._untried.clear()
