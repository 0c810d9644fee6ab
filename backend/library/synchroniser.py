"""A run of one rule against one registry: list, choose, ask what each tag names, fetch what is new, write it down.

What is done is done in batches that stand by themselves, so a run may be cut off anywhere; the next one does the rest.
Runs that overlap, in this process or another, write nothing twice (`backend.library.records`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Final, TypeAlias

from backend.core.errors import ModelyardError, StoreError, UsageError
from backend.core.views import RuleClauseView, SyncProgressView, SyncResultView
from backend.library.config import RuleConfig
from backend.library.fetching import Fetcher
from backend.library.listing import Lister, Listing, preview
from backend.library.records import Observation, change_of
from backend.library.rules import ImageTraits, asks_of_images, leaves_out_image
from backend.library.runs import INTERRUPTED, RunCounts, RunName, record_end, record_start
from backend.library.sources import Account, Setting
from backend.library.tasks import in_turns, together
from backend.library.traits import known_traits, traits_of
from backend.library.writer import Changes, Writer

#: Called now and then with how far a run is, and once when it ended.
Progress: TypeAlias = Callable[[SyncProgressView], Awaitable[None]]

_TOLD_EVERY: Final = 0.1


class Synchroniser:
    """Brings the library up to date with one registry."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    async def run(
        self,
        rule: RuleConfig,
        *,
        run: str,
        dry_run: bool = False,
        allow_many: bool = False,
        progress: Progress | None = None,
    ) -> SyncResultView:
        """Run a rule once.

        Args:
            run: the run's id; several rules may share one.
            dry_run: ask the registry and write nothing.
            allow_many: take in more new tags than the rule's `max_new`.
            progress: told how far it is.

        Returns:
            what changed and what failed; a repository or tag that fails does not fail the run.

        Raises:
            UsageError: more tags are new than `max_new`, which `allow_many` was not given for; nothing was taken in.
            StoreError: the database cannot be used; what was committed before stands.
        """
        name = RunName(run=run, rule=rule.name, registry=self._setting.registry, actor=self._setting.actor)
        work = _Run(self._setting, rule, name, dry_run=dry_run, progress=progress)
        if dry_run:
            await work.execute(allow_many=True)
            return work.result()
        await record_start(self._setting.database, name, self._setting.clock.now())
        try:
            await work.execute(allow_many=allow_many)
        except UsageError as error:
            await work.record("refused", error.why)
            raise
        except asyncio.CancelledError as cancelled:
            try:
                # The one who cancels waits for this last transaction, which tells that the run is over.
                await asyncio.shield(work.record("failed", INTERRUPTED))
            except StoreError as error:
                raise cancelled from error
            raise
        except ModelyardError as error:
            await work.record("failed", error.why)
            raise
        failures = work.account.failures
        await work.record("failed" if failures else "done", failures[0].reason if failures else "")
        return work.result()

    async def preview(self, rule: RuleConfig) -> list[RuleClauseView]:
        """What would become of every tag of the repositories that the rule names or matches. Writes nothing.

        Raises:
            ModelyardError: the registry does not tell it.
        """
        return await preview(self._setting.source, rule, self._setting.concurrency)


class _Run:
    """One run and what it has found so far."""

    def __init__(
        self, setting: Setting, rule: RuleConfig, name: RunName, *, dry_run: bool, progress: Progress | None
    ) -> None:
        self.account = Account(setting.registry, setting.concurrency)
        self._setting = setting
        self._rule = rule
        self._name = name
        self._lister = Lister(setting, rule, self.account)
        self._fetcher = Fetcher(setting.source, setting.database, setting.registry)
        self._writer: Writer | None = None
        if not dry_run:
            self._writer = Writer(
                setting.database, name, host=setting.host, clock=setting.clock, recorded=setting.recorded
            )
        self._changes = Changes() if self._writer is None else self._writer.changes
        self._progress = progress
        self._began_at = setting.clock.now()
        self._began = self._told_at = setting.clock.monotonic()
        self._sent_before = (setting.source.requests, setting.source.bytes_received)
        self._facts: dict[str, asyncio.Future[ImageTraits]] = {}
        self._listed: dict[str, datetime] = {}
        self._total: int | None = None
        self._done = self._unchanged = self._skipped = 0

    async def execute(self, *, allow_many: bool) -> None:
        """Do it all.

        Raises:
            UsageError: too much is new.
            StoreError: the database cannot be used.
        """
        await self._tell("")
        listings = await self._lister.read()
        self._listed = {listing.repository: listing.at for listing in listings}
        if not allow_many:
            self._refuse_a_flood(listings)
        self._total = sum(len(listing.chosen) for listing in listings)
        if self._writer is None:
            await self._visit_all(listings)
        else:
            await together(self._writer.write_all(), self._visit_and_finish(listings, self._writer))
        self.account.close()

    async def record(self, outcome: str, reason: str) -> None:
        """Record how the run ended, and tell so."""
        result = self.result()
        counts = RunCounts(
            new=len(result.new), moved=len(result.moved), gone=len(result.gone), failed=len(result.failed),
            unchanged=result.unchanged, skipped=result.skipped, requests=result.requests, bytes=result.bytes,
        )  # fmt: skip
        await record_end(
            self._setting.database, self._name, self._setting.clock.now(), outcome=outcome, reason=reason,
            counts=counts, failures=result.failed, listed=self._listed,
        )  # fmt: skip
        await self._tell("", finished=True, error=reason)

    def result(self) -> SyncResultView:
        """What was done so far."""
        requests, received = self._sent_before
        return SyncResultView(
            run=self._name.run,
            dry_run=self._writer is None,
            new=tuple(self._changes.new),
            moved=tuple(self._changes.moved),
            gone=tuple(self._changes.gone),
            failed=tuple(self.account.failures),
            unchanged=self._unchanged + self._changes.unchanged,
            skipped=self._skipped,
            requests=self._setting.source.requests - requests,
            bytes=self._setting.source.bytes_received - received,
            seconds=self._setting.clock.monotonic() - self._began,
        )

    def _refuse_a_flood(self, listings: Iterable[Listing]) -> None:
        most = self._rule.max_new
        new = sum(tag not in listing.known for listing in listings for tag in listing.chosen)
        if most is not None and new > most:
            raise UsageError(
                f"rule {self._rule.name}",
                f"it would take in {new} new tags, more than its max_new of {most}",
                f"look at modelyard rules preview {self._rule.name}, then sync with --yes or raise max_new",
            )

    async def _visit_and_finish(self, listings: list[Listing], writer: Writer) -> None:
        await self._visit_all(listings)
        writer.finish()

    async def _visit_all(self, listings: list[Listing]) -> None:
        for listing in listings:
            for tag, known in listing.known.items():
                if not known.gone and tag not in listing.present:
                    await self._observe(listing, Observation(tag, None, listing.at))
        tags = ((listing, tag) for listing in listings for tag in listing.chosen)
        await in_turns(tags, self._setting.concurrency, self._visit)

    async def _visit(self, item: tuple[Listing, str]) -> None:
        listing, tag = item
        if self.account.dead:
            self.account.not_tried(listing.repository, 1)
            return
        try:
            await self._ask(listing, tag)
        except StoreError:
            raise
        except ModelyardError as error:
            self.account.failed(listing.repository, tag, error)
        self._done += 1
        now = self._setting.clock.monotonic()
        if now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            await self._tell(listing.repository)

    async def _ask(self, listing: Listing, tag: str) -> None:
        at = self._setting.clock.now()
        digest = (await self._setting.source.resolve(listing.repository, tag)).digest
        self.account.answered()
        known = listing.known.get(tag)
        if known is not None and known.digest == digest and not known.gone:
            self._unchanged += 1
        elif await self._takes(listing.repository, tag, digest, is_known=known is not None):
            await self._observe(listing, Observation(tag, digest, at))
        else:
            self._skipped += 1

    async def _observe(self, listing: Listing, seen: Observation) -> None:
        if self._writer is not None:
            await self._writer.add_observation(listing.repository, seen)
        elif change := change_of(listing.known.get(seen.tag), seen):
            self._changes.add(change, change.entry(self._name.registry, listing.repository))

    async def _takes(self, repository: str, tag: str, digest: str, *, is_known: bool) -> bool:
        """Whether the rule takes what a tag names. A tag of the library that moved is always told of."""
        if self._writer is None and not asks_of_images(self._rule):
            return True
        traits = await self._facts_of(repository, tag, digest)
        return is_known or not leaves_out_image(self._rule, traits, self._began_at)

    async def _facts_of(self, repository: str, tag: str, digest: str) -> ImageTraits:
        """What a digest is; asked once a run, however many tags name it."""
        if (asked := self._facts.get(digest)) is not None:
            return await asyncio.shield(asked)
        future: asyncio.Future[ImageTraits] = asyncio.get_running_loop().create_future()
        self._facts[digest] = future
        try:
            facts = await self._find_out(repository, tag, digest)
        except ModelyardError as error:
            future.set_exception(error)
            future.exception()  # Marks it as seen: it is raised here, and maybe nobody else asks.
            raise
        except BaseException:
            future.cancel()
            raise
        future.set_result(facts)
        return facts

    async def _find_out(self, repository: str, tag: str, digest: str) -> ImageTraits:
        known = await known_traits(self._setting.database, digest, self._rule.platforms)
        if known is not None:
            return known
        records = await self._fetcher.image(repository, digest, tags=(tag,), platforms=self._rule.platforms)
        if self._writer is not None:
            await self._writer.add_images(records)
        return traits_of(records[-1])

    async def _tell(self, repository: str, *, finished: bool = False, error: str = "") -> None:
        if self._progress is None:
            return
        await self._progress(
            SyncProgressView(
                run=self._name.run, rule=self._name.rule, repository=repository, done=self._done, total=self._total,
                new=len(self._changes.new), moved=len(self._changes.moved), gone=len(self._changes.gone),
                failed=len(self.account.failures), finished=finished, error=error,
            )
        )  # fmt: skip
