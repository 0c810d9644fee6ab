"""What an apply would change, from the object as it is and the dry run's answer. Pure: nothing is asked or changed."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from backend.core.canonical import hash_of
from backend.core.views import DiffLineView, GateView, ObjectPlanView, PlanView
from backend.serving.deployment import DeploymentFile, to_yaml
from backend.serving.display import wanted_yaml, without_noise
from backend.serving.manifests import STOP
from backend.serving.yaml_lines import dump

#: Lines around a change that are shown with it.
_CONTEXT: Final = 3
#: Fields of a predictor that change how many replicas there are, or how requests reach them, and restart none.
_WITHOUT_RESTART: Final = frozenset(
    {
        "minReplicas",
        "maxReplicas",
        "scaleMetric",
        "scaleTarget",
        "scaleMetricType",
        "autoScaling",
        "timeout",
        "deploymentStrategy",
        "canaryTrafficPercent",
        "containerConcurrency",
    }
)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a plan: what shall be, what is, and what the dry run made of it.

    Attributes:
        live: None when there is no such object.
        answer: of the dry run; None when it was refused.
    """

    manifest: dict[str, Any]
    live: dict[str, Any] | None
    answer: dict[str, Any] | None

    @property
    def resource_version(self) -> str:
        """Of the live object, or empty."""
        return str(((self.live or {}).get("metadata") or {}).get("resourceVersion") or "")


class PlanInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a plan is made of.

    Attributes:
        gates: policy's verdicts on the image. refusals: why it may not be applied. conflicts: those of
            them that are fields of somebody else. warnings: what to know first.
        cold_start: how long the last start took, or None when none was seen.
    """

    context: str
    deployment: DeploymentFile
    objects: tuple[Seen, ...]
    gates: tuple[GateView, ...] = ()
    refusals: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_fixed: tuple[str, ...] = ()
    cold_start: timedelta | None = None


def plan_of(inputs: PlanInputs) -> PlanView:
    """The plan, with an id that is the same as long as everything that it saw is."""
    objects = tuple(object_plan(seen) for seen in inputs.objects)
    first = inputs.objects[0]
    manifests = "---\n".join(dump(seen.manifest) for seen in inputs.objects)
    return PlanView(
        id=plan_id(inputs),
        context=inputs.context,
        namespace=inputs.deployment.namespace,
        name=inputs.deployment.name,
        image=inputs.deployment.image,
        objects=objects,
        gates=inputs.gates,
        refusals=inputs.refusals,
        warnings=inputs.warnings,
        outage=outage(first.live, first.answer or first.manifest, inputs.cold_start),
        not_fixed=inputs.not_fixed,
        kubectl=kubectl(inputs.context, inputs.deployment),
        manifests=manifests,
        deployment=to_yaml(inputs.deployment),
        conflicts=inputs.conflicts,
    )


def plan_id(inputs: PlanInputs) -> str:
    """Hash of what the plan saw and says.

    The live objects count by identity and by what is wanted of them, not by resourceVersion: their status moves all
    the time, and makes no plan stale.
    """
    return hash_of(
        {
            "context": inputs.context,
            "deployment": to_yaml(inputs.deployment),
            "refusals": list(inputs.refusals),
            "gates": [[gate.kind, gate.effect, gate.value.value, gate.sentence] for gate in inputs.gates],
            "objects": [
                {
                    "manifest": seen.manifest,
                    "live": None if seen.live is None else [_identity(seen.live), without_noise(seen.live)],
                    "answer": None if seen.answer is None else without_noise(seen.answer),
                }
                for seen in inputs.objects
            ],
        }
    )


def object_plan(seen: Seen) -> ObjectPlanView:
    """What would become of one object, as a diff of what is wanted of it."""
    metadata = seen.manifest["metadata"]
    after = wanted_yaml(seen.answer if seen.answer is not None else seen.manifest)
    before = wanted_yaml(seen.live) if seen.live is not None else ""
    same = seen.live is not None and without_noise(seen.live) == without_noise(seen.answer or seen.manifest)
    action = "create" if seen.live is None else "unchanged" if same else "update"
    return ObjectPlanView(
        api_version=str(seen.manifest["apiVersion"]),
        kind=str(seen.manifest["kind"]),
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata["name"]),
        action=action,
        diff=diff(before, after),
        resource_version=seen.resource_version,
    )


def diff(before: str, after: str) -> tuple[DiffLineView, ...]:
    """The lines that differ, with some around them; an ellipsis stands for what is left out between."""
    old, new = before.splitlines(), after.splitlines()
    lines: list[DiffLineView] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for position, group in enumerate(matcher.get_grouped_opcodes(_CONTEXT)):
        if position:
            lines.append(DiffLineView(mark=" ", text="…"))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [DiffLineView(mark=" ", text=line) for line in old[old_from:old_to]]
                continue
            lines += [DiffLineView(mark="-", text=line) for line in old[old_from:old_to]]
            lines += [DiffLineView(mark="+", text=line) for line in new[new_from:new_to]]
    return tuple(lines)


def outage(live: Mapping[str, Any] | None, wanted: Mapping[str, Any], cold_start: timedelta | None) -> str:
    """How many replicas will be missing, and for how long, in a sentence."""
    if live is None:
        return "Nothing serves under this name yet, so nothing goes missing."
    before, after = (_component(object_) for object_ in (live, wanted))
    if _annotation(live, STOP) == "true":
        return "The service is stopped, so nothing goes missing; an apply does not start it."
    lasting = f"for a cold start ({_spoken(cold_start)})"
    if not _restarts(before, after):
        return _scaled(before, after, lasting)
    replicas = _count(before)
    if replicas == 0:
        return "The service has no replicas now, so nothing goes missing."
    strategy = after.get("deploymentStrategy") or {}
    if strategy.get("type") == "Recreate":
        told = "The one replica stops" if replicas == 1 else f"All {replicas} replicas stop"
        return f"{told} before a new one starts: nothing serves {lasting}."
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge")
    if surge in (0, "0", "0%"):
        told = "the only one" if replicas == 1 else f"1 of {replicas}"
        return f"Replicas are replaced in turn: {told} is missing {lasting} each."
    return (
        f"A new pod starts beside the {replicas} that serve: none goes missing, but without a free GPU for it the"
        " rollout waits for ever."
    )


def _scaled(before: Mapping[str, Any], after: Mapping[str, Any], lasting: str) -> str:
    old, new = _count(before), _count(after)
    if new < old:
        return f"{old - new} of {old} replicas stop; the others go on serving."
    if new > old:
        return f"{new - old} more start {lasting}; those that serve are not touched."
    return "No replica restarts."


def _restarts(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the pods' template differs."""
    keys = (set(before) | set(after)) - _WITHOUT_RESTART
    return any(before.get(key) != after.get(key) for key in keys)


def kubectl(context: str, deployment: DeploymentFile) -> tuple[str, ...]:
    """The commands that would do the same with the plan's manifests in a file."""
    head = f"kubectl --context {shlex.quote(context)} -n {shlex.quote(deployment.namespace)}"
    flags = "--server-side --field-manager=modelyard"
    return (
        f"{head} diff {flags} -f manifests.yaml",
        f"{head} apply {flags} --validate=strict -f manifests.yaml",
        f"{head} get inferenceservice {shlex.quote(deployment.name)} --watch",
    )


def _identity(live: Mapping[str, Any]) -> Sequence[Any]:
    metadata = live.get("metadata") or {}
    return [metadata.get("uid"), metadata.get("generation")]


def _component(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    predictor = (manifest.get("spec") or {}).get("predictor")
    return predictor if isinstance(predictor, Mapping) else {}


def _count(predictor: Mapping[str, Any]) -> int:
    """KServe starts one replica unless told otherwise."""
    least = predictor.get("minReplicas")
    return least if isinstance(least, int) else 1


def _annotation(manifest: Mapping[str, Any], key: str) -> str:
    return str(((manifest.get("metadata") or {}).get("annotations") or {}).get(key) or "")


def _spoken(duration: timedelta | None) -> str:
    if duration is None:
        return "how long is not known, none was seen yet"
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    return f"the last took {minutes} min {seconds} s" if minutes else f"the last took {seconds} s"
