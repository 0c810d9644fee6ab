"""Whether a deployment fits into a cluster, what would suit it, and the form that asks for it."""

from __future__ import annotations

from backend.core.views.base import View


class FitNodeView(View, frozen=True, kw_only=True):
    """A node as a fit check sees it.

    Attributes:
        gpus: of the resource that is asked for, in all; free: of them now.
        pods: how many of the pods would fit there now.
        barred: why it takes none however empty it is; empty: it does.
    """

    name: str
    product: str
    gpus: int
    free: int
    pods: int
    barred: str = ""


class RoomView(View, frozen=True, kw_only=True):
    """A service, or a pod that belongs to none, that would have to go for others to fit.

    Attributes:
        name: of the service, else of the pod. pods: how many of its pods. gpus: that they hold together.
        reason: why this one, such as "idle for 3 h" or "priority 0, below 1000".
    """

    namespace: str
    name: str
    service: bool
    pods: int
    gpus: int
    nodes: tuple[str, ...]
    reason: str


class FitView(View, frozen=True, kw_only=True):
    """Where a deployment would run now, what it waits for, or what would have to go: an estimate.

    Attributes:
        verdict: `now`, `preempts` (the scheduler would push others out by itself), `waits`, `never` (no node could ever
            take it as it is) or `unknown` (the cluster does not tell).
        pods: that are wanted; fitting: of them now.
        sentence: for a person.
        nodes: that matter, those that take most pods first.
        goes: what the scheduler would push out, or what a person would have to stop; `by_itself` says which.
        quota, queue: what a ResourceQuota or a Kueue queue says against it; empty: nothing.
        memory: what its model needs of each GPU, in a sentence; empty: its size is not known.
        notes: what could not be looked at, so that the answer may be wrong there.
    """

    verdict: str
    pods: int
    fitting: int
    sentence: str
    nodes: tuple[FitNodeView, ...] = ()
    goes: tuple[RoomView, ...] = ()
    by_itself: bool = False
    quota: tuple[str, ...] = ()
    queue: str = ""
    memory: str = ""
    notes: tuple[str, ...] = ()


class SuggestionView(View, frozen=True, kw_only=True):
    """A value that would suit, for a person to take over or not.

    Attributes:
        present: what stands there; empty: nothing.
        reason: the arithmetic, in a sentence.
    """

    id: str
    label: str
    value: str
    present: str
    reason: str


class AdviceView(View, frozen=True, kw_only=True):
    """What the cluster and the model's size say of a deployment file: estimates.

    Attributes:
        assumed: what nothing tells of the model and is assumed; empty where nothing can be suggested either.
    """

    fit: FitView
    suggestions: tuple[SuggestionView, ...] = ()
    assumed: tuple[str, ...] = ()


class OfferView(View, frozen=True, kw_only=True):
    """A value that a field may have.

    Attributes:
        note: what is to be known of it. wrong: why it does not suit; empty: it does.
    """

    value: str
    note: str = ""
    wrong: str = ""


class FormFieldView(View, frozen=True, kw_only=True):
    """A field of the form.

    Attributes:
        id: its path in the deployment file.
        section: that it stands in.
        closed: only what is offered may stand in it.
        hint: how it is written.
        offers: values to choose from, those that suit first; empty: none are known.
        unlisted: why nothing is offered that could be; empty otherwise.
    """

    id: str
    section: str
    label: str
    closed: bool = False
    hint: str = ""
    offers: tuple[OfferView, ...] = ()
    unlisted: str = ""


class FormView(View, frozen=True, kw_only=True):
    """A form with a first draft in it.

    Attributes:
        fields: in the order in which they stand. values: their texts, by id.
        deployment: the draft as a deployment file, YAML.
    """

    context: str
    reference: str
    fields: tuple[FormFieldView, ...]
    values: dict[str, str]
    deployment: str


class FormProblemView(View, frozen=True, kw_only=True):
    """A field that will not do, and why."""

    field: str
    why: str


class FormCheckView(View, frozen=True, kw_only=True):
    """What becomes of the values of a form.

    Attributes:
        problems: the fields that will not do; empty when `deployment` is whole.
        deployment: the deployment file, YAML; with problems, as far as it can be told.
        cautions: what a person should know, a sentence each.
    """

    problems: tuple[FormProblemView, ...]
    deployment: str
    cautions: tuple[str, ...] = ()
