"""Which node a pod fits on, in the words of the scheduler."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backend.demo.objects import Object
from backend.demo.workloads_quantities import quantity, requests_of

#: Slots of a node from here on are MIG instances: the slot of the first on GPU 7 is 107, that of the second 207.
INSTANCES = 100


@dataclass
class Node:
    """A node as the scheduler sees it; `used` is what its pods ask for, by resource."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    allocatable: Mapping[str, float]
    unschedulable: bool = False
    used: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """Where a pod goes; without a node, `message` is the scheduler's."""

    node: str | None
    message: str = ""


def node_of(obj: Object, used: dict[str, float]) -> Node:
    """A node object as the scheduler sees it."""
    spec = obj.get("spec") or {}
    return Node(
        name=obj["metadata"]["name"],
        labels=obj["metadata"].get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        allocatable={key: quantity(value) for key, value in (obj["status"].get("allocatable") or {}).items()},
        unschedulable=bool(spec.get("unschedulable")),
        used=used,
    )


def place(pod_spec: Object, nodes: Iterable[Node]) -> Placement:
    """Choose a node: the fullest on which the pod fits, so that whole nodes stay free for large pods."""
    wanted = requests_of(pod_spec)
    gpu_resources = [name for name in wanted if "/" in name] or ["cpu"]
    fitting: list[tuple[float, str]] = []
    reasons: Counter[str] = Counter()
    unhelpful = 0
    total = 0
    for node in nodes:
        total += 1
        reason, final = _refusal(pod_spec, wanted, node)
        if reason is None:
            free = sum(node.allocatable.get(name, 0.0) - node.used.get(name, 0.0) for name in gpu_resources)
            fitting.append((free, node.name))
            continue
        reasons[reason] += 1
        unhelpful += final
    if fitting:
        return Placement(min(fitting)[1])
    return Placement(None, _unschedulable(total, reasons, unhelpful))


def gpu_uuid(seed: int, node: str, slot: int) -> str:
    """The UUID of a node's GPU or MIG instance, as NVML and DCGM print it."""
    digest = hashlib.sha256(f"gpu/{seed}/{node}/{slot}".encode()).hexdigest()
    kind = "GPU" if slot < INSTANCES else "MIG"
    return f"{kind}-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def _refusal(pod_spec: Object, wanted: Mapping[str, float], node: Node) -> tuple[str | None, bool]:
    """Why the pod may not go there, and whether no eviction would help; (None, False) when it may."""
    if node.unschedulable:
        return "node(s) were unschedulable", True
    tolerations = pod_spec.get("tolerations") or []
    if any(not _tolerates(tolerations, taint) for taint in node.taints):
        return "node(s) had untolerated taint(s)", True
    selector = pod_spec.get("nodeSelector") or {}
    if any(node.labels.get(name) != value for name, value in selector.items()):
        return "node(s) didn't match Pod's node affinity/selector", True
    for name, amount in sorted(wanted.items(), reverse=True):
        if node.allocatable.get(name, 0.0) - node.used.get(name, 0.0) < amount:
            return f"Insufficient {name}", amount > node.allocatable.get(name, 0.0)
    return None, False


def _tolerates(tolerations: Iterable[Mapping[str, str]], taint: Mapping[str, str]) -> bool:
    if taint.get("effect") == "PreferNoSchedule":
        return True
    for toleration in tolerations:
        if toleration.get("key") not in (None, "", taint["key"]):
            continue
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def _unschedulable(total: int, reasons: Counter[str], unhelpful: int) -> str:
    parts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: item[0]))
    preemption = []
    if unhelpful < total:
        preemption.append(f"{total - unhelpful} No preemption victims found for incoming pod")
    if unhelpful:
        preemption.append(f"{unhelpful} Preemption is not helpful for scheduling")
    where = f"0/{total} nodes are available: "
    return f"{where}{parts}. preemption: {where}{', '.join(sorted(preemption))}."
