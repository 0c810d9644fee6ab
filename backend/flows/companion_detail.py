"""A service of another kind than InferenceService with all that explains its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backend.cluster.client import ClusterClient
from backend.cluster.objects import Event
from backend.cluster.resources import INFERENCE_GRAPHS, LLM_INFERENCE_SERVICES, LOCAL_MODEL_CACHES, Resource
from backend.core.errors import AccessDeniedError, NotFoundError
from backend.core.views import EndpointView, ServiceDetailView, ServiceView
from backend.flows.companions import Companions
from backend.flows.foundation import Foundation
from backend.serving.board import Key
from backend.serving.companion_rows import CACHE_KIND, GRAPH_KIND, cache_nodes, graph_steps
from backend.serving.detail import condition_view, detail_view, event_views
from backend.serving.display import display_yaml
from backend.serving.llm import LLM_KIND, llm_endpoints

RESOURCES: Final[Mapping[str, Resource[Any]]] = {
    LLM_KIND: LLM_INFERENCE_SERVICES,
    GRAPH_KIND: INFERENCE_GRAPHS,
    CACHE_KIND: LOCAL_MODEL_CACHES,
}


async def companion_detail(
    foundation: Foundation, beside: Companions, kind: str, namespace: str, name: str
) -> ServiceDetailView:
    """Everything about one of them.

    Raises:
        NotFoundError: there is none of that name. NotInstalledError: the cluster does not have the kind.
    """
    client = await foundation.clusters.client(beside.context)
    resource = await client.served(RESOURCES[kind])
    space = namespace if resource.namespaced else None
    manifest = await client.get(resource, space, name)
    key = (namespace if resource.namespaced else "", name)
    row = next((one for one in beside.rows() if one.kind == kind and (one.namespace, one.name) == key), None)
    if row is None:
        raise NotFoundError(
            f"{kind} {namespace}/{name}",
            "it has not been seen yet, or its namespace is not among those that the yard looks at",
            "try again in a moment, or add the namespace to [[cluster]] namespaces",
        )
    events = await _events(client, namespace, name, kind)
    if kind == LLM_KIND:
        return _llm(foundation, beside, key, row, manifest, events)
    return ServiceDetailView(
        service=row,
        conditions=_conditions(beside, kind, key),
        pods=(),
        events=event_views(events),
        timeline=(),
        endpoints=(EndpointView(scope="outside", protocol="HTTP", url=row.url),) if row.url else (),
        manifest=display_yaml(manifest),
    )


def _llm(
    foundation: Foundation,
    beside: Companions,
    key: Key,
    row: ServiceView,
    manifest: Mapping[str, Any],
    events: tuple[Event, ...],
) -> ServiceDetailView:
    case = beside.board.case(key, foundation.clock.now())
    service = beside.llm.get(key)
    assert case is not None and service is not None, "its row was made of them"  # noqa: S101 - an invariant
    newest = case.newest[0] if case.newest else None
    return detail_view(
        row,
        case,
        manifest,
        events,
        llm_endpoints(service),
        usual=beside.board.usual(newest) if newest is not None else None,
        weights_at=beside.board.weights_at(newest) if newest is not None else None,
        conditions=(service.status.conditions if service.status is not None else None) or (),
    )


def _conditions(beside: Companions, kind: str, key: Key) -> tuple[Any, ...]:
    if kind == CACHE_KIND:
        return cache_nodes(beside.caches[key])
    graph = beside.graphs[key]
    told = (graph.status.conditions if graph.status is not None else None) or ()
    return (*graph_steps(graph, beside.find), *(condition_view(condition) for condition in told))


async def _events(client: ClusterClient, namespace: str, name: str, kind: str) -> tuple[Event, ...]:
    try:
        return await client.events_of(namespace or "default", name, kind=kind)
    except AccessDeniedError:
        return ()
