"""What runs against what was approved, what proved a rollout, and what a change would end."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from backend.core.views.base import View
from backend.core.views.curation import EvidenceValue


class RunningState(StrEnum):
    """How something that runs stands to what was approved and applied, the worst first."""

    REVOKED = "revoked"
    UNAPPROVED = "unapproved"
    DRIFTED = "drifted"
    EDITED = "edited"
    UNKNOWN = "unknown"
    APPROVED = "approved"


class RunningView(View, frozen=True, kw_only=True):
    """Something that runs: an image of a service by the digest that its pods report, or a service that was changed.

    Attributes:
        state: of the image: approved, unapproved, revoked, unknown (no digest tells what it is); of the service:
            drifted (it is no longer what was applied), edited (others wrote it since, and it is still the same).
        image: as the pods name it; empty for a service that was changed.
        digest: that runs, as the library knows it, or else as the container runtime reports it.
        pods: that run it.
        by: field managers that wrote it since it was applied.
        detail: why it stands so, a sentence.
        since: when the first of the pods started, or when it was edited; None: not told.
        snapshot: that it is compared with; empty: it was not applied by Modelyard.
    """

    context: str
    namespace: str
    name: str
    state: RunningState
    image: str = ""
    digest: str = ""
    pods: tuple[str, ...] = ()
    by: str = ""
    detail: str = ""
    since: datetime | None = None
    snapshot: str = ""

    @property
    def key(self) -> str:
        """Unique among the rows."""
        return f"{self.context}/{self.namespace}/{self.name}/{self.state.value}/{self.image}/{self.digest}"

    @property
    def service(self) -> str:
        """`context/namespace/name`."""
        return f"{self.context}/{self.namespace}/{self.name}"


class ProofCheckView(View, frozen=True, kw_only=True):
    """A part of a validation: `answer`, `latency`, `errors` or `rollout`; and what was found, a sentence."""

    name: str
    value: EvidenceValue
    sentence: str


class ValidationView(View, frozen=True, kw_only=True):
    """What proved a rollout good or bad.

    Attributes:
        snapshot: that was rolled out; empty: the service as it was found.
        actor: who rolled it out, or asked for the validation.
        outcome: `waiting` (for the rollout, or for its window), `passed`, `failed`, `not possible` (nothing could be
            asked) or `superseded` (something else was rolled out before it came to its end).
        traffic: `before traffic` or `after traffic`; empty: nothing was asked yet.
        reason: why it ended so, a sentence.
        on_failure: `propose`, `rollback` or `nothing`.
        proposal: snapshot that a return to is proposed; empty: none is, and `reason` says why where one was wanted.
        answer: what became of the proposal: empty while it is open, `rolled back`, `refused: WHY` or `overtaken`.
    """

    id: str
    context: str
    namespace: str
    name: str
    snapshot: str
    image: str
    actor: str
    outcome: str
    traffic: str
    started_at: datetime
    ended_at: datetime | None
    checks: tuple[ProofCheckView, ...] = ()
    reason: str = ""
    on_failure: str = "propose"
    proposal: str = ""
    answer: str = ""

    @property
    def service(self) -> str:
        """`context/namespace/name`."""
        return f"{self.context}/{self.namespace}/{self.name}"

    @property
    def proposes(self) -> bool:
        """Whether a rollback waits for a person."""
        return bool(self.proposal) and not self.answer


class RevisionView(View, frozen=True, kw_only=True):
    """A Knative revision of a service; `percent` of the traffic, None: not told. `role` is newest or rolled out."""

    name: str
    role: str
    percent: int | None
    tag: str = ""
    ready: bool = False


class CanaryView(View, frozen=True, kw_only=True):
    """What traffic goes where.

    Attributes:
        splits: whether the mode, as it is installed, splits traffic at all.
        statement: what is so, a sentence.
        going_on: a new revision waits for its share, or has some of it.
        percent: that the newest revision gets; None: no canary goes on.
        steps: that the deployment file asks for, in percent.
    """

    context: str
    namespace: str
    name: str
    mode: str
    splits: bool
    statement: str
    going_on: bool = False
    percent: int | None = None
    steps: tuple[int, ...] = ()
    revisions: tuple[RevisionView, ...] = ()


class BlastView(View, frozen=True, kw_only=True):
    """What a change of a service would end.

    Attributes:
        verb: stop, start, scale or delete.
        replicas: that serve now; after: that shall, 0 for none.
        gpus: that it holds now; freed: of them; a negative number is taken beside.
        requests_per_second, running: of all replicas now; None: not measured, and `traffic_note` says why.
        hosts: that reach nothing any more. routes: HTTPRoutes that end or lead nowhere.
        consumers: what names it: InferenceGraphs, TrainedModels.
        consumers_note: why that is not known, or empty.
        keys: what is known of access keys that end.
        sentences: all of it for a person, the heaviest first.
    """

    context: str
    namespace: str
    name: str
    verb: str
    replicas: int
    after: int
    gpus: int
    freed: int
    gpu_type: str = ""
    requests_per_second: float | None = None
    running: float | None = None
    traffic_note: str = ""
    hosts: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    consumers_note: str = ""
    keys: str = ""
    sentences: tuple[str, ...] = ()
