"""Which pods would have to go so that others fit. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, TypeAlias

from backend.telemetry.fit_types import Amounts, Ask, Host, Tenant

Cost: TypeAlias = Callable[[Tenant], tuple[Any, ...]]


def by_priority(tenant: Tenant) -> tuple[Any, ...]:
    """The scheduler lets go of the lowest priority first."""
    return (tenant.priority, sum(tenant.amounts.values()), tenant.namespace, tenant.pod)


def by_idleness(tenant: Tenant) -> tuple[Any, ...]:
    """A person lets go of what does nothing first, the longest idle before all."""
    idle = tenant.idle.total_seconds() if tenant.idle is not None else 0.0
    return (idle <= 0, -idle, *by_priority(tenant))


def evict(ask: Ask, hosts: Sequence[Host], candidates: Sequence[Tenant], cost: Cost) -> tuple[Tenant, ...]:
    """Pods whose end makes room for all of `ask`: as cheap as a pass over the nodes finds, and none too many.

    Args:
        hosts: that may take the pods at all.
        cost: what is sooner let go of comes first.

    Returns:
        Empty when the candidates together do not make room enough, or nothing need go.
    """
    by_node: dict[str, list[Tenant]] = defaultdict(list)
    for tenant in sorted(candidates, key=cost):
        by_node[tenant.node].append(tenant)
    free = {host.name: dict(host.free) for host in hosts}
    placed: Counter[str] = Counter()

    def bid(name: str) -> tuple[tuple[Any, ...], str, list[Tenant]] | None:
        """What one more pod on a node costs; None: it cannot be had there."""
        left = {key: free[name].get(key, 0) - placed[name] * amount for key, amount in ask.amounts.items()}
        taken = _take(ask, left, by_node[name])
        if taken is None:
            return None
        return (tuple(sorted((cost(tenant) for tenant in taken), reverse=True)), len(taken)), name, taken

    # A node's price changes only when something happens there: the heap holds each node once, at its present price.
    bids = [made for name in free if (made := bid(name)) is not None]
    heapify(bids)
    gone: list[Tenant] = []
    for _ in range(ask.pods):
        if not bids:
            return ()
        _, name, taken = heappop(bids)
        placed[name] += 1
        gone += taken
        for tenant in taken:
            add(free[name], tenant.amounts, 1)
            by_node[name].remove(tenant)
        if (made := bid(name)) is not None:
            heappush(bids, made)
    return _reprieved(ask, free, gone, cost)


def _take(ask: Ask, left: Mapping[str, int], tenants: Sequence[Tenant]) -> list[Tenant] | None:
    """Of a node's tenants, cheapest first, as few as let one more pod fit; None: all of them are not enough."""
    short = {key: amount - left[key] for key, amount in ask.amounts.items()}
    taken: list[Tenant] = []
    for tenant in tenants:
        if all(amount <= 0 for amount in short.values()):
            break
        if any(tenant.amounts.get(key, 0) > 0 for key, amount in short.items() if amount > 0):
            taken.append(tenant)
            for key in short:
                short[key] -= tenant.amounts.get(key, 0)
    if any(amount > 0 for amount in short.values()):
        return None
    for tenant in list(reversed(taken)):
        if all(amount + tenant.amounts.get(key, 0) <= 0 for key, amount in short.items()):
            taken.remove(tenant)
            for key in short:
                short[key] += tenant.amounts.get(key, 0)
    return taken


def _reprieved(ask: Ask, free: dict[str, dict[str, int]], gone: Sequence[Tenant], cost: Cost) -> tuple[Tenant, ...]:
    """Without those whose room turned out not to be needed, the dearest spared first."""
    kept = list(gone)
    for tenant in sorted(gone, key=cost, reverse=True):
        add(free[tenant.node], tenant.amounts, -1)
        if _room(ask, free.values()) >= ask.pods:
            kept.remove(tenant)
        else:
            add(free[tenant.node], tenant.amounts, 1)
    return tuple(sorted(kept, key=cost))


def _room(ask: Ask, rooms: Iterable[Amounts]) -> int:
    return sum(
        min((max(0, room.get(key, 0)) // amount for key, amount in ask.amounts.items() if amount > 0), default=ask.pods)
        for room in rooms
    )


def add(room: Amounts, amounts: Amounts, sign: int) -> None:
    """Give back (1) or take away (-1)."""
    for key, amount in amounts.items():
        room[key] = room.get(key, 0) + sign * amount
