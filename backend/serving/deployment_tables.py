"""The tables of a deployment file, each checked by itself; what fits together is checked by the whole file."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from backend.core.settings import Settings
from backend.serving.deployment_fields import (
    SECRET_WORD,
    DurationText,
    GpuResource,
    LabelKey,
    ObjectName,
    Quantity,
    StorageUri,
    VariableName,
)


class Table(Settings):
    """A table of the file: its keys are camelCase, as Kubernetes' are."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class ModelSource(Table):
    """What fixes the weights; what is empty nothing fixes."""

    storage_uri: StorageUri = ""
    profile: str = Field(default="", max_length=256)
    revision: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._/-]*$")


class ResourceSettings(Table):
    """What each pod asks for; limits equal requests where they are not given.

    Attributes:
        gpu_resource: `nvidia.com/gpu`, or a MIG profile as `nvidia.com/mig-1g.10gb`.
        cpu_limit, memory_limit: above what is asked for; None: as much.
    """

    gpu: int = Field(default=0, ge=0, le=64)
    gpu_resource: GpuResource = "nvidia.com/gpu"
    cpu: Quantity | None = None
    memory: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory_limit: Quantity | None = None
    ephemeral_storage: Quantity | None = None

    @model_validator(mode="after")
    def _limits_have_requests(self) -> ResourceSettings:
        if self.cpu_limit is not None and self.cpu is None:
            raise ValueError("cpuLimit needs cpu beside it")
        if self.memory_limit is not None and self.memory is None:
            raise ValueError("memoryLimit needs memory beside it")
        return self


class Replicas(Table):
    """How many replicas serve; `max` matters to an autoscaler alone."""

    min: int = Field(default=1, ge=0, le=1000)
    max: int | None = Field(default=None, ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}, which KServe refuses")
        return self


class Autoscaling(Table):
    """What changes the number of replicas by itself.

    Attributes:
        metric, target: of class hpa, percent of cpu or memory; in Knative mode concurrency or rps, as many a replica.
        query: of class keda, a Prometheus query whose value per replica is aimed at; empty: what runs and waits at the
            model server of this service alone.
        server_address, value: of class keda, where the query is asked, and the aim.
        scale_down_seconds: of class keda, how long fewer replicas must do before there are fewer.
        concurrency: in Knative mode, the most requests a replica is given at once; 0: as many as come.
    """

    class_: Literal["none", "hpa", "keda", "external"] = Field(default="none", alias="class")
    metric: Literal["cpu", "memory", "concurrency", "rps"] | None = None
    target: int | None = Field(default=None, ge=1, le=1_000_000)
    query: str = Field(default="", max_length=4096)
    server_address: str = Field(default="", max_length=2048, pattern=r"^(https?://\S+)?$")
    value: Quantity | None = None
    scale_down_seconds: int | None = Field(default=None, ge=0, le=3600)
    concurrency: int = Field(default=0, ge=0, le=100_000)

    @model_validator(mode="after")
    def _belongs_together(self) -> Autoscaling:
        if self.class_ == "hpa":
            if self.metric not in (None, "cpu", "memory"):
                raise ValueError(f"a HorizontalPodAutoscaler scales by cpu or memory, not {self.metric}")
            if self.target is not None and self.target > 100:
                raise ValueError(f"target: {self.target} percent is not between 1 and 100")
        elif self.class_ != "none" and (self.metric or self.target is not None):
            raise ValueError("metric and target belong to class hpa")
        keda = bool(self.query or self.server_address or self.value or self.scale_down_seconds is not None)
        if self.class_ != "keda" and keda:
            raise ValueError("query, serverAddress, value and scaleDownSeconds belong to class keda")
        if self.class_ == "keda" and not (self.server_address and self.value):
            raise ValueError("class keda needs serverAddress (of Prometheus) and value")
        return self


class SecretKey(Table):
    """A key of a Secret in the service's namespace."""

    name: ObjectName
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")


class Variable(Table):
    """An environment variable: a value, or a secret by reference."""

    name: VariableName
    value: str | None = Field(default=None, max_length=32_768)
    secret_key_ref: SecretKey | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Variable:
        if (self.value is None) == (self.secret_key_ref is None):
            raise ValueError("give either value or secretKeyRef")
        if self.value is not None and SECRET_WORD.search(self.name):
            raise ValueError(f"{self.name} looks like a secret: use secretKeyRef {{name, key}}")
        return self


class Health(Table):
    """Pages that tell a replica's health; empty: those of its engine."""

    live: str = Field(default="", pattern=r"^(/.*)?$", max_length=1024)
    ready: str = Field(default="", pattern=r"^(/.*)?$", max_length=1024)
    startup_seconds: int = Field(default=1800, ge=30, le=14_400)


class Toleration(Table):
    """A taint that the pods put up with; that of their GPUs is added by itself."""

    key: Annotated[str, Field(max_length=317)] = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = Field(default="", max_length=63)
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""

    @model_validator(mode="after")
    def _says_something(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise ValueError("Kubernetes refuses a value with operator Exists: write operator: Equal")
        if self.operator == "Equal" and not self.key:
            raise ValueError("Kubernetes refuses operator Equal without a key")
        return self


class TopologySpread(Table):
    """How far the replicas may be out of balance over the values of a node's label."""

    topology_key: LabelKey
    max_skew: int = Field(default=1, ge=1, le=1000)
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"


class Workers(Table):
    """One replica over several nodes: its layers in `pipelineParallelSize` parts, each on `tensorParallelSize` GPUs."""

    pipeline_parallel_size: int = Field(ge=1, le=64)
    tensor_parallel_size: int = Field(ge=1, le=64)

    @property
    def gpus(self) -> int:
        """Of one replica, on all its nodes."""
        return self.pipeline_parallel_size * self.tensor_parallel_size


class Canary(Table):
    """A rollout that sends the new revision a growing share of the traffic.

    Attributes:
        steps: percent of the traffic, rising, below 100; empty: all at once.
        hold: how long each step lasts at least.
    """

    steps: tuple[Annotated[int, Field(ge=1, le=99)], ...] = Field(default=(), max_length=20)
    hold: DurationText = timedelta(minutes=10)

    @field_validator("steps")
    @classmethod
    def _rise(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError("the steps rise from one to the next, such as [10, 50]")
        return steps

    @field_validator("hold")
    @classmethod
    def _holds(cls, hold: timedelta) -> timedelta:
        if not timedelta(0) < hold <= timedelta(days=7):
            raise ValueError("a step is held for more than nothing and at most 7d")
        return hold


class Validation(Table):
    """What a rollout has to prove: an answer to a real request of the model's type, and these bounds.

    Attributes:
        latency: longest that the answer may take; None: no bound.
        error_rate: highest share of failed requests in the window, 0 to 1; None: no bound.
        window: how long after the rollout requests are watched.
    """

    latency: DurationText | None = None
    error_rate: float | None = Field(default=None, ge=0, le=1)
    window: DurationText = timedelta(minutes=2)

    @field_validator("latency", "window")
    @classmethod
    def _lasts(cls, lasting: timedelta | None) -> timedelta | None:
        if lasting is not None and not timedelta(0) < lasting <= timedelta(days=1):
            raise ValueError("it is more than nothing and at most 1d")
        return lasting
