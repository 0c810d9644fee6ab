"""What happened to services and what runs of them: changes of all kinds, and what runs against what was approved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from backend.core.errors import UsageError
from backend.core.timeline import with_suspects
from backend.core.views import ChangeView, RunningState, RunningView, ServiceView, Verdict
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.observing import Observer
from backend.flows.recent import recent_changes
from backend.flows.running import Running
from backend.flows.services import Services
from backend.serving.snapshots import snapshots


class ServiceProof:
    """The part of the deployments that looks back, and holds what runs to what was decided."""

    def __init__(self, foundation: Foundation, approvals: Approvals, services: Services, observer: Observer) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._services = services
        self._observer = observer
        self._running = Running(foundation, approvals, services)

    async def changes(
        self, namespace: str = "", name: str = "", *, context: str = "", hours: float = 1, ask: bool = False
    ) -> list[ChangeView]:
        """What changed, newest first: ours, others' edits, tags, scaling, nodes; the change before a failure says so.

        Args:
            name: of the service that they are to touch; empty: all changes.
            ask: read the clusters first, where they are not watched.

        Raises:
            ModelyardError: with `ask`, no cluster can be read.
        """
        rows: Sequence[ServiceView] = self._services.watched() or ()
        if ask and not rows:
            rows = await self._services.rows()
            await self._observer.look(rows)
        period = timedelta(hours=hours)
        if not name:
            return with_suspects(await recent_changes(self._foundation, period), rows)
        where = (context or self._foundation.cluster.context, namespace, name)
        service = next((row for row in rows if (row.context, row.namespace, row.name) == where), None)
        if service is None:
            service = await self._gone(*where)
        return with_suspects(await recent_changes(self._foundation, period, service=service), [service])

    async def _gone(self, context: str, namespace: str, name: str) -> ServiceView:
        """A service that is not there, by what is kept of it: that it was changed may still be asked for."""
        held = await snapshots(self._foundation.database, context, namespace, name)
        return ServiceView(
            context=context,
            namespace=namespace,
            name=name,
            verdict=Verdict.UNKNOWN,
            reason="it is not there",
            next_step="",
            since=None,
            ready_replicas=0,
            wanted_replicas=0,
            gpus=0,
            images=tuple(dict.fromkeys(one.intent.image for one in held)),
        )

    async def running(self, state: str = "") -> list[RunningView]:
        """What runs against what was approved and applied, the worst first.

        Args:
            state: only of that state, a value of `RunningState`; empty: all.

        Raises:
            UsageError: there is no such state. Other ModelyardErrors: the services cannot be read.
        """
        known = [one.value for one in RunningState]
        if state and state not in known:
            raise UsageError(f"state {state}", "nothing that runs is ever in it", f"known: {', '.join(known)}")
        return [row for row in await self._running.rows() if state in ("", row.state.value)]
