"""Objects as an API server gives them, decoded as the program decodes them, with what a test is about set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.cluster.kserve_objects import InferenceService, ServingRuntime
from backend.cluster.objects import Deployment, Event, Pod
from backend.cluster.resources import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, PODS, SERVING_RUNTIMES

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "4f" * 32
IMAGE = f"nvcr.io/nim/meta/llama-3.1-8b-instruct@{DIGEST}"


def ago(seconds: float) -> str:
    """The time that long before NOW, as the API writes it."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(type_: str, status: str, seconds: float = 60, reason: str = "", message: str = "") -> dict[str, Any]:
    """A condition that became so some seconds ago."""
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(seconds)}


def service(
    name: str = "llama",
    *,
    ready: str | None = None,
    predictor_ready: str | None = None,
    age: float = 3600,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    model_status: Mapping[str, Any] | None = None,
    predictor: Mapping[str, Any] | None = None,
    conditions: Sequence[Mapping[str, Any]] | None = None,
    **metadata: Any,
) -> InferenceService:
    """An InferenceService; with neither `ready` nor `conditions` no controller has touched it."""
    told = list(conditions or ())
    if ready is not None:
        told += [condition("PredictorReady", predictor_ready or ready), condition("Ready", ready)]
    status: dict[str, Any] | None = None
    if told or model_status:
        status = {"conditions": told, "url": f"http://{name}-llm-prod.example.com"}
        if model_status:
            status["modelStatus"] = dict(model_status)
    raw = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": "llm-prod",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": ago(age),
            "labels": dict(labels or {}),
            "annotations": {"serving.kserve.io/deploymentMode": "Standard", **(annotations or {})},
            **metadata,
        },
        "spec": {
            "predictor": dict(predictor)
            if predictor is not None
            else {
                "minReplicas": 1,
                "containers": [
                    {"name": "kserve-container", "image": IMAGE, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
                ],
            }
        },
        **({"status": status} if status is not None else {}),
    }
    return INFERENCE_SERVICES.items.decode(json.dumps(raw))


def deployment(
    name: str = "llama",
    *,
    replicas: int = 1,
    ready: int = 0,
    conditions: Sequence[Mapping[str, Any]] = (),
    deadline: int | None = None,
) -> Deployment:
    """The Deployment of a service's predictor."""
    spec: dict[str, Any] = {"replicas": replicas}
    if deadline is not None:
        spec["progressDeadlineSeconds"] = deadline
    return DEPLOYMENTS.items.decode(
        json.dumps(
            {
                "metadata": {"name": f"{name}-predictor", "namespace": "llm-prod", "labels": _label(name)},
                "spec": spec,
                "status": {"replicas": replicas, "readyReplicas": ready, "conditions": list(conditions)},
            }
        )
    )


def pod(
    suffix: str = "a",
    *,
    service_name: str = "llama",
    ready: bool = False,
    age: float = 60,
    phase: str = "Running",
    state: Mapping[str, Any] | None = None,
    last: Mapping[str, Any] | None = None,
    restarts: int = 0,
    scheduled: Mapping[str, Any] | None = None,
    owner: str = "rs-1",
    node: str = "gpu-0",
    gpus: int = 1,
    deleted: bool = False,
    image_id: str = "",
    init: Sequence[Mapping[str, Any]] = (),
    image: str = IMAGE,
    reason: str = "",
    message: str = "",
    unready: float | None = None,
    containers_ready: bool | None = None,
) -> Pod:
    """A pod of a service's predictor; `unready`: since how many seconds it is not ready, None: from its start."""
    metadata: dict[str, Any] = {
        "name": f"{service_name}-predictor-{suffix}",
        "namespace": "llm-prod",
        "uid": f"uid-{suffix}",
        "creationTimestamp": ago(age),
        "labels": _label(service_name),
        "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "uid": owner}],
    }
    if deleted:
        metadata["deletionTimestamp"] = ago(5)
    conditions = [dict(scheduled) if scheduled else condition("PodScheduled", "True", age)]
    since = age / 2 if ready else age if unready is None else unready
    conditions.append(condition("Ready", "True" if ready else "False", since))
    return PODS.items.decode(
        json.dumps(
            {
                "metadata": metadata,
                "spec": {
                    "nodeName": "" if scheduled else node,
                    "containers": [
                        {
                            "name": "kserve-container",
                            "image": image,
                            "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
                        }
                    ],
                },
                "status": {
                    "phase": phase,
                    "startTime": ago(age),
                    "conditions": conditions,
                    "reason": reason,
                    "message": message,
                    "initContainerStatuses": list(init),
                    "containerStatuses": []
                    if scheduled
                    else [
                        {
                            "name": "kserve-container",
                            "ready": ready if containers_ready is None else containers_ready,
                            "restartCount": restarts,
                            "image": image,
                            "imageID": image_id,
                            "lastState": dict(last or {}),
                            "state": dict(state if state is not None else {"running": {"startedAt": ago(age - 2)}}),
                        }
                    ],
                },
            }
        )
    )


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """A container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def terminated(exit_code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """A container that ended half a minute ago."""
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": ago(30)}}


def event(
    reason: str, message: str, *, on: str = "llama-predictor-a", kind: str = "Pod", seconds: float = 10, count: int = 1
) -> Event:
    """A warning on a pod, or on something else."""
    return EVENTS.items.decode(
        json.dumps(
            {
                "metadata": {"name": f"{on}.{reason}.{seconds}", "namespace": "llm-prod"},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "count": count,
                "lastTimestamp": ago(seconds),
                "involvedObject": {"kind": kind, "namespace": "llm-prod", "name": on},
            }
        )
    )


def runtime(name: str, namespace: str = "", **spec: Any) -> ServingRuntime:
    """A runtime, of the whole cluster unless a namespace is given."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return SERVING_RUNTIMES.items.decode(json.dumps({"metadata": metadata, "spec": spec}))


def _label(name: str) -> dict[str, str]:
    return {"serving.kserve.io/inferenceservice": name, "component": "predictor"}
