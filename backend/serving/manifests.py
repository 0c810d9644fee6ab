"""A deployment file as the InferenceService that KServe v0.20 serves it by. Pure: nothing is asked of a cluster."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from backend.serving.deployment import DeploymentFile
from backend.serving.engines import NIM, OTHER, VLLM, Engine, engine_of

MODE: Final = "serving.kserve.io/deploymentMode"
AUTOSCALER: Final = "serving.kserve.io/autoscalerClass"
STOP: Final = "serving.kserve.io/stop"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
CONTAINER: Final = "kserve-container"
_LIVENESS_TIMEOUT: Final = 10
_PERIOD: Final = 10


class RuntimeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest needs to know of the runtime that it names.

    Attributes:
        formats: model formats that it serves.
        liveness_timeout: seconds of its liveness probe; None: it has no such probe.
    """

    name: str
    namespace: str
    formats: tuple[str, ...]
    disabled: bool = False
    liveness_timeout: int | None = None


def build(deployment: DeploymentFile, runtime: RuntimeInfo | None = None) -> list[dict[str, Any]]:
    """The objects to apply, in their order: one InferenceService.

    Args:
        runtime: the one that the file names, as the cluster has it; None: it names none, or the cluster lacks it.
    """
    annotations: dict[str, str] = {MODE: deployment.mode}
    if deployment.mode == "Standard":
        # Without the class KServe makes a HorizontalPodAutoscaler on CPU.
        annotations[AUTOSCALER] = deployment.autoscaling.class_
    return [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": deployment.name,
                "namespace": deployment.namespace,
                "labels": {MANAGED_BY: "modelyard"},
                "annotations": annotations,
            },
            "spec": {"predictor": _predictor(deployment, runtime)},
        }
    ]


def _predictor(deployment: DeploymentFile, runtime: RuntimeInfo | None) -> dict[str, Any]:
    engine = engine_of(deployment.image, "" if deployment.own_containers else deployment.runtime)
    predictor: dict[str, Any] = {"minReplicas": deployment.replicas.min}
    scales = deployment.mode == "Knative" or deployment.autoscaling.class_ != "none"
    if scales and deployment.replicas.max is not None:
        predictor["maxReplicas"] = deployment.replicas.max
    predictor.update(_autoscaling(deployment))
    # The gateway ends requests after 60 s otherwise, which is shorter than a long answer of a language model.
    predictor["timeout"] = deployment.timeout
    if deployment.mode == "Standard":
        predictor["deploymentStrategy"] = _strategy(deployment)
    if deployment.resources.gpu:
        predictor["tolerations"] = [
            {"key": deployment.resources.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}
        ]
    if deployment.node_selector:
        predictor["nodeSelector"] = dict(deployment.node_selector)
    if deployment.service_account:
        predictor["serviceAccountName"] = deployment.service_account
    if deployment.image_pull_secrets:
        predictor["imagePullSecrets"] = [{"name": name} for name in deployment.image_pull_secrets]
    if deployment.own_containers:
        predictor["volumes"] = [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": deployment.shm}}]
        predictor["containers"] = [_container(deployment, engine)]
    else:
        predictor["model"] = _model(deployment, engine, runtime)
    return predictor


def _strategy(deployment: DeploymentFile) -> dict[str, Any]:
    """One replica is replaced, more are replaced in turn: a pod beyond them would wait for a GPU that nothing frees."""
    most = max(deployment.replicas.min, deployment.replicas.max or 0)
    chosen = deployment.strategy or ("Recreate" if most <= 1 else "RollingUpdate")
    if chosen == "Recreate":
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def _autoscaling(deployment: DeploymentFile) -> dict[str, Any]:
    asked = deployment.autoscaling
    if asked.class_ == "hpa":
        return {"scaleMetric": asked.metric or "cpu", "scaleTarget": asked.target or 80}
    if asked.class_ == "keda":
        external = {
            "metric": {"backend": "prometheus", "serverAddress": asked.server_address, "query": asked.query},
            "target": {"type": "AverageValue", "value": asked.value},
        }
        return {"autoScaling": {"metrics": [{"type": "External", "external": external}]}}
    return {}


def _container(deployment: DeploymentFile, engine: Engine) -> dict[str, Any]:
    container: dict[str, Any] = {"name": CONTAINER, "image": deployment.image}
    container.update(_process(deployment, engine))
    container["ports"] = [{"containerPort": deployment.port, "protocol": "TCP"}]
    container.update(_resources(deployment))
    container["volumeMounts"] = [{"name": "dshm", "mountPath": "/dev/shm"}]  # noqa: S108 - of the container
    container.update(_probes(deployment, engine))
    return container


def _model(deployment: DeploymentFile, engine: Engine, runtime: RuntimeInfo | None) -> dict[str, Any]:
    offered = runtime.formats[0] if runtime and runtime.formats else engine.model_format or "custom"
    model: dict[str, Any] = {
        "modelFormat": {"name": deployment.model_format or offered},
        "runtime": deployment.runtime,
        # The image of the runtime may change under the service; the one that was approved does not.
        "image": deployment.image,
    }
    if uri := storage_uri(deployment):
        model["storageUri"] = uri
    model.update(_process(deployment, engine))
    model.update(_resources(deployment))
    return model


def storage_uri(deployment: DeploymentFile) -> str:
    """The model's address, with its revision where the scheme has a place for one (`hf://org/model:revision`)."""
    uri, revision = deployment.model.storage_uri, deployment.model.revision
    if uri.startswith("hf://") and revision and ":" not in uri.removeprefix("hf://"):
        return f"{uri}:{revision}"
    return uri


def _process(deployment: DeploymentFile, engine: Engine) -> dict[str, Any]:
    """Command, arguments and environment, and that the last log lines of a crash are kept with the pod."""
    told: dict[str, Any] = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    if deployment.command:
        told["command"] = list(deployment.command)
    arguments = list(deployment.args)
    if _revision_is_argument(deployment, engine):
        arguments.append(f"--revision={deployment.model.revision}")
    if arguments:
        told["args"] = arguments
    environment = [_variable(variable) for variable in deployment.env]
    names = {variable["name"] for variable in environment}
    if deployment.own_containers and (uri := storage_uri(deployment)) and "STORAGE_URI" not in names:
        # KServe fetches this for a predictor of own containers, into /mnt/models.
        environment.append({"name": "STORAGE_URI", "value": uri})
    if engine is NIM and deployment.model.profile and "NIM_MODEL_PROFILE" not in names:
        environment.append({"name": "NIM_MODEL_PROFILE", "value": deployment.model.profile})
    if environment:
        told["env"] = environment
    return told


def _revision_is_argument(deployment: DeploymentFile, engine: Engine) -> bool:
    return (
        engine is VLLM
        and bool(deployment.model.revision)
        and not deployment.model.storage_uri
        and not any(argument.startswith("--revision") for argument in deployment.args)
    )


def _variable(variable: Any) -> dict[str, Any]:
    if variable.secret_key_ref is not None:
        reference = {"name": variable.secret_key_ref.name, "key": variable.secret_key_ref.key}
        return {"name": variable.name, "valueFrom": {"secretKeyRef": reference}}
    return {"name": variable.name, "value": variable.value}


def _resources(deployment: DeploymentFile) -> dict[str, Any]:
    """Requests equal to limits; a runtime's own defaults of 1 CPU and 2 Gi would hold otherwise."""
    asked: dict[str, str] = {}
    if deployment.resources.cpu:
        asked["cpu"] = deployment.resources.cpu
    if deployment.resources.memory:
        asked["memory"] = deployment.resources.memory
    if deployment.resources.gpu:
        asked[deployment.resources.gpu_resource] = str(deployment.resources.gpu)
    return {"resources": {"requests": asked, "limits": dict(asked)}} if asked else {}


def _probes(deployment: DeploymentFile, engine: Engine) -> dict[str, Any]:
    if engine is OTHER and not (deployment.health.live or deployment.health.ready):
        # Nothing is known of its pages: an open port is all that can be asked for.
        ready: dict[str, Any] = {"tcpSocket": {"port": deployment.port}}
        live = ready
    else:
        ready = {"httpGet": {"path": deployment.health.ready or engine.ready, "port": deployment.port}}
        live = {"httpGet": {"path": deployment.health.live or engine.live, "port": deployment.port}}
    return {
        "startupProbe": {
            **ready,
            "periodSeconds": _PERIOD,
            "failureThreshold": -(-deployment.health.startup_seconds // _PERIOD),
        },
        "readinessProbe": {**ready, "periodSeconds": _PERIOD, "timeoutSeconds": 5},
        # A busy engine takes longer than the API's default of one second, and would be killed for it.
        "livenessProbe": {**live, "periodSeconds": _PERIOD, "timeoutSeconds": _LIVENESS_TIMEOUT, "failureThreshold": 6},
    }
