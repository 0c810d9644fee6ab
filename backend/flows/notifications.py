"""Tells people outside of the screen what waits for them: once a yard, by whoever holds its lease.

What there is to tell is derived from candidates and decisions, and kept before anything is sent, so nothing is told
twice after a restart, and nothing is lost with a process. An attempt that fails is repeated within seconds, then after
minutes and hours, at most for two days; until it succeeds, `doctor` and the title bar tell. A receiver may see a notice
twice where the process ended between its receipt and our note of it: the delivery's id is the same then.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import stamina
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

from backend.core.errors import ModelyardError, UnreachableError
from backend.core.events import SourceChanged, Topic
from backend.core.text import sanitise
from backend.core.views import CheckView, SourceState, SourceView
from backend.curation import notice_store, notices
from backend.curation.candidates import fetch_queue, read_queue
from backend.curation.curated import standings_of
from backend.curation.notice_store import Delivery, TargetState
from backend.curation.notify_config import CommandTarget, NoticeKind, Target
from backend.flows.foundation import Foundation
from backend.flows.notify_command import start
from backend.telemetry import alert_notices, alert_store

_LOG = logging.getLogger(__name__)
_LOOK_EVERY: Final = 2.0
#: While the ledger grows all the time, not every entry is worth reading the whole queue.
_LOOK_AGAIN_AFTER: Final = 5.0
#: Time alone makes approvals end soon, without an entry in the ledger.
_LOOK_ANYWAY_EVERY: Final = 60.0
_ATTEMPTS: Final = 3
#: After so many failed rounds of attempts the next comes so much later; after the last it is given up.
_LATER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720, 1440))
_TOLD: Final = 300
#: That an alert was over longer ago than this is told nobody.
_OVER_IS_NEWS: Final = timedelta(days=1)

# What stamina would look for at the first retry, an import of prometheus_client among it, has no place on the loop.
set_on_retry_hooks([LoggingOnRetryHook])


class Notifications:
    """Finds what is new, keeps it, and sends it to the configured targets."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        config = foundation.configuration.settings.notify
        self._targets: dict[str, Target] = dict(zip(config.names(), config.target, strict=True))
        self._seen: tuple[int, float] | None = None

    # ------------------------------------------------------------ looking

    async def checks(self) -> list[CheckView]:
        """A line of `doctor` for each target.

        Raises:
            StoreError: of its kind.
        """
        if not self._targets:
            return []
        known = await notice_store.states(self._foundation.database)
        return [_check(name, target, known.get(name)) for name, target in self._targets.items()]

    async def sources(self) -> tuple[SourceView, ...]:
        """Targets that cannot be told now, for the title bar.

        Raises:
            StoreError: of its kind.
        """
        if not self._targets:
            return ()
        known = await notice_store.states(self._foundation.database)
        return tuple(
            _source(name, SourceState.LOST, state.attempted_at, state.error)
            for name, state in known.items()
            if name in self._targets and state.error
        )

    # ------------------------------------------------------------ telling

    async def run(self, may: Callable[[], bool]) -> None:
        """Tell, until cancelled, while `may` says that it is ours to do."""
        while self._targets:
            if may():
                try:
                    await self.round()
                except ModelyardError as error:
                    _LOG.warning("notifications: %s", error)
                except Exception:
                    # Nobody waits for this task: it goes on, and says what went wrong.
                    _LOG.exception("notifications failed unexpectedly")
            await asyncio.sleep(_LOOK_EVERY)

    async def round(self) -> None:
        """Keep what is new, and send what is due.

        Raises:
            StoreError: of its kind; what could not be sent is no error here.
        """
        if await self._should_look():
            await self._look()
        foundation = self._foundation
        now = foundation.clock.now()
        by_target: dict[str, list[Delivery]] = {}
        for delivery in await notice_store.due(foundation.database, list(self._targets), now):
            by_target.setdefault(delivery.target, []).append(delivery)
        if by_target:
            # A target that does not answer keeps no other waiting.
            await asyncio.gather(*(self._deliver_all(each) for each in by_target.values()))

    async def _should_look(self) -> bool:
        foundation = self._foundation
        row = await foundation.database.fetch_one("SELECT max(seq) AS seq FROM ledger")
        head, at = int(row["seq"] or 0) if row is not None else 0, foundation.clock.monotonic()
        if self._seen is not None:
            pause = _LOOK_ANYWAY_EVERY if self._seen[0] == head else _LOOK_AGAIN_AFTER
            if at - self._seen[1] < pause:
                return False
        self._seen = (head, at)
        return True

    async def _look(self) -> None:
        foundation = self._foundation
        now = foundation.clock.now()
        rows = await fetch_queue(foundation.database, evidence=False)
        settings = foundation.configuration.settings
        policy_hash = foundation.policy.hash

        def found() -> list[notices.Item]:
            candidates = read_queue(rows).candidates
            current = standings_of(candidates, policy_hash, now)
            return notices.items(candidates, current, now=now, expiring=settings.notify.expiring)

        items = await asyncio.to_thread(found)
        told = await notice_store.told(foundation.database)
        alerts = await alert_store.views(foundation.database, now, resolved_since=now - _OVER_IS_NEWS)
        items += alert_notices.items(alerts, told)
        if not items:
            return
        async with foundation.database.transaction() as transaction:
            told = await notice_store.told(transaction)
            new_id = [foundation.ids.new_id() for _ in NoticeKind]
            for notice in notices.notices(items, told, yard=settings.yard.name, now=now, new_id=new_id):
                wanting = [name for name, target in self._targets.items() if target.wants(notice.kind)]
                await notice_store.record(transaction, notice, wanting)

    async def _deliver_all(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if not await self._deliver(delivery):
                # The next would fail alike; they are due again with the one that failed, or after it.
                return

    async def _deliver(self, delivery: Delivery) -> bool:
        """Try one delivery; whether the target has it now."""
        foundation = self._foundation
        target = self._targets[delivery.target]
        now = foundation.clock.now()
        # As long as all attempts may take, and time to note how they ended.
        taken_until = now + _ATTEMPTS * target.limit + timedelta(minutes=1)
        async with foundation.database.transaction() as transaction:
            if not await notice_store.claim(transaction, delivery, now, taken_until):
                return True
        try:
            await self._attempt(target, delivery)
        except Exception as error:
            if not isinstance(error, ModelyardError):
                _LOG.exception("notice %s to %s failed unexpectedly", delivery.notice, delivery.target)
            await self._failed(delivery, error)
            return False
        async with foundation.database.transaction() as transaction:
            await notice_store.sent(transaction, delivery)
        if delivery.attempts:
            self._tell_source(delivery.target, SourceState.LIVE, "")
        return True

    async def _attempt(self, target: Target, delivery: Delivery) -> None:
        async for attempt in stamina.retry_context(
            on=UnreachableError, attempts=_ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=5.0, wait_jitter=0.5
        ):
            with attempt:
                await self._send(target, delivery)

    async def _send(self, target: Target, delivery: Delivery) -> None:
        configuration = self._foundation.configuration
        if isinstance(target, CommandTarget):
            await start(target, delivery, configuration.folder)
            return
        purpose = f"webhook {delivery.target}"
        secret = ""
        if target.secret is not None:
            secret = await asyncio.to_thread(target.secret.read, configuration.folder, purpose)
        url = await asyncio.to_thread(target.address, configuration.folder, purpose)
        limit = target.limit.total_seconds()
        # What speaks HTTP takes ten megabytes, and many yards tell nobody by it.
        sending = await asyncio.to_thread(importlib.import_module, "backend.flows.notify_webhook")
        await sending.post(url, delivery, secret=secret, limit=limit, now=self._foundation.clock.now())

    async def _failed(self, delivery: Delivery, error: Exception) -> None:
        told = (
            f"{error.what}: {error.why}" if isinstance(error, ModelyardError) else f"unexpected {type(error).__name__}"
        )
        why = sanitise(told, _TOLD)
        next_at: datetime | None = None
        if delivery.attempts < len(_LATER):
            next_at = self._foundation.clock.now() + _LATER[delivery.attempts]
        _LOG.warning("notice %s to %s: %s%s", delivery.notice, delivery.target, why, "" if next_at else "; given up")
        async with self._foundation.database.transaction() as transaction:
            await notice_store.failed(transaction, delivery, why, next_at)
        self._tell_source(delivery.target, SourceState.LOST, why)

    def _tell_source(self, name: str, state: SourceState, detail: str) -> None:
        source = _source(name, state, self._foundation.clock.now(), detail)
        self._foundation.hub.publish(Topic.SOURCES, SourceChanged(key=source.name, source=source))


def _source(name: str, state: SourceState, at: datetime | None, detail: str) -> SourceView:
    return SourceView(name=f"notify {name}", kind="notify", state=state, as_of=at, detail=detail)


def _check(name: str, target: Target, state: TargetState | None) -> CheckView:
    asked = ", ".join(target.events) or "everything"
    if state is None or state.attempted_at is None:
        return CheckView(name=f"notify {name}", state="ok", detail=f"{target.kind}, for {asked}; nothing was sent yet")
    counted = f"{target.kind}, for {asked}; {state.sent} sent, {state.waiting} waiting, {state.given_up} given up"
    if state.error:
        action = "mend it: what waits is sent then; what was given up is in the queue and the ledger"
        return CheckView(name=f"notify {name}", state="failed", detail=f"{counted}; {state.error}", action=action)
    return CheckView(name=f"notify {name}", state="warning" if state.given_up else "ok", detail=counted)
