"""What an apply would change, from the object as it is and the dry run's answer. Pure: nothing is asked or changed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec

from backend.cluster.status import FieldConflict
from backend.core.canonical import hash_of
from backend.core.diffs import difference
from backend.core.views import FieldClaimView, GateView, ObjectPlanView, PlanCheckView, PlanView
from backend.serving.display import wanted_yaml, without_noise
from backend.serving.manifests import STOP
from backend.serving.ownership import without_defaults
from backend.serving.yaml_lines import dump

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


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is about: a service, or a serving runtime.

    Attributes:
        image: the one that has to be approved.
        source: the text that it was made from, by which it can be planned anew.
    """

    kind: Literal["service", "runtime"] = "service"
    namespace: str
    name: str
    image: str
    source: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a plan: what shall be, what is, and what the dry run made of it.

    Attributes:
        live: None when there is no such object.
        answer: of the dry run, as if every field were ours to set; None when it was refused.
        claims: fields that it would take from others.
        delete: it shall go; `manifest` then only names it.
    """

    manifest: dict[str, Any]
    live: dict[str, Any] | None
    answer: dict[str, Any] | None
    claims: tuple[FieldConflict, ...] = ()
    delete: bool = False

    @property
    def resource_version(self) -> str:
        """Of the live object, or empty."""
        return str(((self.live or {}).get("metadata") or {}).get("resourceVersion") or "")

    @property
    def told(self) -> str:
        """Kind, namespace and name."""
        metadata = self.manifest["metadata"]
        where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
        return f"{self.manifest['kind']} {where}{metadata['name']}"


class PlanInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a plan is made of.

    Attributes:
        gates: policy's verdicts on the image. refusals: why it may not be applied. conflicts: those of
            them that are fields of somebody else. warnings: what to know first.
        cold_start: how long the last start took, or with `starts` the median of so many of the image; None: none was
            seen.
        take: fields of others that a person named. checks: what its pods need. owner: whose repository says what it
            is, or empty. decisions: that the approval rests on. settles: an apply that was cut off, which this
            completes or, with `undoes`, takes back.
    """

    context: str
    subject: Subject
    objects: tuple[Seen, ...]
    gates: tuple[GateView, ...] = ()
    refusals: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_fixed: tuple[str, ...] = ()
    cold_start: timedelta | None = None
    starts: int = 0
    take: tuple[str, ...] = ()
    checks: tuple[PlanCheckView, ...] = ()
    owner: str = ""
    decisions: tuple[str, ...] = ()
    settles: str = ""
    undoes: bool = False


def plan_of(inputs: PlanInputs) -> PlanView:
    """The plan, with an id that is the same as long as everything that it saw is."""
    subject = inputs.subject
    applied = [seen for seen in inputs.objects if not seen.delete]
    return PlanView(
        id=plan_id(inputs),
        context=inputs.context,
        namespace=subject.namespace,
        name=subject.name,
        image=subject.image,
        objects=tuple(object_plan(seen) for seen in inputs.objects),
        gates=inputs.gates,
        refusals=inputs.refusals,
        warnings=inputs.warnings,
        outage=_outage(inputs),
        not_fixed=inputs.not_fixed,
        kubectl=kubectl(inputs),
        manifests="---\n".join(dump(seen.manifest) for seen in applied),
        deployment=subject.source,
        conflicts=inputs.conflicts,
        subject=subject.kind,
        fields=tuple(
            FieldClaimView(object=seen.told, field=claim.field, manager=claim.manager, taken=claim.field in inputs.take)
            for seen in inputs.objects
            for claim in seen.claims
        ),
        take=inputs.take,
        checks=inputs.checks,
        owner=inputs.owner,
        decisions=inputs.decisions,
        settles=inputs.settles,
        undoes=inputs.undoes,
    )


def plan_id(inputs: PlanInputs) -> str:
    """Hash of what the plan saw and says.

    The live objects count by identity and by what is wanted of them, not by resourceVersion: their status moves all
    the time, and makes no plan stale. Nor do the checks, which tell of what others use.
    """
    return hash_of(
        {
            "context": inputs.context,
            "subject": inputs.subject.kind,
            "deployment": inputs.subject.source,
            "refusals": list(inputs.refusals),
            "take": sorted(inputs.take),
            "settles": inputs.settles,
            "gates": [[gate.kind, gate.effect, gate.value.value, gate.sentence] for gate in inputs.gates],
            "objects": [
                {
                    "manifest": seen.manifest,
                    "delete": seen.delete,
                    "live": None if seen.live is None else [_identity(seen.live), without_noise(seen.live)],
                    "answer": None if seen.answer is None else without_noise(seen.answer),
                }
                for seen in inputs.objects
            ],
        }
    )


def object_plan(seen: Seen) -> ObjectPlanView:
    """What would become of one object, as a diff of what somebody wrote of it."""
    metadata = seen.manifest["metadata"]
    live, after = seen.live, None if seen.delete else seen.answer or seen.manifest
    if live is None:
        action = "unchanged" if seen.delete else "create"
    elif after is None:
        action = "delete"
    else:
        action = "unchanged" if without_noise(live) == without_noise(after) else "update"
    return ObjectPlanView(
        api_version=str(seen.manifest["apiVersion"]),
        kind=str(seen.manifest["kind"]),
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata["name"]),
        action=action,
        diff=difference(_written(live, after), _written(after, live)),
        resource_version=seen.resource_version,
    )


def _written(object_: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    return wanted_yaml(without_defaults(object_, other)) if object_ is not None else ""


def _outage(inputs: PlanInputs) -> str:
    services = [seen for seen in inputs.objects if seen.manifest["kind"] == "InferenceService"]
    if not services:
        if not inputs.objects:
            return ""
        if all(seen.live is None for seen in inputs.objects):
            return "Nothing uses it yet, so nothing goes missing."
        return "Every service that uses it starts its pods anew." if inputs.subject.kind == "runtime" else ""
    first = services[0]
    if first.delete:
        return "Nothing serves under this name afterwards."
    return outage(first.live, first.answer or first.manifest, inputs.cold_start, inputs.starts)


def outage(
    live: Mapping[str, Any] | None, wanted: Mapping[str, Any], cold_start: timedelta | None, starts: int = 0
) -> str:
    """How many replicas will be missing, and for how long, in a sentence.

    Args:
        cold_start, starts: as in `PlanInputs`.
    """
    if live is None:
        return "Nothing serves under this name yet, so nothing goes missing."
    before, after = (_component(object_) for object_ in (live, wanted))
    if _annotation(live, STOP) == "true":
        return "The service is stopped, so nothing goes missing; an apply does not start it."
    lasting = f"for a cold start ({_spoken(cold_start, starts)})"
    if not restarts(before, after):
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


def restarts(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the pods' template differs."""
    keys = (set(before) | set(after)) - _WITHOUT_RESTART
    return any(before.get(key) != after.get(key) for key in keys)


def kubectl(inputs: PlanInputs) -> tuple[str, ...]:
    """The commands that would do the same with the plan's manifests in a file."""
    subject = inputs.subject
    head = f"kubectl --context {shlex.quote(inputs.context)} -n {shlex.quote(subject.namespace)}"
    commands = []
    if any(not seen.delete for seen in inputs.objects):
        # kubectl knows no single fields: forced, it takes every one that it would stumble over, which are these.
        forced = " --force-conflicts" if any(seen.claims for seen in inputs.objects) and inputs.take else ""
        flags = f"--server-side --field-manager=modelyard{forced}"
        commands += [
            f"{head} diff {flags} -f manifests.yaml",
            f"{head} apply {flags} --validate=strict -f manifests.yaml",
        ]
    for seen in inputs.objects:
        if seen.delete and seen.live is not None:
            commands.append(
                f"{head} delete {seen.manifest['kind'].lower()} {shlex.quote(seen.manifest['metadata']['name'])}"
            )
    watched = "inferenceservice" if subject.kind == "service" else "servingruntime"
    follow = " --watch" if subject.kind == "service" else " -o yaml"
    return (*commands, f"{head} get {watched} {shlex.quote(subject.name)}{follow}")


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


def _spoken(duration: timedelta | None, starts: int) -> str:
    if duration is None:
        return "how long is not known, none was seen yet"
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    lasted = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    if starts > 1:
        return f"about {lasted}, by {starts} earlier starts of this image"
    return f"the last took {lasted}"
