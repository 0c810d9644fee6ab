"""What happened to services and what runs of them: changes of all kinds, and what runs against what was approved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from backend.core.errors import UsageError
from backend.core.timeline import with_suspects
from backend.core.views import (
    AppliedView,
    BlastView,
    CanaryView,
    ChangeView,
    RunningState,
    RunningView,
    ServiceView,
    ValidationView,
    Verdict,
    named_kind,
)
from backend.flows.approvals import Approvals
from backend.flows.blasts import Blasts
from backend.flows.changes import ServiceChanges
from backend.flows.foundation import Foundation
from backend.flows.observing import Observer
from backend.flows.recent import recent_changes
from backend.flows.running import Running
from backend.flows.services import Services, Unread
from backend.flows.validating import Validating
from backend.serving import validations
from backend.serving.snapshots import snapshots


class ServiceProof:
    """The part of the deployments that looks back, and holds what runs to what was decided."""

    def __init__(
        self,
        foundation: Foundation,
        approvals: Approvals,
        services: Services,
        observer: Observer,
        validating: Validating,
    ) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._services = services
        self._observer = observer
        self._validating = validating
        self._running = Running(foundation, approvals, services)
        self._blasts = Blasts(foundation, services)
        self._changes = ServiceChanges(foundation, approvals)

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
        rows: Sequence[ServiceView] = self._services.seen()
        if ask and not rows:
            rows = await self._services.rows()
            await self._observer.look(rows)
        period = timedelta(hours=hours)
        if not name:
            return with_suspects(await recent_changes(self._foundation, period), rows)
        where = (context or self._foundation.cluster.context, namespace, name)
        service = next((row for row in rows if row.key == "/".join(where)), None)
        if service is None:
            service = await self._gone(*where)
        return with_suspects(await recent_changes(self._foundation, period, service=service), [service])

    async def _gone(self, context: str, namespace: str, name: str) -> ServiceView:
        """A service that is not there, by what is kept of it: that it was changed may still be asked for."""
        kind, bare = named_kind(name)
        held = await snapshots(self._foundation.database, context, namespace, name)
        return ServiceView(
            context=context,
            namespace=namespace,
            name=bare,
            kind=kind,
            verdict=Verdict.UNKNOWN,
            reason="it is not there",
            next_step="",
            since=None,
            ready_replicas=0,
            wanted_replicas=0,
            gpus=0,
            images=tuple(dict.fromkeys(one.intent.image for one in held)),
        )

    async def running(self, state: str = "", *, unread: Unread | None = None) -> list[RunningView]:
        """What runs against what was approved and applied, the worst first.

        Args:
            state: only of that state, a value of `RunningState`; empty: all.
            unread: told of each context that cannot be read.

        Raises:
            UsageError: there is no such state. Other ModelyardErrors: no cluster can be read.
        """
        known = [one.value for one in RunningState]
        if state and state not in known:
            raise UsageError(f"state {state}", "nothing that runs is ever in it", f"known: {', '.join(known)}")
        return [row for row in await self._running.rows(unread=unread) if state in ("", row.state.value)]

    async def drifted(self) -> list[RunningView]:
        """Watched services that are drifted or edited; asks the cluster only of what moved since it was compared."""
        return await self._running.drifted()

    # ------------------------------------------------------------ proofs

    async def validations(self, namespace: str = "", name: str = "", *, context: str = "") -> list[ValidationView]:
        """What proved rollouts good or bad, newest first: of a service, or of each service the newest."""
        if not name:
            found = await validations.newest(self._foundation.database)
            return sorted(found.values(), key=lambda one: one.started_at, reverse=True)
        where = (context or self._foundation.cluster.context, namespace, name)
        return list(await validations.of_service(self._foundation.database, *where))

    async def validate(
        self,
        namespace: str,
        name: str,
        *,
        context: str = "",
        latency: timedelta | None = None,
        error_rate: float | None = None,
        window: timedelta | None = None,
    ) -> ValidationView:
        """Ask a service, as it runs now, for a real answer, and hold it to bounds.

        Args:
            latency, error_rate, window: instead of those of its deployment file.

        Raises:
            PolicyError: policy turned validations off. NotFoundError: there is no such service.
            RefusedError: of its kind.
        """
        return await self._validating.validate(
            namespace, name, context=context, latency=latency, error_rate=error_rate, window=window
        )

    async def follow_validation(self, id: str, told: Callable[[str], None]) -> ValidationView:
        """Carry the validation of a rollout on until it ends, here or in another process.

        Args:
            told: called with each new state of the rollout, in a clause.
        """
        return await self._validating.follow(id, told)

    # ------------------------------------------------------------ traffic

    async def canary(self, namespace: str, name: str, *, context: str = "") -> CanaryView:
        """What traffic of a service goes where, and whether its mode splits any."""
        return await self._changes.canary(namespace, name, context=context)

    async def promote(self, namespace: str, name: str, percent: int | None = None, *, context: str = "") -> AppliedView:
        """Send a canary a share of the traffic, or with None all of it, if its image is approved.

        Raises:
            UsageError: the mode splits no traffic, or there is no canary.
        """
        return await self._changes.promote(namespace, name, percent, context=context)

    async def abort(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Take all traffic from a canary.

        Raises:
            UsageError: the mode splits no traffic, or there is no canary.
        """
        return await self._changes.abort(namespace, name, context=context)

    async def blast(
        self, namespace: str, name: str, verb: str, *, replicas: int | None = None, context: str = ""
    ) -> BlastView:
        """What stopping, starting, scaling or deleting a service would end. Changes nothing.

        Args:
            replicas: that shall serve after a scale.
        """
        return await self._blasts.blast(namespace, name, verb, replicas=replicas, context=context)
