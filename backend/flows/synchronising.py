"""Synchronisation as commands and screen know it: runs of rules, together and on schedule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from backend.core.actors import WORKER, Actor
from backend.core.errors import (
    ConflictError,
    InterruptedByUserError,
    ModelyardError,
    StoreError,
    UnreachableError,
    UsageError,
)
from backend.core.events import LibraryChanged, QueueChanged, SyncProgressed, Topic
from backend.core.permits import Permit
from backend.core.views import RunView, SyncEntryView, SyncFailureView, SyncProgressView, SyncResultView
from backend.curation.submissions import submit_many
from backend.evidence.facts import ImageFacts
from backend.flows.foundation import Foundation
from backend.flows.rules import author_of, chosen_rules
from backend.library.config import RuleConfig
from backend.library.processes import this_process
from backend.library.run_views import list_runs, one_run, run_id
from backend.library.runs import stopped_by
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.library.tasks import together
from backend.store import ledger
from backend.store.connection import Transaction

_Evaluate = Callable[[], Awaitable[int]]
#: Seconds after which a run notices that somebody, in whatever process, asked it to end.
_LOOK_EVERY: Final = 0.5
CANCEL: Final = "library.cancel"


class SynchroniseFlow:
    """Brings the library up to date with its registries."""

    def __init__(self, foundation: Foundation, evaluate: _Evaluate) -> None:
        """
        Args:
            evaluate: collects evidence on what a synchronisation brought in.
        """
        self._foundation = foundation
        self._evaluate = evaluate

    async def synchronise(
        self,
        rule: str | None = None,
        dry_run: bool = False,
        allow_many: bool = False,
        evaluate: bool = True,
    ) -> SyncResultView:
        """Run one rule, or all that are enabled.

        Args:
            allow_many: take in more new tags than a rule's `max_new`.
            evaluate: collect evidence on what is new afterwards.

        Raises:
            NotFoundError: there is no rule of that name. UsageError: no rule is configured, or one takes in too much.
            RefusedError: read-only, or the role is missing.
        """
        rules = chosen_rules(self._foundation.rules.rules, rule)
        if dry_run:
            return await self._run(rules, WORKER, dry_run=True, allow_many=True)

        async def action(permit: Permit) -> SyncResultView:
            permit.spend("library.synchronise")
            return await self._run(rules, permit.actor, dry_run=False, allow_many=allow_many)

        names = ", ".join(one.name for one in rules)
        result = await self._foundation.gate.run("library.synchronise", f"rules {names}", action)
        if evaluate:
            await self._evaluate()
        return result

    async def synchronise_as_worker(self, rule: RuleConfig) -> SyncResultView:
        """Run a rule on schedule.

        Raises:
            ReadOnlyError: the yard was opened read-only.
        """

        async def action(permit: Permit) -> SyncResultView:
            permit.spend("library.synchronise")
            return await self._run([rule], permit.actor, dry_run=False, allow_many=False)

        return await self._foundation.gate.run("library.synchronise", f"rule {rule.name}", action, as_worker=True)

    async def cancel(self, run: str) -> RunView:
        """Ask a run to end, whichever process it is in; what it recorded stays, and the next run goes on with it.

        Args:
            run: its id, or the beginning of it.

        Returns:
            the run; it ends within a second.

        Raises:
            NotFoundError: no run of that id is kept. ConflictError: it has ended.
            RefusedError: read-only, or the role is missing.
        """
        full = await run_id(self._foundation.database, run)

        async def action(permit: Permit) -> None:
            permit.spend(CANCEL)
            if (await one_run(self._foundation.database, full)).outcome != "running":
                raise ConflictError(f"run {full}", "it has ended", "see modelyard runs show")
            async with self._foundation.database.transaction() as transaction:
                await transaction.execute(
                    "UPDATE sync_run SET stopped_by = ? WHERE run = ? AND finished_at IS NULL",
                    (permit.actor.name, full),
                )
                await ledger.append(
                    transaction, at=self._foundation.clock.now(), actor=permit.actor, action=CANCEL,
                    object=f"run {full}", outcome="done", detail={},
                )  # fmt: skip

        await self._foundation.gate.run(CANCEL, f"run {full}", action)
        return await one_run(self._foundation.database, full)

    # ------------------------------------------------------------ looking

    async def runs(self, limit: int = 50) -> list[RunView]:
        """The last runs, newest first, without their journals."""
        return await list_runs(self._foundation.database, limit)

    async def run(self, run: str) -> RunView:
        """A run with its journal, a line a repository.

        Args:
            run: its id, or the beginning of it.

        Raises:
            NotFoundError: no run of that id is kept. UsageError: it is too short, or several begin so.
        """
        return await one_run(self._foundation.database, run)

    # ------------------------------------------------------------ running

    async def _run(
        self, rules: Sequence[RuleConfig], actor: Actor, *, dry_run: bool, allow_many: bool
    ) -> SyncResultView:
        """Run rules together, those of one registry one after the other. One that fails as a whole fails no other."""
        run = self._foundation.ids.new_id()
        process = await asyncio.to_thread(this_process)
        by_registry: dict[str, list[RuleConfig]] = {}
        for rule in rules:
            by_registry.setdefault(rule.registry, []).append(rule)
        results: list[SyncResultView] = []
        errors: list[tuple[RuleConfig, ModelyardError]] = []

        async def of_registry(of_one: Sequence[RuleConfig]) -> None:
            for rule in of_one:
                try:
                    results.append(
                        await self._run_one(rule, actor, run, process, dry_run=dry_run, allow_many=allow_many)
                    )
                except StoreError:
                    raise
                except ModelyardError as error:
                    errors.append((rule, error))

        try:
            async with self._until_stopped(run, dry_run=dry_run):
                await together(*(of_registry(of_one) for of_one in by_registry.values()))
        finally:
            if not dry_run:
                self._foundation.hub.publish(Topic.LIBRARY, LibraryChanged())
                self._foundation.hub.publish(Topic.QUEUE, QueueChanged())
        if errors and not results:
            raise errors[0][1]
        # A dry run is not kept: nothing could be asked about it by its id.
        return _summed("" if dry_run else run, dry_run, results, errors)

    async def _run_one(
        self, rule: RuleConfig, actor: Actor, run: str, process: str, *, dry_run: bool, allow_many: bool
    ) -> SyncResultView:
        async def progress(view: SyncProgressView) -> None:
            self._foundation.hub.publish(Topic.SYNC, SyncProgressed(key=f"{view.run}/{view.rule}", progress=view))

        result = await Synchroniser(await self._setting(rule, actor, process)).run(
            rule, run=run, dry_run=dry_run, allow_many=allow_many, progress=progress
        )
        self._foundation.registries.heard(rule.registry, _lost(rule.registry, result))
        return result

    @contextlib.asynccontextmanager
    async def _until_stopped(self, run: str, *, dry_run: bool) -> AsyncIterator[None]:
        """Cancel what is done in the block when somebody asks the run to end.

        Raises:
            InterruptedByUserError: somebody did.
        """
        if dry_run:
            yield
            return
        work = asyncio.current_task()
        stopper = ""

        async def watch() -> None:
            nonlocal stopper
            while not stopper:
                await asyncio.sleep(_LOOK_EVERY)
                with contextlib.suppress(StoreError):
                    stopper = await stopped_by(self._foundation.database, run)
            if work is not None:
                work.cancel()

        watching = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if not stopper or work is None or work.uncancel() > 0:
                raise
            raise InterruptedByUserError(f"run {run[:12]}", f"{stopper} stopped it") from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _setting(self, rule: RuleConfig, actor: Actor, process: str) -> Setting:
        foundation = self._foundation
        config = foundation.registries.config(rule.registry)
        author = await author_of(foundation.database, rule)

        async def submit(transaction: Transaction, entries: Sequence[SyncEntryView]) -> None:
            """Put what a run took in before gates and people, in the transaction that takes it in."""
            facts = [
                ImageFacts(
                    digest=entry.digest, registry=entry.registry, host=config.host, repository=entry.repository,
                    tags=(entry.tag,), rules=(rule.name,),
                )
                for entry in entries
            ]  # fmt: skip
            await submit_many(
                transaction, facts, actor=WORKER, at=foundation.clock.now(), rule=rule.name, rule_author=author
            )

        return Setting(
            database=foundation.database,
            source=foundation.registries.client(rule.registry),
            registry=config.name,
            host=config.host,
            clock=foundation.clock,
            actor=actor,
            concurrency=config.max_concurrency,
            process=process,
            recorded=submit,
        )


def _lost(registry: str, result: SyncResultView) -> ModelyardError | None:
    """Why nothing of a registry could be reached, or None when something could."""
    reached = bool(result.new or result.moved or result.gone or result.unchanged)
    unreachable = [failure for failure in result.failed if failure.unreachable]
    if reached or not unreachable:
        return None
    return UnreachableError(f"registry {registry}", unreachable[0].reason, "run modelyard doctor")


def _summed(
    run: str,
    dry_run: bool,
    results: Sequence[SyncResultView],
    errors: Sequence[tuple[RuleConfig, ModelyardError]],
) -> SyncResultView:
    """The results of several rules as one; an image that two rules take in is told of once."""

    def joined(name: str) -> tuple[SyncEntryView, ...]:
        return tuple(dict.fromkeys(entry for result in results for entry in getattr(result, name)))

    failed: tuple[SyncFailureView, ...] = tuple(
        dict.fromkeys(failure for result in results for failure in result.failed)
    )
    failed += tuple(
        SyncFailureView(
            registry=rule.registry, repository="", tag="", reason=f"rule {rule.name}: {error.why}",
            unreachable=isinstance(error, UnreachableError), misconfigured=isinstance(error, UsageError),
            action=error.action,
        )
        for rule, error in errors
    )  # fmt: skip
    return SyncResultView(
        run=run,
        dry_run=dry_run,
        new=joined("new"),
        moved=joined("moved"),
        gone=joined("gone"),
        failed=failed,
        unchanged=sum(result.unchanged for result in results),
        skipped=sum(result.skipped for result in results),
        requests=sum(result.requests for result in results),
        bytes=sum(result.bytes for result in results),
        seconds=max((result.seconds for result in results), default=0.0),
        resumed_from=next((result.resumed_from for result in results if result.resumed_from), ""),
        resumed=sum(result.resumed for result in results),
    )
