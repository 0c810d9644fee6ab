"""Looks for what needs a person, once a yard: done by whoever holds its lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from backend.core.actors import WORKER
from backend.core.errors import ModelyardError
from backend.core.events import AlertsChanged, Topic
from backend.core.permits import Permit
from backend.core.views import GpuSnapshotView, ServiceView
from backend.flows.alert_reading import ForeignAlerts
from backend.flows.foundation import Foundation
from backend.store import ledger
from backend.telemetry import alert_store
from backend.telemetry.alert_config import default_alerts
from backend.telemetry.conditions import findings
from backend.telemetry.episodes import Episode, Step, advance

_LOG = logging.getLogger(__name__)
_LOOK_EVERY: Final = 5.0
#: What an alert says moves with every sample; it is written down again after this many seconds at the earliest.
_TELL_AGAIN_EVERY: Final = 60.0
_FORGET_EVERY: Final = 3600.0


class AlertKeeping:
    """Follows conditions over time, and keeps what becomes of them."""

    def __init__(
        self,
        foundation: Foundation,
        snapshot: Callable[[], Awaitable[GpuSnapshotView]],
        services: Callable[[], Awaitable[Sequence[ServiceView] | None]],
        away: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """
        Args:
            snapshot: gives the last sample of all GPUs.
            services: gives all services with their verdicts, or None where they are not known.
            away: gives the contexts of which it gives none, since they are not known.
        """
        self._foundation = foundation
        self._snapshot = snapshot
        self._services = services
        self._away = away
        self._rules = foundation.configuration.settings.alert or default_alerts()
        self._going: tuple[Episode, ...] | None = None
        self._told_at = float("-inf")
        self._forgot_at = float("-inf")
        self._foreign = ForeignAlerts(foundation)
        self._problem = ""

    async def run(self, may: Callable[[], bool]) -> None:
        """Look, until cancelled, while `may` says that it is ours to do."""
        while True:
            if may():
                try:
                    await self.round()
                except ModelyardError as error:
                    # The same is said once: a round comes every few seconds.
                    if str(error) != self._problem:
                        self._problem = str(error)
                        _LOG.warning("alerts: %s", error)
                except Exception:
                    # Nobody waits for this task: it goes on, and says what went wrong.
                    _LOG.exception("alerts failed unexpectedly")
            else:
                # Whoever holds the lease meanwhile goes on with them.
                self._going = None
            await asyncio.sleep(_LOOK_EVERY)

    async def round(self) -> Step:
        """Look once, and keep what became of it.

        Raises:
            StoreError: of its kind; sources that cannot be read raise nothing, what they told of stays as it is.
        """
        foundation = self._foundation
        if self._going is None:
            self._going = tuple(await alert_store.going(foundation.database))
        snapshot = await self._sampled()
        services = await self._services()
        now = foundation.clock.now()
        found = findings(snapshot, services, now, self._away())
        step = advance(self._going, found, self._rules, now, foundation.ids.new_id)
        monotonic = foundation.clock.monotonic()
        says_more = step.going != self._going and monotonic - self._told_at >= _TELL_AGAIN_EVERY
        if step.moved or says_more:
            await self._keep(step)
            self._told_at = monotonic
        self._going = step.going
        await self._foreign.round()
        if monotonic - self._forgot_at >= _FORGET_EVERY:
            self._forgot_at = monotonic
            async with foundation.database.transaction() as transaction:
                await alert_store.forget_old(transaction, now)
        self._problem = ""
        return step

    async def _sampled(self) -> GpuSnapshotView | None:
        try:
            return await self._snapshot()
        except ModelyardError as error:
            _LOG.info("alerts go on without GPUs: %s", error)
            return None

    async def _keep(self, step: Step) -> None:
        foundation = self._foundation

        async def action(permit: Permit) -> None:
            permit.spend("alert.keep")
            now = foundation.clock.now()
            async with foundation.database.transaction() as transaction:
                # What is over goes first: its object may have begun anew.
                await alert_store.put(transaction, step.resolved)
                await alert_store.drop(transaction, [one.id for one in step.dropped])
                await alert_store.put(transaction, step.going)
                await alert_store.reopen(transaction, [one.id for one in step.grown])
                for name, told in (("alert.fired", (*step.fired, *step.grown)), ("alert.resolved", step.resolved)):
                    await ledger.append_many(
                        transaction,
                        at=now,
                        actor=WORKER,
                        action=name,
                        outcome="done",
                        entries=[
                            (
                                f"{one.kind} {one.object}",
                                {
                                    "alert": one.id,
                                    "severity": one.severity.value,
                                    "summary": one.summary,
                                    "services": list(one.services),
                                },
                            )
                            for one in told
                        ],
                    )

        await foundation.gate.run("alert.keep", "alerts", action, as_worker=True)
        foundation.hub.publish(Topic.ALERTS, AlertsChanged())
