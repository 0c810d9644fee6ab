"""The library as commands and screen know it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from backend.core.errors import NotFoundError, UsageError
from backend.core.events import LibraryChanged, Topic
from backend.core.permits import Permit
from backend.core.references import parse_reference
from backend.core.settings import duration_text
from backend.core.views import (
    CompletionView,
    ImageDetailView,
    ImagePageView,
    ImageState,
    ImageView,
    PruneView,
    RepositoryView,
    TagEventView,
)
from backend.curation import curated, evidence_sets
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.flows.standings import Standings
from backend.library import catalogue, corrections, lineage, retention, search
from backend.library.query import Query, completions, names_one_of, parse, words_of
from backend.store.connection import Database, Transaction

#: Terms whose values are few: what is not among them was mistyped.
_KNOWN_ONLY: Final = frozenset({"registry", "framework", "engine"})
#: Seconds for which the values that the library holds are taken for what they were.
_HELD: Final = 5.0


class LibraryFlow:
    """Images of the library."""

    def __init__(self, foundation: Foundation, lookup: Lookup, standings: Standings) -> None:
        self._foundation = foundation
        self._lookup = lookup
        self._standings = standings
        self._vocabulary: Mapping[str, Sequence[str]] = {}
        self._read_at = 0.0

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
        """All that is known of one image, and where it runs as far as the cluster tells.

        Raises:
            UsageError: it is no reference, or means several images. NotFoundError: the library has none such.
        """
        image = await self._lookup.image(reference)
        users = await self._standings.users_if_told()
        return await catalogue.detail(self._foundation.database, image, users)

    async def history(self, reference: str) -> list[TagEventView]:
        """What happened to a tag, or to the tags of a digest, newest first."""
        return await catalogue.history(self._foundation.database, parse_reference(reference))

    def completions(self, text: str, cursor: int) -> tuple[CompletionView, ...]:
        """What the term of a query at the cursor could become, by what the library was last seen to hold."""
        return completions(text, cursor, self._vocabulary)

    # ------------------------------------------------------------ changing

    async def correct(self, reference: str, *, name: str, value: str, reason: str) -> ImageDetailView:
        """Set a property of an image by a person's word: it counts before what is derived, now and after later runs.

        Args:
            name: kind, framework, engine, type, family, parameters or precision.
            value: empty: takes a correction back.

        Raises:
            UsageError: it has no such value, or nothing was corrected.
            RefusedError: of its kind.
        """
        foundation = self._foundation
        image = await self._lookup.image(reference)
        value = corrections.checked_value(name, value)

        async def action(permit: Permit) -> None:
            async with foundation.database.transaction() as transaction:
                await corrections.correct(
                    transaction, permit, image, name=name, value=value, reason=reason, at=foundation.clock.now()
                )
                # Which gates apply may be another now: nobody's decision rests on what was shown before.
                await evidence_sets.refresh_if_submitted(transaction, image.digest, foundation.clock.now())

        await foundation.gate.run(
            "library.correct", image.reference, action, detail={"property": name, "to": value, "reason": reason}
        )
        self._tell()
        return await self.image(image.reference)

    async def name_parent(
        self, reference: str, *, parent: str, relation: str = "derived", note: str = "", remove: bool = False
    ) -> ImageDetailView:
        """Say what an image was made from, or with `remove` take that back.

        Args:
            parent: a reference or digest of the library, or any text for what is not in it.
            relation: fine-tuned, distilled, quantised, merged or derived.

        Raises:
            UsageError: no such relation, or the image would come from itself.
            NotFoundError: there is nothing to remove.
            RefusedError: of its kind.
        """
        foundation = self._foundation
        image = await self._lookup.image(reference)
        named, digest = await self._parent(image, parent, remove=remove)

        async def action(permit: Permit) -> None:
            async with foundation.database.transaction() as transaction:
                at = foundation.clock.now()
                if remove:
                    await corrections.remove_parent(transaction, permit, image, parent=named, at=at)
                    return
                await corrections.name_parent(
                    transaction, permit, image, parent=named, parent_digest=digest, relation=relation, note=note, at=at
                )

        asked = "removed" if remove else relation
        await foundation.gate.run(
            "library.parent", image.reference, action, detail={"parent": named, "relation": asked}
        )
        self._tell()
        return await self.image(image.reference)

    async def prune(self, older_than: timedelta, dry_run: bool = False) -> PruneView:
        """Remove what no tag has named for so long, but nothing that is in use, approved, waiting or to return to.

        Raises:
            UsageError: the time is not above zero.
            UnreachableError, ConfigurationError: the cluster does not tell what is in use.
            RefusedError: of its kind, or there are clusters that are not connected.
        """
        if older_than <= timedelta(0):
            raise UsageError("prune", "it takes a time above zero", "write --older-than 90d")
        foundation = self._foundation
        before = foundation.clock.now() - older_than
        if dry_run:
            users = await self._standings.users_anywhere()
            needed = await self._needed(foundation.database, users or {})
            planned = await retention.plan(foundation.database, before, needed, dry_run=True)
            return msgspec.structs.replace(planned, asked_cluster=users is not None)

        async def action(permit: Permit) -> PruneView:
            users = await self._standings.users_anywhere()
            async with foundation.database.transaction() as transaction:
                needed = await self._needed(transaction, users or {})
                planned = await retention.plan(transaction, before, needed, dry_run=False)
                await retention.remove(transaction, permit, planned, foundation.clock.now())
                return msgspec.structs.replace(planned, asked_cluster=users is not None)

        older = duration_text(older_than)
        result = await foundation.gate.run(
            "library.prune", f"images older than {older}", action, detail={"older_than": older}
        )
        self._tell()
        return result

    async def _needed(self, reader: Database | Transaction, users: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        """By digest why retention leaves it alone."""
        # Imported here: a list of images needs nothing of the cluster's rooms, and starts sooner without them.
        from backend.serving import snapshots

        policy, now = self._foundation.policy, self._foundation.clock.now()
        needed = dict.fromkeys(await snapshots.digests_held(reader), "a snapshot names it: a rollback may need it")
        for digest, state in (await curated.states(reader, policy.hash, now)).items():
            if state is ImageState.CANDIDATE:
                needed[digest] = "it waits for a decision"
            elif state is ImageState.APPROVED:
                needed[digest] = "it is approved"
        return {**needed, **{digest: f"{names[0]} uses it" for digest, names in users.items()}}

    async def _parent(self, image: ImageView, parent: str, *, remove: bool) -> tuple[str, str | None]:
        """A parent as it is stored, and its digest where the library holds it; one to remove as it was stored."""
        stored = {one.reference for one in (await lineage.parents_of(self._foundation.database, image.digest))}
        if remove and parent in stored:
            return parent, None
        # What the library does not hold may still say something to people: a model's page, a paper.
        try:
            reference = parse_reference(parent)
        except UsageError:
            return parent, None
        try:
            found = await catalogue.find(self._foundation.database, reference)
        except NotFoundError:
            return parent, None
        return found.reference, found.digest

    def _tell(self) -> None:
        self._foundation.hub.publish(Topic.LIBRARY, LibraryChanged())

    # ------------------------------------------------------------ understanding

    async def _understood(self, text: str) -> Query:
        """The query, held against what the library holds.

        Raises:
            UsageError: it is not understood, or names what there is none of.
        """
        query = parse(text)
        now = self._foundation.clock.monotonic()
        if not self._vocabulary or now - self._read_at > _HELD or not _holds_all(self._vocabulary, query):
            self._vocabulary = await search.vocabulary(self._foundation.database)
            self._read_at = now
        for term in query.terms:
            known = self._vocabulary.get(term.key, ()) if term.key in _KNOWN_ONLY else ()
            for value in term.values:
                if known and not names_one_of(value, known):
                    close = difflib.get_close_matches(value, known, 1) or list(known[:8])
                    raise UsageError(
                        "filter", f"the library has nothing of {term.key}:{value}", f"it has {', '.join(close)}"
                    )
        return query


def _holds_all(vocabulary: Mapping[str, Sequence[str]], query: Query) -> bool:
    return all(
        names_one_of(value, vocabulary.get(term.key, ()))
        for term in query.terms if term.key in _KNOWN_ONLY for value in term.values
    )  # fmt: skip
