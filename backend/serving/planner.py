"""Making a plan against a cluster, and carrying one out: what is read, what is tried without effect, what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from backend.cluster.client import Application, Applied, ClusterClient
from backend.cluster.kserve_objects import ServingRuntime
from backend.cluster.objects import ObjectMeta
from backend.cluster.resources import CLUSTER_SERVING_RUNTIMES, SERVING_RUNTIMES, Resource, resource_of
from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    ConflictError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
)
from backend.core.permits import Permit
from backend.core.views import GateView, PlanView
from backend.serving.cautions import cautions, not_fixed, owner_of
from backend.serving.deployment import DeploymentFile
from backend.serving.display import without_noise
from backend.serving.manifests import RuntimeInfo, build
from backend.serving.plan import PlanInputs, Seen, plan_of
from backend.serving.rules import check
from backend.serving.runtimes import find_runtime
from backend.serving.snapshots import Intent, Outcome, became


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and the objects that it saw, for carrying it out."""

    view: PlanView
    objects: tuple[Seen, ...]


async def make_plan(
    client: ClusterClient,
    deployment: DeploymentFile,
    *,
    manifests: Sequence[dict[str, Any]] | None = None,
    gates: Sequence[GateView] = (),
    refusals: Sequence[str] = (),
    warnings: Sequence[str] = (),
    cold_start: timedelta | None = None,
) -> Planned:
    """Plan a deployment. Nothing is changed: objects are read, and applied with dryRun.

    Args:
        manifests: instead of those built from the file, for a rollback to what once was applied.
        gates, refusals, warnings: what policy says of the image; joined with what the cluster and KServe's rules say.
        cold_start: how long the last start took.

    Raises:
        NotFoundError: KServe is not installed.
        UnreachableError, AuthenticationError: the cluster does not answer us.
    """
    kserve = await client.kserve_installed()
    if not kserve.installed:
        raise NotFoundError(f"plan of {deployment.namespace}/{deployment.name}", kserve.message, "install KServe")
    runtime = None if deployment.own_containers else await _runtime(client, deployment)
    wanted = list(manifests) if manifests is not None else build(deployment, runtime)
    refused = list(refusals)
    conflicts: list[str] = []
    objects: list[Seen] = []
    for manifest in wanted:
        live = await _live(client, manifest)
        refused += [str(violation) for violation in check(manifest, live)]
        answer, error = await _tried(client, manifest)
        if error is not None:
            refused.append(f"{error.why}; {error.action}")
            conflicts += refused[-1:] if isinstance(error, ConflictError) else []
        objects.append(Seen(manifest=manifest, live=live, answer=answer))
    first = objects[0].live
    owner = owner_of(_metadata(first)) if first is not None else ""
    inputs = PlanInputs(
        context=client.context,
        deployment=deployment,
        objects=tuple(objects),
        gates=tuple(gates),
        refusals=tuple(dict.fromkeys(refused)),
        conflicts=tuple(dict.fromkeys(conflicts)),
        warnings=(*warnings, *cautions(deployment, first, runtime, owner)),
        not_fixed=not_fixed(deployment),
        cold_start=cold_start,
    )
    return Planned(view=plan_of(inputs), objects=inputs.objects)


async def require_applicable(client: ClusterClient, planned: Planned) -> None:
    """Try the plan's objects again without effect.

    Raises:
        AdmissionError, AccessDeniedError, ConflictError, NotFoundError: the first that the cluster would refuse.
    """
    for seen in planned.objects:
        await client.dry_run_apply(seen.manifest)


async def carry_out(client: ClusterClient, permit: Permit, planned: Planned) -> tuple[Applied, ...]:
    """Apply the plan's objects, as long as each is still what the plan saw.

    Raises:
        ConflictError: an object is not what the plan saw. Other ModelyardErrors: as the cluster refuses.
        PartialFailureError: some objects were applied before one was refused.
    """
    return await client.apply(permit, [_application(seen) for seen in planned.objects])


async def settle(client: ClusterClient, intent: Intent) -> Outcome:
    """What became of an apply that was cut off, by asking the cluster.

    Raises:
        UnreachableError, AccessDeniedError: it cannot be told now.
    """
    live = [await _live(client, manifest) for manifest in intent.manifests]
    return became(intent, live)


def _application(seen: Seen) -> Application:
    if seen.live is None:
        return Application(manifest=seen.manifest, absent=True)
    saw = seen.live

    def unchanged(live: Mapping[str, Any]) -> bool:
        """Status moves the resourceVersion all the time; what is wanted of the object does not."""
        return _uid(live) == _uid(saw) and without_noise(live) == without_noise(saw)

    return Application(manifest=seen.manifest, resource_version=seen.resource_version, while_true=unchanged)


async def _live(client: ClusterClient, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    resource = resource_of(manifest)
    metadata = manifest["metadata"]
    return await client.find(resource, metadata.get("namespace") if resource.namespaced else None, metadata["name"])


async def _tried(
    client: ClusterClient, manifest: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, ModelyardError | None]:
    """The dry run's answer, or why it was refused."""
    try:
        return (await client.dry_run_apply(manifest)).object, None
    except (AdmissionError, AccessDeniedError, ConflictError, NotFoundError) as error:
        return None, error


async def _runtime(client: ClusterClient, deployment: DeploymentFile) -> RuntimeInfo | None:
    found = await asyncio.gather(
        _optional(client, SERVING_RUNTIMES, deployment.namespace, deployment.runtime),
        _optional(client, CLUSTER_SERVING_RUNTIMES, None, deployment.runtime),
    )
    return find_runtime(deployment.runtime, deployment.namespace, [one for one in found if one is not None])


async def _optional(
    client: ClusterClient, resource: Resource[ServingRuntime], namespace: str | None, name: str
) -> ServingRuntime | None:
    """A runtime, or None where it is not or may not be read."""
    try:
        raw = await client.find(resource, namespace, name)
    except (AccessDeniedError, NotFoundError):
        return None
    if raw is None:
        return None
    try:
        return msgspec.convert(raw, resource.type)
    except msgspec.ValidationError as error:
        raise MalformedDataError(f"runtime {name}", f"it cannot be read: {error}", "look at it with kubectl") from error


def _metadata(live: Mapping[str, Any]) -> ObjectMeta:
    try:
        return msgspec.convert(live.get("metadata") or {}, ObjectMeta)
    except msgspec.ValidationError as error:
        raise MalformedDataError("metadata", f"it cannot be read: {error}", "look at it with kubectl") from error


def _uid(live: Mapping[str, Any]) -> Any:
    return (live.get("metadata") or {}).get("uid")
