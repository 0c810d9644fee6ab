"""What KServe v0.20's webhook and controller refuse of an InferenceService, told before anything is sent.

Works on manifests as they are, not on deployment files alone: a snapshot that is returned to, and an object that
somebody else wrote, are held to the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from backend.serving.deployment_fields import MAX_NAME, MAX_NAME_AND_NAMESPACE, WORKER_GPUS
from backend.serving.manifests import AUTOSCALER, CONTAINER, MODE

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_STANDARD: Final = frozenset({"Standard", "RawDeployment"})
_KNATIVE: Final = frozenset({"Knative", "Serverless"})
_CLASSES: Final = ("hpa", "external", "keda", "none")
_FRAMEWORKS: Final = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
    "model",
)
_COMPONENTS: Final = ("predictor", "transformer", "explainer")
_GPU_TYPES: Final = "serving.kserve.io/gpu-resource-types"
_PARALLEL_VARIABLES: Final = frozenset({"PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE"})
_GPU_WORD: Final = re.compile(r"gpu|gaudi|/mig-", re.I)


class Violation(msgspec.Struct, frozen=True):
    """A field that KServe would refuse, and why."""

    field: str
    why: str

    def __str__(self) -> str:
        return f"{self.field}: {self.why}"


def check(manifest: Mapping[str, Any], live: Mapping[str, Any] | None = None) -> tuple[Violation, ...]:
    """Everything that KServe would refuse of an InferenceService; empty when nothing.

    Args:
        manifest: as it would be applied.
        live: as it is in the cluster, or None when it is not there.
    """
    return (
        *_names(manifest),
        *_mode(manifest, live),
        *_components(manifest),
        *_workers(manifest),
        *_weights(manifest),
        *_scaling(manifest),
        *_canary(manifest),
        *_images(manifest),
        *_changes(manifest, live),
    )


def mode_of(manifest: Mapping[str, Any]) -> str:
    """`Standard` or `Knative` by annotation or status, whatever its older name; empty when nothing tells."""
    told = _table(_table(manifest, "metadata"), "annotations").get(MODE) or _table(manifest, "status").get(
        "deploymentMode"
    )
    if told in _STANDARD:
        return "Standard"
    return "Knative" if told in _KNATIVE else str(told or "")


def containers_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every container of the manifest with the path of its field."""
    spec = _table(manifest, "spec")
    parts = [(f"spec.{name}", _table(spec, name)) for name in _COMPONENTS if name in spec]
    for position, entry in enumerate(_items(spec, "canary")):
        parts.append((f"spec.canary[{position}].predictor", _table(entry, "predictor")))
    for path, component in parts:
        for name in _FRAMEWORKS:
            if isinstance(component.get(name), Mapping):
                yield f"{path}.{name}", component[name]
        for key in ("containers", "initContainers"):
            for position, container in enumerate(_items(component, key)):
                yield f"{path}.{key}[{position}]", container
        worker = _table(component, "workerSpec")
        for position, container in enumerate(_items(worker, "containers")):
            yield f"{path}.workerSpec.containers[{position}]", container


def _names(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    metadata = _table(manifest, "metadata")
    name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    if not _NAME.match(name):
        yield Violation(
            "metadata.name", "KServe takes lower-case letters, digits and dashes, a letter first and no dash last"
        )
    if len(name) > MAX_NAME:
        yield Violation("metadata.name", f"KServe takes at most {MAX_NAME} characters, this has {len(name)}")
    together = len(name) + len(namespace)
    if mode_of(manifest) != "Knative" and together > MAX_NAME_AND_NAMESPACE:
        yield Violation(
            "metadata.name",
            f"name and namespace have {together} characters together; in Standard mode KServe's controller fails above"
            f" {MAX_NAME_AND_NAMESPACE}, after the object was admitted",
        )


def _mode(manifest: Mapping[str, Any], live: Mapping[str, Any] | None) -> Iterator[Violation]:
    mode = mode_of(manifest)
    field = f"metadata.annotations[{MODE}]"
    if not mode:
        yield Violation(field, "it is not set, and the default differs by how KServe was installed")
    elif mode not in {"Standard", "Knative"}:
        yield Violation(field, f"{mode!r} is neither Standard nor Knative")
    before = mode_of(live) if live is not None else ""
    if before and mode and before != mode:
        yield Violation(field, f"KServe refuses to change the mode from {before} to {mode}: delete the service first")


def _components(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    spec = _table(manifest, "spec")
    predictor = _table(spec, "predictor")
    found = [name for name in _FRAMEWORKS if predictor.get(name) is not None]
    if any(container.get("name") == CONTAINER for container in _items(predictor, "containers")):
        found.append("containers")
    if len(found) != 1:
        told = f"it has {' and '.join(found)}" if found else f"it has neither a model nor a container {CONTAINER}"
        yield Violation("spec.predictor", f"KServe takes exactly one implementation, {told}")
    if "containers" in found and _items(predictor, "containers")[0].get("name") != CONTAINER:
        yield Violation("spec.predictor.containers", f"{CONTAINER} must be the first container")
    for path, container in containers_of(manifest):
        for variable in _items(container, "env"):
            if variable.get("name") == "PYTHONPATH":
                yield Violation(f"{path}.env", "KServe refuses PYTHONPATH")
    if mode_of(manifest) == "Knative":
        for name in _COMPONENTS:
            if _table(spec, name).get("deploymentStrategy") is not None:
                yield Violation(f"spec.{name}.deploymentStrategy", "KServe refuses it outside Standard mode")


def _workers(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    """Of one replica over several nodes (validateMultiNodeVariables)."""
    predictor = _table(_table(manifest, "spec"), "predictor")
    if predictor.get("workerSpec") is None:
        return
    path, worker = "spec.predictor.workerSpec", _table(predictor, "workerSpec")
    annotations = _table(_table(manifest, "metadata"), "annotations")
    if len(_items(worker, "containers")) > 1:
        yield Violation(f"{path}.containers", "KServe takes one container at most")
    for key in ("pipelineParallelSize", "tensorParallelSize"):
        if key in worker and _number(worker[key]) < 1:
            yield Violation(f"{path}.{key}", f"{worker[key]} is less than 1")
    model = _table(predictor, "model")
    if model:
        for variable in _items(model, "env"):
            if variable.get("name") in _PARALLEL_VARIABLES:
                yield Violation("spec.predictor.model.env", f"KServe refuses {variable['name']} beside a workerSpec")
        uri = str(model.get("storageUri") or "")
        if uri.partition("://")[0] not in {"pvc", "oci"}:
            yield Violation("spec.predictor.model.storageUri", "KServe takes pvc:// or oci:// beside a workerSpec only")
        if annotations.get(AUTOSCALER) != "none":
            yield Violation(f"metadata.annotations[{AUTOSCALER}]", "KServe takes none only beside a workerSpec")
    known = str(annotations.get(_GPU_TYPES) or "")
    for where, container in containers_of(manifest):
        for asked in ("requests", "limits"):
            for name in _table(_table(container, "resources"), asked):
                if _GPU_WORD.search(name) and name not in WORKER_GPUS and f'"{name}"' not in known:
                    yield Violation(f"{where}.resources.{asked}", f"KServe refuses {name} beside a workerSpec")


def _weights(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    """Where weights come from (validatePredictor, validateMultipleStorageURIs, validateCollocationStorageURI)."""
    for name in _COMPONENTS:
        component = _table(_table(manifest, "spec"), name)
        several = _items(component, "storageUris")
        if several and _uri(component) is not None:
            yield Violation(f"spec.{name}.storageUris", "KServe refuses it beside storageUri")
        for position, entry in enumerate(several):
            mounted = str(entry.get("mountPath") or "")
            if not entry.get("uri"):
                yield Violation(f"spec.{name}.storageUris[{position}].uri", "it is empty")
            if "mountPath" in entry and (not mounted.startswith("/") or mounted == "/" or ".." in mounted):
                yield Violation(
                    f"spec.{name}.storageUris[{position}].mountPath",
                    "KServe takes an absolute path below /, without ..",
                )
    predictor = _table(_table(manifest, "spec"), "predictor")
    for name in _FRAMEWORKS:
        if _table(predictor, name).get("name"):
            yield Violation(f"spec.predictor.{name}.name", "KServe refuses a name here")
    for position, container in enumerate(_items(predictor, "containers")):
        if container.get("name") == "transformer-container" and any(
            variable.get("name") == "STORAGE_URI" for variable in _items(container, "env")
        ):
            yield Violation(f"spec.predictor.containers[{position}].env", "KServe refuses STORAGE_URI of a transformer")


def _scaling(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    annotations = _table(_table(manifest, "metadata"), "annotations")
    chosen = annotations.get(AUTOSCALER)
    if chosen is not None and chosen not in _CLASSES:
        yield Violation(f"metadata.annotations[{AUTOSCALER}]", f"{chosen!r} is none of {', '.join(_CLASSES)}")
    for name in _COMPONENTS:
        component = _table(_table(manifest, "spec"), name)
        if component:
            yield from _replicas(f"spec.{name}", component)
            if mode_of(manifest) == "Knative":
                yield from _knative_metric(f"spec.{name}", component)
            elif chosen == "keda":
                yield from _keda(f"spec.{name}", component)
            elif (chosen or "hpa") == "hpa":
                yield from _hpa(f"spec.{name}", component)


def _replicas(path: str, component: Mapping[str, Any]) -> Iterator[Violation]:
    least, most = component.get("minReplicas"), component.get("maxReplicas")
    for key, value in (("minReplicas", least), ("maxReplicas", most)):
        if isinstance(value, int) and value < 0:
            yield Violation(f"{path}.{key}", "it is negative")
    if isinstance(least, int) and isinstance(most, int) and 0 < most < least:
        yield Violation(f"{path}.minReplicas", f"{least} is greater than maxReplicas {most}")


def _knative_metric(path: str, component: Mapping[str, Any]) -> Iterator[Violation]:
    metric, target = component.get("scaleMetric"), component.get("scaleTarget")
    if metric is not None and metric not in {"concurrency", "rps"}:
        yield Violation(f"{path}.scaleMetric", f"Knative scales by concurrency or rps, not {metric!r}")
    if metric == "rps" and isinstance(target, int) and target < 1:
        yield Violation(f"{path}.scaleTarget", f"{target} requests a second are less than 1")


def _hpa(path: str, component: Mapping[str, Any]) -> Iterator[Violation]:
    metric, target = component.get("scaleMetric"), component.get("scaleTarget")
    if metric is not None and metric not in {"cpu", "memory"}:
        yield Violation(f"{path}.scaleMetric", f"a HorizontalPodAutoscaler scales by cpu or memory, not {metric!r}")
    if isinstance(target, int) and not 1 <= target <= 100:
        yield Violation(f"{path}.scaleTarget", f"{target} percent is not between 1 and 100")
    for position, entry in enumerate(_items(_table(component, "autoScaling"), "metrics")):
        if entry.get("type") != "Resource" or not _table(entry, "resource"):
            yield Violation(
                f"{path}.autoScaling.metrics[{position}]",
                "a HorizontalPodAutoscaler takes type Resource with a resource",
            )


def _keda(path: str, component: Mapping[str, Any]) -> Iterator[Violation]:
    if component.get("scaleMetric") is not None:
        yield Violation(f"{path}.scaleMetric", "KEDA takes autoScaling.metrics, not scaleMetric")
    for position, metric in enumerate(_items(_table(component, "autoScaling"), "metrics")):
        where, kind = f"{path}.autoScaling.metrics[{position}]", metric.get("type")
        if kind in {"External", "PodMetric"}:
            key = "external" if kind == "External" else "podmetric"
            asked = _table(metric, key)
            if not (_table(asked, "metric").get("query") and _table(asked, "target").get("value") is not None):
                yield Violation(f"{where}.{key}", "it needs a query and a target value")
        elif kind == "Resource":
            yield from _keda_resource(f"{where}.resource", _table(metric, "resource"))
        else:
            yield Violation(f"{where}.type", f"{kind!r} is none of Resource, External, PodMetric")


def _keda_resource(path: str, resource: Mapping[str, Any]) -> Iterator[Violation]:
    name, target = resource.get("name"), _table(resource, "target")
    allowed = {"cpu": ("Utilization",), "memory": ("Utilization", "AverageValue")}.get(str(name))
    if allowed is None:
        yield Violation(f"{path}.name", f"{name!r} is neither cpu nor memory")
    elif target.get("type") not in allowed:
        yield Violation(f"{path}.target.type", f"of {name} it is {' or '.join(allowed)}")
    elif target.get("type") == "Utilization" and not 1 <= _number(target.get("averageUtilization")) <= 100:
        yield Violation(f"{path}.target.averageUtilization", "it is not between 1 and 100 percent")
    elif target.get("type") == "AverageValue" and target.get("averageValue") is None:
        yield Violation(f"{path}.target.averageValue", "it is missing")


def _canary(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    canaries = _items(_table(manifest, "spec"), "canary")
    total = sum(_number(entry.get("trafficPercent")) for entry in canaries)
    if total > 100:
        yield Violation("spec.canary", f"the canaries take {total} percent of the traffic together")
    for position, entry in enumerate(canaries):
        for key in ("maxReplicas", "autoScaling"):
            if _table(entry, "predictor").get(key) is not None:
                yield Violation(f"spec.canary[{position}].predictor.{key}", "KServe refuses it for a canary")


def _images(manifest: Mapping[str, Any]) -> Iterator[Violation]:
    for path, container in containers_of(manifest):
        image = container.get("image")
        if image is not None and "@sha256:" not in str(image):
            yield Violation(f"{path}.image", "it is not named by its digest, and KServe's controller rewrites tags")


def _changes(manifest: Mapping[str, Any], live: Mapping[str, Any] | None) -> Iterator[Violation]:
    if live is None:
        return
    before, after = (_table(_table(object_, "spec"), "predictor") for object_ in (live, manifest))
    if before.get("name") != after.get("name") and _uri(before) == _uri(after):
        yield Violation("spec.predictor.name", "KServe refuses to change it unless storageUri changes too")


def _uri(predictor: Mapping[str, Any]) -> Any:
    return next((predictor[name].get("storageUri") for name in _FRAMEWORKS if _table(predictor, name)), None)


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _items(value: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = value.get(key)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
