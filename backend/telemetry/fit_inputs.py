"""Nodes and pods of a cluster as a fit check knows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR
from functools import lru_cache

from backend.cluster.kserve_objects import service_of
from backend.cluster.objects import Node, Pod, ResourceRequirements, Resources
from backend.core.quantities import parse_quantity
from backend.telemetry.fit import check
from backend.telemetry.fit_types import MIG, PODS, UNIT, WHOLE_GPU, Amounts, Ask, Host, Tenant

_ENDED = frozenset({"Succeeded", "Failed"})
#: More than any node has of anything, in bytes; what is told beyond it is not believed.
_MOST = 1 << 62
#: Where a node does not tell these, they limit nothing.
_UNTOLD = dict.fromkeys(("cpu", "memory", "ephemeral-storage", PODS), _MOST)


def amounts_of(resources: Resources | Mapping[str, object] | None, *, floor: bool = False) -> Amounts:
    """Quantities in thousandths; those that cannot be read are left out.

    Args:
        floor: round down, for what there is; else up, for what is asked.
    """
    found = {key: _amount(quantity, floor) for key, quantity in (resources or {}).items()}
    return {key: amount for key, amount in found.items() if amount is not None}


@lru_cache(maxsize=4096)
def _amount(quantity: object, floor: bool) -> int | None:
    """Thousandths of a unit; None: it cannot be read. The same few texts come with every pod."""
    try:
        amount = parse_quantity(quantity) * UNIT
    except ValueError:
        return None
    if abs(amount) >= _MOST:
        return None
    return int(amount.to_integral_value(ROUND_FLOOR if floor else ROUND_CEILING))


def amounts_of_pod(pod: Pod) -> Amounts:
    """What a pod holds: its containers together, or its largest init container where that is more, and its overhead.

    Kubernetes takes limits for requests that are not given.
    """
    total: Amounts = {}
    for container in pod.spec.containers:
        for key, amount in _container(container.resources).items():
            total[key] = total.get(key, 0) + amount
    for container in pod.spec.init_containers or ():
        for key, amount in _container(container.resources).items():
            total[key] = max(total.get(key, 0), amount)
    for key, amount in amounts_of(pod.spec.overhead).items():
        total[key] = total.get(key, 0) + amount
    total[PODS] = UNIT
    return {key: amount for key, amount in total.items() if amount > 0}


def tenants_of(pods: Iterable[Pod], idle: Mapping[tuple[str, str], timedelta] | None = None) -> list[Tenant]:
    """Pods that have a node and have not ended.

    Args:
        idle: for how long pods have been doing nothing, by namespace and name.
    """
    return [
        Tenant(
            namespace=pod.metadata.namespace,
            pod=pod.metadata.name,
            node=pod.spec.node_name,
            amounts=amounts_of_pod(pod),
            service=service_of(pod.metadata),
            priority=pod.spec.priority or 0,
            idle=(idle or {}).get(pod.key),
        )
        for pod in pods
        if pod.spec.node_name and pod.status.phase not in _ENDED
    ]


def hosts_of(nodes: Iterable[Node], tenants: Iterable[Tenant]) -> list[Host]:
    """Nodes by name, with what their tenants leave of them."""
    used: dict[str, Amounts] = {}
    for tenant in tenants:
        room = used.setdefault(tenant.node, {})
        for key, amount in tenant.amounts.items():
            room[key] = room.get(key, 0) + amount
    found = []
    for node in nodes:
        allocatable = {**_UNTOLD, **amounts_of(node.status.allocatable, floor=True)}
        taken = used.get(node.metadata.name, {})
        memory = node.metadata.label("nvidia.com/gpu.memory")
        found.append(
            Host(
                name=node.metadata.name,
                allocatable=allocatable,
                free={key: amount - taken.get(key, 0) for key, amount in allocatable.items()},
                labels=node.metadata.labels or {},
                taints=node.spec.taints or (),
                cordoned=node.spec.unschedulable,
                ready=any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ()),
                product=node.metadata.label("nvidia.com/gpu.product"),
                gpu_memory=int(memory) << 20 if memory.isdecimal() and len(memory) < 10 else None,
            )
        )
    return sorted(found, key=lambda host: host.name)


def ask_of_pod(pod: Pod) -> Ask:
    """What a pod that waits asks for."""
    amounts = amounts_of_pod(pod)
    return Ask(
        pods=1,
        amounts=amounts,
        resource=next((key for key in sorted(amounts) if key == WHOLE_GPU or key.startswith(MIG)), ""),
        node_selector=pod.spec.node_selector or {},
        tolerations=pod.spec.tolerations or (),
        priority=pod.spec.priority or 0,
        preempts=pod.spec.preemption_policy != "Never",
    )


def why_pending(pod: Pod, hosts: Iterable[Host]) -> str:
    """Why a pod has no node yet, in a sentence such as "8 GPUs: 11 free, no node has more than 5"."""
    found = check(ask_of_pod(pod), list(hosts))
    if found.now:
        return "there is room for it now: the scheduler should place it soon, or something else holds it back"
    return found.sentence


def _container(resources: ResourceRequirements | None) -> Amounts:
    return {**amounts_of(resources.limits), **amounts_of(resources.requests)} if resources is not None else {}
