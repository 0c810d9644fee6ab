"""A run of one rule against one registry: list, choose, ask what each tag names, fetch what is new, write it down.

What is done is done in batches that stand by themselves, so a run may be cut off anywhere; the next one goes on where
it was. Runs that overlap, in this process or another, write nothing twice (`backend.library.records`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Final, TypeAlias

from backend.core.canonical import hash_of
from backend.core.errors import ModelyardError, NotFoundError, StoreError, TooManyNewError, UsageError
from backend.core.views import SyncProgressView, SyncResultView
from backend.library.config import RuleConfig
from backend.library.examiner import Examiner
from backend.library.journal import Journal
from backend.library.listing import Lister, Listing
from backend.library.pace import Pace
from backend.library.records import Observation, change_of
from backend.library.redescribing import describe_again
from backend.library.rules import asks_of_images, choosing_hash, leaves_out_image
from backend.library.runs import INTERRUPTED, Resumed, RunCounts, RunName, record_end, record_start
from backend.library.sources import Account, Setting
from backend.library.tasks import in_turns, together
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
        """Run a rule once, going on with a run of it that was cut off within the last hour.

        Args:
            run: the run's id; several rules may share one.
            dry_run: ask the registry and write nothing.
            allow_many: take in more new tags than the rule's `max_new`; a run that goes on with one that had this
                leave has it too.
            progress: told how far it is.

        Returns:
            what changed and what failed; a repository or tag that fails does not fail the run.

        Raises:
            UsageError: more tags are new than `max_new`, which `allow_many` was not given for; nothing was taken in.
            StoreError: the database cannot be used; what was committed before stands.
        """
        setting = self._setting
        name = RunName(
            run=run, rule=rule.name, registry=setting.registry, actor=setting.actor, process=setting.process,
            rule_hash=hash_of([choosing_hash(rule), setting.registry, setting.host]),
        )  # fmt: skip
        if dry_run:
            work = _Run(setting, rule, name, Resumed(allowed=True), dry_run=True, progress=progress)
            await work.execute()
            return work.result()
        await describe_again(setting.database)
        resumed = await record_start(setting.database, name, setting.clock.now(), allowed=allow_many)
        work = _Run(setting, rule, name, resumed, dry_run=False, progress=progress)
        await _recorded(work)
        return work.result()


async def _recorded(work: _Run) -> None:
    """Do the work, and record how it ended.

    Raises:
        ModelyardError: it failed as a whole.
    """
    try:
        await work.execute()
    except UsageError as error:
        await work.record("refused", error.why)
        raise
    except asyncio.CancelledError as cancelled:
        try:
            # The one who cancels waits for these last transactions, which keep what is there and tell that it is over.
            await asyncio.shield(work.end_early())
        except StoreError as error:
            raise cancelled from error
        raise
    except ModelyardError as error:
        await work.record("failed", error.why)
        raise
    failures, result = work.account.failures, work.result()
    reached = result.new or result.moved or result.gone or result.unchanged
    await work.record("failed" if failures and not reached else "done", failures[0].reason if failures else "")


class _Run:
    """One run and what it has found so far."""

    def __init__(
        self,
        setting: Setting,
        rule: RuleConfig,
        name: RunName,
        resumed: Resumed,
        *,
        dry_run: bool,
        progress: Progress | None,
    ) -> None:
        self._journal = Journal(setting.clock)
        self.account = Account(setting.registry, setting.concurrency, self._journal)
        self._setting = setting
        self._rule = rule
        self._name = name
        self._resumed = resumed
        self._lister = Lister(setting, rule, self.account, self._journal)
        self._writer: Writer | None = None
        if not dry_run:
            self._writer = Writer(
                setting.database, name, host=setting.host, clock=setting.clock, journal=self._journal,
                recorded=setting.recorded,
            )  # fmt: skip
        self._examiner = Examiner(setting, rule, self._writer)
        self._changes = Changes() if self._writer is None else self._writer.changes
        self._progress = progress
        self._pace = Pace()
        self._began_at = setting.clock.now()
        self._began = self._told_at = setting.clock.monotonic()
        self._listed: dict[str, datetime] = {}
        self._missing: dict[str, list[tuple[Listing, str, NotFoundError]]] = {}
        self._total: int | None = None
        self._done = self._unchanged = self._skipped = self._resumed_tags = 0
        self._over = False

    async def execute(self) -> None:
        """Do it all.

        Raises:
            UsageError: too much is new.
            StoreError: the database cannot be used.
        """
        await self._tell("")
        listings = await self._lister.read()
        self._listed = {listing.repository: listing.at for listing in listings}
        waiting = [(listing, tag) for listing in listings for tag in self._not_asked(listing)]
        if not self._resumed.allowed:
            self._refuse_a_flood(waiting)
        self._total = sum(len(listing.chosen) for listing in listings)
        self._done = self._total - len(waiting)
        self._pace.mark(self._setting.clock.monotonic(), self._done)
        if self._writer is None:
            await self._visit_all(listings, waiting)
        else:
            await together(self._writer.write_all(), self._visit_and_finish(listings, waiting, self._writer))
        self.account.close()
        self._over = not self.account.dead

    async def end_early(self) -> None:
        """Write what was found and not written yet, and record that the run was cut off."""
        if self._writer is not None:
            await self._writer.write_rest()
        await self.record("interrupted", INTERRUPTED)

    async def record(self, outcome: str, reason: str) -> None:
        """Record how the run ended, and tell so."""
        result = self.result()
        self._journal.close()
        counts = RunCounts(
            new=len(result.new), moved=len(result.moved), gone=len(result.gone), failed=len(result.failed),
            unchanged=result.unchanged, skipped=result.skipped, requests=result.requests, bytes=result.bytes,
            seconds=result.seconds, resumed=result.resumed,
        )  # fmt: skip
        reason = await record_end(
            self._setting.database, self._name, self._setting.clock.now(), outcome=outcome, reason=reason,
            counts=counts, lines=self._journal.rows(), failures=result.failed, listed=self._listed,
            resumable=not self._over,
        )  # fmt: skip
        await self._tell("", finished=True, error=reason)

    def result(self) -> SyncResultView:
        """What was done so far."""
        usage = self._journal.total()
        return SyncResultView(
            run=self._name.run,
            dry_run=self._writer is None,
            new=tuple(self._changes.new),
            moved=tuple(self._changes.moved),
            gone=tuple(self._changes.gone),
            failed=tuple(self.account.failures),
            unchanged=self._unchanged + self._changes.unchanged,
            skipped=self._skipped,
            requests=usage.requests,
            bytes=usage.bytes,
            seconds=self._setting.clock.monotonic() - self._began,
            resumed_from=self._resumed.run,
            resumed=self._resumed_tags,
        )

    def _not_asked(self, listing: Listing) -> list[str]:
        """The chosen tags of a repository that the run which this one goes on with had not dealt with."""
        asked = self._resumed.asked.get(listing.repository, ())
        if not asked:
            return list(listing.chosen)
        line = self._journal.note(listing.repository)
        rest: list[str] = []
        passed_over = 0
        for tag in listing.chosen:
            known = listing.known.get(tag)
            if tag not in asked or (known is not None and known.gone):
                rest.append(tag)
            elif known is None:
                passed_over += 1
            else:
                self._unchanged += 1
                line.settle("unchanged")
        self._skipped += passed_over
        if passed_over:
            line.settle("skipped", passed_over)
            line.add_reason("", f"{passed_over} left out by run {self._resumed.run}, which this one goes on with")
        line.resumed = len(listing.chosen) - len(rest)
        self._resumed_tags += line.resumed
        return rest

    def _refuse_a_flood(self, waiting: Iterable[tuple[Listing, str]]) -> None:
        most = self._rule.max_new
        new = sum(tag not in listing.known for listing, tag in waiting)
        if most is not None and new > most:
            raise TooManyNewError(
                f"rule {self._rule.name}",
                f"it would take in {new} new tags, more than its max_new of {most}",
                f"look at modelyard rules preview {self._rule.name}, then sync with --yes or raise max_new",
            )

    async def _visit_and_finish(
        self, listings: list[Listing], waiting: list[tuple[Listing, str]], writer: Writer
    ) -> None:
        await self._visit_all(listings, waiting)
        writer.finish()

    async def _visit_all(self, listings: list[Listing], waiting: list[tuple[Listing, str]]) -> None:
        for listing in listings:
            for tag in listing.gone:
                await self._observe(listing, Observation(tag, None, listing.at))
        await in_turns(waiting, self._setting.concurrency, self._visit)
        await in_turns(self._missing, self._setting.concurrency, self._list_again)

    async def _visit(self, item: tuple[Listing, str]) -> None:
        listing, tag = item
        if self.account.gives_up_on(listing.repository):
            self.account.not_tried(listing.repository, 1)
            return
        self._journal.at(listing.repository)
        try:
            await self._ask(listing, tag)
        except StoreError:
            raise
        except NotFoundError as error:
            self.account.answered(listing.repository)
            self._missing.setdefault(listing.repository, []).append((listing, tag, error))
        except ModelyardError as error:
            self.account.failed(listing.repository, tag, error)
        self._done += 1
        now = self._setting.clock.monotonic()
        self._journal.at(listing.repository)
        if now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            self._pace.mark(now, self._done)
            await self._tell(listing.repository)

    async def _ask(self, listing: Listing, tag: str) -> None:
        at = self._setting.clock.now()
        digest = await self._digest(listing, tag)
        known = listing.known.get(tag)
        if known is not None and known.digest == digest and not known.gone:
            self._settle_without_change(listing, tag, "unchanged")
            return
        try:
            clause = await self._clause(listing, tag, digest)
        except NotFoundError:
            # A tag that moved while it was read: what it named may have been collected as garbage since.
            at, before = self._setting.clock.now(), digest
            digest = await self._digest(listing, tag)
            if digest == before:
                raise
            clause = await self._clause(listing, tag, digest)
        if clause:
            self._journal.note(listing.repository).add_reason(tag, clause)
            self._settle_without_change(listing, tag, "skipped")
        else:
            await self._observe(listing, Observation(tag, digest, at))

    async def _digest(self, listing: Listing, tag: str) -> str:
        digest = (await self._setting.source.resolve(listing.repository, tag)).digest
        self.account.answered(listing.repository)
        return digest

    async def _clause(self, listing: Listing, tag: str, digest: str) -> str:
        """Why the rule does not take what a tag names; empty: it does. Of the library's tags every move is told."""
        if self._writer is None and not asks_of_images(self._rule):
            return ""
        traits = await self._examiner.traits(listing.repository, tag, digest)
        return "" if tag in listing.known else leaves_out_image(self._rule, traits, self._began_at)

    def _settle_without_change(self, listing: Listing, tag: str, kind: str) -> None:
        if kind == "unchanged":
            self._unchanged += 1
        else:
            self._skipped += 1
        self._journal.note(listing.repository).settle(kind)
        if self._writer is not None:
            self._writer.deal_with(listing.repository, tag)

    async def _observe(self, listing: Listing, seen: Observation) -> None:
        if self._writer is not None:
            await self._writer.add_observation(listing.repository, seen)
        elif change := change_of(listing.known.get(seen.tag), seen):
            self._changes.add(change, change.entry(self._name.registry, listing.repository))

    async def _list_again(self, repository: str) -> None:
        """Tags of the list that were not there when they were asked for: they went meanwhile, or they are broken."""
        missing = self._missing[repository]
        self._journal.at(repository)
        at = self._setting.clock.now()
        try:
            there = set(await self._setting.source.tags(repository))
        except StoreError:
            raise
        except ModelyardError:
            there = {tag for _, tag, _ in missing}
        for listing, tag, error in missing:
            known = listing.known.get(tag)
            if tag in there:
                self.account.failed(repository, tag, error)
            elif known is not None and not known.gone:
                await self._observe(listing, Observation(tag, None, at))
            else:
                self._journal.note(repository).add_reason(tag, "it went while the registry was read")
                self._settle_without_change(listing, tag, "skipped")

    async def _tell(self, repository: str, *, finished: bool = False, error: str = "") -> None:
        if self._progress is None:
            return
        usage = self._journal.total()
        await self._progress(
            SyncProgressView(
                run=self._name.run, rule=self._name.rule, repository=repository, done=self._done, total=self._total,
                new=len(self._changes.new), moved=len(self._changes.moved), gone=len(self._changes.gone),
                failed=len(self.account.failures), finished=finished, error=error, requests=usage.requests,
                bytes=usage.bytes, rate=self._pace.rate,
                remaining=0.0 if finished else self._pace.remaining(self._total),
            )
        )  # fmt: skip
