"""What a plan tells beside its differences, applies that were cut off, and templates of runtimes."""

from __future__ import annotations

from datetime import datetime

from backend.core.views.base import View


class FieldClaimView(View, frozen=True, kw_only=True):
    """A field that a plan sets and somebody else manages.

    Attributes:
        object: kind, namespace and name.
        field: as Kubernetes names it (`.spec.predictor.minReplicas`); what `--take` is given.
        taken: a person named it, and an apply takes it.
    """

    object: str
    field: str
    manager: str
    taken: bool = False


class PlanCheckView(View, frozen=True, kw_only=True):
    """Something that pods will need.

    Attributes:
        about: such as `secret hf-token` or `quota gpus: requests.nvidia.com/gpu`.
        state: ok, missing, short or unknown.
        sentence: what was found; where it is unknown, why.
    """

    about: str
    state: str
    sentence: str


class ExportView(View, frozen=True, kw_only=True):
    """What runs, as a deployment file.

    Attributes:
        deployment: the file, YAML; empty: none can make it, and `lost` tells why.
        lost: what the file does not say, or would change, a line each.
        manifests: the objects as they are, YAML, for the repository that says what they are.
    """

    context: str
    namespace: str
    name: str
    deployment: str
    lost: tuple[str, ...]
    manifests: str


class CutOffObjectView(View, frozen=True, kw_only=True):
    """An object of an apply that was cut off.

    Attributes:
        state: applied, not applied, absent, changed (somebody wrote it since), or unknown.
        made: the apply made it; an undo deletes it.
    """

    kind: str
    namespace: str
    name: str
    state: str
    made: bool


class CutOffView(View, frozen=True, kw_only=True):
    """An apply that was cut off, of which a person has to say what shall become of it.

    Attributes:
        subject: service or runtime.
        told: how far it came, in a sentence. undo: what an undo does, in a sentence.
    """

    id: str
    context: str
    namespace: str
    name: str
    subject: str
    image: str
    actor: str
    started_at: datetime
    objects: tuple[CutOffObjectView, ...]
    told: str
    undo: str


class TemplateView(View, frozen=True, kw_only=True):
    """A template that ServingRuntimes are made of.

    Attributes:
        version: of the template. engine: family by which approvals know it.
        images: patterns of the repositories that it is meant for.
        secrets: that its pods need, `VARIABLE from name/key`; pull_secrets by name.
        source: `built in`, or the file that it stands in.
    """

    name: str
    version: str
    title: str
    engine: str
    types: tuple[str, ...]
    formats: tuple[str, ...]
    protocols: tuple[str, ...]
    images: tuple[str, ...]
    ports: tuple[int, ...]
    secrets: tuple[str, ...]
    pull_secrets: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()
