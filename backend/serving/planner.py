"""Making a plan against a cluster, and carrying one out: what is read, what is tried without effect, what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from backend.cluster.client import Application, Applied, ClusterClient, Deletion
from backend.cluster.kserve_objects import ServingRuntime
from backend.cluster.objects import ObjectMeta
from backend.cluster.resources import CLUSTER_SERVING_RUNTIMES, SERVING_RUNTIMES, Resource, resource_of
from backend.cluster.status import FieldConflict
from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    ConflictError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
)
from backend.core.permits import Permit
from backend.core.views import GateView, PlanCheckView, PlanView
from backend.serving.canary import HELD_BACK, is_held_back, with_share
from backend.serving.cautions import cautions, not_fixed, owner_of
from backend.serving.deployment import DeploymentFile, to_yaml
from backend.serving.deployment_fields import OWN_CONTAINERS
from backend.serving.display import without_noise
from backend.serving.manifests import RuntimeInfo, build
from backend.serving.ownership import without_defaults
from backend.serving.plan import PlanInputs, Seen, Subject, plan_of
from backend.serving.prerequisites import last_cold_start, prerequisites
from backend.serving.rules import check
from backend.serving.runtimes import find_runtime
from backend.serving.yaml_lines import dump

#: What puts back what it owns; Helm writes only when somebody runs it.
GITOPS = ("Argo CD", "Flux")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be planned.

    Attributes:
        manifests: to be applied, in this order. deletions: to be deleted after them, by their manifests.
        take: fields of others that a person named.
        gates, refusals, warnings, decisions: what policy says of the image; joined with what the cluster and KServe's
            rules say.
        settles: id of the apply that was cut off which this completes or, with `undoes`,
            takes back.
        proves: rollouts are validated, in Knative mode before they get traffic.
        checks: what is known of the weights. cold_start, starts: how long starts of the image took, and how many.
        deployment: of a service, for what is to be told of it. runtime: the manifest of the runtime that it names.
    """

    subject: Subject
    manifests: tuple[dict[str, Any], ...]
    deletions: tuple[dict[str, Any], ...] = ()
    take: tuple[str, ...] = ()
    gates: tuple[GateView, ...] = ()
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    settles: str = ""
    undoes: bool = False
    proves: bool = False
    checks: tuple[PlanCheckView, ...] = ()
    cold_start: timedelta | None = None
    starts: int = 0
    deployment: DeploymentFile | None = None
    runtime: dict[str, Any] | None = None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and the objects that it saw, for carrying it out."""

    view: PlanView
    objects: tuple[Seen, ...]


async def wanted_of(
    client: ClusterClient, deployment: DeploymentFile, manifests: Sequence[dict[str, Any]] | None = None
) -> Wanted:
    """What a deployment file wants.

    Args:
        manifests: instead of those built from the file, for a rollback to what once was applied.
    """
    raw = None if deployment.own_containers else await runtime_named(client, deployment.namespace, deployment.runtime)
    made = manifests if manifests is not None else build(deployment, runtime_info(deployment.namespace, raw))
    subject = Subject(
        namespace=deployment.namespace, name=deployment.name, image=deployment.image, source=to_yaml(deployment)
    )
    return Wanted(subject=subject, manifests=tuple(made), deployment=deployment, runtime=raw)


async def make_plan(client: ClusterClient, wanted: Wanted) -> Planned:
    """Plan. Nothing is changed: objects are read, and applied with dryRun.

    Raises:
        NotFoundError: KServe is not installed.
        UnreachableError, AuthenticationError: the cluster does not answer us.
    """
    subject = wanted.subject
    kserve = await client.kserve_installed()
    if not kserve.installed:
        raise NotFoundError(f"plan of {subject.namespace}/{subject.name}", kserve.message, "install KServe")
    take = tuple(sorted({_field(name) for name in wanted.take}))
    objects: list[Seen] = []
    refused, conflicts = list(wanted.refusals), []
    for manifest in wanted.manifests:
        seen, why, contested = await _seen(client, manifest, take)
        shared = with_share(manifest, seen.live, seen.answer, proves=wanted.proves)
        if shared is not None:
            seen, why, contested = await _seen(client, shared, take)
        objects.append(seen)
        refused += [*why, *contested]
        conflicts += contested
    objects += [
        Seen(manifest=one, live=await live_of(client, one), answer=None, delete=True) for one in wanted.deletions
    ]
    owner = _repository_of(objects)
    if owner:
        refused.insert(
            0,
            f"{owner} keeps this as its repository says and would put it back: write the manifests for that repository"
            " instead",
        )
    inputs = PlanInputs(
        context=client.context,
        subject=subject,
        objects=tuple(objects),
        gates=wanted.gates,
        refusals=tuple(dict.fromkeys(refused)),
        conflicts=tuple(dict.fromkeys(conflicts)),
        warnings=(*wanted.warnings, *_warnings(wanted, objects), *_idle_takes(objects, take)),
        not_fixed=not_fixed(wanted.deployment) if wanted.deployment is not None else (),
        cold_start=wanted.cold_start or await _cold_start(client, subject, objects),
        starts=wanted.starts if wanted.cold_start else 0,
        take=take,
        checks=(*wanted.checks, *await prerequisites(client, subject.namespace, objects, wanted.runtime)),
        owner=owner,
        decisions=wanted.decisions,
        settles=wanted.settles,
        undoes=wanted.undoes,
    )
    return Planned(view=plan_of(inputs), objects=inputs.objects)


async def require_applicable(client: ClusterClient, planned: Planned) -> None:
    """Try the plan's objects again without effect.

    Raises:
        AdmissionError, AccessDeniedError, ConflictError, NotFoundError: the first that the cluster would refuse.
    """
    for seen in planned.objects:
        if not seen.delete:
            await client.dry_run_apply(seen.manifest, forced=planned.view.take)


async def carry_out(client: ClusterClient, permit: Permit, planned: Planned) -> tuple[Applied, ...]:
    """Apply the plan's objects, and delete those that shall go, as long as each is still what the plan saw.

    Raises:
        ConflictError: an object is not what the plan saw. Other ModelyardErrors: as the cluster refuses.
        PartialFailureError: some objects were applied before one was refused.
    """
    applications = [_application(seen, planned.view.take) for seen in planned.objects if not seen.delete]
    deletions = [
        Deletion(manifest=seen.manifest, seen=seen.live) for seen in planned.objects if seen.delete and seen.live
    ]
    return await client.apply(permit, applications, deletions)


async def live_of(client: ClusterClient, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object that a manifest names, or None."""
    resource = resource_of(manifest)
    metadata = manifest["metadata"]
    return await client.find(resource, metadata.get("namespace") if resource.namespaced else None, metadata["name"])


def repository_manifests(objects: Sequence[Seen]) -> str:
    """The objects as they shall be, YAML, for the repository that says what they are.

    Fields of others that the plan leaves alone are among them: what applies the file would take them away else.
    """
    return "---\n".join(dump(_for_repository(seen.answer or seen.manifest)) for seen in objects if not seen.delete)


def _for_repository(manifest: Mapping[str, Any]) -> dict[str, Any]:
    kept = without_noise(without_defaults(manifest))
    metadata = dict(kept["metadata"])
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if not key.startswith("argocd.argoproj.io/tracking")
    }
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": kept["apiVersion"], "kind": kept["kind"], "metadata": metadata} | {
        key: value for key, value in kept.items() if key not in {"apiVersion", "kind", "metadata"}
    }


# ---------------------------------------------------------------- seeing


async def _seen(
    client: ClusterClient, manifest: dict[str, Any], take: Sequence[str]
) -> tuple[Seen, list[str], list[str]]:
    """An object as the plan sees it, why it is refused, and which fields of others stand in the way."""
    live = await live_of(client, manifest)
    refused = []
    if manifest["kind"] == "InferenceService":
        refused = [str(violation) for violation in check(manifest, live)]
    answer, error = await _tried(client, manifest, ())
    claims: tuple[FieldConflict, ...] = ()
    contested: list[str] = []
    if isinstance(error, ConflictError) and (claims := await client.dry_run_conflicts(manifest)):
        if left := [claim for claim in claims if claim.field not in take]:
            told = "; ".join(str(claim) for claim in left)
            contested = [f"{told}; leave it out, or take it by naming it (--take {left[0].field})"]
        # What would come of it is shown all the same; a dry run takes nothing from anybody.
        answer, error = await _tried(client, manifest, [claim.field for claim in claims])
    if error is not None:
        why = f"{error.why}; {error.action}"
        refused.append(why)
        contested += [why] if isinstance(error, ConflictError) else []
    return Seen(manifest=manifest, live=live, answer=answer, claims=claims), refused, contested


async def _tried(
    client: ClusterClient, manifest: Mapping[str, Any], forced: Sequence[str]
) -> tuple[dict[str, Any] | None, ModelyardError | None]:
    """The dry run's answer, or why it was refused."""
    try:
        return (await client.dry_run_apply(manifest, forced=forced)).object, None
    except (AdmissionError, AccessDeniedError, ConflictError, NotFoundError) as error:
        return None, error


def _application(seen: Seen, take: Sequence[str]) -> Application:
    forced = tuple(claim.field for claim in seen.claims if claim.field in take)
    if seen.live is None:
        return Application(manifest=seen.manifest, absent=True)
    saw = seen.live

    def unchanged(live: Mapping[str, Any]) -> bool:
        """Status moves the resourceVersion all the time; what is wanted of the object does not."""
        return _uid(live) == _uid(saw) and without_noise(live) == without_noise(saw)

    return Application(
        manifest=seen.manifest, resource_version=seen.resource_version, while_true=unchanged, forced=forced
    )


def _field(name: str) -> str:
    """A field as Kubernetes names it, with the dot in front that a person may leave out."""
    return name if name.startswith(".") else f".{name}"


def _idle_takes(objects: Sequence[Seen], take: Sequence[str]) -> list[str]:
    claimed = {claim.field for seen in objects for claim in seen.claims}
    return [
        f"{field} is not taken: nobody else manages it, or the plan does not change it"
        for field in take
        if field not in claimed
    ]


def _warnings(wanted: Wanted, objects: Sequence[Seen]) -> tuple[str, ...]:
    live = objects[0].live if objects else None
    if wanted.deployment is None:
        return ()
    owner = owner_of(metadata_of(live)) if live is not None else ""
    held = (HELD_BACK,) if any(is_held_back(seen.manifest) for seen in objects) else ()
    info = runtime_info(wanted.deployment.namespace, wanted.runtime)
    return (*held, *cautions(wanted.deployment, live, info, "" if owner in GITOPS else owner))


def _repository_of(objects: Sequence[Seen]) -> str:
    """Whose repository says what one of the objects is, or empty."""
    for seen in objects:
        if seen.live is not None and (owner := owner_of(metadata_of(seen.live))) in GITOPS:
            return owner
    return ""


async def _cold_start(client: ClusterClient, subject: Subject, objects: Sequence[Seen]) -> timedelta | None:
    if subject.kind != "service" or not objects or objects[0].live is None:
        return None
    return await last_cold_start(client, subject.namespace, subject.name)


# ---------------------------------------------------------------- runtimes


async def runtime_named(client: ClusterClient, namespace: str, name: str) -> dict[str, Any] | None:
    """The runtime that a service of the namespace means by a name: the namespace's own before the cluster's."""
    if not name or name == OWN_CONTAINERS:
        return None
    own, clusters = await asyncio.gather(
        _optional(client, SERVING_RUNTIMES, namespace, name),
        _optional(client, CLUSTER_SERVING_RUNTIMES, None, name),
    )
    return own or clusters


def runtime_info(namespace: str, raw: Mapping[str, Any] | None) -> RuntimeInfo | None:
    """What manifests need to know of a runtime.

    Raises:
        MalformedDataError: it cannot be read.
    """
    if raw is None:
        return None
    try:
        runtime = msgspec.convert(raw, ServingRuntime)
    except msgspec.ValidationError as error:
        raise MalformedDataError("serving runtime", f"it cannot be read: {error}", "look at it with kubectl") from error
    return find_runtime(runtime.metadata.name, namespace, [runtime])


async def _optional(
    client: ClusterClient, resource: Resource[ServingRuntime], namespace: str | None, name: str
) -> dict[str, Any] | None:
    """A runtime, or None where it is not or may not be read."""
    try:
        return await client.find(resource, namespace, name)
    except (AccessDeniedError, NotFoundError):
        return None


def metadata_of(live: Mapping[str, Any]) -> ObjectMeta:
    """An object's metadata, typed.

    Raises:
        MalformedDataError: it cannot be read.
    """
    try:
        return msgspec.convert(live.get("metadata") or {}, ObjectMeta)
    except msgspec.ValidationError as error:
        raise MalformedDataError("metadata", f"it cannot be read: {error}", "look at it with kubectl") from error


def _uid(live: Mapping[str, Any]) -> Any:
    return (live.get("metadata") or {}).get("uid")
