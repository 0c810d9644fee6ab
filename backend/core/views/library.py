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
        engine: what runs the model inside a framework, such as vllm inside nim; empty: not told.
        family, parameters, precision: of the model, such as llama, 70b, fp8; empty: not told.
        licence: as declared; empty: not told.
        running: how many services run it now; None: no cluster was asked.
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
    engine: str = ""
    family: str = ""
    parameters: str = ""
    precision: str = ""
    licence: str = ""
    running: int | None = None

    @property
    def reference(self) -> str:
        """`host/repository@digest`."""
        return f"{self.host}/{self.repository}@{self.digest}"

    @property
    def name(self) -> str:
        """`registry/repository:tag`, as a person names it."""
        return f"{self.registry}/{self.repository}:{self.tag}"


class ImagePageView(View, frozen=True, kw_only=True):
    """Some of the images that a search found, in its order.

    Attributes:
        offset: of the first of `images` among all `total` that were found.
        problem: why the query was not understood, with what to write instead; then nothing was found.
        words: of the query, in lower case, for marking them.
    """

    images: tuple[ImageView, ...]
    offset: int
    total: int
    problem: str = ""
    words: tuple[str, ...] = ()


class CompletionView(View, frozen=True, kw_only=True):
    """What could be written instead of the characters from `start` to `end` of a query; `hint` tells what it is for."""

    start: int
    end: int
    text: str
    hint: str = ""


class RepositoryView(View, frozen=True, kw_only=True):
    """A repository with what a search found in it.

    Attributes:
        tags: how many of its tags were found; `approved` and `waiting` (candidates) of them, `gone` and `running`.
        newest: the tag that is highest by version, and when any of them last changed.
    """

    registry: str
    host: str
    name: str
    tags: int
    approved: int
    waiting: int
    gone: int
    running: int | None
    newest: str
    changed_at: datetime
    types: tuple[str, ...]
    frameworks: tuple[str, ...]


class ClassificationView(View, frozen=True, kw_only=True):
    """A property of an image, on which evidence, how sure (0 to 1); `set_by` names a person who corrected it."""

    name: str
    value: str
    evidence: str
    confidence: float
    set_by: str = ""


class ParentView(View, frozen=True, kw_only=True):
    """Another image that a person named as what this one was made from.

    Attributes:
        reference: `host/repository@digest`, or any text where the library does not hold it.
        relation: fine-tuned, distilled, quantised, merged, derived.
    """

    reference: str
    relation: str
    note: str
    named_by: str
    at: datetime


class LineageView(View, frozen=True, kw_only=True):
    """Where an image came from and where it went.

    Attributes:
        rules: which rules took it in, in which run and when first: `(rule, run, at)`.
        base_name, base_digest: of the base image, where annotations tell; empty: not told.
        predecessor, successor: reference of the tag before and after its newest in the order of versions; empty: none.
        parents: named by people; `children`: references of images that name this one as a parent.
        running: services that run it now, `context/namespace/name`; None: no cluster was asked.
    """

    rules: tuple[tuple[str, str, datetime], ...] = ()
    base_name: str = ""
    base_digest: str = ""
    predecessor: str = ""
    successor: str = ""
    parents: tuple[ParentView, ...] = ()
    children: tuple[str, ...] = ()
    running: tuple[str, ...] | None = None


class PlatformView(View, frozen=True, kw_only=True):
    """An entry of an index: its platform, digest, and compressed size where it was read."""

    platform: str
    digest: str
    size: int | None


class ImageDetailView(View, frozen=True, kw_only=True):
    """All that the library knows of one digest in one repository.

    Attributes:
        layers: media type, digest and compressed bytes of each; of an index, those of its first image that is kept, as
            are labels, environment, entrypoint, user and ports.
        referrers: artifact or media type, and digest, of what an index says that describes its images.
        platforms: of an index, all its images.
        card: the document that tells of the model, or what labels and annotations say of it; empty: nothing does.
    """

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
    platforms: tuple[PlatformView, ...] = ()
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    card: str = ""
    lineage: LineageView = LineageView()


class PrunedView(View, frozen=True, kw_only=True):
    """A digest in one repository that retention looked at; `reason`: why it is removed, or why it is kept.

    Attributes:
        tag: that named it last. unnamed_since: when the last tag that named it moved on or went.
        bytes: that the library stores of it.
    """

    registry: str
    host: str
    repository: str
    tag: str
    digest: str
    unnamed_since: datetime
    bytes: int
    reason: str

    @property
    def reference(self) -> str:
        """`host/repository@digest`."""
        return f"{self.host}/{self.repository}@{self.digest}"


class PruneView(View, frozen=True, kw_only=True):
    """What retention removed, or with `dry_run` would remove, and what it keeps although it is as old.

    Attributes:
        before: what no tag has named since then was looked at.
        bytes: that the library stored of what is removed.
    """

    dry_run: bool
    before: datetime
    removed: tuple[PrunedView, ...]
    kept: tuple[PrunedView, ...]
    bytes: int


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


class JournalEntryView(View, frozen=True, kw_only=True):
    """What a run found in one repository. `seconds` by the monotonic clock; `skipped` and `failed` with reasons.

    Attributes:
        repository: empty: the registry's own list of repositories.
        state: done, failed, partial (some of its tags failed, or the run was cut off in it), running, not reached.
        seen: tags in its list; those of them that the rule's clauses leave out are in no other count.
        resumed: of the unchanged ones, those that an interrupted run had asked for, and that were not asked for again.
        reasons: `(tag, what became of it and why)`, for each tag that was skipped or failed; tag "" is the repository.
    """

    registry: str
    repository: str
    rule: str
    state: str
    seen: int
    new: int
    moved: int
    gone: int
    unchanged: int
    skipped: int
    failed: int
    requests: int
    bytes: int
    seconds: float
    reasons: tuple[tuple[str, str], ...] = ()
    resumed: int = 0


class RunView(View, frozen=True, kw_only=True):
    """A run of the synchroniser.

    Attributes:
        outcome: running, done, failed, refused, interrupted (it was cut off; the next run resumes it).
        resumed_from: the run that it went on with; empty: none.
        journal: a line a repository; empty in lists.
        seconds: by the monotonic clock; 0 until it ended.
        resumed: of the unchanged tags, those that the run it went on with had asked for; they were not asked for again.
    """

    run: str
    rules: tuple[str, ...]
    actor: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    reason: str
    new: int
    moved: int
    gone: int
    unchanged: int
    skipped: int
    failed: int
    requests: int
    bytes: int
    resumed_from: str = ""
    journal: tuple[JournalEntryView, ...] = ()
    seconds: float = 0.0
    resumed: int = 0


class SyncResultView(View, frozen=True, kw_only=True):
    """What a run did. Counts of requests and bytes are of this run; seconds by the monotonic clock.

    Attributes:
        resumed_from: the run that it went on with; empty: none.
        resumed: of the unchanged tags, those that had been asked for by then; they were not asked for again.
    """

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
    resumed_from: str = ""
    resumed: int = 0


class SyncProgressView(View, frozen=True, kw_only=True):
    """How far a run is. `total` is None until the tags are known; `error` is told when it ended badly.

    Attributes:
        rate: tags a second over the last seconds; None: not known yet.
        remaining: seconds that the rest may take, an estimate; None: not known.
    """

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
    requests: int = 0
    bytes: int = 0
    rate: float | None = None
    remaining: float | None = None


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
    exclude_repositories: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    newest: int | None = None
    max_age: str = ""
    max_new: int | None = None
    author: str = ""


class RuleClauseView(View, frozen=True, kw_only=True):
    """What became of one tag under a rule: taken, or left out by which clause."""

    registry: str
    repository: str
    tag: str
    taken: bool
    clause: str


class RulePreviewView(View, frozen=True, kw_only=True):
    """What a rule would take in, or would have taken in.

    Attributes:
        at: the instant it is asked for; None: now, by what the registry tells.
        draft: it is not the rule in force.
        clauses: every tag that was looked at, and what became of it.
        added, removed: `registry/repository:tag` that the draft takes and the rule in force does not, and the reverse.
        notes: what the answer does not know, such as tags from before the library first saw the repository.
    """

    rule: str
    at: datetime | None
    draft: bool
    clauses: tuple[RuleClauseView, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class RuleTextView(View, frozen=True, kw_only=True):
    """A rule as it stands in the configuration file, with its comments.

    Attributes:
        hash: of the whole file; saving is refused when it changed meanwhile.
        writable: why the file cannot be written from here, or empty when it can.
    """

    rule: str
    text: str
    path: str
    hash: str
    writable: str = ""
