"""The deployment file: what a person writes to serve an image, and nothing that its manifests can be made from."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from backend.core.errors import UsageError
from backend.core.settings import Settings
from backend.serving.deployment_fields import (
    MAX_NAME_AND_NAMESPACE,
    OWN_CONTAINERS,
    WORKER_GPUS,
    Argument,
    Image,
    LabelKey,
    LabelValue,
    Name,
    NamespaceName,
    ObjectName,
    OptionalName,
    Quantity,
    object_name,
)
from backend.serving.deployment_tables import (
    Autoscaling,
    Canary,
    Health,
    ModelSource,
    Replicas,
    ResourceSettings,
    SecretKey,
    Table,
    Toleration,
    TopologySpread,
    Validation,
    Variable,
    Workers,
)
from backend.serving.yaml_lines import dump, line_of, read_document

Mode = Literal["Standard", "Knative"]


def _runtime(text: str) -> str:
    return object_name(text) if text and text != OWN_CONTAINERS else OWN_CONTAINERS


class DeploymentFile(Table):
    """A whole deployment file.

    Attributes:
        environment: of the policy, that the namespace has to belong to; empty: whichever it belongs to.
        workers: one replica over several nodes; None: each replica is one pod.
        tolerations: beside that of the GPUs.
        queue: Kueue's LocalQueue of the namespace; empty: the pods wait in none.
        termination_grace_seconds: how long a pod that ends may finish its streams; None: Kubernetes' 30.
        timeout: seconds after which the gateway ends a request.
        strategy: empty: Recreate for one replica, else RollingUpdate.
        visibility: `cluster-local` keeps the service off the gateway.
        on_failure: of its validation, whether a return to the last good snapshot is made or only proposed.
    """

    name: Name
    namespace: NamespaceName
    environment: OptionalName = ""
    image: Image
    model: ModelSource = ModelSource()
    runtime: Annotated[str, AfterValidator(_runtime)] = Field(default=OWN_CONTAINERS, max_length=253)
    model_format: str = Field(default="", max_length=253)
    mode: Mode = "Standard"
    resources: ResourceSettings = ResourceSettings()
    workers: Workers | None = None
    replicas: Replicas = Replicas()
    autoscaling: Autoscaling = Autoscaling()
    command: tuple[Argument, ...] = Field(default=(), max_length=64)
    args: tuple[Argument, ...] = Field(default=(), max_length=256)
    env: tuple[Variable, ...] = Field(default=(), max_length=256)
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=64)
    priority_class: OptionalName = ""
    queue: OptionalName = ""
    topology_spread: tuple[TopologySpread, ...] = Field(default=(), max_length=16)
    image_pull_secrets: tuple[ObjectName, ...] = Field(default=(), max_length=16)
    service_account: OptionalName = ""
    termination_grace_seconds: int | None = Field(default=None, ge=0, le=86_400)
    port: int = Field(default=8000, ge=1, le=65_535)
    timeout: int = Field(default=600, ge=1, le=86_400)
    strategy: Literal["", "Recreate", "RollingUpdate"] = ""
    visibility: Literal["public", "cluster-local"] = "public"
    shm: Quantity = "16Gi"
    health: Health = Health()
    canary: Canary = Canary()
    validation: Validation = Validation()
    on_failure: Literal["propose", "rollback"] = "propose"

    @property
    def own_containers(self) -> bool:
        """Whether the service brings its containers itself instead of naming a runtime."""
        return self.runtime == OWN_CONTAINERS

    @property
    def pods_per_replica(self) -> int:
        """One, or with `workers` as many as its GPUs are spread over."""
        if self.workers is None or not self.resources.gpu:
            return 1
        return self.workers.gpus // self.resources.gpu

    # ------------------------------------------------------------ what fits together, by the field that is told

    @field_validator("workers")
    @classmethod
    def _workers_fit(cls, workers: Workers | None, info: ValidationInfo) -> Workers | None:
        resources: ResourceSettings | None = info.data.get("resources")
        if workers is None or resources is None:
            return workers
        if info.data.get("mode") == "Knative":
            raise ValueError("KServe serves one replica over several nodes in Standard mode only")
        if info.data.get("runtime") == OWN_CONTAINERS:
            raise ValueError("KServe serves one replica over several nodes by a runtime only, which needs a workerSpec")
        if resources.gpu_resource not in WORKER_GPUS:
            raise ValueError(f"KServe refuses {resources.gpu_resource} for a replica over several nodes")
        if not resources.gpu or workers.gpus % resources.gpu:
            raise ValueError(
                f"{workers.pipeline_parallel_size} times {workers.tensor_parallel_size} GPUs cannot be spread over pods"
                f" of {resources.gpu}: set resources.gpu to a divisor of {workers.gpus}"
            )
        model: ModelSource | None = info.data.get("model")
        if model is not None and model.storage_uri.partition("://")[0] not in {"pvc", "oci"}:
            raise ValueError("KServe takes weights from pvc:// or oci:// only for a replica over several nodes")
        return workers

    @field_validator("autoscaling")
    @classmethod
    def _autoscaling_fits(cls, autoscaling: Autoscaling, info: ValidationInfo) -> Autoscaling:
        mode, workers, replicas = (info.data.get(key) for key in ("mode", "workers", "replicas"))
        if mode == "Knative":
            if autoscaling.class_ != "none":
                raise ValueError("autoscaling classes belong to Standard mode; Knative scales by concurrency or rps")
            if autoscaling.metric not in (None, "concurrency", "rps"):
                raise ValueError(f"Knative scales by concurrency or rps, not {autoscaling.metric}")
        elif mode == "Standard":
            if autoscaling.concurrency:
                raise ValueError("concurrency belongs to Knative mode")
            if autoscaling.class_ == "none" and (autoscaling.metric or autoscaling.target is not None):
                raise ValueError("metric and target belong to class hpa, or to Knative mode")
            if workers is not None and autoscaling.class_ != "none":
                raise ValueError("KServe does not scale a service whose replicas are over several nodes")
        if isinstance(replicas, Replicas) and replicas.min == 0:
            if autoscaling.class_ == "hpa":
                raise ValueError(
                    "a HorizontalPodAutoscaler silently makes replicas.min 0 a 1; none, keda or Knative can"
                )
            if autoscaling.class_ == "keda" and not autoscaling.query:
                raise ValueError(
                    "with replicas.min 0 no model server is left to wake the service by its own metrics: give a query"
                    " of something that goes on, such as the gateway"
                )
        return autoscaling

    @field_validator("env")
    @classmethod
    def _variables_differ(cls, env: tuple[Variable, ...], info: ValidationInfo) -> tuple[Variable, ...]:
        names = [variable.name for variable in env]
        if len(set(names)) != len(names):
            raise ValueError("env names the same variable twice")
        told = [name for name in names if name in {"PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE"}]
        if told and info.data.get("workers") is not None:
            raise ValueError(f"KServe refuses {told[0]} here: it is set by workers")
        return env

    @field_validator("topology_spread")
    @classmethod
    def _spreads_differ(cls, spread: tuple[TopologySpread, ...]) -> tuple[TopologySpread, ...]:
        keys = [(each.topology_key, each.when_unsatisfiable) for each in spread]
        if len(set(keys)) != len(keys):
            raise ValueError("Kubernetes refuses the same topologyKey and whenUnsatisfiable twice")
        return spread

    @field_validator("strategy")
    @classmethod
    def _strategy_fits(cls, strategy: str, info: ValidationInfo) -> str:
        if strategy and info.data.get("mode") == "Knative":
            raise ValueError("KServe refuses a strategy outside Standard mode")
        replicas: Replicas | None = info.data.get("replicas")
        if strategy == "Recreate" and replicas is not None and replicas.min > 1:
            raise ValueError(f"Recreate stops all {replicas.min} replicas for a cold start: it is for one replica only")
        return strategy

    @field_validator("canary")
    @classmethod
    def _canary_fits(cls, canary: Canary, info: ValidationInfo) -> Canary:
        autoscaling: Autoscaling | None = info.data.get("autoscaling")
        if canary.steps and info.data.get("mode") == "Standard" and autoscaling and autoscaling.class_ != "none":
            raise ValueError("KServe refuses a canary that scales by itself in Standard mode")
        if canary.steps and info.data.get("workers") is not None:
            raise ValueError("KServe makes no canary of a replica over several nodes")
        return canary

    @model_validator(mode="after")
    def _fits_together(self) -> DeploymentFile:
        if self.mode == "Standard" and len(self.name) + len(self.namespace) > MAX_NAME_AND_NAMESPACE:
            raise ValueError(
                f"name and namespace have {len(self.name) + len(self.namespace)} characters together; in Standard mode"
                f" KServe's controller fails above {MAX_NAME_AND_NAMESPACE}"
            )
        return self


def parse(text: str, source: str | Path = "deployment file") -> DeploymentFile:
    """Read a deployment file.

    Args:
        source: its path, for errors.

    Raises:
        UsageError: it is not YAML, or a key or value is wrong; names the line.
    """
    value, lines = read_document(text, str(source))
    if not isinstance(value, dict):
        raise UsageError(str(source), "it holds no table of keys", "start with name:, namespace: and image:")
    try:
        return DeploymentFile.model_validate(value)
    except ValidationError as error:
        raise explained(error, str(source), lines) from error


def to_yaml(deployment: DeploymentFile) -> str:
    """The file that reads back as the same deployment: what every file has, and what differs from the default."""
    told = deployment.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    always: dict[str, Any] = {
        "name": deployment.name,
        "namespace": deployment.namespace,
        "image": deployment.image,
        "model": deployment.model.model_dump(by_alias=True),
        "runtime": deployment.runtime,
        "mode": deployment.mode,
        "resources": deployment.resources.model_dump(by_alias=True, exclude_none=True),
        "replicas": deployment.replicas.model_dump(by_alias=True, exclude_none=True),
        "autoscaling": {"class": deployment.autoscaling.class_, **told.get("autoscaling", {})},
    }
    rest = {key: value for key, value in told.items() if key not in always}
    return dump({**always, **rest})


def explained(
    error: ValidationError,
    source: str,
    lines: dict[tuple[str | int, ...], int],
    keys_at: Callable[[tuple[str | int, ...]], list[str]] | None = None,
) -> UsageError:
    """The first thing that is wrong with a deployment, by its line where lines are known.

    Args:
        keys_at: tells the keys that may stand at a location; None: those of a deployment file.
    """
    known = keys_at or _keys_at
    problems = error.errors(include_url=False, include_input=False)
    # A misspelled key is told before the one that is missing for it.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    location = first["loc"]
    line = line_of(lines, location)
    name = ".".join(str(part) for part in location)
    action = "correct it"
    if first["type"] == "extra_forbidden":
        why = f"unknown key {name!r}"
        near = difflib.get_close_matches(str(location[-1]), known(location[:-1]), n=1)
        action = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known(location[:-1]))}"
    elif first["type"] == "missing":
        why, action = f"{name!r} is missing", "add it"
    else:
        message = first["msg"].removeprefix("Value error, ")
        why = f"{name}: {message}" if name else message
    if len(problems) > 1:
        why += f" (and {len(problems) - 1} more)"
    return UsageError(f"{source}:{line}" if line is not None else source, why, action)


def _keys_at(location: tuple[str | int, ...]) -> list[str]:
    """The keys of the table at a location of the file."""
    tables: dict[str, type[Settings]] = {
        "model": ModelSource,
        "resources": ResourceSettings,
        "replicas": Replicas,
        "autoscaling": Autoscaling,
        "env": Variable,
        "secretKeyRef": SecretKey,
        "health": Health,
        "tolerations": Toleration,
        "topologySpread": TopologySpread,
        "workers": Workers,
        "canary": Canary,
        "validation": Validation,
    }
    named = [part for part in location if isinstance(part, str)]
    table = tables.get(named[-1], DeploymentFile) if named else DeploymentFile
    return sorted(field.alias or name for name, field in table.model_fields.items())
