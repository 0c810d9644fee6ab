"""What must happen once in a yard, done by whoever holds its lease: a worker, or the first screen without one."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from backend.core.errors import ModelyardError, StoreUnwritableError
from backend.flows.anchoring import Anchoring
from backend.flows.foundation import LEASE, Foundation
from backend.flows.notifications import Notifications
from backend.library.config import RuleConfig
from backend.library.runs import LastRun, last_runs
from backend.store.lease import Lease

if TYPE_CHECKING:
    from backend.flows.evidence import EvidenceFlow
    from backend.flows.policy import PolicyFlow
    from backend.flows.synchronising import SynchroniseFlow

_LOG = logging.getLogger(__name__)
_LEASE_LASTS: Final = timedelta(seconds=30)
_RENEW_EVERY: Final = 8.0
_LOOK_EVERY: Final = 1.0
_KEEP_EVERY: Final = 5.0
_LOOK_FOR_MORE_EVERY: Final = 30.0
_COLLECT_AGAIN_EVERY: Final = 600.0
_RETRY_AFTER: Final = timedelta(minutes=1)
#: A run that goes on for longer than this hangs, and is not waited for.
_LONGEST_RUN: Final = timedelta(hours=6)
#: A screen leaves a worker that is just being started the time to come first.
SCREEN_PATIENCE: Final = 12.0


def holder_name(kind: str) -> str:
    """How the lease's holder is shown: what it is, on which host, in which process."""
    return f"{kind} {socket.gethostname().partition('.')[0]}:{os.getpid()}"


class Schedule:
    """Runs rules when they are due, collects evidence on what they bring in, and lets policy act on it."""

    def __init__(
        self,
        foundation: Foundation,
        runs: SynchroniseFlow,
        evidence: EvidenceFlow,
        policy: PolicyFlow,
        kind: str,
        *,
        beside: Sequence[Callable[[Callable[[], bool]], Awaitable[None]]] = (),
    ) -> None:
        """
        Args:
            beside: what else goes on for as long as we work; each is given whether the lease is ours.
            kind: `worker` or `screen`, for the title bars of others.
        """
        self._foundation = foundation
        self._runs = runs
        self._evidence = evidence
        self._policy = policy
        self._lease = Lease(foundation.database, foundation.clock, holder_name(kind))
        # By the monotonic clock: one that is set back must not hold up what is due.
        self._retry_at: dict[str, float] = {}
        self._collected_at: float | None = None
        self._looked_at = float("-inf")
        self._renewed = float("-inf")
        self._kept_at = float("-inf")
        self._kept_version = -1
        self._policy_problem = ""
        self._notifications = Notifications(foundation)
        self._anchoring = Anchoring(foundation)
        self._beside = tuple(beside)

    async def run(self, *, patience: float = 0.0, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Work until cancelled.

        Args:
            patience: seconds to leave the lease to others at the beginning.
            first: done once, after the first round.

        Raises:
            StoreUnwritableError: the database may only be read.
        """
        if self._foundation.database.read_only:
            raise StoreUnwritableError(
                str(self._foundation.database.path),
                "it may only be read",
                "run the worker as somebody who may write it",
            )
        await asyncio.sleep(patience)
        # Beside the rounds: a long run keeps nobody from hearing of broken glass.
        beside = [asyncio.ensure_future(work(self._is_held)) for work in (self._notifications.run, *self._beside)]
        try:
            while True:
                if await self._hold():
                    await self._round()
                    if first is not None:
                        await first()
                        first = None
                await asyncio.sleep(_LOOK_EVERY)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await asyncio.shield(self._lease.release(LEASE))

    def _is_held(self) -> bool:
        return self._foundation.clock.monotonic() - self._renewed < _LEASE_LASTS.total_seconds()

    async def _hold(self) -> bool:
        """Take the lease, or keep it."""
        now = self._foundation.clock.monotonic()
        if now - self._renewed < _RENEW_EVERY:
            return True
        try:
            held = await self._lease.acquire(LEASE, _LEASE_LASTS)
        except ModelyardError as error:
            _LOG.warning("lease: %s", error)
            return False
        self._renewed = now if held else float("-inf")
        return held

    async def _round(self) -> None:
        keeping = asyncio.create_task(self._keep_lease())
        try:
            ran = await self._run_due_rules()
            await self._collect(ran)
            await self._keep_policy()
            await self._anchor()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep_lease(self) -> None:
        """A long run must not lose the lease halfway."""
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                held = await self._lease.acquire(LEASE, _LEASE_LASTS)
            except ModelyardError as error:
                _LOG.warning("lease: %s", error)
                continue
            self._renewed = self._foundation.clock.monotonic() if held else float("-inf")

    async def _run_due_rules(self) -> bool:
        """Run what is due; gives whether anything was."""
        ran = False
        now = self._foundation.clock.now()
        runs = await last_runs(self._foundation.database)
        for rule in self._foundation.rules.rules:
            last = runs.get(rule.name)
            if self._is_due(rule, last, now):
                await self._run(rule)
                ran = True
        return ran

    def _is_due(self, rule: RuleConfig, last: LastRun | None, now: datetime) -> bool:
        if not rule.enabled or rule.every is None:
            return False
        if self._foundation.clock.monotonic() < self._retry_at.get(rule.name, float("-inf")):
            return False
        if last is None:
            return True
        if last.running and timedelta() <= now - last.at < _LONGEST_RUN:
            # Somebody's own, in whatever process.
            return False
        # A run that did not come to its end, in whatever process, left something to be taken in.
        wait = rule.every if last.complete else min(rule.every, _RETRY_AFTER)
        # A last run in the future was noted by a clock that went wrong.
        return last.at > now or now - last.at >= wait

    async def _run(self, rule: RuleConfig) -> None:
        try:
            await self._runs.synchronise_as_worker(rule)
        except ModelyardError as error:
            _LOG.warning("rule %s: %s", rule.name, error)
            self._retry_at[rule.name] = self._foundation.clock.monotonic() + _RETRY_AFTER.total_seconds()

    async def _keep_policy(self) -> None:
        """Note what ended, judge what changed, and let policy act where it does so by itself."""
        database, now = self._foundation.database, self._foundation.clock.monotonic()
        try:
            # Where nothing was written there is nothing to judge; only time goes on, and ends what has an end.
            if await database.data_version() == self._kept_version and now - self._kept_at < _KEEP_EVERY:
                return
            self._kept_at = now
            await self._policy.keep()
            self._policy_problem = ""
            self._kept_version = await database.data_version()
        except ModelyardError as error:
            # The same is said once: a round comes every few seconds.
            if str(error) != self._policy_problem:
                self._policy_problem = str(error)
                _LOG.warning("policy: %s", error)

    async def _anchor(self) -> None:
        """Note the ledger's head outside of the database."""
        try:
            await self._anchoring.note()
        except ModelyardError as error:
            _LOG.warning("anchors: %s", error)

    async def _collect(self, ran: bool) -> None:
        """Collect evidence after a run, and now and then what runs of other processes left to be done."""
        now = self._foundation.clock.monotonic()
        if not ran and now - self._looked_at < _LOOK_FOR_MORE_EVERY:
            return
        self._looked_at = now
        again = self._collected_at is not None and now - self._collected_at >= _COLLECT_AGAIN_EVERY
        try:
            await self._evidence.evaluate(again=again)
        except ModelyardError as error:
            _LOG.warning("evaluation: %s", error)
            return
        if again or self._collected_at is None:
            self._collected_at = now
