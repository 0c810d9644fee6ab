"""Where each field of a deployment file stands in an InferenceService: the table by which one is read back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from backend.core.quantities import parse_quantity
from backend.serving.deployment_fields import OWN_CONTAINERS
from backend.serving.deployment_tables import Variable
from backend.serving.engines import Engine, engine_of
from backend.serving.manifests import AUTOSCALER, CONTAINER, QUEUE, VISIBILITY, RuntimeInfo
from backend.serving.rules import mode_of

#: Fields that no manifest holds: they are taken from the earlier file, or have their defaults.
NOT_IN_MANIFEST: Final = frozenset({"environment", "canary", "validation", "on_failure"})
_STORAGE: Final = "STORAGE_URI"
_PROFILE: Final = "NIM_MODEL_PROFILE"
_OURS: Final = ("cpu", "memory", "ephemeral-storage")


class Parts:
    """The parts of an InferenceService that fields are read from.

    Args:
        runtime_image: of the runtime that it names, for a model that names no image itself.
    """

    def __init__(
        self, manifest: Mapping[str, Any], runtime: RuntimeInfo | None = None, runtime_image: str = ""
    ) -> None:
        self.manifest = manifest
        self.runtime = runtime
        self.metadata = _table(manifest, "metadata")
        self.annotations = _table(self.metadata, "annotations")
        self.labels = _table(self.metadata, "labels")
        self.predictor = _table(_table(manifest, "spec"), "predictor")
        self.model = _table(self.predictor, "model")
        containers = _items(self.predictor, "containers")
        own = next((one for one in containers if one.get("name") == CONTAINER), {})
        self.server: Mapping[str, Any] = self.model or own
        self.image = str(self.server.get("image") or runtime_image)

    @property
    def mode(self) -> str:
        return mode_of(self.manifest) or "Standard"

    @property
    def runtime_name(self) -> str:
        if not self.model:
            return OWN_CONTAINERS
        status = _table(self.manifest, "status")
        told = self.model.get("runtime") or status.get("servingRuntimeName") or status.get("clusterServingRuntimeName")
        return str(told or "")

    @property
    def engine(self) -> Engine:
        return engine_of(self.image, "" if self.runtime_name == OWN_CONTAINERS else self.runtime_name)

    @property
    def requests(self) -> Mapping[str, Any]:
        resources = _table(self.server, "resources")
        return {**_table(resources, "limits"), **_table(resources, "requests")}

    @property
    def gpu_resource(self) -> str:
        return next((name for name in self.requests if name not in _OURS and "/" in name), "")

    @property
    def scaling(self) -> Mapping[str, Any]:
        """KEDA's first metric of another system."""
        metrics = _items(_table(self.predictor, "autoScaling"), "metrics")
        return _table(metrics[0], "external") if metrics else {}

    def probe_path(self, name: str, usual: str) -> str:
        """The page of a probe; empty where it is the engine's own."""
        path = str(_table(_table(self.server, name), "httpGet").get("path") or "")
        return "" if path == usual else path


_Reader = Callable[[Parts], Any]
#: Where each field of the file stands; None: the field has its default. New fields of the file get a row here.
ROWS: Final[Mapping[str, _Reader]] = {
    "name": lambda parts: parts.metadata.get("name"),
    "namespace": lambda parts: parts.metadata.get("namespace"),
    "image": lambda parts: parts.image or None,
    "model.storageUri": lambda parts: parts.model.get("storageUri") or _env(parts, _STORAGE),
    "model.profile": lambda parts: _env(parts, _PROFILE) if parts.engine.name == "nim" else None,
    "model.revision": lambda _: None,
    "runtime": lambda parts: parts.runtime_name or None,
    "modelFormat": lambda parts: _format(parts),
    "mode": lambda parts: parts.mode,
    "resources.gpu": lambda parts: _gpus(parts),
    "resources.gpuResource": lambda parts: parts.gpu_resource or None,
    "resources.cpu": lambda parts: _text(parts.requests.get("cpu")),
    "resources.memory": lambda parts: _text(parts.requests.get("memory")),
    "resources.cpuLimit": lambda parts: _limit(parts, "cpu"),
    "resources.memoryLimit": lambda parts: _limit(parts, "memory"),
    "resources.ephemeralStorage": lambda parts: _text(parts.requests.get("ephemeral-storage")),
    "workers.pipelineParallelSize": lambda parts: _table(parts.predictor, "workerSpec").get("pipelineParallelSize"),
    "workers.tensorParallelSize": lambda parts: _table(parts.predictor, "workerSpec").get("tensorParallelSize"),
    "replicas.min": lambda parts: parts.predictor.get("minReplicas"),
    "replicas.max": lambda parts: parts.predictor.get("maxReplicas") or None,
    "autoscaling.class": lambda parts: _class(parts),
    "autoscaling.metric": lambda parts: parts.predictor.get("scaleMetric"),
    "autoscaling.target": lambda parts: parts.predictor.get("scaleTarget"),
    "autoscaling.query": lambda parts: _table(parts.scaling, "metric").get("query"),
    "autoscaling.serverAddress": lambda parts: _table(parts.scaling, "metric").get("serverAddress"),
    "autoscaling.value": lambda parts: _text(_table(parts.scaling, "target").get("value")),
    "autoscaling.scaleDownSeconds": lambda parts: _table(
        _table(_table(parts.predictor, "autoScaling"), "behavior"), "scaleDown"
    ).get("stabilizationWindowSeconds"),
    "autoscaling.concurrency": lambda parts: parts.predictor.get("containerConcurrency"),
    "command": lambda parts: parts.server.get("command"),
    "args": lambda parts: parts.server.get("args"),
    "env": lambda parts: _environment(parts),
    "nodeSelector": lambda parts: parts.predictor.get("nodeSelector"),
    "tolerations": lambda parts: _tolerations(parts),
    "priorityClass": lambda parts: parts.predictor.get("priorityClassName"),
    "topologySpread": lambda parts: _spread(parts),
    "imagePullSecrets": lambda parts: [one.get("name") for one in _items(parts.predictor, "imagePullSecrets")] or None,
    "serviceAccount": lambda parts: parts.predictor.get("serviceAccountName"),
    "terminationGraceSeconds": lambda parts: parts.predictor.get("terminationGracePeriodSeconds"),
    "port": lambda parts: next((one.get("containerPort") for one in _items(parts.server, "ports")), None),
    "timeout": lambda parts: parts.predictor.get("timeout"),
    "strategy": lambda parts: _strategy(parts),
    "visibility": lambda parts: parts.labels.get(VISIBILITY),
    "queue": lambda parts: parts.labels.get(QUEUE),
    "shm": lambda parts: _shm(parts),
    "health.live": lambda parts: parts.probe_path("livenessProbe", parts.engine.live),
    "health.ready": lambda parts: parts.probe_path("readinessProbe", parts.engine.ready),
    "health.startupSeconds": lambda parts: _startup(parts),
}


# ---------------------------------------------------------------- reading fields


def _env(parts: Parts, name: str) -> Any:
    return next((one.get("value") for one in _items(parts.server, "env") if one.get("name") == name), None)


def _environment(parts: Parts) -> list[dict[str, Any]] | None:
    """Variables that the file has words for; those that it writes by other fields are left out."""
    told = []
    for one in _items(parts.server, "env"):
        reference = _table(_table(one, "valueFrom"), "secretKeyRef")
        variable = {"name": one.get("name")}
        if reference:
            variable["secretKeyRef"] = {"name": reference.get("name"), "key": reference.get("key")}
        else:
            variable["value"] = one.get("value")
        if one.get("name") == _PROFILE and parts.engine.name == "nim":
            continue
        if one.get("name") == _STORAGE and not parts.model:
            continue
        try:
            Variable.model_validate(variable)
        except ValidationError:
            continue
        told.append(variable)
    return told or None


def _format(parts: Parts) -> str | None:
    name = str(_table(parts.model, "modelFormat").get("name") or "")
    offered = parts.runtime.formats[0] if parts.runtime and parts.runtime.formats else ""
    usual = offered or parts.engine.model_format or "custom"
    return None if not name or name == usual else name


def _gpus(parts: Parts) -> int | None:
    amount = _amount(parts.requests.get(parts.gpu_resource)) if parts.gpu_resource else None
    return int(amount) if amount is not None and amount == int(amount) else None


def _limit(parts: Parts, name: str) -> str | None:
    limit = _text(_table(_table(parts.server, "resources"), "limits").get(name))
    return None if limit is None or alike(limit, _text(parts.requests.get(name))) else limit


def _class(parts: Parts) -> str:
    if parts.mode == "Knative":
        return "none"
    # KServe makes a HorizontalPodAutoscaler where nothing is said.
    return str(parts.annotations.get(AUTOSCALER) or "hpa")


def _tolerations(parts: Parts) -> list[dict[str, Any]] | None:
    """Without the one that the file adds for its GPUs."""
    taint = "nvidia.com/gpu" if parts.gpu_resource.startswith("nvidia.com/mig-") else parts.gpu_resource
    usual = {"key": taint, "operator": "Exists", "effect": "NoSchedule"}
    told = _items(parts.predictor, "tolerations")
    kept = told[1:] if taint and told and dict(told[0]) == usual else told
    return [dict(one) for one in kept] or None


def _spread(parts: Parts) -> list[dict[str, Any]] | None:
    return [
        {key: one[key] for key in ("topologyKey", "maxSkew", "whenUnsatisfiable") if key in one}
        for one in _items(parts.predictor, "topologySpreadConstraints")
    ] or None


def _strategy(parts: Parts) -> str | None:
    """None where it is the one that the file chooses by the number of replicas."""
    told = _table(parts.predictor, "deploymentStrategy").get("type")
    least, most = parts.predictor.get("minReplicas"), parts.predictor.get("maxReplicas")
    usual = "Recreate" if max(least if isinstance(least, int) else 1, most or 0) <= 1 else "RollingUpdate"
    return None if told in (None, usual) else str(told)


def _shm(parts: Parts) -> str | None:
    for volume in _items(parts.predictor, "volumes"):
        folder = _table(volume, "emptyDir")
        if volume.get("name") == "dshm" and folder.get("medium") == "Memory":
            return _text(folder.get("sizeLimit"))
    return None


def _startup(parts: Parts) -> int | None:
    probe = _table(parts.server, "startupProbe")
    failures, period = probe.get("failureThreshold"), probe.get("periodSeconds")
    return failures * period if isinstance(failures, int) and isinstance(period, int) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _amount(value: Any) -> Decimal | None:
    try:
        return parse_quantity(value)
    except ValueError:
        return None


def alike(one: Any, other: Any) -> bool:
    """Whether two values mean the same: quantities by their amount, the rest as it stands."""
    if one == other:
        return True
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return False
    if isinstance(one, int | str) and isinstance(other, int | str):
        first, second = _amount(one), _amount(other)
        return first is not None and first == second
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(alike(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(alike(one[key], other[key]) for key in one)
    return False


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _items(value: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = value.get(key)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
