"""Looking for what the pods of a plan will need. Nothing is changed, and no secret's value is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.objects import Pod, condition_of, parsed_time
from backend.cluster.platform_objects import ServiceAccount
from backend.cluster.resources import (
    CONFIG_MAPS,
    PODS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    VOLUME_CLAIMS,
    Resource,
)
from backend.core.errors import AccessDeniedError, NotFoundError
from backend.core.views import PlanCheckView
from backend.serving.manifests import SERVICE_LABEL
from backend.serving.needs import Reference, demand, quota_checks, reference_check, references
from backend.serving.plan import Seen

_RESOURCES: Final[Mapping[str, Resource[Any]]] = {
    "Secret": SECRETS,
    "ConfigMap": CONFIG_MAPS,
    "PersistentVolumeClaim": VOLUME_CLAIMS,
    "ServiceAccount": SERVICE_ACCOUNTS,
}


async def prerequisites(
    client: ClusterClient, namespace: str, objects: Sequence[Seen], runtime: Mapping[str, Any] | None
) -> tuple[PlanCheckView, ...]:
    """What is there of what the pods will need, and what is not; what may not be looked at is told as unknown.

    Args:
        runtime: the manifest of the runtime that the service names, or None.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    wanted = [seen.manifest for seen in objects if not seen.delete]
    named = set(references([*wanted, *([runtime] if runtime is not None else [])]))
    accounts = [reference.name for reference in named if reference.kind == "ServiceAccount"]
    for account in accounts:
        named.update(await _pull_secrets(client, namespace, account))
    checks = await asyncio.gather(*(_looked_for(client, namespace, reference) for reference in sorted(named)))
    return (*checks, *await _quotas(client, namespace, objects, runtime))


async def _looked_for(client: ClusterClient, namespace: str, reference: Reference) -> PlanCheckView:
    try:
        there = await client.exists(_RESOURCES[reference.kind], namespace, reference.name)
    except (AccessDeniedError, NotFoundError) as error:
        return reference_check(reference, None, error.why)
    return reference_check(reference, there)


async def _pull_secrets(client: ClusterClient, namespace: str, account: str) -> tuple[Reference, ...]:
    """The pull secrets that pods get by their account; none where it may not be read, which its own check tells."""
    try:
        raw = await client.find(SERVICE_ACCOUNTS, namespace, account)
        found = msgspec.convert(raw, ServiceAccount) if raw is not None else None
    except (AccessDeniedError, NotFoundError, msgspec.ValidationError):
        return ()
    secrets = (found.image_pull_secrets or ()) if found is not None else ()
    return tuple(Reference("Secret", one.name, f"pulls images for account {account}") for one in secrets if one.name)


async def _quotas(
    client: ClusterClient, namespace: str, objects: Sequence[Seen], runtime: Mapping[str, Any] | None
) -> tuple[PlanCheckView, ...]:
    services = [seen for seen in objects if seen.manifest["kind"] == "InferenceService" and not seen.delete]
    if not services:
        return ()
    try:
        quotas, _ = await client.list(RESOURCE_QUOTAS, namespace)
    except (AccessDeniedError, NotFoundError) as error:
        return (PlanCheckView(about="quotas", state="unknown", sentence=f"cannot tell: {error.why}"),)
    seen = services[0]
    return quota_checks(quotas, demand(seen.live, runtime), demand(seen.answer or seen.manifest, runtime))


async def last_cold_start(client: ClusterClient, namespace: str, name: str) -> timedelta | None:
    """How long the pods that serve took from being made to being ready; None when none tells."""
    try:
        pods, _ = await client.list(PODS, namespace, label_selector=f"{SERVICE_LABEL}={name}")
    except (AccessDeniedError, NotFoundError):
        return None
    return cold_start_of(pods)


def cold_start_of(pods: Sequence[Pod]) -> timedelta | None:
    """The longest cold start among pods that are ready and were never restarted. Pure."""
    took = []
    for pod in pods:
        ready = condition_of(pod.status.conditions, "Ready")
        made = parsed_time(pod.metadata.creation_timestamp)
        at = parsed_time(ready.last_transition_time) if ready is not None and ready.status == "True" else None
        restarts = sum(status.restart_count for status in pod.status.container_statuses or ())
        if made is not None and at is not None and at >= made and not restarts:
            took.append(at - made)
    return max(took, default=None)
