"""What the title bar tells."""

from __future__ import annotations

from backend.core.views import ImageState, SourceState, SourceView, YardStatusView
from backend.curation import curated
from backend.curation.emergency import alarms
from backend.flows.decided import DecidedStates
from backend.flows.foundation import LEASE, Foundation
from backend.library import events
from backend.library.runs import LastRun, last_runs
from backend.store.lease import Lease
from backend.telemetry.silences import firing_counts

_WAITING = frozenset({ImageState.CANDIDATE, ImageState.EXPIRED})


class StatusBoard:
    """Keeps what was last found out, so that it can be shown without waiting."""

    def __init__(self, foundation: Foundation, read_only: str, decided: DecidedStates) -> None:
        self._foundation = foundation
        self._decided = decided
        self._read_only = read_only
        self._worker = ""
        self._counts = (0, 0, 0)
        self._alarms: tuple[str, ...] = ()
        self._alerts = (0, 0)
        self._untold: tuple[SourceView, ...] = ()
        self._runs: dict[str, LastRun] = {}

    def view(self) -> YardStatusView:
        """The title bar as of the last refresh; sources as of now."""
        foundation = self._foundation
        files = (foundation.rules.source(), foundation.policy_in_force.source())
        settings = foundation.configuration.settings
        actor = foundation.identity.known
        total, approved, waiting = self._counts
        return YardStatusView(
            name=settings.yard.name,
            context=foundation.cluster.context,
            actor=actor.name if actor is not None else "",
            actor_source=actor.source.value if actor is not None else settings.yard.identity,
            roles=tuple(sorted(role.value for role in actor.roles)) if actor is not None else (),
            unrestricted=actor is not None and actor.unrestricted,
            writes=self._read_only,
            enforcement="not enforced",
            worker=self._worker,
            policy_source=foundation.configuration.policy_source,
            sources=(
                *(link.source for link in foundation.clusters.links),
                *self._registries(),
                *(file for file in files if file is not None),
                *self._untold,
            ),
            library_total=total,
            library_approved=approved,
            queue_waiting=waiting,
            alarms=self._alarms,
            alerts=self._alerts[0],
            alerts_open=self._alerts[1],
        )

    def _registries(self) -> list[SourceView]:
        """What each registry last said: to this process, or to whoever ran its rules last."""
        told = []
        for source in self._foundation.registries.sources:
            last = self._runs.get(source.name)
            if last is None or (source.as_of is not None and source.as_of >= last.at):
                told.append(source)
                continue
            failed = last.result.startswith("failed")
            told.append(
                SourceView(
                    name=source.name,
                    kind="registry",
                    state=SourceState.LOST if failed else SourceState.LIVE,
                    as_of=last.at,
                    detail=last.result,
                )
            )
        return told

    async def refresh(self) -> None:
        """Count anew, and ask who holds the lease.

        Raises:
            StoreError: the database cannot be read.
        """
        foundation = self._foundation
        if foundation.configuration.settings.yard.identity == "os" and foundation.identity.known is None:
            await foundation.identity.actor()
        standing = await curated.counts(foundation.database, await self._decided.fresh())
        total, _ = await events.count(foundation.database)
        waiting = sum(standing[state] for state in _WAITING)
        self._counts = (total, standing[ImageState.APPROVED], waiting)
        self._untold = (*await self._targets_lost(), *await self._alertmanager_lost())
        self._alerts = await firing_counts(foundation.database, foundation.clock.now())
        self._alarms = await alarms(foundation.database, foundation.clock.now())
        by_rule = await last_runs(foundation.database)
        self._runs = {}
        for rule in foundation.rules.rules:
            run = by_rule.get(rule.name)
            if run is not None and (rule.registry not in self._runs or run.at > self._runs[rule.registry].at):
                self._runs[rule.registry] = run
        await self.refresh_holder()

    async def _targets_lost(self) -> tuple[SourceView, ...]:
        if not self._foundation.configuration.settings.notify.target:
            return ()
        # Imported late: the first rows need nobody who can be told anything.
        from backend.flows.notifications import Notifications

        return await Notifications(self._foundation).sources()

    async def _alertmanager_lost(self) -> tuple[SourceView, ...]:
        config = self._foundation.configuration.settings.alertmanager
        if not config.url:
            return ()
        # Imported late: the first rows need no client for it.
        from backend.flows.alert_reading import lost

        found = await lost(self._foundation.database, config)
        return (found,) if found is not None else ()

    async def refresh_holder(self) -> None:
        """Ask who holds the yard's lease.

        Raises:
            StoreError: the database cannot be read.
        """
        foundation = self._foundation
        self._worker = await Lease(foundation.database, foundation.clock, "").holder(LEASE) or ""
