"""Whether pods fit: on which nodes they would run now, what they wait for, what would have to go. Pure; an estimate.

The scheduler's own predicates are followed as far as they matter to model servers: taints, node selectors, cordons,
what is left of every resource, and hard topology spread. Affinity between pods, volumes and ports are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from backend.cluster.objects import Taint, Toleration
from backend.telemetry.fit_room import add, by_idleness, by_priority, evict
from backend.telemetry.fit_types import Ask, Fit, Host, Place, Tenant, gpus_of, memory_of
from backend.telemetry.fit_words import amount_text, gib, runs, waits

#: Taints that a node has while it is not ready or cordoned: told in plain words instead.
_NODE_STATE: Final = "node.kubernetes.io/"


def check(ask: Ask, hosts: Sequence[Host], tenants: Sequence[Tenant] = ()) -> Fit:
    """Where the pods fit, and what would have to go when they do not.

    Args:
        hosts: nodes with what is left of them.
        tenants: pods that could make room; those that `ask.replaces` names do so in any case.
    """
    going = [tenant for tenant in tenants if ask.replaces and f"{tenant.namespace}/{tenant.service}" == ask.replaces]
    state = _freed(hosts, going)
    places = tuple(sorted((_place(ask, host) for host in state), key=lambda place: (-place.pods, place.host.name)))
    fitting = min(ask.pods, _spread_out(ask, places))
    if fitting >= ask.pods:
        return Fit(ask=ask, places=places, fitting=fitting, sentence=runs(ask, places))
    open_ = [place.host for place in places if not place.barred]
    staying = [tenant for tenant in tenants if tenant not in going]
    # The scheduler pushes out whoever has a lower priority; a person stops what holds GPUs or is a service.
    lower = [tenant for tenant in staying if tenant.priority < ask.priority] if ask.preempts else []
    others = [tenant for tenant in staying if tenant.service or gpus_of(tenant.amounts)]
    preempted = evict(ask, open_, lower, by_priority)
    leaving = () if preempted else evict(ask, open_, others, by_idleness)
    return Fit(
        ask=ask,
        places=places,
        fitting=fitting,
        preempted=preempted,
        leaving=leaving,
        sentence=waits(ask, places, fitting),
    )


# ------------------------------------------------------------ nodes


def barred(ask: Ask, host: Host) -> str:
    """Why a node takes none of the pods as it is, however empty; empty when it does."""
    if not host.ready:
        return "it is not ready"
    if host.cordoned:
        return "it is cordoned"
    for key, value in ask.node_selector.items():
        if host.labels.get(key) != value:
            told = host.labels.get(key)
            return f"its label {key} is {told!r}, not {value!r}" if told is not None else f"it has no label {key}"
    for taint in host.taints:
        if taint.effect in {"NoSchedule", "NoExecute"} and not tolerated(taint, ask.tolerations):
            if taint.key.startswith(_NODE_STATE):
                return f"it is {taint.key.removeprefix(_NODE_STATE)}"
            return f"its taint {taint.key}{f'={taint.value}' if taint.value else ''} is not tolerated"
    if ask.resource and not host.allocatable.get(ask.resource):
        return f"it has no {ask.resource}"
    for key, amount in ask.amounts.items():
        if amount > host.allocatable.get(key, 0):
            return _in_all(key, host)
    memory = memory_of(ask.resource, host.gpu_memory)
    if ask.gpu_memory is not None and memory is not None and memory < ask.gpu_memory:
        return f"its GPUs hold {gib(memory)} each, and {gib(ask.gpu_memory)} are needed"
    return ""


def _in_all(key: str, host: Host) -> str:
    return f"it has {amount_text(key, host.allocatable.get(key, 0))} in all"


def tolerated(taint: Taint, tolerations: Sequence[Toleration]) -> bool:
    """Whether one of the tolerations puts up with a taint, by Kubernetes' rules."""
    return any(
        (not each.effect or each.effect == taint.effect)
        and ((not each.key and each.operator == "Exists") or each.key == taint.key)
        and (each.operator == "Exists" or each.value == taint.value)
        for each in tolerations
    )


def _place(ask: Ask, host: Host) -> Place:
    if why := barred(ask, host):
        return Place(host=host, pods=0, barred=why, small=bool(ask.resource) and why == _in_all(ask.resource, host))
    counts = {key: max(0, host.free.get(key, 0)) // amount for key, amount in ask.amounts.items() if amount > 0}
    pods = min(counts.values(), default=ask.pods)
    lacking = tuple(key for key, count in counts.items() if count == pods)
    return Place(host=host, pods=pods, lacking=lacking)


def _spread_out(ask: Ask, places: Sequence[Place]) -> int:
    """How many pods fit on all nodes together, with hard spread constraints as the scheduler holds to them.

    It puts one pod after the other where no domain comes to have more than `skew` above the emptiest one; nodes that
    lack the label take none.
    """
    if not ask.spread:
        return sum(place.pods for place in places)
    keys = [each.key for each in ask.spread]
    able = [place for place in places if all(key in place.host.labels for key in keys)]
    # Nodes that a selector excludes are no domains; those that taints exclude are, unless asked otherwise.
    counted = [
        place for place in able if all(place.host.labels.get(key) == value for key, value in ask.node_selector.items())
    ]
    used: Counter[str] = Counter()
    domains: list[Counter[str]] = [Counter({place.host.labels[key]: 0 for place in counted}) for key in keys]
    for placed in range(ask.pods):
        open_ = [
            place
            for place in able
            if used[place.host.name] < place.pods
            and all(
                domain[place.host.labels[each.key]] + 1 - min(domain.values(), default=0) <= each.skew
                for each, domain in zip(ask.spread, domains, strict=True)
            )
        ]
        if not open_:
            return placed
        chosen = min(
            open_,
            key=lambda place: [domain[place.host.labels[key]] for key, domain in zip(keys, domains, strict=True)],
        )
        used[chosen.host.name] += 1
        for key, domain in zip(keys, domains, strict=True):
            domain[chosen.host.labels[key]] += 1
    return ask.pods


def _freed(hosts: Sequence[Host], going: Sequence[Tenant]) -> list[Host]:
    if not going:
        return list(hosts)
    free = {host.name: dict(host.free) for host in hosts}
    for tenant in going:
        if tenant.node in free:
            add(free[tenant.node], tenant.amounts, 1)
    return [msgspec.structs.replace(host, free=free[host.name]) for host in hosts]
