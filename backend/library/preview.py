"""What a rule takes in and why it leaves the rest: now, by what the registry tells, or then, by the history of tags.

A preview decides with the same functions as a synchronisation and writes nothing. What types, platforms or an age are
asked of is looked at as a synchronisation would look at it, up to a bound; beyond that it is said that nobody looked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.errors import ModelyardError, NotFoundError
from backend.core.ports import Clock, instant, timestamp
from backend.core.views import RuleClauseView
from backend.library.config import RuleConfig
from backend.library.fetching import Fetcher
from backend.library.rules import (
    ImageTraits,
    Selection,
    asks_of_images,
    is_evidence_tag,
    leaves_out_image,
    takes_clause,
)
from backend.library.sources import RegistrySource
from backend.library.tasks import in_turns
from backend.library.traits import known_traits, traits_of
from backend.registry.manifests import INDEX_TYPES
from backend.store.connection import Database

#: Images that are asked for in one preview because the library does not know them: two requests each.
MOST_LOOKED_AT: Final = 200
_CHOSEN_ASIDE: Final = 100
_MOST_NAMED: Final = 3
_NOT_LOOKED_AT: Final = "taken if its type, platforms and age are those of the rule: it was not looked at"


class Preview(msgspec.Struct, frozen=True):
    """What became of every tag that was looked at, and what the answer does not know."""

    clauses: tuple[RuleClauseView, ...]
    notes: tuple[str, ...] = ()

    @property
    def taken(self) -> frozenset[str]:
        """`registry/repository:tag` of what is taken."""
        return frozenset(
            f"{clause.registry}/{clause.repository}:{clause.tag}" for clause in self.clauses if clause.taken
        )


class RegistryPreview:
    """What rules would take of a registry now. Asks it once for each thing, however many rules are tried.

    Args:
        registry: configured name.
        concurrency: requests at the same time.
    """

    def __init__(
        self, source: RegistrySource, database: Database, registry: str, *, clock: Clock, concurrency: int
    ) -> None:
        self._source = source
        self._database = database
        self._registry = registry
        self._clock = clock
        self._concurrency = concurrency
        self._fetcher = Fetcher(source, database, registry)
        self._catalogues: dict[tuple[str, ...], list[str] | ModelyardError] = {}
        self._tags: dict[str, list[str] | ModelyardError] = {}
        self._digests: dict[tuple[str, str], str] = {}
        self._left_to_look = MOST_LOOKED_AT

    async def of(self, rule: RuleConfig) -> Preview:
        """What becomes of every tag of the repositories that a rule names or matches.

        A repository that the rule matches and excludes is told of once, without its tags.

        Raises:
            ModelyardError: the registry tells nothing that was asked.
        """
        selection, now = Selection(rule), self._clock.now()
        notes: list[str] = []
        names, clauses = await self._repositories(selection, notes)
        await in_turns([name for name in names if name not in self._tags], self._concurrency, self._read_tags)
        failed = {name: told for name in names if isinstance(told := self._tags[name], ModelyardError)}
        if names and len(failed) == len(names) and not all(isinstance(one, NotFoundError) for one in failed.values()):
            raise next(one for one in failed.values() if not isinstance(one, NotFoundError))
        notes += [f"{name} is not looked at: {error.why}" for name, error in failed.items()]
        new = 0
        for name in names:
            tags = self._tags[name]
            if isinstance(tags, ModelyardError):
                continue
            choices = await _explained(selection, name, tags)
            known = await self._known(name)
            new += sum(clause.taken and clause.tag not in known for clause in choices)
            clauses += await self._judged(rule, choices, known, now)
        if any(clause.clause == _NOT_LOOKED_AT for clause in clauses):
            notes.append(f"no more than {MOST_LOOKED_AT} images that the library does not hold are looked at")
        if rule.max_new is not None and new > rule.max_new:
            notes.append(f"{new} tags would be new, more than max_new of {rule.max_new}: a run asks first")
        if rule.types is not None or rule.platforms is not None or rule.max_age is not None:
            notes.append("what the library holds already stays in it, whatever the rule says of it now")
        read = [name for name in names if name not in failed]
        return Preview(tuple(clauses), (*notes, *_why_nothing(rule, clauses, read)))

    async def _repositories(self, selection: Selection, notes: list[str]) -> tuple[list[str], list[RuleClauseView]]:
        """Those whose tags are asked for, and clauses on those that are excluded."""
        names = dict.fromkeys(selection.named_repositories)
        if not selection.needs_catalogue:
            return list(names), []
        told = await self._catalogue(selection.rule.repositories)
        if isinstance(told, ModelyardError):
            stored = await self._database.fetch_all(
                "SELECT name FROM repository WHERE registry = ? ORDER BY name", (self._registry,)
            )
            known = [row["name"] for row in stored]
            if not names and not any(not selection.leaves_out(name) for name in known):
                raise told
            notes.append(
                f"the registry does not tell its repositories ({told.why}); only those are looked at that the rule "
                "names or that the library knows"
            )
            told = known
        clauses = []
        for repository in sorted(told):
            clause = selection.leaves_out(repository)
            if not clause:
                names[repository] = None
            elif clause.startswith("exclude_repositories"):
                clauses.append(
                    RuleClauseView(registry=self._registry, repository=repository, tag="", taken=False, clause=clause)
                )
        return list(names), clauses

    async def _catalogue(self, globs: tuple[str, ...]) -> list[str] | ModelyardError:
        if globs not in self._catalogues:
            try:
                self._catalogues[globs] = await self._source.catalog(globs)
            except ModelyardError as error:
                self._catalogues[globs] = error
        return self._catalogues[globs]

    async def _read_tags(self, repository: str) -> None:
        try:
            self._tags[repository] = await self._source.tags(repository)
        except ModelyardError as error:
            self._tags[repository] = error

    async def _known(self, repository: str) -> dict[str, str]:
        """The digest of each tag that the library knows of, an empty text of those that are gone."""
        rows = await self._database.fetch_all(
            "SELECT tag, digest, gone_at FROM tag JOIN repository ON repository.id = tag.repository"
            " WHERE registry = ? AND name = ?",
            (self._registry, repository),
        )
        return {row["tag"]: "" if row["gone_at"] else row["digest"] for row in rows}

    async def _judged(
        self, rule: RuleConfig, clauses: Sequence[RuleClauseView], known: Mapping[str, str], now: datetime
    ) -> list[RuleClauseView]:
        """The clauses, with what the rule asks of images asked of those whose tags it takes."""
        if not asks_of_images(rule):
            return list(clauses)
        judged = list(clauses)

        async def judge(at: int) -> None:
            clause = clauses[at]
            try:
                traits = await self._traits(rule, clause, known.get(clause.tag, ""))
            except ModelyardError as error:
                judged[at] = msgspec.structs.replace(clause, taken=False, clause=f"it cannot be looked at: {error.why}")
                return
            judged[at] = _with_traits(rule, clause, traits, now)

        await in_turns([at for at, clause in enumerate(clauses) if clause.taken], self._concurrency, judge)
        return judged

    async def _traits(self, rule: RuleConfig, clause: RuleClauseView, digest: str) -> ImageTraits | None:
        """What the image of a tag is; None: there were too many to look at it."""
        if digest and (traits := await known_traits(self._database, digest, rule.platforms)) is not None:
            return traits
        name = (clause.repository, clause.tag)
        if name not in self._digests:
            if self._left_to_look <= 0:
                return None
            self._left_to_look -= 1
            self._digests[name] = (await self._source.resolve(*name)).digest
        digest = self._digests[name]
        if (traits := await known_traits(self._database, digest, rule.platforms)) is not None:
            return traits
        records = await self._fetcher.image(
            clause.repository, digest, tags=(clause.tag,), platforms=rule.platforms
        )  # fmt: skip
        return traits_of(records[-1])


class HistoryPreview:
    """What rules would have taken in at a time that is past, by the tags that the library saw until then."""

    def __init__(self, database: Database, at: datetime) -> None:
        self._database = database
        self._at = at

    async def of(self, rule: RuleConfig, registry: str) -> Preview:
        """What would have become of every tag that the library knew of then.

        Args:
            registry: configured name.
        """
        selection = Selection(rule)
        seen = await self._seen(registry)
        traits = await self._known_traits(registry) if asks_of_images(rule) else {}
        clauses: list[RuleClauseView] = []
        names = []
        for repository in sorted(seen):
            why = selection.leaves_out(repository)
            if why:
                if why.startswith("exclude_repositories"):
                    clauses.append(
                        RuleClauseView(registry=registry, repository=repository, tag="", taken=False, clause=why)
                    )
                continue
            names.append(repository)
            digests = seen[repository]
            for clause in await _explained(selection, repository, digests):
                if clause.taken and asks_of_images(rule):
                    clause = _with_traits(rule, clause, traits.get(digests[clause.tag]), self._at)
                clauses.append(clause)
        notes = [
            "by the history of tags: what no rule had taken in by then is not known, nor what the registry held of it",
            *(["types are those that images are classified as now"] if rule.types is not None else []),
            *await self._seen_later(registry, selection),
        ]
        if not clauses and not names:
            notes.append("it takes nothing: the library knew no repository that it matches")
        else:
            notes += _why_nothing(rule, clauses, names)
        return Preview(tuple(clauses), tuple(notes))

    async def _seen(self, registry: str) -> dict[str, dict[str, str]]:
        """The digest of each tag that was there, by repository. A clock that went back does not change the order."""
        rows = await self._database.fetch_all(
            "SELECT name, tag, digest, change FROM tag_event JOIN repository ON repository.id = tag_event.repository"
            " WHERE tag_event.id IN (SELECT max(id) FROM tag_event WHERE at <= ? GROUP BY repository, tag)"
            " AND registry = ?",
            (timestamp(self._at), registry),
        )
        seen: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["change"] != "gone" and row["digest"] is not None:
                seen.setdefault(row["name"], {})[row["tag"]] = row["digest"]
        return seen

    async def _known_traits(self, registry: str) -> dict[str, ImageTraits]:
        rows = await self._database.fetch_all(
            "SELECT DISTINCT image.digest, type, image.media_type, platforms, created_at FROM tag_event"
            " JOIN repository ON repository.id = tag_event.repository JOIN image ON image.digest = tag_event.digest"
            " WHERE registry = ? AND at <= ?",
            (registry, timestamp(self._at)),
        )
        return {
            row["digest"]: ImageTraits(
                type=row["type"],
                platforms=msgspec.json.decode(row["platforms"], type=tuple[str, ...]),
                is_index=row["media_type"] in INDEX_TYPES,
                created_at=None if row["created_at"] is None else instant(row["created_at"]),
            )
            for row in rows
        }

    async def _seen_later(self, registry: str, selection: Selection) -> list[str]:
        rows = await self._database.fetch_all(
            "SELECT name, first_seen_at FROM repository WHERE registry = ? AND first_seen_at > ? ORDER BY name",
            (registry, timestamp(self._at)),
        )
        later = [row for row in rows if not selection.leaves_out(row["name"])]
        if len(later) > _MOST_NAMED:
            return [f"{len(later)} repositories were first seen after that: what they held before is not known"]
        return [
            f"{row['name']} was first seen on {row['first_seen_at'][:10]}: what it held before is not known"
            for row in later
        ]


async def _explained(selection: Selection, repository: str, tags: Iterable[str]) -> list[RuleClauseView]:
    known = list(tags)
    if len(known) > _CHOSEN_ASIDE:
        return await asyncio.to_thread(selection.explain, repository, known)
    return selection.explain(repository, known)


def _with_traits(rule: RuleConfig, clause: RuleClauseView, traits: ImageTraits | None, now: datetime) -> RuleClauseView:
    if traits is None:
        return msgspec.structs.replace(clause, clause=_NOT_LOOKED_AT)
    why = leaves_out_image(rule, traits, now)
    return msgspec.structs.replace(clause, taken=not why, clause=why or takes_clause(rule, traits))


def _why_nothing(rule: RuleConfig, clauses: Sequence[RuleClauseView], names: Sequence[str]) -> list[str]:
    """Why a rule takes nothing, in a note; none when it takes something."""
    if any(clause.taken for clause in clauses):
        return []
    if not names:
        excluded = len(clauses)
        also = f"; {excluded} more are left out by exclude_repositories" if excluded else ""
        return [f"it takes nothing: no repository matches {' '.join(rule.repositories)}{also}"]
    tags = [clause for clause in clauses if clause.tag and not is_evidence_tag(clause.tag)]
    if not tags:
        others = " and others" if len(names) > _MOST_NAMED else ""
        return [f"it takes nothing: there are no tags in {', '.join(names[:_MOST_NAMED])}{others}"]
    counted = Counter(clause.clause.partition(":")[0] for clause in tags).most_common()
    told = ", ".join(f"{key} leaves out {number}" for key, number in counted)
    return [f"it takes nothing: of {len(tags)} tags {told}"]
