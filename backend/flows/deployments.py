"""Services as commands and screen know them: looked at, planned, applied, stopped, returned to a snapshot."""

from __future__ import annotations

from backend.access.endpoints import endpoints
from backend.cluster.kserve_objects import InferenceService
from backend.cluster.resources import (
    CLUSTER_SERVING_RUNTIMES,
    INFERENCE_SERVICES,
    NAMESPACES,
    SERVING_RUNTIMES,
)
from backend.core.errors import AccessDeniedError, ConflictError, NotFoundError
from backend.core.views import AppliedView, PlanView, RuntimeView, ServiceDetailView, ServiceView, SnapshotView
from backend.flows.approvals import Approvals
from backend.flows.changes import ServiceChanges, found_service
from backend.flows.foundation import Foundation
from backend.flows.kserve import explained
from backend.flows.plans import Plans
from backend.flows.services import Services
from backend.serving.detail import detail_view
from backend.serving.digests import digest_of
from backend.serving.runtimes import runtime_views
from backend.serving.snapshots import Outcome, became, snapshot_view, snapshots

_ORDER = ("failed", "stuck", "degraded", "slow to load", "starting", "unknown", "serving", "scaled to zero", "stopped")


class DeploymentsFlow:
    """Services of the yard's cluster."""

    def __init__(self, foundation: Foundation, approvals: Approvals, services: Services, plans: Plans) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._services = services
        self._plans = plans
        self._changes = ServiceChanges(foundation, approvals)

    # ------------------------------------------------------------ looking

    async def services(self) -> list[ServiceView]:
        """All services with their verdicts, worst first.

        Raises:
            NotFoundError: KServe is not installed. Other ModelyardErrors: the cluster cannot be read.
        """
        rows = await self._services.rows()
        return sorted(rows, key=lambda row: (_ORDER.index(row.verdict.value), row.namespace, row.name))

    async def service(self, namespace: str, name: str) -> ServiceDetailView:
        """One service with all that explains its verdict.

        Raises:
            NotFoundError: there is none of that name.
        """
        client = await self._foundation.cluster.client()
        manifest = await found_service(client, namespace, name)
        key = (namespace, name)
        board = await self._services.current(key)
        case = board.case(key, self._foundation.clock.now())
        row = board.row(key)
        if case is None or row is None:
            raise NotFoundError(
                f"service {namespace}/{name}",
                "its namespace is not among those that the yard looks at",
                "add the namespace to [[cluster]] namespaces",
            )
        try:
            events = await client.events_of(namespace, name, kind="InferenceService")
        except AccessDeniedError:
            events = ()
        return detail_view(row, case, manifest, events, endpoints(case.service, row.mode))

    async def runtimes(self) -> list[RuntimeView]:
        """ServingRuntimes and ClusterServingRuntimes, and who uses them."""
        client = await self._foundation.cluster.client()
        try:
            found = list((await client.list(CLUSTER_SERVING_RUNTIMES))[0])
        except NotFoundError as error:
            raise await explained(client, error) from error
        services: list[InferenceService] = []
        for namespace in self._foundation.cluster.namespaces or (None,):
            found += (await client.list(SERVING_RUNTIMES, namespace))[0]
            services += (await client.list(INFERENCE_SERVICES, namespace))[0]
        return list(runtime_views(client.context, found, services))

    async def namespaces(self) -> list[str]:
        """Namespaces that services may be in: as configured, or all that may be listed."""
        if self._foundation.cluster.namespaces:
            return list(self._foundation.cluster.namespaces)
        client = await self._foundation.cluster.client()
        try:
            found, _ = await client.list(NAMESPACES)
        except AccessDeniedError:
            return sorted({row.namespace for row in await self.services()})
        return sorted(namespace.metadata.name for namespace in found)

    async def logs(self, namespace: str, pod: str, previous: bool = False, tail: int = 500) -> str:
        """The last lines of a pod's log, as the container wrote them."""
        client = await self._foundation.cluster.client()
        return await client.logs(namespace, pod, previous=previous, tail=tail)

    async def snapshots(self, namespace: str, name: str) -> list[SnapshotView]:
        """What the service can be returned to, newest first."""
        client = await self._foundation.cluster.client()
        await self._approvals.refresh()
        held = await snapshots(self._foundation.database, client.context, namespace, name)
        return [
            snapshot_view(
                one, still_approved=bool(self._approvals.judge(frozenset({digest_of(one.intent.image)})).approved)
            )
            for one in held
        ]

    async def export(self, namespace: str, name: str) -> str:
        """The deployment file of what runs, YAML.

        Raises:
            NotFoundError: Modelyard did not apply this service.
            ConflictError: it was changed by others since.
        """
        client = await self._foundation.cluster.client()
        live = await found_service(client, namespace, name)
        held = await snapshots(self._foundation.database, client.context, namespace, name)
        what = f"export of {namespace}/{name}"
        if not held:
            raise NotFoundError(
                what, "it was not applied by Modelyard", "write a deployment file for it and apply that"
            )
        if became(held[0].intent, [live]) is not Outcome.APPLIED:
            raise ConflictError(
                what,
                "it was changed by others since it was applied",
                "apply its deployment file again, or look at its YAML",
            )
        return held[0].intent.deployment

    # ------------------------------------------------------------ changing

    async def draft(self, reference: str, name: str, namespace: str) -> str:
        """A deployment file to start from for an image of the library, YAML."""
        return await self._plans.draft(reference, name, namespace)

    async def plan(self, deployment_yaml: str, namespace: str | None = None) -> PlanView:
        """What applying a deployment file would change. Changes nothing.

        Args:
            namespace: instead of the file's.

        Raises:
            UsageError: the file is wrong; names the line.
        """
        return await self._plans.plan(deployment_yaml, namespace)

    async def rollback_plan(self, namespace: str, name: str, snapshot: str | None = None) -> PlanView:
        """What a return to a snapshot would change.

        Args:
            snapshot: its id; None: the newest one before the present whose image is still approved.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        return await self._plans.rollback(namespace, name, snapshot)

    async def apply(self, plan: PlanView) -> AppliedView:
        """Apply what a plan showed, if everything that it saw is still so.

        Raises:
            RefusedError: of its kind. ConflictError: something changed since; plan again.
        """
        return await self._plans.apply(plan)

    async def scale(self, namespace: str, name: str, replicas: int) -> AppliedView:
        """Set how many replicas serve."""
        return await self._changes.scale(namespace, name, replicas)

    async def stop(self, namespace: str, name: str) -> AppliedView:
        """Stop a service: its workload goes, the resource stays."""
        return await self._changes.stop(namespace, name)

    async def start(self, namespace: str, name: str) -> AppliedView:
        """Start a stopped service, if its image is approved."""
        return await self._changes.start(namespace, name)

    async def delete(self, namespace: str, name: str) -> AppliedView:
        """Delete a service."""
        return await self._changes.delete(namespace, name)
