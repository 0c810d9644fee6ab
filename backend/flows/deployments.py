"""Services as commands and screen know them: looked at, planned, applied, stopped, returned to a snapshot."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from backend.access.endpoints import endpoints
from backend.cluster.resources import (
    NAMESPACES,
)
from backend.core.errors import AccessDeniedError, NotFoundError
from backend.core.views import (
    INFERENCE_SERVICE,
    AppliedView,
    ServiceDetailView,
    ServiceView,
    SnapshotView,
    named_kind,
)
from backend.flows.approvals import Approvals
from backend.flows.changes import found_service
from backend.flows.companion_detail import companion_detail
from backend.flows.foundation import Foundation
from backend.flows.hand_over import HandOver
from backend.flows.observing import Observer
from backend.flows.planning import ServicePlans
from backend.flows.plans import Plans
from backend.flows.proof import ServiceProof
from backend.flows.services import Services, Unread
from backend.flows.settling import Settling
from backend.flows.validating import Validating
from backend.serving.detail import detail_view
from backend.serving.digests import digest_of
from backend.serving.snapshots import snapshot_view, snapshots
from backend.serving.validations import of_service, outcomes

_ORDER = ("failed", "stuck", "degraded", "slow to load", "starting", "unknown", "serving", "scaled to zero", "stopped")


class DeploymentsFlow(ServiceProof, ServicePlans):
    """Services of the yard's clusters; where a context is asked for, an empty one is the primary."""

    def __init__(
        self,
        foundation: Foundation,
        approvals: Approvals,
        services: Services,
        plans: Plans,
        settling: Settling,
        observer: Observer,
        validating: Validating,
    ) -> None:
        super().__init__(foundation, approvals, services, observer, validating)
        self._plans = plans
        self._settling = settling
        self._hand_over = HandOver(foundation)

    # ------------------------------------------------------------ looking

    def contexts(self) -> tuple[str, ...]:
        """Names of the clusters' contexts, the primary first; empty names are not known before they are connected."""
        return self._services.contexts

    async def services(self, *, unread: Unread | None = None) -> list[ServiceView]:
        """All services of all contexts with their verdicts, worst first.

        Args:
            unread: told of each context that cannot be read; None: those that do not answer soon are left out.

        Raises:
            NotFoundError: KServe is not installed. Other ModelyardErrors: no cluster can be read.
        """
        rows = await self._services.rows(unread=unread)
        return sorted(rows, key=lambda row: (_ORDER.index(row.verdict.value), row.context, row.namespace, row.name))

    async def service(self, namespace: str, name: str, *, context: str = "") -> ServiceDetailView:
        """One service with all that explains its verdict.

        Args:
            name: of another kind with its prefix, such as `llm:qwen`.

        Raises:
            NotFoundError: there is none of that name.
        """
        kind, bare = named_kind(name)
        if kind != INFERENCE_SERVICE:
            beside = await self._services.beside(context)
            return await companion_detail(self._foundation, beside, kind, namespace, bare)
        client = await self._foundation.clusters.client(context)
        manifest = await found_service(client, namespace, name)
        key = (namespace, name)
        board = await self._services.of(context).current(key)
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
        newest = case.newest[0] if case.newest else None
        detail = detail_view(
            row,
            case,
            manifest,
            events,
            endpoints(case.service, row.mode),
            usual=board.usual(newest) if newest is not None else None,
            weights_at=board.weights_at(newest) if newest is not None else None,
        )
        proofs = await of_service(self._foundation.database, row.context, namespace, name)
        return msgspec.structs.replace(detail, validations=proofs)

    async def namespaces(self, *, context: str = "") -> list[str]:
        """Namespaces that services may be in: as configured, or all that may be listed."""
        link = self._foundation.clusters.link(context)
        if link.namespaces:
            return list(link.namespaces)
        client = await link.client()
        try:
            found, _ = await client.list(NAMESPACES)
        except AccessDeniedError:
            return sorted({row.namespace for row in (await self._services.of(context).current()).rows()})
        return sorted(namespace.metadata.name for namespace in found)

    async def logs(
        self,
        namespace: str,
        pod: str,
        previous: bool = False,
        tail: int = 500,
        *,
        container: str = "",
        context: str = "",
    ) -> str:
        """The last lines of a container's log as it wrote them; `container` may be empty where there is one."""
        client = await self._foundation.clusters.client(context)
        return await client.logs(namespace, pod, container=container, previous=previous, tail=tail)

    async def follow_logs(
        self, namespace: str, pod: str, *, container: str = "", tail: int = 500, context: str = ""
    ) -> AsyncGenerator[str, None]:
        """The last lines of a container's log, then each as it is written; close the generator when done.

        Raises:
            NotFoundError: it has not started. UnreachableError: the node does not answer, or the connection broke.
        """
        client = await self._foundation.clusters.client(context)
        async with aclosing(client.follow_logs(namespace, pod, container=container, tail=tail)) as lines:
            async for line in lines:
                yield line

    async def snapshots(self, namespace: str, name: str, *, context: str = "") -> list[SnapshotView]:
        """What the service can be returned to, newest first."""
        client = await self._foundation.clusters.client(context)
        await self._approvals.refresh()
        held = await snapshots(self._foundation.database, client.context, namespace, name)
        proved = await outcomes(self._foundation.database, [one.id for one in held])
        good = await self._plans.last_good(client.context, held)
        return [
            snapshot_view(
                one,
                still_approved=bool(self._approvals.judge(frozenset({digest_of(one.intent.image)})).approved),
                proved=proved.get(one.id, ""),
                good=good is not None and one.id == good.id,
            )
            for one in held
        ]

    # ------------------------------------------------------------ changing

    async def scale(self, namespace: str, name: str, replicas: int, *, context: str = "") -> AppliedView:
        """Set how many replicas serve."""
        return await self._changes.scale(namespace, name, replicas, context=context)

    async def stop(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Stop a service: its workload goes, the resource stays."""
        return await self._changes.stop(namespace, name, context=context)

    async def shell(
        self, namespace: str, pod: str, *, container: str, command: tuple[str, ...] = ("sh",), context: str = ""
    ) -> tuple[str, ...]:
        """The arguments of the command that opens a shell in a container, once that is let through and recorded."""
        return await self._hand_over.shell(namespace, pod, container=container, command=command, context=context)

    async def forward(self, namespace: str, pod: str, ports: str, *, context: str = "") -> tuple[str, ...]:
        """The arguments of the command that forwards a port, once that is let through and recorded."""
        return await self._hand_over.forward(namespace, pod, ports, context=context)

    async def weigh(self, namespace: str, name: str, weight: int, *, context: str = "") -> AppliedView:
        """Set the share of its group's traffic that an LLMInferenceService (`llm:NAME`) gets."""
        return await self._changes.weigh(namespace, name, weight, context=context)

    async def start(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Start a stopped service, if its image is approved."""
        return await self._changes.start(namespace, name, context=context)

    async def delete(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        """Delete a service."""
        return await self._changes.delete(namespace, name, context=context)
