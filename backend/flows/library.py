"""The library as commands and screen know it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime

from backend.core.errors import UsageError
from backend.core.references import parse_reference
from backend.core.views import (
    CompletionView,
    ImageDetailView,
    ImagePageView,
    ImageView,
    RepositoryView,
    TagEventView,
)
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.flows.standings import Standings
from backend.library import catalogue, search
from backend.library.query import Query, completions, names_one_of, parse, words_of


class LibraryFlow:
    """Images of the library."""

    def __init__(self, foundation: Foundation, lookup: Lookup, standings: Standings) -> None:
        self._foundation = foundation
        self._lookup = lookup
        self._standings = standings
        self._vocabulary: Mapping[str, Sequence[str]] = {}

    # ------------------------------------------------------------ looking

    async def search(
        self,
        query: str = "",
        *,
        sort: str = "name",
        descending: bool = False,
        offset: int = 0,
        limit: int = 200,
        approved: bool = False,
        at: datetime | None = None,
    ) -> ImagePageView:
        """A page of the images that a query finds. What is not understood of it is told in the page's `problem`.

        Args:
            query: words and terms (`backend.library.query`).
            sort: name, changed, created, size, type, framework, state or version.
            limit: at most so many, after `offset`.
            approved: only what is approved, or with `at`, what was approved then.

        Raises:
            StoreError: the database cannot be read.
        """
        try:
            understood = await self._understood(query)
            standing = await self._standings.standing(approved=approved, at=at)
            found = await search.find_entries(
                self._foundation.database, understood, self._foundation.clock.now(), standing,
                sort=sort, descending=descending, offset=max(0, offset), limit=max(0, limit),
            )  # fmt: skip
        except UsageError as error:
            return ImagePageView(images=(), offset=0, total=0, problem=f"{error.why}; {error.action}")
        images = await catalogue.views_of(
            self._foundation.database, found.ids, states=standing.states, running=standing.running
        )
        return ImagePageView(images=tuple(images), offset=offset, total=found.total, words=words_of(understood))

    async def repositories(
        self, query: str = "", *, sort: str = "name", descending: bool = False
    ) -> list[RepositoryView]:
        """The repositories in which a query finds anything, with what it finds in them.

        Args:
            sort: name, changed, or tags.

        Raises:
            UsageError: the query or the order is not understood.
            StoreError: the database cannot be read.
        """
        understood = await self._understood(query)
        standing = await self._standings.standing()
        return await search.find_repositories(
            self._foundation.database, understood, self._foundation.clock.now(), standing,
            sort=sort, descending=descending,
        )  # fmt: skip

    async def images(self, query: str = "", approved: bool = False, at: datetime | None = None) -> list[ImageView]:
        """All images that a query finds, by name, with the state of what their tags name.

        Args:
            query: words and terms; what runs is asked of the cluster when a term asks for it.
            approved: only what is approved, or with `at`, what was approved then.

        Raises:
            UsageError: the query is not understood.
            ModelyardError: what it asks for cannot be read.
        """
        understood = await self._understood(query)
        standing = await self._standings.standing(approved=approved, at=at, ask=understood.asks("running"))
        found = await search.find_entries(
            self._foundation.database, understood, self._foundation.clock.now(), standing, limit=None
        )
        return await catalogue.views_of(
            self._foundation.database, found.ids, states=standing.states, running=standing.running
        )

    async def image(self, reference: str) -> ImageDetailView:
        """All that is known of one image."""
        return await catalogue.detail(self._foundation.database, await self._lookup.image(reference))

    async def history(self, reference: str) -> list[TagEventView]:
        """What happened to a tag, or to the tags of a digest, newest first."""
        return await catalogue.history(self._foundation.database, parse_reference(reference))

    def completions(self, text: str, cursor: int) -> tuple[CompletionView, ...]:
        """What the term of a query at the cursor could become, by what the library was last seen to hold."""
        return completions(text, cursor, self._vocabulary)

    async def _understood(self, text: str) -> Query:
        """The query, held against what the library holds.

        Raises:
            UsageError: it is not understood, or names what there is none of.
        """
        query = parse(text)
        self._vocabulary = await search.vocabulary(self._foundation.database)
        for term in query.terms:
            known = self._vocabulary.get(term.key, ())
            for value in term.values:
                if term.key in _KNOWN_ONLY and known and not names_one_of(value, known):
                    close = difflib.get_close_matches(value, known, 1) or list(known[:8])
                    raise UsageError(
                        "filter", f"the library has nothing of {term.key}:{value}", f"it has {', '.join(close)}"
                    )
        return query


#: Terms whose values are few: what is not among them was mistyped.
_KNOWN_ONLY = frozenset({"registry", "framework", "engine"})
