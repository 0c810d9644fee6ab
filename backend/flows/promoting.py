"""Takes canaries on by the steps of their deployment files, holding each as long as it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from backend.audit import entries as audit_entries
from backend.core.errors import ModelyardError
from backend.core.views import CanaryView, Verdict
from backend.flows.changes import ServiceChanges
from backend.flows.foundation import Foundation
from backend.flows.services import Services
from backend.serving import validations
from backend.serving.canary import next_step
from backend.serving.deployment import DeploymentFile, parse
from backend.serving.snapshots import snapshots

_LOG = logging.getLogger(__name__)
_LOOK_EVERY: Final = 10.0


class Promoting:
    """The steps of canaries that were proved before they got traffic."""

    def __init__(
        self,
        foundation: Foundation,
        services: Services,
        changes: ServiceChanges,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._foundation = foundation
        self._services = services
        self._changes = changes
        self._pause = pause
        # Canaries that have come to their end need no further look.
        self._done: set[str] = set()

    async def advance(self, context: str, namespace: str, name: str, *, as_worker: bool) -> CanaryView:
        """Give a canary its next share of the traffic: by the file's steps, or all of it after the last.

        Raises:
            UsageError: there is none. Other ModelyardErrors: it is refused, or the cluster does not answer.
        """
        view = await self._changes.canary(namespace, name, context=context)
        await self._changes.promote(namespace, name, next_step(view), context=context, as_worker=as_worker)
        return view

    async def run(self, is_held: Callable[[], bool]) -> None:
        """Take on what has been held long enough, while the lease is ours, until cancelled."""
        while True:
            await self._pause(_LOOK_EVERY)
            if is_held():
                try:
                    await self._round()
                except ModelyardError as error:
                    _LOG.warning("canaries: %s", error)

    async def _round(self) -> None:
        for key, proof in (await validations.newest(self._foundation.database)).items():
            is_canary = proof.outcome == validations.PASSED and proof.traffic == "before traffic"
            if not is_canary or proof.id in self._done:
                continue
            try:
                if await self._is_over(proof.context, proof.namespace, proof.name):
                    self._done.add(proof.id)
            except ModelyardError as error:
                _LOG.warning("canary of %s: %s", key, error)

    async def _is_over(self, context: str, namespace: str, name: str) -> bool:
        """Take a canary on if it was held long enough and does well; gives whether there is nothing left to do."""
        held = await snapshots(self._foundation.database, context, namespace, name)
        deployment = parse(held[0].intent.deployment, "snapshot") if held and held[0].intent.deployment else None
        if deployment is None or not deployment.canary.steps:
            return True
        view = await self._changes.canary(namespace, name, context=context)
        if not view.going_on or view.percent == 0:
            # All of the traffic, or aborted by a person.
            return True
        if await self._may_go_on(context, namespace, name, deployment):
            await self.advance(context, namespace, name, as_worker=True)
        return False

    async def _may_go_on(self, context: str, namespace: str, name: str, deployment: DeploymentFile) -> bool:
        since = await self._stepped_at(f"{context}/{namespace}/{name}")
        if since is None or self._foundation.clock.now() - since < deployment.canary.hold:
            return False
        row = (await self._services.of(context).current((namespace, name))).row((namespace, name))
        return row is not None and row.verdict is Verdict.SERVING

    async def _stepped_at(self, key: str) -> datetime | None:
        """When the canary got its present share, by the ledger."""
        chosen = audit_entries.EntryFilter(action="deploy.promote", object=key, outcome="done")
        found = await audit_entries.entries(self._foundation.database, chosen, limit=10)
        return next((entry.at for entry in found if entry.object == key), None)
