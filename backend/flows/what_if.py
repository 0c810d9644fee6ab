"""What more replicas of a service would take, by what its pods take now and what the cluster has left."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from backend.cluster.kserve_objects import service_of
from backend.core.errors import NotFoundError, UsageError
from backend.core.views import WhatIfView
from backend.flows.cluster_link import ClusterLink
from backend.flows.foundation import Foundation
from backend.telemetry.fit import check
from backend.telemetry.fit_inputs import ask_of_pod, hosts_of, tenants_of
from backend.telemetry.fit_types import MIG, UNIT, Host
from backend.telemetry.prices import price_of
from backend.telemetry.sources import ClusterSource

_FORM: Final = re.compile(r"(?:(?P<context>.+)/)?(?P<namespace>[^/\s]+)/(?P<name>[^/\s+]+?)(?P<change>[+-]\d{1,4})\Z")
_ENDED: Final = frozenset({"Succeeded", "Failed"})


async def what_if(foundation: Foundation, text: str) -> WhatIfView:
    """Answer `NAMESPACE/NAME+2`.

    Raises:
        UsageError: the text is not of that form, or names a context that is not followed.
        NotFoundError: no pod of the service is known. ModelyardError: the cluster cannot be asked.
    """
    match = _FORM.match(text.strip())
    change = int(match["change"]) if match else 0
    if match is None or change == 0:
        raise UsageError(
            f"what-if {text!r}", "it does not say how many replicas of what", "write NAMESPACE/NAME+2, or -1 for fewer"
        )
    link = _link(foundation, match["context"] or "")
    # Pods of every namespace: whoever holds a GPU, it is not free.
    source = ClusterSource(await link.client(), foundation.clock)
    nodes, pods = await source.nodes(), await source.pods()
    namespace, name = match["namespace"], match["name"]
    of_service = [
        pod
        for pod in pods
        if pod.metadata.namespace == namespace and service_of(pod.metadata) == name and pod.status.phase not in _ENDED
    ]
    if not of_service:
        raise NotFoundError(
            f"what-if {namespace}/{name}",
            "no pod of it is there, so that what a replica takes is not known",
            "start the service, or plan a deployment: its plan tells whether it fits",
        )
    ask = ask_of_pod(max(of_service, key=lambda pod: ask_of_pod(pod).gpus))
    tenants = tenants_of(pods)
    hosts = hosts_of(nodes, tenants)
    each = ask.gpus
    product, profile = _product(hosts, {pod.spec.node_name for pod in of_service}), ask.resource.removeprefix(MIG)
    profile = profile if ask.resource.startswith(MIG) else ""
    price = price_of(foundation.configuration.settings.price, product, profile)
    free = _free([host for host in hosts if host.ready and not host.cordoned], ask.resource)
    fits: bool | None
    if change < 0:
        kept = max(0, len(of_service) + change)
        fits, sentence = True, f"gives back {(len(of_service) - kept) * each} GPUs; {kept} replicas stay"
    else:
        found = check(msgspec.structs.replace(ask, pods=change), hosts, tenants)
        fits, sentence = found.now, found.sentence
        # Of the nodes that would take its pods at all.
        hosts = [place.host for place in found.places if not place.barred]
        free = _free(hosts, ask.resource)
    return WhatIfView(
        context=link.context,
        service=f"{namespace}/{name}",
        replicas=change,
        gpus=change * each,
        type=f"{product} {profile}".strip(),
        free=free if ask.resource else None,
        fits=fits,
        cost_per_hour=None if price is None else price * change * each,
        currency=foundation.configuration.settings.telemetry.currency if price is not None else "",
        sentence=sentence,
    )


def _free(hosts: Iterable[Host], resource: str) -> int:
    return sum(max(0, host.free.get(resource, 0)) // UNIT for host in hosts)


def _link(foundation: Foundation, context: str) -> ClusterLink:
    if not context:
        return foundation.cluster
    return foundation.clusters.link(context)


def _product(hosts: list[Host], nodes: set[str]) -> str:
    """The GPU product that the service runs on; where it runs on none yet, the only one there is."""
    found = {host.product for host in hosts if host.name in nodes and host.product}
    found = found or {host.product for host in hosts if host.product}
    return next(iter(found)) if len(found) == 1 else ""
