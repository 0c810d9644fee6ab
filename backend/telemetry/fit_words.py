"""What a fit check says, in sentences; also of a pod that waits already. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from backend.telemetry.fit_types import MIG, PODS, UNIT, WHOLE_GPU, Ask, Place

_MOST_NODES: Final = 4


def runs(ask: Ask, places: Sequence[Place]) -> str:
    """That all pods would run now, and where."""
    able = [place for place in places if place.pods]
    if not ask.pods:
        return "no pod is asked for: nothing has to fit"
    names = [place.host.name for place in able]
    if ask.pods == 1:
        return f"it would run now, on {_names(names, 'or')}"
    return f"all {ask.pods} pods would run now, on {_names(names, 'and')}"


def waits(ask: Ask, places: Sequence[Place], fitting: int) -> str:
    """What the pods wait for: devices in one place, another resource, a node that takes them at all."""
    start = f"{fitting} of {ask.pods} pods fit; the next waits: " if fitting else ""
    open_ = [place for place in places if not place.barred]
    if not open_:
        return start + _nowhere(ask, places)
    if ask.spread and sum(place.pods for place in places) >= ask.pods:
        keys = ", ".join(each.key for each in ask.spread)
        return f"{start}there is room, but not so that the pods are spread over {keys} as asked"
    if ask.gpus and (why := _devices(ask, places)):
        return start + why
    lacking = Counter(key for place in open_ for key in place.lacking)
    if not lacking:
        return f"{start}the nodes that would take it are full"
    key = max(lacking, key=lambda each: (lacking[each], each))
    most = max(place.host.free.get(key, 0) - place.pods * ask.amounts[key] for place in open_)
    where = "the only node that takes it" if len(open_) == 1 else f"any of the {len(open_)} nodes that take it"
    return f"{start}{amount_text(key, ask.amounts[key])}: no more than {amount_text(key, max(0, most))} left on {where}"


def fragmentation(resource: str, gpus: int, free: dict[str, int]) -> str:
    """Why a pod gets no devices, such as "8 GPUs: 11 free, no node has more than 5"; empty when a node has enough.

    Args:
        resource: `nvidia.com/gpu` or a MIG resource. gpus: that the pod asks for.
        free: devices that are left, by node.
    """
    told = devices_text(resource, gpus)
    if not free:
        return f"{told}: no node has any"
    total, most = sum(max(0, count) for count in free.values()), max(free.values())
    if most >= gpus:
        return ""
    if total <= 0:
        return f"{told}: none free"
    if total < gpus:
        return f"{told}: {total} free"
    return f"{told}: {total} free, no node has more than {most}"


def devices_text(resource: str, count: int) -> str:
    """Such as `8 GPUs` or `2 MIG 1g.10gb`."""
    if resource.startswith(MIG):
        return f"{count} MIG {resource.removeprefix(MIG)}"
    if resource == WHOLE_GPU:
        return f"{count} GPU{'' if count == 1 else 's'}"
    return f"{count} {resource}"


def amount_text(key: str, amount: int) -> str:
    """An amount with its unit and the resource's name, for a person."""
    if key in {"memory", "ephemeral-storage"} or key.startswith("hugepages"):
        return f"{gib(amount // UNIT)} {key}"
    if key == WHOLE_GPU or key.startswith(MIG):
        return devices_text(key, amount // UNIT)
    number = f"{amount / UNIT:g}"
    return f"{number} {'CPU' if key == 'cpu' else 'pods' if key == PODS else key}"


def gib(count: int) -> str:
    """Bytes in GiB, or in TiB where that is shorter."""
    if count >= 10 << 40:
        return f"{count / 2**40:.0f} TiB"
    return f"{count / 2**30:.0f} GiB" if count >= 10 << 30 else f"{count / 2**30:.3g} GiB"


def _nowhere(ask: Ask, places: Sequence[Place]) -> str:
    """That no node takes such a pod, with the commonest reasons."""
    if not places:
        return "the cluster shows no nodes"
    if ask.resource and not any(place.host.allocatable.get(ask.resource) for place in places):
        return f"no node has {ask.resource}"
    if ask.gpus:
        # Nodes without GPUs are no news.
        places = [place for place in places if place.host.allocatable.get(ask.resource)]
        most = max(place.host.allocatable[ask.resource] for place in places) // UNIT
        if most < ask.gpus:
            return f"{devices_text(ask.resource, ask.gpus)}: no node has more than {most} in all"
    reasons: dict[str, list[str]] = {}
    for place in places:
        reasons.setdefault(place.barred, []).append(place.host.name)
    told = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))[:3]
    return "no node takes it: " + "; ".join(f"{_names(names)}: {_of_many(why, names)}" for why, names in told)


def _devices(ask: Ask, places: Sequence[Place]) -> str:
    """What keeps the next pod from its devices; empty when devices are not what lacks."""
    left = {
        place.host.name: max(0, place.host.free.get(ask.resource, 0) // UNIT - place.pods * ask.gpus)
        for place in places
        if not place.barred or place.small
    }
    why = fragmentation(ask.resource, ask.gpus, left)
    shut: dict[str, int] = {}
    for place in places:
        free = place.host.free.get(ask.resource, 0) // UNIT
        if place.barred and free >= ask.gpus:
            shut[f"{place.host.name}: {place.barred}"] = free
    if why and shut:
        first = next(iter(shut))
        why += f"; {shut[first]} more on {first}"
    return why


def _of_many(why: str, names: Sequence[str]) -> str:
    """What is said of one node, said of several."""
    if len(names) > 1:
        for one, many in (("it is ", "they are "), ("it has ", "they have "), ("its ", "their ")):
            if why.startswith(one):
                return many + why.removeprefix(one)
    return why


def _names(names: Sequence[str], last: str = "and") -> str:
    """The first few names as a sentence lists them."""
    if len(names) > _MOST_NODES:
        return f"{', '.join(names[:_MOST_NODES])} {last} {len(names) - _MOST_NODES} more"
    return f" {last} ".join([part for part in (", ".join(names[:-1]), *names[-1:]) if part])
