"""The library: images, tags, runs and rules."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from backend.core.views.base import View


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
