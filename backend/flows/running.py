"""What runs against what was approved and applied; of the cluster is asked only what moved since it was compared."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from backend.cluster.resources import INFERENCE_SERVICES
from backend.core.errors import ModelyardError
from backend.core.views import INFERENCE_SERVICE, ImageState, RunningState, RunningView
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.services import Services, Unread
from backend.serving.running import Drift, Standing, drift, ran, rows
from backend.serving.snapshots import Snapshot, newest_snapshots

_LOG = logging.getLogger(__name__)
_ORDER: Final = tuple(RunningState)


class _Compared(msgspec.Struct, frozen=True):
    """A comparison with a snapshot, and of what."""

    generation: int
    edited_at: datetime | None
    snapshot: str
    drift: Drift


class Running:
    """Compares again only what changed since it was compared."""

    def __init__(self, foundation: Foundation, approvals: Approvals, services: Services) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._services = services
        self._compared: dict[str, _Compared] = {}

    async def rows(self, *, unread: Unread | None = None) -> list[RunningView]:
        """Everything that runs, the worst first.

        Args:
            unread: told of each context that cannot be read.

        Raises:
            ModelyardError: no cluster can be read.
        """
        boards = await self._services.readable_boards(unread=unread)
        await self._approvals.refresh()
        now = self._foundation.clock.now()
        found: list[RunningView] = []
        for board in boards:
            held = await newest_snapshots(self._foundation.database, board.context)
            for row in board.rows():
                case = board.case((row.namespace, row.name), now)
                if case is None:
                    continue
                snapshot = held.get((row.namespace, row.name)) if row.kind == INFERENCE_SERVICE else None
                drifted = await self._drift(row.key, row.generation, row.edited_at, snapshot) if snapshot else None
                where = (row.context, row.namespace, row.address)
                judge = partial(self._judge, row.context, row.namespace)
                found += rows(where, ran(case.pods, self._approvals.known), judge, snapshot, drifted)
        return sorted(found, key=lambda one: (_ORDER.index(one.state), one.key))

    async def drifted(self) -> list[RunningView]:
        """Watched services that are not as they were applied any more, or were edited since; none while not watched."""
        found: list[RunningView] = []
        by_key = {row.key: row for row in self._services.seen() if row.kind == INFERENCE_SERVICE}
        for context in {row.context for row in by_key.values()}:
            for (namespace, name), snapshot in (await newest_snapshots(self._foundation.database, context)).items():
                row = by_key.get(f"{context}/{namespace}/{name}")
                if row is None:
                    continue
                drifted = await self._drift(row.key, row.generation, row.edited_at, snapshot)
                found += rows(
                    (context, namespace, name), (), partial(self._judge, context, namespace), snapshot, drifted
                )
        return found

    def _judge(self, context: str, namespace: str, digest: str) -> Standing:
        approval = self._approvals.judge(frozenset({digest}), self._approvals.use_in(context, namespace))
        if approval.approved:
            return Standing(RunningState.APPROVED, approval.note)
        is_revoked = self._approvals.state(digest) is ImageState.REVOKED
        return Standing(RunningState.REVOKED if is_revoked else RunningState.UNAPPROVED, approval.note)

    async def _drift(self, key: str, generation: int, edited_at: datetime | None, snapshot: Snapshot) -> Drift | None:
        """How a service differs from its snapshot; read from the cluster where anything moved since it was compared."""
        known = self._compared.get(key)
        if known is not None and (known.generation, known.edited_at, known.snapshot) == (
            generation, edited_at, snapshot.id,
        ):  # fmt: skip
            return known.drift
        intent = snapshot.intent
        try:
            client = await self._foundation.clusters.client(intent.context)
            live = await client.find(INFERENCE_SERVICES, intent.namespace, intent.name)
        except ModelyardError as error:
            _LOG.warning("comparing %s with what was applied: %s", key, error)
            return None
        if live is None:
            return None
        found = drift(live, snapshot)
        self._compared[key] = _Compared(generation, edited_at, snapshot.id, found)
        return found
