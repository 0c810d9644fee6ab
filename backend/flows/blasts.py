"""Finds out what a change of a service would end, before anybody confirms it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from backend.access.endpoints import endpoints
from backend.cluster.client import ClusterClient
from backend.cluster.llm_objects import InferenceGraph, TrainedModel
from backend.cluster.objects import KubeObject, Pod
from backend.cluster.platform_objects import HttpRoute
from backend.cluster.resources import HTTP_ROUTES, INFERENCE_GRAPHS, TRAINED_MODELS, Resource
from backend.core.errors import AccessDeniedError, ModelyardError, NotFoundError, UsageError
from backend.core.views import INFERENCE_SERVICE, BlastView, ServiceView, named_kind
from backend.flows.foundation import Foundation
from backend.flows.services import Services
from backend.serving.blast import Traffic, blast, consumers_of
from backend.serving.case import Case
from backend.serving.llm import LLM_KIND
from backend.serving.pods import is_ready
from backend.telemetry.engines import Kind
from backend.telemetry.scraping import ServerScrape
from backend.telemetry.sources import ClusterSource

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item", bound=KubeObject)
_VERBS: Final = ("stop", "start", "scale", "delete")
#: Between the two looks that a rate is taken from, in seconds.
_BETWEEN: Final = 1.5
#: Pods that are asked at most; of more the rate is that of these, and a note says so.
_MOST_PODS: Final = 32


class Blasts:
    """Asks the cluster and the model servers what hangs on a service."""

    def __init__(
        self,
        foundation: Foundation,
        services: Services,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._foundation = foundation
        self._services = services
        self._pause = pause

    async def blast(
        self, namespace: str, name: str, verb: str, *, replicas: int | None = None, context: str = ""
    ) -> BlastView:
        """What a change would end.

        Args:
            verb: stop, start, scale or delete. replicas: that shall serve after a scale.

        Raises:
            UsageError: there is no such verb. NotFoundError: there is no such service.
        """
        what = f"{verb} of {namespace}/{name}"
        if verb not in _VERBS:
            raise UsageError(what, "nothing is known of such a change", f"known: {', '.join(_VERBS)}")
        row, case = await self._found(namespace, name, context, what)
        client = await self._foundation.clusters.client(context)
        least = case.service.spec.predictor.min_replicas
        after = {"stop": 0, "delete": 0, "start": 1 if least is None else least}.get(verb, replicas or 0)
        ready = [pod for pod in case.pods if is_ready(pod)]
        traffic, routes, (consumers, note) = await asyncio.gather(
            self._traffic(client, ready), self._routes(client, row), self._consumers(client, row)
        )
        told = endpoints(case.service, row.mode) if row.kind == INFERENCE_SERVICE else ()
        return blast(
            row,
            verb,
            after=after,
            traffic=traffic,
            endpoints=[point for point in told if point.scope == "outside"],
            routes=routes,
            consumers=consumers,
            consumers_note=note,
        )

    async def _found(self, namespace: str, name: str, context: str, what: str) -> tuple[ServiceView, Case]:
        kind, bare = named_kind(name)
        key, now = (namespace, bare), self._foundation.clock.now()
        if kind == INFERENCE_SERVICE:
            board = await self._services.of(context).current(key)
        elif kind == LLM_KIND:
            board = (await self._services.beside(context)).board
        else:
            raise UsageError(what, f"a {kind} is observed here, and changed elsewhere", "change it with kubectl")
        case, row = board.case(key, now), board.row(key)
        if case is None or row is None:
            raise NotFoundError(what, "there is no such service", "see modelyard deploy status")
        return row, case

    async def _traffic(self, client: ClusterClient, pods: Sequence[Pod]) -> Traffic:
        """Requests a second by two looks at what the model servers count."""
        if not pods:
            return Traffic(requests_per_second=0.0, running=0.0)
        source, asked = ClusterSource(client, self._foundation.clock), [ServerScrape(pod) for pod in pods[:_MOST_PODS]]
        try:
            for position in range(2):
                if position:
                    await self._pause(_BETWEEN)
                await asyncio.gather(*(one.scrape(source, self._foundation.clock) for one in asked))
        except ModelyardError as error:
            return Traffic(note=error.why)
        told = [one.metrics for one in asked if one.metrics is not None]
        if not told:
            return Traffic(note=asked[0].failure or "its model servers tell nothing")
        rates = [rate for one in told if (rate := one.window.rate(Kind.REQUESTS)) is not None]
        running = [one.gauges.running for one in told if one.gauges.running is not None]
        return Traffic(
            requests_per_second=sum(rates) if rates else None,
            running=sum(running) if running else None,
            note="" if rates else "its model server does not count requests",
        )

    async def _routes(self, client: ClusterClient, row: ServiceView) -> list[HttpRoute]:
        routes, _ = await self._listed(client, HTTP_ROUTES, row.namespace)
        its = {row.name, f"{row.name}-predictor", f"{row.name}-kserve-route"}
        return [route for route in routes if route.metadata.name in its]

    async def _consumers(self, client: ClusterClient, row: ServiceView) -> tuple[tuple[str, ...], str]:
        graphs: list[InferenceGraph]
        models: list[TrainedModel]
        graphs, hidden = await self._listed(client, INFERENCE_GRAPHS, row.namespace)
        models, hidden_too = await self._listed(client, TRAINED_MODELS, row.namespace)
        return consumers_of(row.namespace, row.name, graphs, models), hidden or hidden_too

    async def _listed(
        self, client: ClusterClient, resource: Resource[_Item], namespace: str
    ) -> tuple[list[_Item], str]:
        """Objects of a kind; where there is no such kind, none; and why they may not be seen."""
        try:
            return list((await client.list(resource, namespace))[0]), ""
        except NotFoundError:
            return [], ""
        except AccessDeniedError as error:
            _LOG.info("%s: %s", resource.plural, error)
            return [], f"{resource.plural} may not be listed"
