"""Services, plans and snapshots."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from backend.core.views.base import View
from backend.core.views.curation import GateView
from backend.core.views.fit import FitView
from backend.core.views.plans import FieldClaimView, PlanCheckView
from backend.core.views.proof import ValidationView

INFERENCE_SERVICE: Final = "InferenceService"
#: What stands before the names of other kinds, which may have the same names in the same namespace.
KIND_PREFIXES: Final = {"LLMInferenceService": "llm", "InferenceGraph": "graph", "LocalModelCache": "cache"}


def named_kind(text: str) -> tuple[str, str]:
    """Kind and name of what a text names: `llm:qwen` an LLMInferenceService, a name alone an InferenceService."""
    prefix, colon, name = text.partition(":")
    kinds = {short: kind for kind, short in KIND_PREFIXES.items()}
    return (kinds[prefix], name) if colon and prefix in kinds else (INFERENCE_SERVICE, text)


class Verdict(StrEnum):
    """What state a service is really in."""

    SERVING = "serving"
    STARTING = "starting"
    SLOW_TO_LOAD = "slow to load"
    DEGRADED = "degraded"
    FAILED = "failed"
    STUCK = "stuck"
    STOPPED = "stopped"
    SCALED_TO_ZERO = "scaled to zero"
    UNKNOWN = "unknown"


class ConditionView(View, frozen=True, kw_only=True):
    """A condition of a cluster object."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    since: datetime | None = None


class ContainerView(View, frozen=True, kw_only=True):
    """A container of a pod.

    Attributes:
        state: `running`, or the reason why it waits or how it ended. last: how the run before ended, or empty.
        initial: it runs before the others.
    """

    name: str
    image: str
    state: str
    ready: bool
    restarts: int
    gpus: int = 0
    image_id: str = ""
    last: str = ""
    initial: bool = False
    since: datetime | None = None


class PodView(View, frozen=True, kw_only=True):
    """A pod of a service; `state` is the phase or the waiting or terminated reason, `image_ids` what it really runs.

    Attributes:
        owner: kind and name of what made it, such as a ReplicaSet.
    """

    name: str
    namespace: str
    node: str
    phase: str
    state: str
    ready: bool
    restarts: int
    gpus: int
    image_ids: tuple[str, ...]
    message: str = ""
    started_at: datetime | None = None
    containers: tuple[ContainerView, ...] = ()
    owner: str = ""


class ServiceView(View, frozen=True, kw_only=True):
    """An InferenceService with its verdict.

    Attributes:
        since: when the verdict became so; None: not told.
        gpus: that its pods ask for, all replicas; `gpu_type` their product, empty when unknown.
        approved: of the digests that it names or runs: True when all are, None when it names no digest.
        approval_note: why `approved` is not True.
        owner: what else writes this object (Argo CD, Flux, Helm), empty when nothing does.
        proved: how the validation of its newest rollout stands: waiting, passed, failed, not possible; empty: none.
        proposal: snapshot that a return to is proposed, since that validation failed; empty: none.
        edited_by: the field manager, other than ours, that last wrote what is wanted of it; edited_at: when.
        model: modelFormat, storage URI or served name, as far as the object tells.
        traffic: how requests are split, where more than one version may get them.
        kind: of the object; other kinds than InferenceService have rows of their own.
        as_of: since when nobody watches it, so that all this is as it was then; None: it is live.
    """

    context: str
    namespace: str
    name: str
    verdict: Verdict
    reason: str
    next_step: str
    since: datetime | None
    ready_replicas: int
    wanted_replicas: int
    gpus: int
    gpu_type: str = ""
    images: tuple[str, ...] = ()
    model: str = ""
    runtime: str = ""
    mode: str = ""
    approved: bool | None = None
    approval_note: str = ""
    url: str = ""
    owner: str = ""
    proved: str = ""
    proposal: str = ""
    edited_by: str = ""
    edited_at: datetime | None = None
    created_at: datetime | None = None
    generation: int = 0
    resource_version: str = ""
    as_of: datetime | None = None
    traffic: str = ""
    kind: str = "InferenceService"

    @property
    def key(self) -> str:
        """`context/namespace/name`, of these only the context may hold a slash; other kinds as in `named_kind`."""
        if self.kind == INFERENCE_SERVICE:
            return f"{self.context}/{self.namespace}/{self.name}"
        return f"{self.context}/{self.namespace}/{KIND_PREFIXES[self.kind]}:{self.name}"

    @property
    def address(self) -> str:
        """The name with its kind where that is not the usual one: `llm:qwen`."""
        return self.key.rpartition("/")[2]


class KubeEventView(View, frozen=True, kw_only=True):
    """An event of the cluster on an object."""

    at: datetime | None
    type: str
    reason: str
    object: str
    message: str
    count: int = 1


class OwnerView(View, frozen=True, kw_only=True):
    """A link of the chain of owners: `depth` is how far below the top it is."""

    depth: int
    kind: str
    name: str
    note: str = ""


class StepView(View, frozen=True, kw_only=True):
    """A step of a cold start: created, scheduled, pulled, weights, loaded, first token.

    Attributes:
        at: None while it has not happened, or where it is not measured: `note` then says so.
        seconds: that it took after the step before.
        usual: what it took in earlier starts of the same image on such GPUs; None: none was seen.
    """

    name: str
    at: datetime | None
    seconds: float | None
    usual: float | None = None
    note: str = ""


class ServiceDetailView(View, frozen=True, kw_only=True):
    """A service with all that explains its verdict."""

    service: ServiceView
    conditions: tuple[ConditionView, ...]
    pods: tuple[PodView, ...]
    events: tuple[KubeEventView, ...]
    timeline: tuple[StepView, ...]
    endpoints: tuple[EndpointView, ...]
    manifest: str
    owners: tuple[OwnerView, ...] = ()
    validations: tuple[ValidationView, ...] = ()


class EndpointView(View, frozen=True, kw_only=True):
    """An address of a service. `scope` is inside or outside; `note` tells what is known of its reach."""

    scope: str
    protocol: str
    url: str
    note: str = ""


class DiffLineView(View, frozen=True, kw_only=True):
    """A line of a plan's diff, which holds all lines. `mark` is ` `, `+` or `-`."""

    mark: str
    text: str


class ObjectPlanView(View, frozen=True, kw_only=True):
    """What an apply would do to one object: create, update, delete or nothing (`unchanged`)."""

    api_version: str
    kind: str
    namespace: str
    name: str
    action: str
    diff: tuple[DiffLineView, ...]
    resource_version: str = ""


class PlanView(View, frozen=True, kw_only=True):
    """What an apply would change; nothing was changed to find out.

    Attributes:
        id: hash over everything the plan saw; apply refuses when it would differ now.
        refusals: why it may not be applied; empty when it may.
        conflicts: those of the refusals that are fields of somebody else.
        warnings: what a person should know first.
        outage: replicas missing during the rollout, in a sentence.
        not_fixed: parts of what is served that nothing fixes (weights, revision).
        kubectl: the equivalent commands.
        manifests: the objects as they would be sent, YAML, one document each.
        deployment: the deployment file that it was made from, YAML; of a runtime, what was asked for.
        subject: service or runtime.
        fields: that it sets and others manage. take: those that a person named to be taken.
        checks: quotas, secrets and accounts that its pods will need.
        owner: Argo CD or Flux, when its repository says what this is: there is a file for it, and no apply.
        decisions: ids of the decisions that the approval of the image rests on.
        settles: id of the apply that was cut off which this completes or, with `undoes`, takes back.
        fit: where its pods would run now, an estimate; it moves with the cluster and is no part of `id`. None: of no
            service.
    """

    id: str
    context: str
    namespace: str
    name: str
    image: str
    objects: tuple[ObjectPlanView, ...]
    gates: tuple[GateView, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    outage: str
    not_fixed: tuple[str, ...]
    kubectl: tuple[str, ...]
    manifests: str
    deployment: str
    conflicts: tuple[str, ...] = ()
    subject: str = "service"
    fields: tuple[FieldClaimView, ...] = ()
    take: tuple[str, ...] = ()
    checks: tuple[PlanCheckView, ...] = ()
    owner: str = ""
    decisions: tuple[str, ...] = ()
    settles: str = ""
    undoes: bool = False
    fit: FitView | None = None

    @property
    def changes(self) -> bool:
        """Whether an apply would change anything."""
        return any(planned.action != "unchanged" for planned in self.objects)


class AppliedView(View, frozen=True, kw_only=True):
    """What an apply did; `snapshot` can be returned to; `validation` is the id of what will prove it, or empty."""

    context: str
    namespace: str
    name: str
    changed: bool
    objects: tuple[str, ...]
    snapshot: str
    resource_version: str
    validation: str = ""


class SnapshotView(View, frozen=True, kw_only=True):
    """A spec that was applied.

    Attributes:
        still_approved: whether its image may be returned to now.
        proved: how its rollout's validation ended: passed, failed or not possible; empty: it was not validated.
        good: it is the one that a rollback returns to unless another is named.
        decisions: ids of those that its approval rested on when it was applied.
    """

    id: str
    context: str
    namespace: str
    name: str
    image: str
    actor: str
    at: datetime
    note: str
    still_approved: bool
    proved: str = ""
    good: bool = False
    decisions: tuple[str, ...] = ()


class RuntimeView(View, frozen=True, kw_only=True):
    """A ServingRuntime (with a namespace) or ClusterServingRuntime (without).

    Attributes:
        used_by: services that name it, `namespace/name`; editing it starts the pods of all of them anew.
        approved: of the digests of its images: True when all are, None when it names none by digest.
        approval_note: why `approved` is not True.
        template: that it was made of, with its version; empty: it was not made by Modelyard.
    """

    context: str
    namespace: str
    name: str
    images: tuple[str, ...]
    formats: tuple[str, ...]
    protocols: tuple[str, ...]
    disabled: bool
    used_by: tuple[str, ...]
    approved: bool | None = None
    approval_note: str = ""
    template: str = ""
    owner: str = ""


class RuntimeDetailView(View, frozen=True, kw_only=True):
    """A runtime with its manifest, and what there is to know before it is touched."""

    runtime: RuntimeView
    manifest: str
    notes: tuple[str, ...]
