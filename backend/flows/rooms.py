"""The rooms of the yard, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from backend.flows.decided import DecidedStates
from backend.flows.foundation import Foundation

if TYPE_CHECKING:
    from backend.core.views import ServiceView
    from backend.flows.alert_keeping import AlertKeeping
    from backend.flows.alerts import AlertsFlow
    from backend.flows.applying import Applier
    from backend.flows.approvals import Approvals
    from backend.flows.audit import AuditFlow
    from backend.flows.deployments import DeploymentsFlow
    from backend.flows.evidence import EvidenceFlow
    from backend.flows.fit import Fits
    from backend.flows.forms import Forms
    from backend.flows.gpus import GpusFlow
    from backend.flows.library import LibraryFlow
    from backend.flows.lookup import Lookup
    from backend.flows.observing import Observer
    from backend.flows.plans import Plans
    from backend.flows.policy import PolicyFlow
    from backend.flows.promoting import Promoting
    from backend.flows.queue import QueueFlow
    from backend.flows.recording import Recording
    from backend.flows.rules import RulesFlow
    from backend.flows.runtimes import RuntimesFlow
    from backend.flows.services import Services
    from backend.flows.settling import Settling
    from backend.flows.standings import Standings
    from backend.flows.synchronising import SynchroniseFlow
    from backend.flows.telemetry import TelemetryFlow
    from backend.flows.validating import Validating


class Rooms:
    """What can be done in the yard. The first rows of the screen need little of it, and a command one room."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._decided = DecidedStates(foundation)

    def _is_live(self) -> bool:
        """Whether the cluster is followed."""
        return False

    @cached_property
    def library(self) -> LibraryFlow:
        """Images."""
        from backend.flows.library import LibraryFlow

        return LibraryFlow(self._foundation, self._lookup, self._standings)

    @cached_property
    def rules(self) -> RulesFlow:
        """The rules by which images are taken in."""
        from backend.flows.rules import RulesFlow

        return RulesFlow(self._foundation)

    @cached_property
    def runs(self) -> SynchroniseFlow:
        """Runs of the synchroniser."""
        from backend.flows.synchronising import SynchroniseFlow

        return SynchroniseFlow(self._foundation, lambda: self.evidence.evaluate())

    @cached_property
    def queue(self) -> QueueFlow:
        """Candidates before gates and people."""
        from backend.flows.queue import QueueFlow

        return QueueFlow(self._foundation, self._lookup, lambda digests: self._services.running(digests))

    @cached_property
    def evidence(self) -> EvidenceFlow:
        """What is known of images."""
        from backend.flows.evidence import EvidenceFlow

        return EvidenceFlow(self._foundation, self._lookup)

    @cached_property
    def policy(self) -> PolicyFlow:
        """What images have to meet."""
        from backend.flows.policy import PolicyFlow

        return PolicyFlow(self._foundation, self._lookup)

    @cached_property
    def deployments(self) -> DeploymentsFlow:
        """Services, plans and what can be done to them."""
        from backend.flows.deployments import DeploymentsFlow

        return DeploymentsFlow(
            self._foundation, self._approvals, self._services, self._plans, self._settling, self._observer,
            self._validating,
        )  # fmt: skip

    @cached_property
    def forms(self) -> Forms:
        """The form that a deployment is written in."""
        from backend.flows.forms import Forms

        return Forms(self._foundation, self._lookup, self.fits)

    @cached_property
    def fits(self) -> Fits:
        """Whether deployments fit into the clusters."""
        from backend.flows.fit import Fits

        return Fits(self._foundation, self._lookup, lambda: self.gpus.last)

    @cached_property
    def runtimes(self) -> RuntimesFlow:
        """Serving runtimes, and the templates that they are made of."""
        from backend.flows.runtimes import RuntimesFlow

        return RuntimesFlow(self._foundation, self._approvals, self._lookup, self._applier)

    @cached_property
    def gpus(self) -> GpusFlow:
        """GPUs, as last sampled."""
        from backend.flows.gpus import GpusFlow

        return GpusFlow(self._foundation, self._approvals, lambda: self._services.available())

    @cached_property
    def telemetry(self) -> TelemetryFlow:
        """What GPUs and services did."""
        from backend.flows.telemetry import TelemetryFlow

        return TelemetryFlow(self._foundation)

    def _recording(self) -> Recording:
        """What records it, for whoever keeps the yard's schedule."""
        from backend.flows.recording import Recording

        return Recording(self._foundation, lambda: self.gpus.snapshot())

    @cached_property
    def alerts(self) -> AlertsFlow:
        """What needs a person now."""
        from backend.flows.alerts import AlertsFlow

        return AlertsFlow(self._foundation)

    def _alert_keeping(self) -> AlertKeeping:
        """What looks for alerts, for whoever keeps the yard's schedule."""
        from backend.flows.alert_keeping import AlertKeeping

        services = self._services

        async def watched() -> list[ServiceView] | None:
            return services.seen() if len(services.away()) < len(services.contexts) else None

        return AlertKeeping(self._foundation, self.gpus.snapshot, watched, services.away)

    @cached_property
    def audit(self) -> AuditFlow:
        """The ledger."""
        from backend.flows.audit import AuditFlow

        return AuditFlow(self._foundation)

    @cached_property
    def _lookup(self) -> Lookup:
        from backend.flows.lookup import Lookup

        return Lookup(self._foundation)

    @cached_property
    def _approvals(self) -> Approvals:
        from backend.flows.approvals import Approvals

        return Approvals(self._foundation.database, self._foundation.policy, self._foundation.clock)

    @cached_property
    def _standings(self) -> Standings:
        from backend.flows.standings import Standings

        return Standings(
            self._foundation, lambda: self._services, lambda: self._services if self._is_live() else None, self._decided
        )

    @cached_property
    def _services(self) -> Services:
        from backend.flows.services import Services

        return Services(self._foundation, self._approvals)

    @cached_property
    def _promoting(self) -> Promoting:
        from backend.flows.changes import ServiceChanges
        from backend.flows.promoting import Promoting

        return Promoting(self._foundation, self._services, ServiceChanges(self._foundation, self._approvals))

    @cached_property
    def _validating(self) -> Validating:
        from backend.flows.validating import Validating

        return Validating(self._foundation, self._approvals, self._services, self._plans, self._promoting)

    @cached_property
    def _observer(self) -> Observer:
        from backend.flows.observing import Observer

        return Observer(self._foundation, self._services.on_node)

    @cached_property
    def _plans(self) -> Plans:
        from backend.flows.plans import Plans

        return Plans(self._foundation, self._approvals, self._lookup, self._applier, lambda: self.fits)

    @cached_property
    def _applier(self) -> Applier:
        from backend.flows.applying import Applier

        return Applier(self._foundation)

    @cached_property
    def _settling(self) -> Settling:
        from backend.flows.settling import Settling

        return Settling(self._foundation, self._approvals, self._plans, self._applier)
