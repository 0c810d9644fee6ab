"""What the pods of a plan will need beside GPUs: secrets, accounts, and room in the namespace's quotas. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from backend.cluster.platform_objects import ResourceQuota
from backend.core.quantities import parse_quantity, quantity_text
from backend.core.views import PlanCheckView
from backend.serving.manifests import CONTAINER

_COMPONENTS: Final = ("predictor", "transformer", "explainer")
_BARE: Final = ("cpu", "memory", "ephemeral-storage")
_DEPTH: Final = 24
_SPOKEN: Final = {
    "Secret": "secret",
    "ConfigMap": "config map",
    "ServiceAccount": "service account",
    "PersistentVolumeClaim": "volume claim",
}
Amounts = dict[str, Decimal]


class Reference(msgspec.Struct, frozen=True, order=True):
    """An object of the namespace that pods name.

    Attributes:
        kind: Secret, ConfigMap, ServiceAccount or PersistentVolumeClaim.
        purpose: what it is wanted for, in a clause.
    """

    kind: str
    name: str
    purpose: str


def references(manifests: Iterable[Mapping[str, Any]]) -> tuple[Reference, ...]:
    """What the pods of these objects name, each once for each purpose; what they call optional is left out."""
    return tuple(sorted({found for manifest in manifests for found in _named(manifest.get("spec"), 0)}))


def _named(value: Any, depth: int) -> Iterator[Reference]:
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            yield from _named(item, depth + 1)
    if not isinstance(value, Mapping):
        return
    for key, held in value.items():
        yield from _referred(key, held, value)
        yield from _named(held, depth + 1)


def _referred(key: str, held: Any, around: Mapping[str, Any]) -> Iterator[Reference]:
    """What one field names. The fields are those of `v1` PodSpec, wherever a kind embeds one."""
    if key == "serviceAccountName" and isinstance(held, str) and held:
        yield Reference("ServiceAccount", held, "the pods run as it")
    elif key == "imagePullSecrets" and isinstance(held, list):
        for item in held:
            if isinstance(item, Mapping) and item.get("name"):
                yield Reference("Secret", str(item["name"]), "pulls the image")
    elif isinstance(held, Mapping) and not held.get("optional"):
        kind = {"secretKeyRef": "Secret", "secretRef": "Secret", "secret": "Secret"}.get(key)
        kind = kind or {"configMapKeyRef": "ConfigMap", "configMapRef": "ConfigMap", "configMap": "ConfigMap"}.get(key)
        if kind and (name := held.get("name") or held.get("secretName")):
            wanted = f"key {held['key']}" if held.get("key") else "a volume" if "name" in around else "environment"
            yield Reference(kind, str(name), wanted)
        elif key == "persistentVolumeClaim" and held.get("claimName"):
            yield Reference("PersistentVolumeClaim", str(held["claimName"]), "a volume")


def reference_check(reference: Reference, there: bool | None, why: str = "") -> PlanCheckView:
    """What became of looking for an object.

    Args:
        there: None: it could not be looked for. why: in that case, the reason.
    """
    about = f"{_SPOKEN[reference.kind]} {reference.name}"
    wanted = reference.purpose
    if there is None:
        return PlanCheckView(about=about, state="unknown", sentence=f"wanted for {wanted}; cannot tell: {why}")
    if there:
        return PlanCheckView(about=about, state="ok", sentence=f"there; wanted for {wanted}")
    waits = "the pods are not made without it" if reference.kind == "ServiceAccount" else "the pods wait for it"
    return PlanCheckView(about=about, state="missing", sentence=f"not in the namespace; wanted for {wanted}: {waits}")


# ---------------------------------------------------------------- quotas


def demand(manifest: Mapping[str, Any] | None, runtime: Mapping[str, Any] | None = None) -> Amounts:
    """What an InferenceService's pods ask of a quota, at its least number of replicas, by the quota's own names.

    Args:
        manifest: None: nothing. runtime: the manifest of the runtime that it names; the service overrides it.
    """
    total: Amounts = {}
    spec = (manifest or {}).get("spec") or {}
    for name in _COMPONENTS:
        component = spec.get(name)
        if isinstance(component, Mapping):
            replicas = component.get("minReplicas")
            count = replicas if isinstance(replicas, int) else 1
            for containers, pods in _pods(component, runtime if name == "predictor" else None):
                _add(total, _of_pod(containers), count * pods)
    if spec:
        total["count/inferenceservices.serving.kserve.io"] = Decimal(1)
    return total


def _pods(
    component: Mapping[str, Any], runtime: Mapping[str, Any] | None
) -> Iterator[tuple[list[Mapping[str, Any]], int]]:
    """The containers of each kind of pod, and how many of it a replica has."""
    containers = [one for one in component.get("containers") or () if isinstance(one, Mapping)]
    offered = ((runtime or {}).get("spec") or {}).get("containers") or ()
    model = next((held for held in component.values() if isinstance(held, Mapping) and "modelFormat" in held), None)
    if model is not None:
        base: Mapping[str, Any] = next((one for one in offered if one.get("name") == CONTAINER), {})
        containers = [{**base, **({"resources": model["resources"]} if model.get("resources") else {})}, *containers]
        containers += [one for one in offered if one.get("name") != CONTAINER]
    yield containers, 1
    worker = component.get("workerSpec")
    if isinstance(worker, Mapping):
        size = worker.get("pipelineParallelSize")
        workers = [one for one in worker.get("containers") or () if isinstance(one, Mapping)]
        yield workers or containers, max(0, size - 1) if isinstance(size, int) else 1


def _of_pod(containers: Sequence[Mapping[str, Any]]) -> Amounts:
    asked: Amounts = {"pods": Decimal(1)}
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for prefix, held in (("limits", limits), ("requests", {**limits, **requests})):
            for name, value in held.items():
                try:
                    amount = parse_quantity(value)
                except ValueError:
                    continue
                asked[f"{prefix}.{name}"] = asked.get(f"{prefix}.{name}", Decimal(0)) + amount
    return asked


def _add(total: Amounts, more: Amounts, times: int) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount * times


def quota_checks(quotas: Iterable[ResourceQuota], before: Amounts, after: Amounts) -> tuple[PlanCheckView, ...]:
    """What each quota of the namespace says of the difference.

    Args:
        before, after: as `demand` tells of the service as it is and as it would be.
    """
    checks = []
    for quota in quotas:
        hard = (quota.status.hard if quota.status else None) or quota.spec.hard or {}
        if quota.spec.scopes or quota.spec.scope_selector:
            about = f"quota {quota.metadata.name}"
            sentence = "it counts only some pods, by their scope: cannot tell whether these are among them"
            checks.append(PlanCheckView(about=about, state="unknown", sentence=sentence))
            continue
        for name in sorted(hard):
            check = _quota_check(quota, name, hard[name], before, after)
            if check is not None:
                checks.append(check)
    return tuple(checks)


def _quota_check(
    quota: ResourceQuota, name: str, limit: object, before: Amounts, after: Amounts
) -> PlanCheckView | None:
    counted = f"requests.{name}" if name in _BARE else {"count/pods": "pods"}.get(name, name)
    about = f"quota {quota.metadata.name}: {name}"
    if counted not in after:
        # A quota on CPU or memory has every pod refused that does not say how much it takes.
        if after.get("pods") and counted.partition(".")[2] in ("cpu", "memory"):
            sentence = "the quota has pods refused that do not state it, and these do not"
            return PlanCheckView(about=about, state="short", sentence=sentence)
        return None
    added = after[counted] - before.get(counted, Decimal(0))
    if added <= 0:
        return None
    try:
        taken = (quota.status.used if quota.status else None) or {}
        most, used = parse_quantity(limit), parse_quantity(taken.get(name, 0))
    except ValueError as error:
        return PlanCheckView(about=about, state="unknown", sentence=f"cannot tell: {error}")
    amounts = [quantity_text(amount, counted) for amount in (added, used, most)]
    told = f"this adds {amounts[0]} to the {amounts[1]} of {amounts[2]} that are taken"
    if used + added <= most:
        return PlanCheckView(about=about, state="ok", sentence=told)
    lacking = quantity_text(used + added - most, counted)
    return PlanCheckView(about=about, state="short", sentence=f"{told}: {lacking} too many, the pods will not be made")
