"""A deployment file as the InferenceService that KServe v0.20 serves it by. Pure: nothing is asked of a cluster."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from backend.serving.deployment import DeploymentFile
from backend.serving.deployment_fields import MIG_PREFIX
from backend.serving.deployment_tables import Toleration
from backend.serving.engines import NIM, OTHER, VLLM, Engine, engine_of
from backend.serving.queries import keda_query

MODE: Final = "serving.kserve.io/deploymentMode"
AUTOSCALER: Final = "serving.kserve.io/autoscalerClass"
STOP: Final = "serving.kserve.io/stop"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
CONTAINER: Final = "kserve-container"
#: KServe's container of the nodes beside the first of one replica.
WORKER_CONTAINER: Final = "worker-container"
QUEUE: Final = "kueue.x-k8s.io/queue-name"
VISIBILITY: Final = "networking.kserve.io/visibility"
#: KServe's label on the pods of a service, in both modes.
SERVICE_LABEL: Final = "serving.kserve.io/inferenceservice"
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
    labels = {MANAGED_BY: "modelyard"}
    if deployment.visibility == "cluster-local":
        labels[VISIBILITY] = deployment.visibility
    if deployment.queue:
        # KServe hands labels on to what it makes, and Kueue looks for this one there.
        labels[QUEUE] = deployment.queue
    return [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": deployment.name,
                "namespace": deployment.namespace,
                "labels": labels,
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
    predictor.update(_placement(deployment))
    if deployment.topology_spread:
        predictor["topologySpreadConstraints"] = _spread(deployment)
    if deployment.termination_grace_seconds is not None:
        predictor["terminationGracePeriodSeconds"] = deployment.termination_grace_seconds
    if deployment.own_containers:
        predictor["volumes"] = [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": deployment.shm}}]
        predictor["containers"] = [_container(deployment, engine)]
    else:
        predictor["model"] = _model(deployment, engine, runtime)
    if deployment.workers is not None:
        predictor["workerSpec"] = {
            "pipelineParallelSize": deployment.workers.pipeline_parallel_size,
            "tensorParallelSize": deployment.workers.tensor_parallel_size,
            **_placement(deployment),
            "containers": [{"name": WORKER_CONTAINER, "image": deployment.image, **_resources(deployment)}],
        }
    return predictor


def _placement(deployment: DeploymentFile) -> dict[str, Any]:
    """Where the pods may run, and as whom; the same for all pods of a replica."""
    placed: dict[str, Any] = {}
    tolerations = [_toleration(each) for each in deployment.tolerations]
    if deployment.resources.gpu and not any(each.get("key") == gpu_taint(deployment) for each in tolerations):
        tolerations.insert(0, {"key": gpu_taint(deployment), "operator": "Exists", "effect": "NoSchedule"})
    if tolerations:
        placed["tolerations"] = tolerations
    if deployment.node_selector:
        placed["nodeSelector"] = dict(deployment.node_selector)
    if deployment.priority_class:
        placed["priorityClassName"] = deployment.priority_class
    if deployment.service_account:
        placed["serviceAccountName"] = deployment.service_account
    if deployment.image_pull_secrets:
        placed["imagePullSecrets"] = [{"name": name} for name in deployment.image_pull_secrets]
    return placed


def gpu_taint(deployment: DeploymentFile) -> str:
    """The taint by which nodes keep pods without GPUs away; nodes with MIG have that of whole GPUs."""
    resource = deployment.resources.gpu_resource
    return "nvidia.com/gpu" if resource.startswith(MIG_PREFIX) else resource


def _toleration(toleration: Toleration) -> dict[str, str]:
    told = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    return {key: value for key, value in told.items() if value}


def _spread(deployment: DeploymentFile) -> list[dict[str, Any]]:
    return [
        {
            "maxSkew": each.max_skew,
            "topologyKey": each.topology_key,
            "whenUnsatisfiable": each.when_unsatisfiable,
            "labelSelector": {"matchLabels": {SERVICE_LABEL: deployment.name}},
        }
        for each in deployment.topology_spread
    ]


def _strategy(deployment: DeploymentFile) -> dict[str, Any]:
    """One replica is replaced, more are replaced in turn: a pod beyond them would wait for a GPU that nothing frees."""
    most = max(deployment.replicas.min, deployment.replicas.max or 0)
    chosen = deployment.strategy or ("Recreate" if most <= 1 else "RollingUpdate")
    if chosen == "Recreate":
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def _autoscaling(deployment: DeploymentFile) -> dict[str, Any]:
    asked = deployment.autoscaling
    if deployment.mode == "Knative":
        told: dict[str, Any] = {}
        if asked.metric:
            told["scaleMetric"] = asked.metric
        if asked.target is not None:
            told["scaleTarget"] = asked.target
        if asked.concurrency:
            told["containerConcurrency"] = asked.concurrency
        return told
    if asked.class_ == "hpa":
        return {"scaleMetric": asked.metric or "cpu", "scaleTarget": asked.target or 80}
    if asked.class_ == "keda":
        external = {
            "metric": {
                "backend": "prometheus",
                "serverAddress": asked.server_address,
                "query": asked.query or keda_query(deployment),
            },
            # The webhook asks for value; newer ones also for averageValue beside this type.
            "target": {"type": "AverageValue", "value": asked.value, "averageValue": asked.value},
        }
        scaling: dict[str, Any] = {"metrics": [{"type": "External", "external": external}]}
        if asked.scale_down_seconds is not None:
            scaling["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": asked.scale_down_seconds}}
        return {"autoScaling": scaling}
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
    """Limits equal to requests unless given; a runtime's own defaults of 1 CPU and 2 Gi would hold otherwise."""
    resources = deployment.resources
    told = {"cpu": resources.cpu, "memory": resources.memory, "ephemeral-storage": resources.ephemeral_storage}
    asked = {key: value for key, value in told.items() if value}
    if resources.gpu:
        asked[resources.gpu_resource] = str(resources.gpu)
    allowed = dict(asked)
    if resources.cpu_limit:
        allowed["cpu"] = resources.cpu_limit
    if resources.memory_limit:
        allowed["memory"] = resources.memory_limit
    return {"resources": {"requests": asked, "limits": allowed}} if asked else {}


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
