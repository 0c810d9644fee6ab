"""What the command line and the screen show: frozen values, ready to print as JSON.

Text in them is as its source gave it; whoever shows it sanitises it (`backend.core.text`). Instants are aware UTC.
What could not be measured is None, never zero, and a neighbouring field says why.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class View(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all views: immutable, comparable, printable.

    Frozen views cannot form cycles, so the garbage collector need not look at the thousands of them that a list holds.
    """


# ---------------------------------------------------------------- library


class ImageState(StrEnum):
    """Where an image stands in curation."""

    CANDIDATE = "candidate"
    APPROVED = "approved"
    REJECTED = "rejected"
    REVOKED = "revoked"
    EXPIRED = "expired"


class ImageView(View, frozen=True, kw_only=True):
    """A tag of the library and the digest that it names.

    Attributes:
        registry: configured name; `host` is its host with port.
        kind: image, index, modelpack, kitops, docker-model, artifact.
        type: chat, completion, embedding, reranking, image-embedding, ocr, vision, moderation, generic.
        framework: nim, vllm, triton, sglang, tgi, ... or unknown.
        size: compressed bytes of config and layers (an index: of its first kept platform); None: not told.
        gone_at: when the tag was first missed in its registry; None while it is there.
        previous_digest: what the tag named before it last moved; None: it never moved.
        changed_at: when it was first seen, or last moved or went.
    """

    registry: str
    host: str
    repository: str
    tag: str
    digest: str
    kind: str
    type: str
    framework: str
    size: int | None
    state: ImageState
    platforms: tuple[str, ...] = ()
    created_at: datetime | None = None
    first_seen_at: datetime
    changed_at: datetime
    gone_at: datetime | None = None
    previous_digest: str | None = None
    rule: str = ""

    @property
    def reference(self) -> str:
        """`host/repository@digest`."""
        return f"{self.host}/{self.repository}@{self.digest}"

    @property
    def name(self) -> str:
        """`registry/repository:tag`, as a person names it."""
        return f"{self.registry}/{self.repository}:{self.tag}"


class ClassificationView(View, frozen=True, kw_only=True):
    """A property of an image, on which evidence, how sure (0 to 1); `set_by` names a person who corrected it."""

    name: str
    value: str
    evidence: str
    confidence: float
    set_by: str = ""


class ImageDetailView(View, frozen=True, kw_only=True):
    """All that the library knows of one digest in one repository."""

    image: ImageView
    tags: tuple[str, ...]
    media_type: str
    artifact_type: str
    labels: dict[str, str]
    annotations: dict[str, str]
    environment: tuple[str, ...]
    entrypoint: tuple[str, ...]
    layers: tuple[tuple[str, str, int], ...]
    classifications: tuple[ClassificationView, ...]
    referrers: tuple[tuple[str, str], ...]
    manifest: str


class TagEventView(View, frozen=True, kw_only=True):
    """A change of a tag: new, moved, gone, back."""

    registry: str
    repository: str
    tag: str
    change: str
    digest: str | None
    previous_digest: str | None
    at: datetime
    run: str


class SyncEntryView(View, frozen=True, kw_only=True):
    """A tag that a run found new, gone or moved (then with `previous`)."""

    registry: str
    repository: str
    tag: str
    digest: str
    previous: str | None = None


class SyncFailureView(View, frozen=True, kw_only=True):
    """What a run could not read, and why; `tag` is empty when the whole repository or registry failed.

    Attributes:
        action: what can be done about it.
        unreachable: it could not be reached, or refused our credentials.
        misconfigured: the configuration is to blame, such as a secret that is not there.
    """

    registry: str
    repository: str
    tag: str
    reason: str
    unreachable: bool = False
    misconfigured: bool = False
    action: str = ""


class SyncResultView(View, frozen=True, kw_only=True):
    """What a run did. Counts of requests and bytes are of this run; seconds by the monotonic clock."""

    run: str
    dry_run: bool
    new: tuple[SyncEntryView, ...]
    moved: tuple[SyncEntryView, ...]
    gone: tuple[SyncEntryView, ...]
    failed: tuple[SyncFailureView, ...]
    unchanged: int
    skipped: int
    requests: int
    bytes: int
    seconds: float


class SyncProgressView(View, frozen=True, kw_only=True):
    """How far a run is. `total` is None until the tags are known; `error` is told when it ended badly."""

    run: str
    rule: str
    repository: str
    done: int
    total: int | None
    new: int
    moved: int
    gone: int
    failed: int
    finished: bool
    error: str = ""


class RuleView(View, frozen=True, kw_only=True):
    """A rule as configured, and when it last ran."""

    name: str
    registry: str
    repositories: tuple[str, ...]
    tags: str
    types: tuple[str, ...]
    every: str
    enabled: bool
    last_run_at: datetime | None = None
    last_result: str = ""


class RuleClauseView(View, frozen=True, kw_only=True):
    """What became of one tag under a rule: taken, or left out by which clause."""

    registry: str
    repository: str
    tag: str
    taken: bool
    clause: str


# ---------------------------------------------------------------- evidence, gates, decisions


class EvidenceValue(StrEnum):
    """What evidence says. Absence is `not measured`, never a pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_MEASURED = "not measured"
    STALE = "stale"


class FindingView(View, frozen=True, kw_only=True):
    """A vulnerability of a package; `fixed` are versions that do not have it; `waived` names the waiver."""

    id: str
    severity: str
    package: str
    version: str
    fixed: str
    title: str = ""
    waived: str = ""


class EvidenceView(View, frozen=True, kw_only=True):
    """A piece of evidence on a digest.

    Attributes:
        kind: signature, vulnerabilities, sbom, licence, model-card, benchmark, compliance, weights.
        state: kind's own word: verified, invalid, present, none, unchecked for signatures; scanned; read.
        source: who made it (scanner with version, key, registry attachment).
        asserted_by: a person who handed it in unsigned; empty when it came with the image or from a scanner.
        measured_at: when it was true at its source; None: not told.
        database_at: of a scanner, how old its knowledge is; None: unknown.
    """

    id: str
    digest: str
    kind: str
    state: str
    summary: str
    source: str
    asserted_by: str = ""
    measured_at: datetime | None = None
    collected_at: datetime
    database_at: datetime | None = None
    findings: tuple[FindingView, ...] = ()
    details: dict[str, Any] = {}


class GateView(View, frozen=True, kw_only=True):
    """A gate's verdict on a digest, explained in a sentence. `effect` is block or warn."""

    kind: str
    effect: str
    value: EvidenceValue
    sentence: str

    @property
    def blocks(self) -> bool:
        """Whether the gate stands in the way of an approval."""
        return self.effect == "block" and self.value is not EvidenceValue.PASS


class DecisionView(View, frozen=True, kw_only=True):
    """A decision of one actor on one digest."""

    id: str
    digest: str
    reference: str
    verdict: str
    actor: str
    at: datetime
    reason: str
    ticket: str = ""
    evidence_hash: str
    policy_hash: str
    expires_at: datetime | None = None


class CandidateView(View, frozen=True, kw_only=True):
    """A digest before gates and people.

    Attributes:
        reference: `host/repository@digest`.
        name: `registry/repository:tag` of its newest tag.
        submitted_by: who brought it in; that person does not approve it.
        gates: in the order of the policy.
        evidence_hash: over the evidence as shown; a decision binds to it.
        approvals_needed: how many people policy asks for; `approvals` those who count now.
        waits_for_me: the actor may decide and has not.
        not_me: why the actor may not approve, in a sentence; empty when they may.
        risk: 0 (clean) to 100; orders the queue.
        changes: against the last approved digest of the same repository, a line each.
        previous_reference: that digest, or empty when none was approved.
    """

    reference: str
    registry: str
    repository: str
    digest: str
    name: str
    tags: tuple[str, ...]
    kind: str
    type: str
    framework: str
    size: int | None
    state: ImageState
    submitted_by: str
    submitted_at: datetime
    gates: tuple[GateView, ...]
    evidence_hash: str
    policy_hash: str
    approvals_needed: int
    approvals: tuple[DecisionView, ...]
    decisions: tuple[DecisionView, ...] = ()
    waits_for_me: bool
    not_me: str = ""
    risk: int = 0
    changes: tuple[str, ...] = ()
    previous_reference: str = ""

    @property
    def blocked(self) -> bool:
        """Whether a gate stands in the way."""
        return any(gate.blocks for gate in self.gates)


class PolicyCheckView(View, frozen=True, kw_only=True):
    """What a policy says of a digest; `before` is set when another policy was given to compare with."""

    reference: str
    passes: bool
    gates: tuple[GateView, ...]
    before: bool | None = None


# ---------------------------------------------------------------- serving


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


class PodView(View, frozen=True, kw_only=True):
    """A pod of a service; `state` is the phase or the waiting or terminated reason, `image_ids` what it really runs."""

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


class ServiceView(View, frozen=True, kw_only=True):
    """An InferenceService with its verdict.

    Attributes:
        since: when the verdict became so; None: not told.
        gpus: that its pods ask for, all replicas; `gpu_type` their product, empty when unknown.
        approved: of the digests that it names or runs: True when all are, None when it names no digest.
        approval_note: why `approved` is not True.
        owner: what else writes this object (Argo CD, Flux, Helm), empty when nothing does.
        model: modelFormat, storage URI or served name, as far as the object tells.
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
    created_at: datetime | None = None
    generation: int = 0
    resource_version: str = ""

    @property
    def key(self) -> str:
        """`context/namespace/name`."""
        return f"{self.context}/{self.namespace}/{self.name}"


class KubeEventView(View, frozen=True, kw_only=True):
    """An event of the cluster on an object."""

    at: datetime | None
    type: str
    reason: str
    object: str
    message: str
    count: int = 1


class StepView(View, frozen=True, kw_only=True):
    """A step of a cold start: scheduled, pulled, loading, ready; `at` is None while it has not happened."""

    name: str
    at: datetime | None
    seconds: float | None


class ServiceDetailView(View, frozen=True, kw_only=True):
    """A service with all that explains its verdict."""

    service: ServiceView
    conditions: tuple[ConditionView, ...]
    pods: tuple[PodView, ...]
    events: tuple[KubeEventView, ...]
    timeline: tuple[StepView, ...]
    endpoints: tuple[EndpointView, ...]
    manifest: str


class EndpointView(View, frozen=True, kw_only=True):
    """An address of a service. `scope` is inside or outside; `note` tells what is known of its reach."""

    scope: str
    protocol: str
    url: str
    note: str = ""


class DiffLineView(View, frozen=True, kw_only=True):
    """A line of a plan's diff. `mark` is ` `, `+` or `-`."""

    mark: str
    text: str


class ObjectPlanView(View, frozen=True, kw_only=True):
    """What an apply would do to one object: create, update or nothing (`unchanged`)."""

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
        deployment: the deployment file that it was made from, YAML.
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

    @property
    def changes(self) -> bool:
        """Whether an apply would change anything."""
        return any(planned.action != "unchanged" for planned in self.objects)


class AppliedView(View, frozen=True, kw_only=True):
    """What an apply did; `snapshot` can be returned to."""

    context: str
    namespace: str
    name: str
    changed: bool
    objects: tuple[str, ...]
    snapshot: str
    resource_version: str


class SnapshotView(View, frozen=True, kw_only=True):
    """A spec that was applied; `still_approved` is whether its image may be returned to now."""

    id: str
    context: str
    namespace: str
    name: str
    image: str
    actor: str
    at: datetime
    note: str
    still_approved: bool


class RuntimeView(View, frozen=True, kw_only=True):
    """A ServingRuntime (with a namespace) or ClusterServingRuntime (without)."""

    context: str
    namespace: str
    name: str
    images: tuple[str, ...]
    formats: tuple[str, ...]
    protocols: tuple[str, ...]
    disabled: bool
    used_by: tuple[str, ...]


# ---------------------------------------------------------------- GPUs


class GpuState(StrEnum):
    """What a GPU does: idle is allocated and doing nothing; free is allocated to nobody."""

    BUSY = "busy"
    IDLE = "idle"
    FREE = "free"
    FAULT = "fault"
    UNKNOWN = "unknown"


class GpuView(View, frozen=True, kw_only=True):
    """A GPU or MIG instance.

    Attributes:
        utilisation: percent of time with a kernel running; engine_active: percent of the engine in use.
        memory_used, memory_total: bytes. power: watts. temperature: degrees Celsius.
        source: where the numbers come from; age: seconds since they last were known true; None: never.
        tokens_per_second: of the service that holds it, shared over its GPUs; None: no model server told.
        error: the last XID or what the driver says; empty when nothing is wrong.
    """

    key: str
    node: str
    index: int
    uuid: str
    product: str
    mig_profile: str = ""
    state: GpuState
    utilisation: float | None
    engine_active: float | None
    memory_used: int | None
    memory_total: int | None
    power: float | None
    temperature: float | None
    namespace: str = ""
    pod: str = ""
    container: str = ""
    service: str = ""
    image_digest: str = ""
    approved: bool | None = None
    tokens_per_second: float | None = None
    idle_since: datetime | None = None
    error: str = ""
    source: str
    age: float | None


class ModelServerView(View, frozen=True, kw_only=True):
    """What the model server of one pod says; latencies are seconds over the last half minute, None: no traffic."""

    namespace: str
    pod: str
    service: str
    engine: str
    running: float | None
    waiting: float | None
    kv_cache: float | None
    ttft_p95: float | None
    inter_token_p95: float | None
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    age: float | None
    note: str = ""


class GpuSnapshotView(View, frozen=True, kw_only=True):
    """All GPUs at one time; `notes` say what could not be measured and what would be needed.

    Attributes:
        unreached: why nothing at all is known, when the cluster cannot be reached or refuses us; else empty.
    """

    at: datetime
    gpus: tuple[GpuView, ...]
    servers: tuple[ModelServerView, ...]
    notes: tuple[str, ...]
    unreached: str = ""


# ---------------------------------------------------------------- audit and the yard


class LedgerEntryView(View, frozen=True, kw_only=True):
    """An entry of the ledger; `previous` and `hash` chain it to its neighbours."""

    seq: int
    at: datetime
    actor: str
    actor_source: str
    action: str
    object: str
    outcome: str
    detail: dict[str, Any]
    previous: str
    hash: str


class VerificationView(View, frozen=True, kw_only=True):
    """What verifying the ledger found; `first_bad` is None when every entry holds."""

    entries: int
    head: str
    intact: bool
    first_bad: int | None = None
    reason: str = ""


class SourceState(StrEnum):
    """How it stands with something that the yard reads."""

    LIVE = "live"
    CONNECTING = "connecting"
    LOST = "lost"
    REFUSED = "refused"
    ABSENT = "absent"


class SourceView(View, frozen=True, kw_only=True):
    """A registry, cluster or metrics source: its state, since when, and what it last said."""

    name: str
    kind: str
    state: SourceState
    as_of: datetime | None
    detail: str = ""


class ChangeView(View, frozen=True, kw_only=True):
    """A change, for the list of what changed: ours, a tag's, another's edit, a node's."""

    at: datetime
    actor: str
    what: str
    object: str
    detail: str = ""


class CheckView(View, frozen=True, kw_only=True):
    """A line of `doctor`: what was checked, `ok`, `warning`, `failed` or `absent`, and what to do."""

    name: str
    state: str
    detail: str
    action: str = ""


class YardStatusView(View, frozen=True, kw_only=True):
    """What the title bar tells.

    Attributes:
        writes: why writes are off, or empty when they are on.
        enforcement: what the cluster refuses: "not enforced" unless proved.
        worker: who holds the yard's lease, or empty.
        policy_source: "policy: own file" or the path of the root-owned one.
    """

    name: str
    context: str
    actor: str
    actor_source: str
    roles: tuple[str, ...]
    unrestricted: bool
    writes: str
    enforcement: str
    worker: str
    policy_source: str
    sources: tuple[SourceView, ...]
    library_total: int = 0
    library_approved: int = 0
    queue_waiting: int = 0
