"""What a change of a service would end: requests, replicas, GPUs, addresses and those who rely on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from backend.cluster.llm_objects import InferenceGraph, TrainedModel
from backend.cluster.platform_objects import HttpRoute
from backend.core.views import BlastView, EndpointView, ServiceView

_ENDS: Final = frozenset({"stop", "delete"})
KEYS: Final = "access keys are not managed here yet: whether keys end with it is not known"


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What its model servers do now; a rate None: `note` says why."""

    requests_per_second: float | None = None
    running: float | None = None
    note: str = ""


def blast(
    row: ServiceView,
    verb: str,
    *,
    after: int,
    traffic: Traffic,
    endpoints: Sequence[EndpointView] = (),
    routes: Sequence[HttpRoute] = (),
    consumers: Sequence[str] = (),
    consumers_note: str = "",
) -> BlastView:
    """What stopping, starting, scaling or deleting a service would end.

    Args:
        after: replicas that shall serve then.
    """
    each = row.gpus // row.wanted_replicas if row.wanted_replicas else row.gpus
    freed = (row.wanted_replicas - after) * each if row.wanted_replicas or verb != "start" else -after * each
    ends = verb in _ENDS or after == 0
    hosts = [host for point in endpoints if (host := urlsplit(point.url).hostname)]
    hosts += [host for route in routes for host in route.spec.hostnames or ()]
    view = BlastView(
        context=row.context,
        namespace=row.namespace,
        name=row.name,
        verb=verb,
        replicas=row.ready_replicas,
        after=after,
        gpus=row.gpus,
        freed=freed,
        gpu_type=row.gpu_type,
        requests_per_second=traffic.requests_per_second,
        running=traffic.running,
        traffic_note=traffic.note,
        hosts=tuple(dict.fromkeys(hosts)) if ends else (),
        routes=tuple(f"{route.metadata.namespace}/{route.metadata.name}" for route in routes) if ends else (),
        consumers=tuple(consumers),
        consumers_note=consumers_note,
        keys=KEYS if ends else "",
    )
    return msgspec.structs.replace(view, sentences=tuple(_sentences(view, row)))


def consumers_of(
    namespace: str, name: str, graphs: Iterable[InferenceGraph], models: Iterable[TrainedModel]
) -> tuple[str, ...]:
    """What names a service: `InferenceGraph llm/summarise`."""
    found = [
        f"InferenceGraph {graph.metadata.namespace}/{graph.metadata.name}"
        for graph in graphs
        if graph.metadata.namespace == namespace
        and any(step.service_name == name for node in graph.spec.nodes.values() for step in node.steps or ())
    ]
    found += [
        f"TrainedModel {model.metadata.namespace}/{model.metadata.name}"
        for model in models
        if model.metadata.namespace == namespace and model.spec.inference_service == name
    ]
    return tuple(found)


def _sentences(view: BlastView, row: ServiceView) -> Iterable[str]:
    ends = view.verb in _ENDS or view.after == 0
    less = view.after < row.wanted_replicas
    if view.requests_per_second is not None:
        running = f" ({view.running:.0f} running now)" if view.running else ""
        told = f"it gets {view.requests_per_second:.1f} requests a second{running}"
        cut = ", which nothing answers then" if ends else ", which fewer replicas share then" if less else ""
        yield told + (cut if view.requests_per_second or view.running else "; nobody asks it now")
    elif view.traffic_note and view.verb != "start":
        yield f"how many requests it gets is not known: {view.traffic_note}"
    if view.replicas != view.after:
        yield f"{view.replicas} {'replica serves' if view.replicas == 1 else 'replicas serve'} now, {view.after} shall"
    if view.freed:
        kind = f" {view.gpu_type}" if view.gpu_type else ""
        one = abs(view.freed) == 1
        many = "1 GPU" if one else f"{abs(view.freed)} GPUs"
        free, taken = ("becomes free", "is taken beside") if one else ("become free", "are taken beside")
        yield f"{many}{kind} {free if view.freed > 0 else taken}"
    if view.consumers:
        yield f"{', '.join(view.consumers)} {'rely' if len(view.consumers) > 1 else 'relies'} on it"
    if view.consumers_note:
        yield f"who relies on it is not fully known: {view.consumers_note}"
    if view.hosts:
        yield f"nothing answers any more at {', '.join(view.hosts)}"
    if view.verb == "delete" and view.routes:
        yield f"HTTPRoutes that end: {', '.join(view.routes)}"
    if view.keys:
        yield view.keys
