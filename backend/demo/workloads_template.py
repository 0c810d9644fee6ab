"""From an InferenceService and its runtime to the pod that KServe's controller makes of them in Standard mode."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backend.demo.objects import Object, copied
from backend.demo.workloads_quantities import GPU, requests_of

#: The container that KServe watches.
CONTAINER = "kserve-container"
INITIALIZER = "storage-initializer"
STOP = "serving.kserve.io/stop"
MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
#: The alphabet of Kubernetes for generated names: no vowels, no digits that look like letters.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HIDDEN_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)
_COPIED_FIELDS = (
    "affinity",
    "hostIPC",
    "imagePullSecrets",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
)
_FRAMEWORKS = (
    "huggingface",
    "lightgbm",
    "onnx",
    "paddle",
    "pmml",
    "pytorch",
    "sklearn",
    "tensorflow",
    "triton",
    "xgboost",
)


class TemplateError(Exception):
    """An InferenceService from which no pod can be made.

    Attributes:
        reason: as `status.modelStatus.lastFailureInfo.reason` has it.
        message: as its message.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Template:
    """What the pods of a service are made from.

    Attributes:
        spec: the pod's spec.
        labels, annotations: the pod's.
        replicas: how many are wanted.
        strategy: the Deployment's `spec.strategy`.
        hash: of the pod's spec, labels and annotations, ten characters: a change of it is a rollout.
        runtime: name of the runtime, empty without one; `cluster_runtime` when it is a ClusterServingRuntime.
        knative: made in Knative mode, which gives other conditions.
    """

    spec: Object
    labels: dict[str, str]
    annotations: dict[str, str]
    replicas: int
    strategy: Object
    hash: str
    runtime: str
    cluster_runtime: bool
    knative: bool


#: Finds a runtime by namespace and name; the flag tells a ClusterServingRuntime.
FindRuntime = Callable[[str, str], tuple[Object, bool] | None]


def is_stopped(service: Object) -> bool:
    """Whether the annotation asks for no workload."""
    return str((service["metadata"].get("annotations") or {}).get(STOP, "")).lower() == "true"


def is_knative(service: Object) -> bool:
    """Whether the service is in Knative mode."""
    mode = (service["metadata"].get("annotations") or {}).get(MODE, "Standard")
    return mode in ("Knative", "Serverless")


def short_hash(*parts: Any, length: int = 10) -> str:
    """A hash of JSON values in the alphabet of generated names."""
    data = json.dumps(parts, sort_keys=True, default=str).encode()
    number = int.from_bytes(hashlib.sha256(data).digest()[:16], "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def make_template(service: Object, find_runtime: FindRuntime) -> Template:
    """The pod template of a service.

    Args:
        service: the InferenceService.
        find_runtime: looks a runtime up, first in the namespace, then in the cluster.

    Raises:
        TemplateError: no runtime, a disabled one, or not exactly one container to run.
    """
    predictor = (service.get("spec") or {}).get("predictor") or {}
    runtime_name, cluster_wide, runtime = "", False, None
    model = _model_of(predictor)
    if model is not None:
        runtime_name, runtime, cluster_wide = _runtime_of(service, model, find_runtime)
    spec = _pod_spec(service, predictor, model, runtime)
    labels, annotations = _pod_metadata(service, runtime)
    return Template(
        spec=spec,
        labels=labels,
        annotations=annotations,
        replicas=_replicas(service, predictor),
        strategy=_strategy(predictor),
        hash=short_hash(spec, labels, annotations),
        runtime=runtime_name,
        cluster_runtime=cluster_wide,
        knative=is_knative(service),
    )


def _model_of(predictor: Object) -> Object | None:
    """The model of a predictor, in the new form; the old one names the framework as the key."""
    if predictor.get("model"):
        return dict(predictor["model"])
    for framework in _FRAMEWORKS:
        if framework in predictor:
            return {"modelFormat": {"name": framework}, **predictor[framework]}
    return None


def _runtime_of(service: Object, model: Object, find_runtime: FindRuntime) -> tuple[str, Object, bool]:
    name = model.get("runtime") or ""
    if not name:
        raise TemplateError("NoSupportingRuntime", "No runtime found to support specified framework/version")
    found = find_runtime(service["metadata"]["namespace"], name)
    if found is None:
        raise TemplateError("RuntimeNotRecognized", "Waiting for runtime to become available")
    runtime, cluster_wide = found
    spec = runtime.get("spec") or {}
    if spec.get("disabled"):
        raise TemplateError("RuntimeDisabled", "Specified runtime is disabled")
    wanted = (model.get("modelFormat") or {}).get("name", "")
    if wanted not in [item.get("name") for item in spec.get("supportedModelFormats") or []]:
        raise TemplateError("NoSupportingRuntime", "Specified runtime does not support specified framework/version")
    return name, spec, cluster_wide


def _pod_spec(service: Object, predictor: Object, model: Object | None, runtime: Object | None) -> Object:
    spec: Object = {}
    for source in (runtime or {}, predictor):
        for field in _COPIED_FIELDS:
            value = copied(source.get(field))
            if value:
                spec[field] = spec.get(field, []) + value if isinstance(value, list) else value
    containers = copied((runtime or {}).get("containers") or predictor.get("containers") or [])
    if not containers:
        raise TemplateError("InvalidPredictorSpec", "the predictor names neither a model nor containers")
    main = next((item for item in containers if item.get("name") == CONTAINER), None)
    if main is None:
        if runtime is not None:
            raise TemplateError("InvalidPredictorSpec", f"failed to find {CONTAINER} in ServingRuntime containers")
        main = containers[0]
        main["name"] = CONTAINER
    if model is not None:
        _merge_model(main, model)
        add_initializer(spec, main, model)
    name = service["metadata"]["name"]
    for field in ("args", "command"):
        if main.get(field):
            main[field] = [str(item).replace("{{.Name}}", name) for item in main[field]]
    spec["containers"] = [with_defaults(item) for item in containers]
    if requests_of(spec).get(GPU):
        # The admission plugin ExtendedResourceToleration, which GPU clusters run, adds this.
        toleration = {"key": GPU, "operator": "Exists"}
        if not any(item.get("key") in (GPU, None) for item in spec.get("tolerations", [])):
            spec["tolerations"] = [*spec.get("tolerations", []), toleration]
    return {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        **spec,
    }


def _merge_model(container: Object, model: Object) -> None:
    """Lay the model's fields over the runtime's container as KServe does: arguments are concatenated."""
    if model.get("args"):
        container["args"] = [*(container.get("args") or []), *model["args"]]
    named = {item["name"]: item for item in container.get("env") or []}
    named.update({item["name"]: copied(item) for item in model.get("env") or []})
    if named:
        container["env"] = list(named.values())
    for field in ("command", "image", "livenessProbe", "ports", "readinessProbe", "startupProbe", "volumeMounts"):
        if model.get(field):
            container[field] = copied(model[field])
    resources = copied(container.get("resources") or {})
    for kind, values in (model.get("resources") or {}).items():
        if isinstance(values, dict):
            resources[kind] = {**resources.get(kind, {}), **values}
    if resources:
        container["resources"] = resources


def add_initializer(spec: Object, container: Object, model: Object) -> None:
    """Have the storage initializer fetch the model, when its address is one that must be fetched."""
    uri = model.get("storageUri") or ""
    if not uri or uri.startswith(("pvc://", "oci://", "oci+native://")):
        return
    mount = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
    spec.setdefault("volumes", []).append({"name": mount["name"], "emptyDir": {}})
    container.setdefault("volumeMounts", []).append({**mount, "readOnly": True})
    spec["initContainers"] = [
        {
            "name": INITIALIZER,
            "image": "kserve/storage-initializer:v0.20.0",
            "args": [uri, "/mnt/models"],
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [mount],
        }
    ]


def with_defaults(container: Object) -> Object:
    """A container with what the API server fills in."""
    defaults = {
        "name": "sidecar",
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    resources = copied(container.get("resources") or {})
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    return {**defaults, **container, "resources": resources}


def _pod_metadata(service: Object, runtime: Object | None) -> tuple[dict[str, str], dict[str, str]]:
    metadata = service["metadata"]
    name = metadata["name"]
    labels = {
        **(metadata.get("labels") or {}),
        "app": f"isvc.{name}-predictor",
        "component": "predictor",
        "serving.kserve.io/inferenceservice": name,
    }
    annotations = {
        **((runtime or {}).get("annotations") or {}),
        **{key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _HIDDEN_ANNOTATIONS},
    }
    annotations.pop(STOP, None)
    return labels, annotations


def _replicas(service: Object, predictor: Object) -> int:
    wanted = predictor.get("minReplicas")
    replicas = 1 if wanted is None else max(0, int(wanted))
    autoscaler = (service["metadata"].get("annotations") or {}).get(AUTOSCALER, "hpa")
    if replicas == 0 and autoscaler == "hpa" and not is_knative(service):
        return 1  # an HPA cannot hold zero replicas, and KServe writes 1 without a word
    return replicas


def _strategy(predictor: Object) -> Object:
    strategy = copied(predictor.get("deploymentStrategy") or {})
    if strategy.get("type") == "Recreate":
        return {"type": "Recreate"}
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%", **(strategy.get("rollingUpdate") or {})}
    return {"type": "RollingUpdate", "rollingUpdate": rolling}
