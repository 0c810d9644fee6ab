"""Kubernetes quantities and what a pod asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

#: GPUs as the device plugin of NVIDIA names them.
GPU = "nvidia.com/gpu"
#: Of a MIG instance, before its profile.
MIG = "nvidia.com/mig-"

_SUFFIXES = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")


def quantity(value: Any) -> float:
    """The number that a quantity stands for: `48Gi` in bytes, `500m` in units. What is no quantity counts as 0."""
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None or match[2] not in _SUFFIXES:
        return 0.0
    return float(match[1]) * _SUFFIXES[match[2]]


def requests_of(pod_spec: dict[str, Any]) -> dict[str, float]:
    """What the containers of a pod ask for together, by resource; a limit without a request counts as the request."""
    total: dict[str, float] = {}
    for container in pod_spec.get("containers") or []:
        resources = container.get("resources") or {}
        wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, value in wanted.items():
            total[name] = total.get(name, 0.0) + quantity(value)
    return total


def gpus_of(pod_spec: dict[str, Any]) -> int:
    """How many whole GPUs a pod asks for."""
    return int(requests_of(pod_spec).get(GPU, 0))


def device_of(pod_spec: dict[str, Any]) -> tuple[str, int]:
    """Which devices a pod asks for: whole GPUs or instances of one profile, and how many."""
    asked = requests_of(pod_spec)
    resource = next((name for name in asked if name == GPU or name.startswith(MIG)), GPU)
    return resource, int(asked.get(resource, 0))


class _Asking(Protocol):
    """A pod, as far as quota counts it."""

    @property
    def namespace(self) -> str: ...

    @property
    def spec(self) -> dict[str, Any]: ...


def quota_status(quota: dict[str, Any], pods: Iterable[_Asking]) -> dict[str, Any]:
    """The status of a ResourceQuota: of each resource it limits, what the pods of its namespace ask for together."""
    hard = quota["spec"].get("hard") or {}
    namespace = quota["metadata"]["namespace"]
    asked: dict[str, float] = {}
    for pod in pods:
        if pod.namespace == namespace:
            asked["pods"] = asked.get("pods", 0.0) + 1
            for name, amount in requests_of(pod.spec).items():
                asked[f"requests.{name}"] = asked.get(f"requests.{name}", 0.0) + amount
    used = {name: f"{asked.get(name, 0.0):.0f}" for name in hard}
    return {"hard": dict(hard), "used": used}
