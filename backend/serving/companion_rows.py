"""Rows of InferenceGraphs and LocalModelCaches, with verdicts of their own. Pure.

A graph is as good as the services that its steps name: its own Ready speaks of its router alone. A cache is as good as
the nodes that have its files: a service that is placed on one that has not waits or downloads by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from backend.cluster.llm_objects import GraphStep, InferenceGraph, LocalModelCache
from backend.cluster.objects import condition_of, parsed_time
from backend.core.text import sanitise
from backend.core.views import ConditionView, ServiceView, Verdict
from backend.serving.board_objects import Key
from backend.serving.cautions import owner_of
from backend.serving.manifests import STOP

GRAPH_KIND: Final = "InferenceGraph"
CACHE_KIND: Final = "LocalModelCache"
#: Tells of a service by its namespace and name.
Finder = Callable[[Key], ServiceView | None]

_UNNOTICED: Final = timedelta(minutes=1)
_BROKEN: Final = frozenset({Verdict.FAILED, Verdict.STUCK, Verdict.STOPPED})
_DOWNLOADED: Final = "NodeDownloaded"
_FAILED: Final = "NodeDownloadError"
_NODE_WORDS: Final = {
    "NodeNotReady": "node not ready",
    "NodeDownloadPending": "waits to download",
    "NodeDownloading": "downloading",
    _DOWNLOADED: "downloaded",
    _FAILED: "download failed",
}


def graph_row(context: str, graph: InferenceGraph, find: Finder, now: datetime) -> ServiceView:
    """The row of a graph.

    Args:
        find: tells of the services that its steps name.
    """
    verdict, reason, step, since = _judged_graph(graph, find, now)
    steps = list(_service_steps(graph))
    metadata = graph.metadata
    serving = sum(1 for _, name in steps if _serves(find((metadata.namespace, name))))
    return ServiceView(
        context=context,
        namespace=metadata.namespace,
        name=metadata.name,
        kind=GRAPH_KIND,
        verdict=verdict,
        reason=reason,
        next_step=step,
        since=since,
        ready_replicas=serving,
        wanted_replicas=len(steps),
        gpus=0,
        model=", ".join(dict.fromkeys(name for _, name in steps)),
        mode=graph.status.deployment_mode if graph.status is not None else "",
        approval_note="it runs no model of its own",
        url=graph.status.url if graph.status is not None else "",
        owner=owner_of(metadata),
        created_at=parsed_time(metadata.creation_timestamp),
        generation=metadata.generation,
        resource_version=metadata.resource_version,
    )


def graph_steps(graph: InferenceGraph, find: Finder) -> tuple[ConditionView, ...]:
    """What becomes of each step that names a service."""
    found = []
    for node, name in _service_steps(graph):
        service = find((graph.metadata.namespace, name))
        found.append(
            ConditionView(
                type=f"{node} > {name}",
                status="Unknown" if service is None else str(_serves(service)),
                reason="no such service" if service is None else service.verdict.value,
                message="" if service is None else service.reason,
                since=service.since if service is not None else None,
            )
        )
    return tuple(found)


def cache_row(context: str, cache: LocalModelCache, now: datetime) -> ServiceView:
    """The row of a model cache."""
    metadata, status = cache.metadata, cache.status
    nodes = dict(status.node_status or {}) if status is not None else {}
    ready = sum(state == _DOWNLOADED for state in nodes.values())
    verdict, reason, step = _judged_cache(cache, nodes, ready, now)
    users = [
        *(status.inference_services or () if status else ()), *(status.llm_inference_services or () if status else ()),
    ]  # fmt: skip
    told = f"; used by {len(users)}" if users else "; used by no service"
    return ServiceView(
        context=context,
        namespace=metadata.namespace,
        name=metadata.name,
        kind=CACHE_KIND,
        verdict=verdict,
        reason=reason + (told if verdict is Verdict.SERVING else ""),
        next_step=step,
        since=None,
        ready_replicas=ready,
        wanted_replicas=len(nodes) or (status.copies.total if status is not None and status.copies else 0),
        gpus=0,
        model=cache.spec.source_model_uri,
        runtime=", ".join(cache.spec.node_groups or ()),
        approval_note="it runs nothing",
        owner=owner_of(metadata),
        created_at=parsed_time(metadata.creation_timestamp),
        generation=metadata.generation,
        resource_version=metadata.resource_version,
    )


def cache_nodes(cache: LocalModelCache) -> tuple[ConditionView, ...]:
    """How each node stands."""
    nodes = cache.status.node_status or {} if cache.status is not None else {}
    return tuple(
        ConditionView(
            type=sanitise(node, 100),
            status="True" if state == _DOWNLOADED else "False" if state == _FAILED else "Unknown",
            reason=_NODE_WORDS.get(state, sanitise(state, 100)),
        )
        for node, state in sorted(nodes.items())
    )


def _judged_graph(graph: InferenceGraph, find: Finder, now: datetime) -> tuple[Verdict, str, str, datetime | None]:
    metadata = graph.metadata
    if metadata.annotation(STOP) == "true":
        return Verdict.STOPPED, "stopped by hand", "start it when it is needed", None
    created = parsed_time(metadata.creation_timestamp)
    ready = condition_of(graph.status.conditions if graph.status is not None else None, "Ready")
    for node, name in _service_steps(graph):
        service = find((metadata.namespace, name))
        where = f"step {sanitise(node, 60)} needs service {sanitise(name, 60)}"
        if service is None:
            return Verdict.STUCK, f"{where}, which is not there", "deploy it, or correct the step", created
        if service.verdict in _BROKEN:
            return Verdict.DEGRADED, f"{where}, which is {service.verdict.value}", "look at that service", service.since
    if ready is None:
        if created is not None and now - created > _UNNOTICED:
            return Verdict.STUCK, "no controller has taken it up", "check that KServe's controller runs", created
        return Verdict.STARTING, "waits for KServe's controller", "", created
    since = parsed_time(ready.last_transition_time)
    if ready.status == "True":
        return Verdict.SERVING, f"{len(list(_service_steps(graph)))} steps, all services serve", "", since
    told = sanitise(ready.message or ready.reason, 200)
    slow = since is not None and now - since > timedelta(minutes=10)
    verdict = Verdict.FAILED if ready.status == "False" and slow else Verdict.STARTING
    return verdict, f"its router is not ready{': ' if told else ''}{told}", "look at its router's pod", since


def _judged_cache(cache: LocalModelCache, nodes: dict[str, str], ready: int, now: datetime) -> tuple[Verdict, str, str]:
    failed = sorted(node for node, state in nodes.items() if state == _FAILED)
    if not nodes:
        created = parsed_time(cache.metadata.creation_timestamp)
        if created is not None and now - created > _UNNOTICED:
            return (
                Verdict.STUCK,
                "no node downloads it",
                "check that its node group has nodes, and that the local model agent runs",
            )
        return Verdict.STARTING, "waits for its nodes", ""
    if failed:
        named = ", ".join(sanitise(node, 60) for node in failed[:3])
        verdict = Verdict.DEGRADED if ready else Verdict.FAILED
        return (
            verdict,
            f"on {ready} of {len(nodes)} nodes; the download failed on {named}",
            "look at the download job's log on these nodes, and at their disk",
        )
    if ready == len(nodes):
        return Verdict.SERVING, f"on all {ready} nodes" if ready > 1 else "on its node", ""
    under_way = sum(state == "NodeDownloading" for state in nodes.values())
    away = sum(state == "NodeNotReady" for state in nodes.values())
    told = f"on {ready} of {len(nodes)} nodes" + (f", downloading on {under_way}" if under_way else "")
    if away:
        return Verdict.DEGRADED, f"{told}; {away} nodes are not ready", "look at these nodes"
    return Verdict.STARTING, told, ""


def _service_steps(graph: InferenceGraph) -> Iterable[tuple[str, str]]:
    """Nodes with the services that their steps name."""
    for node, told in graph.spec.nodes.items():
        steps: tuple[GraphStep, ...] = told.steps or ()
        for step in steps:
            if step.service_name:
                yield node, step.service_name


def _serves(service: ServiceView | None) -> bool:
    return service is not None and service.verdict not in _BROKEN and service.verdict is not Verdict.STARTING
