"""The library: images, tags, where they come from."""

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
        asked_cluster: a cluster told what is in use; False: there is none.
    """

    dry_run: bool
    before: datetime
    removed: tuple[PrunedView, ...]
    kept: tuple[PrunedView, ...]
    bytes: int
    asked_cluster: bool = True


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
