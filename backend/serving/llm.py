"""LLMInferenceServices, judged as services are. Pure.

An LLMInferenceService reads like an InferenceService whose predictor is its workload and whose ingress is its router:
its Ready is WorkloadsReady and RouterReady. So pods, Deployments and logs are judged by the same steps, in the same
order.
Presets that cannot be combined are what an invalid spec is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from backend.cluster.kserve_objects import (
    Component,
    FailureInfo,
    InferenceService,
    InferenceServiceSpec,
    InferenceServiceStatus,
    ModelStatus,
)
from backend.cluster.llm_objects import LlmInferenceService
from backend.cluster.objects import Condition, condition_of
from backend.core.views import EndpointView, ServiceView
from backend.serving.board_objects import BoardKind, Key

LLM_KIND: Final = "LLMInferenceService"
#: On the pods and Deployments of every LLMInferenceService; which one's is told by its name label.
LLM_SELECTOR: Final = "app.kubernetes.io/part-of=llminferenceservice"
_NAME_LABEL: Final = "app.kubernetes.io/name"
_CONDITIONS: Final = {"WorkloadsReady": "PredictorReady", "RouterReady": "IngressReady"}
#: Parts that say why one of the two is not ready.
_PARTS: Final = {
    "WorkloadsReady": (
        "MainWorkloadReady",
        "WorkerWorkloadReady",
        "PrefillWorkloadReady",
        "PrefillWorkerWorkloadReady",
    ),
    "RouterReady": ("GatewaysReady", "HTTPRoutesReady", "InferencePoolReady", "SchedulerWorkloadReady"),
}


class LlmServices:
    """The LLMInferenceServices that a board is made of."""

    def __init__(self) -> None:
        self._held: dict[Key, LlmInferenceService] = {}

    @property
    def kind(self) -> BoardKind:
        """How a board of them is made."""
        return BoardKind(kind=LLM_KIND, label=_NAME_LABEL, finish=self._finish)

    def get(self, key: Key) -> LlmInferenceService | None:
        """One of them."""
        return self._held.get(key)

    def reset(self, services: Iterable[LlmInferenceService]) -> list[InferenceService]:
        """All of them, as the board takes them."""
        self._held = {service.key: service for service in services}
        return [as_inference_service(service) for service in self._held.values()]

    def put(self, service: LlmInferenceService) -> list[InferenceService]:
        """One that appeared or changed, with those that share its traffic."""
        before = self._held.get(service.key)
        self._held[service.key] = service
        groups = {_group(one) for one in (service, before) if one is not None} - {""}
        others = [one for one in self._sharing(service.key[0], groups) if one.key != service.key]
        return [as_inference_service(one) for one in (service, *others)]

    def remove(self, key: Key) -> list[InferenceService]:
        """One that is gone; those that shared its traffic come back."""
        gone = self._held.pop(key, None)
        groups = {_group(gone)} - {""} if gone is not None else set()
        return [as_inference_service(one) for one in self._sharing(key[0], groups)]

    def traffic(self, service: LlmInferenceService) -> str:
        """Its share of the requests, where several share them by weight."""
        group = _group(service)
        if not group:
            return ""
        shares = {one.key: _weight(one) for one in self._sharing(service.key[0], {group})}
        total = sum(shares.values())
        if len(shares) < 2 or not total:
            return f"group {group}"
        return f"{group} {100 * shares[service.key] / total:.0f}% (weight {shares[service.key]} of {total})"

    def _sharing(self, namespace: str, groups: set[str]) -> list[LlmInferenceService]:
        return [one for one in self._held.values() if one.key[0] == namespace and _group(one) in groups]

    def _finish(self, row: ServiceView) -> ServiceView:
        service = self._held.get((row.namespace, row.name))
        if service is None:
            return row
        spec = service.spec
        return msgspec.structs.replace(
            row,
            kind=LLM_KIND,
            model=spec.model.name or spec.model.uri,
            runtime=", ".join(one.name for one in spec.base_refs or ()),
            mode="llm-d",
            traffic=self.traffic(service),
            # Who writes it is not looked for: it is observed, stopped and re-weighted here, and made elsewhere.
            edited_by="",
            edited_at=None,
        )


def as_inference_service(service: LlmInferenceService) -> InferenceService:
    """The LLMInferenceService as an InferenceService that has the same said of it."""
    spec, status = service.spec, service.status
    replicas = spec.replicas if spec.scaling is None else spec.scaling.min_replicas or spec.replicas
    containers = spec.template.containers if spec.template is not None else None
    return InferenceService(
        metadata=service.metadata,
        spec=InferenceServiceSpec(predictor=Component(min_replicas=replicas, containers=containers)),
        status=None
        if status is None
        else InferenceServiceStatus(
            url=status.url,
            conditions=_conditions(status.conditions),
            model_status=_invalid(status.conditions),
        ),
    )


def llm_endpoints(service: LlmInferenceService) -> list[EndpointView]:
    """Where it is reached: through its gateway, and inside the cluster."""
    status, metadata = service.status, service.metadata
    told = [status.url, *(one.url for one in status.addresses or ())] if status is not None else []
    outside = [EndpointView(scope="outside", protocol="HTTP", url=url) for url in dict.fromkeys(filter(None, told))]
    inside = f"http://{metadata.name}-kserve-workload-svc.{metadata.namespace}.svc.cluster.local:8000"
    return [EndpointView(scope="inside", protocol="HTTP", url=inside, note="goes around the gateway"), *outside]


def _conditions(told: tuple[Condition, ...] | None) -> tuple[Condition, ...] | None:
    if told is None:
        return None
    found: list[Condition] = []
    for condition in told:
        name = _CONDITIONS.get(condition.type)
        if name is None:
            found.append(condition)
            continue
        # The part that fails says more than the whole.
        parts = [part for one in _PARTS[condition.type] if (part := condition_of(told, one)) is not None]
        failing = next((part for part in parts if part.status == "False" and part.message), None)
        message = f"{failing.type}: {failing.message}" if failing is not None else condition.message
        found.append(msgspec.structs.replace(condition, type=name, message=message))
    return tuple(found)


def _invalid(told: tuple[Condition, ...] | None) -> ModelStatus | None:
    presets = condition_of(told, "PresetsCombined")
    if presets is None or presets.status != "False":
        return None
    info = FailureInfo(reason=presets.reason, message=presets.message, time=presets.last_transition_time)
    return ModelStatus(transition_status="InvalidSpec", last_failure_info=info)


def _group(service: LlmInferenceService) -> str:
    router = service.spec.router
    return router.route.group if router is not None and router.route is not None else ""


def _weight(service: LlmInferenceService) -> int:
    router = service.spec.router
    told = router.route.weight if router is not None and router.route is not None else None
    return 1 if told is None else max(0, told)
