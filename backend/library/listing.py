"""What there is: the repositories that a rule takes, and their tags, each list read to its end or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from backend.core.errors import AuthenticationError, ConfigurationError, ModelyardError, NotFoundError, UnreachableError
from backend.library.config import RuleConfig
from backend.library.journal import Journal
from backend.library.records import Known, known_of
from backend.library.rules import Selection, is_evidence_tag
from backend.library.sources import Account, Setting
from backend.library.tasks import in_turns

# Choosing among more tags than this would hold up the event loop.
_CHOSEN_ASIDE: Final = 100


class Listing(msgspec.Struct, frozen=True):
    """A repository whose tags were all read.

    Attributes:
        present: its tags, without those of evidence.
        chosen: of them, those that the rule takes.
        known: what the library holds, by tag.
        at: when the registry was asked.
    """

    repository: str
    present: frozenset[str]
    chosen: tuple[str, ...]
    known: dict[str, Known]
    at: datetime

    @property
    def gone(self) -> list[str]:
        """Tags that the library holds as there and that the registry no longer has."""
        return [tag for tag, known in self.known.items() if not known.gone and tag not in self.present]


class Lister:
    """Reads the lists that one rule needs."""

    def __init__(self, setting: Setting, rule: RuleConfig, account: Account, journal: Journal) -> None:
        self._setting = setting
        self._selection = Selection(rule)
        self._account = account
        self._journal = journal
        self._unlisted: set[str] = set()

    async def read(self) -> list[Listing]:
        """Every repository of the rule whose tags could all be read; the others are accounted for."""
        listings: list[Listing] = []

        async def one(repository: str) -> None:
            if (listing := await self._list(repository)) is not None:
                listings.append(listing)

        repositories = await self._repositories()
        self._journal.expect(repositories)
        await in_turns(repositories, self._setting.concurrency, one)
        return sorted(listings, key=lambda listing: listing.repository)

    async def _repositories(self) -> list[str]:
        names = dict.fromkeys(self._selection.named_repositories)
        if not self._selection.needs_catalogue:
            return list(names)
        stored = await self._setting.database.fetch_all(
            "SELECT name FROM repository WHERE registry = ?", (self._setting.registry,)
        )
        known = [row["name"] for row in stored if not self._selection.leaves_out(row["name"])]
        line = self._journal.at("")
        try:
            told = await self._setting.source.catalog(self._selection.rule.repositories)
        except ModelyardError as error:
            if isinstance(error, UnreachableError) and not isinstance(error, AuthenticationError):
                self._account.failed("", "", error)
                return list(names)
            misconfigured = isinstance(error, ConfigurationError)
            advice = "" if misconfigured else "; name repositories without wildcards to do without the catalogue"
            self._account.failed("", "", error, advice)
            # What earlier runs found can still be asked for.
            return list(names | dict.fromkeys(known))
        self._journal.listed("")
        line.seen, line.left = len(told), 0
        self._unlisted = set(known) - set(told)
        taken = dict.fromkeys(name for name in told if not self._selection.leaves_out(name))
        return list(names | taken | dict.fromkeys(known))

    async def _list(self, repository: str) -> Listing | None:
        if self._account.dead:
            self._account.not_tried(repository, 0)
            return None
        line = self._journal.at(repository)
        at = self._setting.clock.now()
        try:
            tags = await self._setting.source.tags(repository)
        except ModelyardError as error:
            if not (isinstance(error, NotFoundError) and repository in self._unlisted):
                self._account.failed(repository, "", error)
                return None
            # Neither the registry's complete catalogue nor its own address knows it any more.
            tags = []
        self._account.answered(repository)
        self._journal.listed(repository)
        rows = await self._setting.database.fetch_all(
            "SELECT tag, digest, changed_at, gone_at, rule FROM tag JOIN repository ON repository.id = tag.repository"
            " WHERE registry = ? AND name = ?",
            (self._setting.registry, repository),
        )
        chosen = partial(self._choose, repository, tags, rows, at)
        aside = len(tags) + len(rows) > _CHOSEN_ASIDE
        listing, clauses = await asyncio.to_thread(chosen) if aside else chosen()
        line.seen, line.left = len(listing.present), len(listing.chosen) + len(listing.gone)
        line.left_out(clauses)
        return listing

    def _choose(
        self, repository: str, tags: Sequence[str], rows: Sequence[sqlite3.Row], at: datetime
    ) -> tuple[Listing, list[str]]:
        """What of a list is to be asked for, and by which clauses the rest is left out."""
        choices = self._selection.choose(tags)
        listing = Listing(
            repository=repository,
            present=frozenset(tag for tag in tags if not is_evidence_tag(tag)),
            chosen=tuple(choice.tag for choice in choices if choice.taken),
            known={row["tag"]: known_of(row) for row in rows},
            at=at,
        )
        return listing, [choice.clause for choice in choices if not choice.taken]
