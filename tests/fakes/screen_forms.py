"""The form's room of the screen's fake yard: a cluster with two runtimes, and the form's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import yaml

from backend.core.errors import NotFoundError
from backend.core.views import (
    AdviceView,
    FitNodeView,
    FitView,
    FormCheckView,
    FormFieldView,
    FormView,
    OfferView,
    RoomView,
    SuggestionView,
)
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.drafts import draft
from backend.serving.form_fields import FIELDS, check_form, closed_offers, values_of

if TYPE_CHECKING:
    from tests.fakes.screen_yard import FakeYard

_OFFERS = {
    "namespace": (OfferView(value="llm-prod"), OfferView(value="llm-dev")),
    "runtime": (
        OfferView(value="nim-1.8", note="serves nim"),
        OfferView(value="custom", note="the image brings its own"),
        OfferView(value="triton-25.06", wrong="it is disabled, and KServe will not use it"),
    ),
    "priorityClass": (OfferView(value="high", note="1000"),),
}
_FULL = RoomView(
    namespace="llm-dev", name="deepseek-dev", service=True, pods=1, gpus=8, nodes=("gpu-02",), reason="idle for 26 h"
)


def _form(made: DeploymentFile) -> FormView:
    return FormView(
        context="prod-eu1",
        reference=made.image,
        fields=tuple(
            FormFieldView(
                id=field.id,
                section=field.section,
                label=field.label,
                hint=field.hint,
                closed=bool(field.closed),
                offers=closed_offers(field) or _OFFERS.get(field.id, ()),
                unlisted="secrets may not be listed" if field.id == "imagePullSecrets" else "",
            )
            for field in FIELDS
        ),
        values=values_of(made),
        deployment=to_yaml(made),
    )


class FakeForms:
    """Forms: what is written is judged by the real rules, what is asked of the cluster has one answer."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def open(self, reference: str, *, name: str = "", namespace: str = "", context: str = "") -> FormView:
        self._yard.note("forms.open", reference, namespace)
        return _form(draft(reference, namespace=namespace or "llm-prod", name=name, gpus=1))

    async def of_file(self, text: str, *, context: str = "") -> FormView:
        self._yard.note("forms.of_file", text)
        return _form(parse(text))

    def check(self, values: Mapping[str, str], base: str) -> FormCheckView:
        return check_form(values, base)

    async def advice(self, deployment: str, *, context: str = "") -> AdviceView:
        self._yard.note("forms.advice", deployment)
        gpus = parse(deployment).resources.gpu
        node = FitNodeView(name="gpu-01", product="H100", gpus=8, free=5, pods=1 if gpus <= 5 else 0)
        sentence = "it would run now on gpu-01" if gpus <= 5 else f"{gpus} GPUs: 11 free, no node has more than 5"
        fit = FitView(
            verdict="now" if gpus <= 5 else "waits", pods=1, fitting=1 if gpus <= 5 else 0, sentence=sentence,
            nodes=(node,), goes=() if gpus <= 5 else (_FULL,),
        )  # fmt: skip
        if gpus == 2:
            return AdviceView(fit=fit)
        reason = "8 billion parameters of bf16 take 15 GiB"
        one = SuggestionView(id="gpus", label="GPUs", value="2", present=str(gpus), reason=reason)
        other = SuggestionView(
            id="max-length", label="maximum length", value="65536", present="", reason="room for four"
        )
        return AdviceView(fit=fit, suggestions=(one, other), assumed=("by the name", "weights of bf16"))

    async def take(self, deployment: str, suggestion: str, *, context: str = "") -> str:
        self._yard.note("forms.take", suggestion)
        if suggestion != "gpus":
            raise NotFoundError(f"suggestion {suggestion}", "it is not suggested any more", "look again")
        tree = yaml.safe_load(deployment)
        tree["resources"]["gpu"] = 2
        return yaml.safe_dump(tree)
