"""What a person should know before a deployment is applied: what nothing fixes, and what may surprise. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from backend.cluster.client import FIELD_MANAGER
from backend.cluster.objects import ObjectMeta, parsed_time
from backend.serving.arguments import option
from backend.serving.deployment import DeploymentFile
from backend.serving.engines import NIM, engine_of
from backend.serving.manifests import STOP, RuntimeInfo
from backend.serving.queries import unscoped
from backend.serving.suggestions import unparallel

_REMOTE_CODE = "--trust-remote-code"
_RUNTIME_LORA = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
_CONTENT_ADDRESSED = "@sha256:"
#: Kubernetes' own terminationGracePeriodSeconds.
_DEFAULT_GRACE = 30
#: Seconds that a long answer streams for.
LONG_STREAM = 120


def not_fixed(deployment: DeploymentFile) -> tuple[str, ...]:
    """Parts of what will be served that the digest and the file do not fix, a sentence each."""
    return tuple(_not_fixed(deployment))


def _not_fixed(deployment: DeploymentFile) -> Iterator[str]:
    engine = engine_of(deployment.image, "" if deployment.own_containers else deployment.runtime)
    model = deployment.model
    if engine is NIM:
        if not model.profile:
            yield "profile: NIM chooses one at each start, by the GPUs that it finds; set model.profile"
        return
    if model.storage_uri:
        if model.storage_uri.startswith("hf://"):
            if not model.revision and ":" not in model.storage_uri.removeprefix("hf://"):
                yield f"revision: the newest one of {model.storage_uri} is loaded at each start; set model.revision"
        elif _CONTENT_ADDRESSED not in model.storage_uri:
            yield f"weights: what lies at {model.storage_uri} can be changed, and nothing here would notice"
        return
    named = option(deployment, engine.model_option) if engine.model_option else ""
    if not named:
        yield "weights: the image, its runtime or its arguments choose them; set model.storageUri"
    elif not model.revision and not option(deployment, "--revision"):
        yield f"revision: the newest one of {named} is loaded at each start; set model.revision"


def cautions(
    deployment: DeploymentFile, live: Mapping[str, Any] | None, runtime: RuntimeInfo | None, owner: str
) -> tuple[str, ...]:
    """Warnings for a plan, a sentence each.

    Args:
        live: the service as it is, or None.
        runtime: that the file names, as the cluster has it.
        owner: what else writes the service (Argo CD, Flux, Helm), or empty.
    """
    return tuple(_cautions(deployment, live, runtime, owner))


def _cautions(
    deployment: DeploymentFile, live: Mapping[str, Any] | None, runtime: RuntimeInfo | None, owner: str
) -> Iterator[str]:
    if owner:
        yield f"{owner} writes this service and will put it back: change it in its repository instead"
    annotations = ((live or {}).get("metadata") or {}).get("annotations") or {}
    if annotations.get(STOP) == "true":
        yield "the service is stopped; an apply does not start it"
    if not deployment.own_containers:
        if runtime is None:
            yield f"the runtime {deployment.runtime!r} is not in the namespace or the cluster"
        elif runtime.disabled:
            yield f"the runtime {deployment.runtime!r} is disabled, and KServe will not use it"
        elif deployment.model_format and runtime.formats and deployment.model_format not in runtime.formats:
            yield (
                f"the runtime {deployment.runtime!r} serves {', '.join(runtime.formats)} and not"
                f" {deployment.model_format}: KServe will find no runtime for it"
            )
        if runtime is not None and runtime.liveness_timeout is not None and runtime.liveness_timeout < 10:
            yield (
                f"the runtime's liveness probe gives a busy engine {runtime.liveness_timeout} s before it is killed;"
                " 10 s are advisable"
            )
    if parallel := unparallel(deployment):
        yield parallel
    scaling = deployment.autoscaling.class_
    if deployment.mode == "Standard" and scaling == "none" and (deployment.replicas.max or 0) > deployment.replicas.min:
        yield "autoscaling is none: replicas.max has no effect, scale by hand"
    if scaling == "keda":
        yield "KServe up to 0.20 ignores the target's type: check what KEDA was really given"
        reach = unscoped(deployment.autoscaling.query, deployment.namespace)
        if deployment.autoscaling.query and reach:
            yield f"the scaling query reaches beyond this service: {reach}"
    grace = deployment.termination_grace_seconds
    if (_DEFAULT_GRACE if grace is None else grace) < min(deployment.timeout, LONG_STREAM):
        yield (
            f"a pod that ends has {_DEFAULT_GRACE if grace is None else grace} s to finish its streams, and longer ones"
            " are cut: set terminationGraceSeconds"
        )
    if deployment.canary.steps and deployment.mode == "Standard":
        yield "KServe v0.20 splits no traffic in Standard mode: look at the HTTPRoute before trusting the canary"
    if any(argument.startswith(_REMOTE_CODE) for argument in deployment.args):
        yield f"{_REMOTE_CODE} runs code that comes with the weights, which no gate has seen"
    if any(variable.name == _RUNTIME_LORA for variable in deployment.env):
        yield f"{_RUNTIME_LORA} lets callers load adapters that no gate has seen"


def owner_of(metadata: ObjectMeta) -> str:
    """What else writes an object, by labels, annotations and managed fields; empty when nothing is known to."""
    managers = {entry.manager for entry in metadata.managed_fields or ()}
    marks = (metadata.annotation("argocd.argoproj.io/tracking-id"), metadata.label("argocd.argoproj.io/instance"))
    if any(marks) or any("argocd" in manager for manager in managers):
        return "Argo CD"
    if (
        metadata.label("kustomize.toolkit.fluxcd.io/name")
        or metadata.label("helm.toolkit.fluxcd.io/name")
        or managers & {"kustomize-controller", "helm-controller"}
    ):
        return "Flux"
    if metadata.annotation("meta.helm.sh/release-name") or "helm" in managers:
        return "Helm"
    return ""


def last_edit(metadata: ObjectMeta) -> tuple[str, datetime | None]:
    """Which other field manager last wrote what is wanted of an object, and when; empty and None: nobody did."""
    name, at = "", None
    for entry in metadata.managed_fields or ():
        if entry.manager == FIELD_MANAGER or not entry.wanted:
            continue
        then = parsed_time(entry.time)
        if not name or (then is not None and (at is None or then >= at)):
            name, at = entry.manager or "unknown", then
    return name, at
