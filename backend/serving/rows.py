"""The row of a service: what its objects, its pods and its verdict come to. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from backend.cluster.kserve_objects import Component
from backend.cluster.objects import parsed_time
from backend.core.text import sanitise
from backend.core.views import ServiceView, ValidationView, Verdict
from backend.serving.case import Case, Judgement
from backend.serving.cautions import last_edit, owner_of
from backend.serving.engines import NIM, engine_of
from backend.serving.manifests import MODE
from backend.serving.pods import gpus_in, gpus_of


class Approval(msgspec.Struct, frozen=True):
    """Whether what a service names and runs is approved, and why it is not told or not so, or what it hangs on."""

    approved: bool | None
    note: str


#: Tells of a set of digests whether all are approved.
Approver: TypeAlias = Callable[[frozenset[str]], Approval]


def nobody_asked(digests: frozenset[str]) -> Approval:
    """The approver where no curation is at hand."""
    return Approval(None, "not checked")


def _reason(judgement: Judgement, proof: ValidationView | None) -> str:
    """Why: what answers wrongly, where it looks as if all were well."""
    if proof is None or not proof.proposes or judgement.verdict is not Verdict.SERVING:
        return judgement.reason
    return f"validation failed: {sanitise(proof.reason, 300)}; {judgement.reason}"


def service_view(
    context: str,
    case: Case,
    judgement: Judgement,
    *,
    images: tuple[str, ...],
    approval: Approval,
    gpu_type: str = "",
    proof: ValidationView | None = None,
    as_of: datetime | None = None,
) -> ServiceView:
    """The row of one service."""
    service = case.service
    predictor = service.spec.predictor
    status = service.status
    metadata = service.metadata
    edited_by, edited_at = last_edit(metadata)
    proposal = proof.proposal if proof is not None and proof.proposes else ""
    return ServiceView(
        context=context,
        namespace=metadata.namespace,
        name=metadata.name,
        verdict=judgement.verdict,
        reason=_reason(judgement, proof),
        next_step=f"roll back to {proposal[:12]}, as proposed: its validation failed"
        if proposal
        else judgement.next_step,
        since=judgement.since,
        ready_replicas=judgement.ready,
        wanted_replicas=judgement.wanted,
        gpus=_gpus(case),
        gpu_type=gpu_type,
        images=images,
        model=_model(predictor),
        runtime=(predictor.model.runtime or "") if predictor.model else "",
        mode=(status.deployment_mode if status else "") or metadata.annotation(MODE),
        approved=approval.approved,
        approval_note=approval.note,
        url=status.url if status else "",
        owner=owner_of(metadata),
        proved=proof.outcome if proof is not None and proof.outcome != "superseded" else "",
        proposal=proposal,
        edited_by=edited_by,
        edited_at=edited_at,
        created_at=parsed_time(metadata.creation_timestamp),
        generation=metadata.generation,
        resource_version=metadata.resource_version,
        as_of=as_of,
        traffic=_traffic(case),
    )


def _traffic(case: Case) -> str:
    """How requests are split, where more than one version may get them."""
    status, canary = case.service.status, case.service.spec.canary
    predictor = (status.components or {}).get("predictor") if status else None
    targets = [target for target in (predictor.traffic or () if predictor else ()) if target.percent]
    if len(targets) > 1 or (targets and targets[0].percent != 100):
        return ", ".join(
            f"{'latest' if target.latest_revision else target.revision_name.rpartition('-')[2]} {target.percent}%"
            for target in targets
        )
    if canary is not None:
        # What the route does with it depends on KServe's version: it is asked, and no more is known here.
        return f"canary asks {canary.traffic_percent}%"
    asked = case.service.spec.predictor.canary_traffic_percent
    return f"latest asks {asked}%" if asked is not None else ""


def _gpus(case: Case) -> int:
    if case.pods:
        return sum(gpus_of(pod) for pod in case.pods if pod.status.phase not in {"Failed", "Succeeded"})
    predictor = case.service.spec.predictor
    each = gpus_in(predictor.model) + sum(gpus_in(container) for container in predictor.containers or ())
    return each * case.wanted


def _model(predictor: Component) -> str:
    model = predictor.model
    if model is not None and model.storage_uri:
        return model.storage_uri
    arguments = [*(model.args or () if model else ())]
    for container in predictor.containers or ():
        arguments += container.args or ()
    for name in ("--served-model-name", "--model"):
        for position, argument in enumerate(arguments):
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
            if argument == name and position + 1 < len(arguments):
                return arguments[position + 1]
    image = model.image if model is not None else ""
    if engine_of(image) is NIM:
        return image.partition("@")[0].rpartition("nim/")[2]
    return model.model_format.name if model is not None and model.model_format else ""
