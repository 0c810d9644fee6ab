"""Who makes what: from whoever writes the service, over what was made of it, to its pods. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from backend.cluster.objects import Pod
from backend.core.text import sanitise
from backend.core.views import OwnerView
from backend.serving.case import Case
from backend.serving.cautions import owner_of
from backend.serving.pods import is_ready

_MANAGERS_SHOWN: Final = 8


def owner_chain(case: Case, manifest: Mapping[str, Any]) -> tuple[OwnerView, ...]:
    """The chain of owners, each below what made it.

    Args:
        manifest: the service as the API gives it, with its managed fields.
    """
    metadata = case.service.metadata
    chain = list(_above(case, manifest))
    depth = 1 if chain else 0
    chain.append(OwnerView(depth=depth, kind=case.kind, name=metadata.name, note=f"generation {metadata.generation}"))
    by_owner: dict[str, list[Pod]] = defaultdict(list)
    for pod in case.pods:
        owner = next(iter(pod.metadata.owner_references or ()), None)
        by_owner[f"{owner.kind} {owner.name}" if owner is not None else ""].append(pod)
    chain += [OwnerView(depth=depth + 1, kind="Revision", name=one.metadata.name) for one in case.revisions]
    for deployment in case.deployments:
        status = deployment.status
        note = f"{status.ready_replicas} of {deployment.spec.replicas} ready"
        chain.append(OwnerView(depth=depth + 1, kind="Deployment", name=deployment.metadata.name, note=note))
        sets = [name for name in by_owner if name.startswith(f"ReplicaSet {deployment.metadata.name}-")]
        for name in sorted(sets):
            chain += _with_pods(name, by_owner.pop(name), depth + 2)
    for name, pods in sorted(by_owner.items()):
        chain += _with_pods(name, pods, depth + 1)
    return tuple(chain)


def _above(case: Case, manifest: Mapping[str, Any]) -> Iterator[OwnerView]:
    metadata = case.service.metadata
    if owner := owner_of(metadata):
        yield OwnerView(depth=0, kind="written by", name=owner, note="it puts back what others change")
    for reference in metadata.owner_references or ():
        yield OwnerView(depth=0, kind=sanitise(reference.kind, 60), name=sanitise(reference.name, 253))
    fields = (manifest.get("metadata") or {}).get("managedFields") or []
    managers: dict[str, str] = {}
    for entry in fields:
        if isinstance(entry, Mapping) and entry.get("subresource") != "status":
            managers[sanitise(str(entry.get("manager") or ""), 80)] = sanitise(str(entry.get("time") or ""), 40)
    for name, at in list(managers.items())[:_MANAGERS_SHOWN]:
        yield OwnerView(depth=0, kind="field manager", name=name, note=f"last {at}" if at else "")


def _with_pods(name: str, pods: list[Pod], depth: int) -> Iterator[OwnerView]:
    if name:
        kind, _, bare = name.partition(" ")
        yield OwnerView(depth=depth, kind=kind, name=bare)
    for pod in sorted(pods, key=lambda one: one.metadata.name):
        ready = "ready" if is_ready(pod) else pod.status.phase or "not ready"
        note = f"{ready} on {pod.spec.node_name}" if pod.spec.node_name else f"{ready}, on no node"
        yield OwnerView(depth=depth + bool(name), kind="Pod", name=pod.metadata.name, note=note)
