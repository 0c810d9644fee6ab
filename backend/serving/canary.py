"""Canaries in the way that each mode of KServe v0.20 really does them. Pure.

Knative: `predictor.canaryTrafficPercent` splits between the newest revision and the one that was rolled out before;
without it all goes to the newest. Standard: `spec.canary` is taken and splits nothing, so a canary there is a second
service, which nobody makes silently; what its HTTPRoute does is looked at all the same, since later versions split.
LLMInferenceService: services of one group share its traffic by their weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from backend.cluster.kserve_objects import ComponentStatus, InferenceService
from backend.cluster.platform_objects import HttpRoute
from backend.core.errors import UsageError
from backend.core.views import CanaryView, RevisionView
from backend.serving.deployment import DeploymentFile
from backend.serving.plan import restarts as makes_revision
from backend.serving.rules import mode_of

PERCENT: Final = "canaryTrafficPercent"
#: Gives each revision that has a share, if it is 0, an address of its own; without one Knative takes its pods away.
TAG_ROUTING: Final = "serving.kserve.io/enable-tag-routing"
NO_SPLIT: Final = (
    "Standard mode of KServe v0.20 splits no traffic: every apply replaces what serves, and it is validated after"
)
HELD_BACK: Final = (
    "the new revision gets no traffic until it is validated: by a worker, by an open screen, or with apply --wait"
)
_TO_TRY: Final = "try a new version as a service of its own, with its own GPUs, or use mode: Knative"


def canary_of(
    context: str,
    service: InferenceService,
    deployment: DeploymentFile | None,
    routes: Sequence[HttpRoute] = (),
) -> CanaryView:
    """What traffic goes where, and what can be done about it.

    Args:
        deployment: that was applied last, or None.
        routes: of the service, where the cluster has such.
    """
    status = service.status
    mode = (status.deployment_mode if status else "") or service.metadata.annotation("serving.kserve.io/deploymentMode")
    steps = deployment.canary.steps if deployment is not None else ()
    namespace, name = service.key
    if mode not in {"Knative", "Serverless"}:
        split = _route_split(routes)
        statement = f"its HTTPRoute splits: {', '.join(split)}" if split else NO_SPLIT
        return CanaryView(
            context=context, namespace=namespace, name=name, mode=mode or "Standard", splits=bool(split),
            statement=statement, steps=steps,
        )  # fmt: skip
    component = ((status.components or {}).get("predictor") if status else None) or ComponentStatus()
    percent = service.spec.predictor.canary_traffic_percent
    newest, stable = component.latest_created_revision, component.latest_rolledout_revision
    going_on = percent is not None and bool(stable) and newest != stable
    return CanaryView(
        context=context,
        namespace=namespace,
        name=name,
        mode=mode,
        splits=True,
        statement=_statement(newest, stable, percent, going_on=going_on),
        going_on=going_on,
        percent=percent if going_on else None,
        steps=steps,
        revisions=_revisions(component),
    )


def with_share(
    manifest: Mapping[str, Any], live: Mapping[str, Any] | None, answer: Mapping[str, Any] | None, *, proves: bool
) -> dict[str, Any] | None:
    """The manifest with the share of the traffic that its newest revision is to begin with; None: as it is.

    In Knative mode a new revision is made without traffic, asked for an answer, and then promoted. What makes no new
    revision keeps the share that there is: without the field an apply would promote a canary that is held.

    Args:
        answer: of the dry run, or None where it was refused.
        proves: whether rollouts are validated.
    """
    if live is None or answer is None or mode_of(manifest) != "Knative":
        return None
    before, after = _predictor(live), _predictor(answer)
    share = before.get(PERCENT)
    if makes_revision(before, after):
        share = 0 if proves else None
    if share is None:
        return None
    metadata = {**manifest["metadata"], "annotations": {**_annotations(manifest), TAG_ROUTING: "true"}}
    spec = {**manifest["spec"], "predictor": {**_predictor(manifest), PERCENT: share}}
    return {**manifest, "metadata": metadata, "spec": spec}


def without_share(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without the share of the traffic, which is a rollout's state and no part of what is wanted."""
    if PERCENT not in _predictor(manifest):
        return dict(manifest)
    predictor = {key: value for key, value in _predictor(manifest).items() if key != PERCENT}
    annotations = {key: value for key, value in _annotations(manifest).items() if key != TAG_ROUTING}
    metadata = {**manifest["metadata"], "annotations": annotations}
    return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], "predictor": predictor}}


def is_held_back(manifest: Mapping[str, Any]) -> bool:
    """Whether the newest revision is to get no traffic yet."""
    return _predictor(manifest).get(PERCENT) == 0


def _annotations(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return (manifest.get("metadata") or {}).get("annotations") or {}


def _predictor(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    predictor = (manifest.get("spec") or {}).get("predictor")
    return predictor if isinstance(predictor, Mapping) else {}


def promote_patch(live: Mapping[str, Any], view: CanaryView, percent: int | None) -> dict[str, Any]:
    """Sends the newest revision a share of the traffic, or with None or 100 all of it.

    Raises:
        UsageError: nothing can be promoted here, or the share makes no sense.
    """
    what = f"promotion of {view.namespace}/{view.name}"
    _require_canary(live, view, what)
    if percent is not None and not 1 <= percent <= 100:
        raise UsageError(what, f"{percent} is no share of the traffic", "give a percent from 1 to 100")
    if percent in (None, 100):
        return {"metadata": {"annotations": {TAG_ROUTING: None}}, "spec": {"predictor": {PERCENT: None}}}
    return {"spec": {"predictor": {PERCENT: percent}}}


def abort_patch(live: Mapping[str, Any], view: CanaryView) -> dict[str, Any]:
    """Takes all traffic from the newest revision.

    Raises:
        UsageError: there is no canary.
    """
    _require_canary(live, view, f"abort of {view.namespace}/{view.name}")
    return {"spec": {"predictor": {PERCENT: 0}}}


def next_step(view: CanaryView) -> int | None:
    """The next share that the file's steps ask for; None: all of the traffic."""
    return next((step for step in view.steps if step > (view.percent or 0)), None)


def _require_canary(live: Mapping[str, Any], view: CanaryView, what: str) -> None:
    if mode_of(live) != "Knative":
        raise UsageError(what, NO_SPLIT, _TO_TRY)
    if not view.going_on:
        raise UsageError(what, f"there is no canary: {view.statement}", "apply a new version first")


def _statement(newest: str, stable: str, percent: int | None, *, going_on: bool) -> str:
    if not going_on:
        return f"all traffic goes to {newest or 'the newest revision'}"
    if percent == 0:
        return f"{newest} gets no traffic; all goes to {stable}"
    return f"{newest} gets {percent} %, {stable} the rest"


def _revisions(component: ComponentStatus) -> tuple[RevisionView, ...]:
    named = {
        component.latest_created_revision: "newest",
        component.latest_rolledout_revision: "rolled out",
        component.previous_rolledout_revision: "before it",
    }
    shares = {target.revision_name: target for target in component.traffic or () if target.revision_name}
    names = [name for name in dict.fromkeys([*named, *shares]) if name]
    return tuple(
        RevisionView(
            name=name,
            role=named.get(name, ""),
            percent=(shares[name].percent or 0) if name in shares else 0 if component.traffic else None,
            tag=shares[name].tag if name in shares else "",
            ready=component.latest_ready_revision == name or component.latest_rolledout_revision == name,
        )
        for name in names
    )


def _route_split(routes: Sequence[HttpRoute]) -> list[str]:
    """Services that a rule of a route shares its requests among, with their weights."""
    for route in routes:
        for rule in route.spec.rules or ():
            backends = [each for each in rule.backend_refs or () if each.weight]
            total = sum(each.weight for each in backends)
            if len({each.name for each in backends}) > 1:
                return [f"{each.name} {each.weight * 100 // total} %" for each in backends]
    return []
