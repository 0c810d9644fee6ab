"""Synchronisation as commands and screen know it: runs of rules, together and on schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from backend.core.actors import WORKER, Actor
from backend.core.errors import ModelyardError, UnreachableError
from backend.core.events import LibraryChanged, QueueChanged, SyncProgressed, Topic
from backend.core.permits import Permit
from backend.core.views import SyncEntryView, SyncFailureView, SyncProgressView, SyncResultView
from backend.curation import store as curation_store
from backend.evidence.facts import ImageFacts
from backend.flows.foundation import Foundation
from backend.flows.rules import chosen_rules
from backend.library.config import RuleConfig
from backend.library.sources import Setting
from backend.library.synchroniser import Synchroniser
from backend.store.connection import Transaction

_Evaluate = Callable[[], Awaitable[int]]


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

    # ------------------------------------------------------------ running

    def _synchroniser(self, rule: RuleConfig, actor: Actor) -> Synchroniser:
        foundation = self._foundation
        config = foundation.registries.config(rule.registry)
        setting = Setting(
            database=foundation.database,
            source=foundation.registries.client(rule.registry),
            registry=config.name,
            host=config.host,
            clock=foundation.clock,
            actor=actor,
            concurrency=config.max_concurrency,
            recorded=lambda transaction, entries: self._submit(transaction, rule, config.host, entries),
        )
        return Synchroniser(setting)

    async def _submit(
        self, transaction: Transaction, rule: RuleConfig, host: str, entries: Sequence[SyncEntryView]
    ) -> None:
        """Put what a run took in before gates and people, in the transaction that takes it in."""
        at = self._foundation.clock.now()
        for entry in entries:
            facts = ImageFacts(
                digest=entry.digest,
                registry=entry.registry,
                host=host,
                repository=entry.repository,
                tags=(entry.tag,),
                rules=(rule.name,),
            )
            await curation_store.submit(transaction, facts, actor=WORKER, at=at, rule=rule.name)

    async def _run(
        self, rules: Sequence[RuleConfig], actor: Actor, *, dry_run: bool, allow_many: bool
    ) -> SyncResultView:
        """Run rules together, those of one registry one after the other."""
        run = self._foundation.ids.new_id()
        by_registry: dict[str, list[RuleConfig]] = {}
        for rule in rules:
            by_registry.setdefault(rule.registry, []).append(rule)

        async def of_registry(of_one: Sequence[RuleConfig]) -> list[SyncResultView]:
            return [await self._run_one(rule, actor, run, dry_run=dry_run, allow_many=allow_many) for rule in of_one]

        try:
            grouped = await asyncio.gather(*(of_registry(of_one) for of_one in by_registry.values()))
        finally:
            if not dry_run:
                self._foundation.hub.publish(Topic.LIBRARY, LibraryChanged())
                self._foundation.hub.publish(Topic.QUEUE, QueueChanged())
        return _summed(run, dry_run, [result for results in grouped for result in results])

    async def _run_one(
        self, rule: RuleConfig, actor: Actor, run: str, *, dry_run: bool, allow_many: bool
    ) -> SyncResultView:
        async def progress(view: SyncProgressView) -> None:
            self._foundation.hub.publish(Topic.SYNC, SyncProgressed(key=f"{view.run}/{view.rule}", progress=view))

        result = await self._synchroniser(rule, actor).run(
            rule, run=run, dry_run=dry_run, allow_many=allow_many, progress=progress
        )
        self._foundation.registries.heard(rule.registry, _lost(rule.registry, result))
        return result


def _lost(registry: str, result: SyncResultView) -> ModelyardError | None:
    """Why nothing of a registry could be reached, or None when something could."""
    reached = bool(result.new or result.moved or result.gone or result.unchanged)
    unreachable = [failure for failure in result.failed if failure.unreachable]
    if reached or not unreachable:
        return None
    return UnreachableError(f"registry {registry}", unreachable[0].reason, "run modelyard doctor")


def _summed(run: str, dry_run: bool, results: Sequence[SyncResultView]) -> SyncResultView:
    """The results of several rules as one; an image that two rules take in is told of once."""

    def joined(name: str) -> tuple[SyncEntryView, ...]:
        return tuple(dict.fromkeys(entry for result in results for entry in getattr(result, name)))

    failed: tuple[SyncFailureView, ...] = tuple(
        dict.fromkeys(failure for result in results for failure in result.failed)
    )
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
    )
