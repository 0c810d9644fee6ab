"""How many pods a Deployment's controller makes and removes next, by the rules of Kubernetes' rollouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from backend.demo.objects import Object
from backend.demo.workloads_pods import Pod


class Step(NamedTuple):
    """What to do next: so many new pods, and these pods to remove."""

    create: int
    remove: tuple[Pod, ...]


def next_step(pods: Sequence[Pod], template_hash: str, replicas: int, strategy: Object) -> Step:
    """The next step of a rollout; nothing to do when it is as wanted or must wait.

    Args:
        pods: all that the Deployment has.
        template_hash: of the template that is wanted.
        replicas: how many pods are wanted.
        strategy: the Deployment's `spec.strategy`.
    """
    new = [pod for pod in pods if pod.hash == template_hash]
    old = [pod for pod in pods if pod.hash != template_hash]
    surplus = _expendable(new)[: max(0, len(new) - replicas)]
    if strategy.get("type") == "Recreate":
        if old:
            return Step(0, (*old, *surplus))
        return Step(max(0, replicas - len(new)), tuple(surplus))
    surge, unavailable = limits(strategy, replicas)
    create = max(0, min(replicas - len(new), replicas + surge - len(pods)))
    minimum = replicas - unavailable
    ready = sum(pod.is_ready for pod in pods)
    new_unready = sum(not pod.is_ready for pod in new) + create
    allowed = len(pods) + create - minimum - new_unready
    remove: list[Pod] = []
    for pod in _expendable(old):
        if allowed <= 0:
            break
        if pod.is_ready:
            if ready - 1 < minimum:
                continue
            ready -= 1
        allowed -= 1
        remove.append(pod)
    return Step(create, (*remove, *surplus))


def limits(strategy: Object, replicas: int) -> tuple[int, int]:
    """`maxSurge` and `maxUnavailable` in pods; percentages round up and down, and not both may be 0."""
    rolling = strategy.get("rollingUpdate") or {}
    surge = _amount(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _amount(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    return surge, 1 if surge == 0 and unavailable == 0 else unavailable


def _amount(value: Any, replicas: int, rounding: Any) -> int:
    text = str(value).strip()
    if text.endswith("%") and text[:-1].isdigit():
        return int(rounding(int(text[:-1]) * replicas / 100))
    return int(text) if text.isdigit() else 0


def _expendable(pods: Sequence[Pod]) -> list[Pod]:
    """The pods in the order in which a ReplicaSet gives them up: without node, not ready, youngest."""
    return sorted(pods, key=lambda pod: (bool(pod.node), pod.is_ready, -pod.created, -pod.ordinal))
