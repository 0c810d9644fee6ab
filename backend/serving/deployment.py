"""The deployment file: what a person writes to serve an image, and nothing that its manifests can be made from."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from backend.core.errors import UsageError
from backend.core.references import ImageReference, parse_reference
from backend.core.settings import Settings
from backend.serving.yaml_lines import dump, line_of, read_document

# KServe v0.20, webhook of InferenceService: the name, and how long it may be.
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
MAX_NAME: Final = 48
#: In Standard mode; longer ones are admitted and fail in the controller.
MAX_NAME_AND_NAMESPACE: Final = 52
#: The runtime of a service that brings its own containers.
OWN_CONTAINERS: Final = "custom"
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
# Kubernetes resource.Quantity, positive.
_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?\Z")
_RESOURCE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Names of environment variables that hold secrets.
SECRET_WORD: Final = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|PRIVATE_?KEY|CREDENTIAL)", re.I)
_SCHEMES: Final = ("gs", "s3", "pvc", "file", "http", "https", "hdfs", "webhdfs", "oci", "oci+native", "hf")


def _name(text: str) -> str:
    if len(text) > MAX_NAME:
        raise ValueError(f"KServe takes at most {MAX_NAME} characters, this has {len(text)}")
    if not _NAME.match(text):
        raise ValueError("KServe takes lower-case letters, digits and dashes, a letter first and no dash last")
    return text


def _namespace(text: str) -> str:
    if not _LABEL.match(text):
        raise ValueError("a namespace has 1 to 63 lower-case letters, digits and dashes, no dash at its ends")
    return text


def _object_name(text: str) -> str:
    if not _SUBDOMAIN.match(text):
        raise ValueError("it is no name of a Kubernetes object")
    return text


def _quantity(value: object) -> object:
    """YAML reads `8` as a number; a quantity is text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _is_quantity(text: str) -> str:
    if not _QUANTITY.match(text):
        raise ValueError('write a quantity of Kubernetes, such as "8", "500m" or "48Gi"')
    return text


def _image(text: str) -> str:
    try:
        reference = parse_reference(text)
    except UsageError as error:
        raise ValueError(error.why) from error
    if not isinstance(reference, ImageReference) or reference.digest is None:
        raise ValueError("an image is deployed by its digest only: write host/repository@sha256:...")
    if not any(mark in reference.registry for mark in ".:") and reference.registry != "localhost":
        raise ValueError(f"{reference.registry!r} is no host, and the cluster knows no configured names")
    return f"{reference.registry}/{reference.repository}@{reference.digest}"


def _storage_uri(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if text and (not separator or scheme not in _SCHEMES or not rest):
        raise ValueError(f"KServe takes addresses that start with {', '.join(_SCHEMES)} and ://")
    return text


Name = Annotated[str, AfterValidator(_name)]
NamespaceName = Annotated[str, AfterValidator(_namespace)]
ObjectName = Annotated[str, AfterValidator(_object_name)]
Quantity = Annotated[str, BeforeValidator(_quantity), AfterValidator(_is_quantity)]
Argument = Annotated[str, Field(max_length=4096)]


class _Table(Settings):
    """A table of the file: its keys are camelCase, as Kubernetes' are."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class ModelSource(_Table):
    """What fixes the weights; what is empty nothing fixes."""

    storage_uri: Annotated[str, AfterValidator(_storage_uri)] = ""
    profile: str = Field(default="", max_length=256)
    revision: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._/-]*$")


class ResourceSettings(_Table):
    """What each replica asks for; requests equal limits."""

    gpu: int = Field(default=0, ge=0, le=64)
    gpu_resource: str = Field(default="nvidia.com/gpu", pattern=_RESOURCE.pattern.removesuffix(r"\Z") + "$")
    cpu: Quantity | None = None
    memory: Quantity | None = None


class Replicas(_Table):
    """How many replicas serve; `max` matters to an autoscaler alone."""

    min: int = Field(default=1, ge=0, le=1000)
    max: int | None = Field(default=None, ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}, which KServe refuses")
        return self


class Autoscaling(_Table):
    """What changes the number of replicas by itself.

    Attributes:
        metric, target: of class hpa, percent of cpu or memory.
        query, server_address, value: of class keda, a Prometheus query whose value per replica is aimed at.
    """

    class_: Literal["none", "hpa", "keda", "external"] = Field(default="none", alias="class")
    metric: Literal["cpu", "memory"] | None = None
    target: int | None = Field(default=None, ge=1, le=100)
    query: str = Field(default="", max_length=4096)
    server_address: str = Field(default="", max_length=2048)
    value: Quantity | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Autoscaling:
        if self.class_ != "hpa" and (self.metric or self.target):
            raise ValueError("metric and target belong to class hpa")
        asked = bool(self.query or self.server_address or self.value)
        if self.class_ != "keda" and asked:
            raise ValueError("query, serverAddress and value belong to class keda")
        if self.class_ == "keda" and not (self.query and self.server_address and self.value):
            raise ValueError("class keda needs query, serverAddress and value")
        return self


class SecretKey(_Table):
    """A key of a Secret in the service's namespace."""

    name: ObjectName
    key: str = Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")


class Variable(_Table):
    """An environment variable: a value, or a secret by reference."""

    name: str = Field(pattern=_VARIABLE.pattern.removesuffix(r"\Z") + "$", max_length=256)
    value: str | None = Field(default=None, max_length=32_768)
    secret_key_ref: SecretKey | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Variable:
        if self.name == "PYTHONPATH":
            raise ValueError("KServe refuses PYTHONPATH")
        if (self.value is None) == (self.secret_key_ref is None):
            raise ValueError("give either value or secretKeyRef")
        if self.value is not None and SECRET_WORD.search(self.name):
            raise ValueError(f"{self.name} looks like a secret: use secretKeyRef {{name, key}}")
        return self


class Health(_Table):
    """Pages that tell a replica's health; empty: those of its engine."""

    live: str = Field(default="", pattern=r"^(/.*)?$", max_length=1024)
    ready: str = Field(default="", pattern=r"^(/.*)?$", max_length=1024)
    startup_seconds: int = Field(default=1800, ge=30, le=14_400)


class DeploymentFile(_Table):
    """A whole deployment file."""

    name: Name
    namespace: NamespaceName
    image: Annotated[str, AfterValidator(_image)]
    model: ModelSource = ModelSource()
    runtime: Annotated[str, AfterValidator(lambda text: text or OWN_CONTAINERS)] = Field(
        default=OWN_CONTAINERS, max_length=253
    )
    model_format: str = Field(default="", max_length=253)
    mode: Literal["Standard", "Knative"] = "Standard"
    resources: ResourceSettings = ResourceSettings()
    replicas: Replicas = Replicas()
    autoscaling: Autoscaling = Autoscaling()
    command: tuple[Argument, ...] = Field(default=(), max_length=64)
    args: tuple[Argument, ...] = Field(default=(), max_length=256)
    env: tuple[Variable, ...] = Field(default=(), max_length=256)
    node_selector: dict[str, str] = Field(default_factory=dict)
    image_pull_secrets: tuple[ObjectName, ...] = Field(default=(), max_length=16)
    service_account: Annotated[str, AfterValidator(lambda text: _object_name(text) if text else text)] = ""
    port: int = Field(default=8000, ge=1, le=65_535)
    timeout: int = Field(default=600, ge=1, le=86_400)
    strategy: Literal["", "Recreate", "RollingUpdate"] = ""
    shm: Quantity = "16Gi"
    health: Health = Health()

    @property
    def own_containers(self) -> bool:
        """Whether the service brings its containers itself instead of naming a runtime."""
        return self.runtime == OWN_CONTAINERS

    @model_validator(mode="after")
    def _fits_together(self) -> DeploymentFile:
        if self.mode == "Standard" and len(self.name) + len(self.namespace) > MAX_NAME_AND_NAMESPACE:
            raise ValueError(
                f"name and namespace have {len(self.name) + len(self.namespace)} characters together; in Standard mode"
                f" KServe's controller fails above {MAX_NAME_AND_NAMESPACE}"
            )
        if not self.own_containers:
            _object_name(self.runtime)
        if self.mode == "Knative" and self.strategy:
            raise ValueError("KServe refuses a strategy outside Standard mode")
        if self.mode == "Knative" and self.autoscaling.class_ != "none":
            raise ValueError("autoscaling classes belong to Standard mode; Knative scales by concurrency itself")
        twice = [variable.name for variable in self.env]
        if len(set(twice)) != len(twice):
            raise ValueError("env names the same variable twice")
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


def explained(error: ValidationError, source: str, lines: dict[tuple[str | int, ...], int]) -> UsageError:
    """The first thing that is wrong with a deployment, by its line where lines are known."""
    problems = error.errors(include_url=False, include_input=False)
    first = problems[0]
    location = first["loc"]
    line = line_of(lines, location)
    name = ".".join(str(part) for part in location)
    action = "correct it"
    if first["type"] == "extra_forbidden":
        why = f"unknown key {name!r}"
        near = difflib.get_close_matches(str(location[-1]), _keys_at(location[:-1]), n=1)
        action = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(_keys_at(location[:-1]))}"
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
    }
    named = [part for part in location if isinstance(part, str)]
    table = tables.get(named[-1], DeploymentFile) if named else DeploymentFile
    return sorted(field.alias or name for name, field in table.model_fields.items())
