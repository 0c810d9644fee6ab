"""Templates that ServingRuntimes are made of: their form, and the immutable runtime that one makes of an image.

The shapes are those of KServe v0.20 (`serving.kserve.io/v1alpha1`); what probes, ports and memory engines want is told
by the reference page on KServe, "Shapes". A runtime is named by its template, its image's version and its own content:
what would be another runtime has another name, and the services of the old one are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, Field, field_validator, model_validator

from backend.core.canonical import hash_of
from backend.core.views import TemplateView
from backend.serving.deployment_fields import Argument, ObjectName, Quantity
from backend.serving.deployment_tables import SecretKey, Table, Variable
from backend.serving.display import without_noise
from backend.serving.manifests import CONTAINER, MANAGED_BY

#: Recommended labels of Kubernetes: which template, in which version, made the runtime.
TEMPLATE: Final = "app.kubernetes.io/name"
TEMPLATE_VERSION: Final = "app.kubernetes.io/version"
COMPONENT: Final = "app.kubernetes.io/component"
_PERIOD: Final = 10
#: A busy engine answers later than the API's default of one second, and would be killed for it.
_LIVENESS_TIMEOUT: Final = 10
# KServe and others write runtimes' names into labels.
_LONGEST_NAME: Final = 63
_HASH: Final = 6
_NOT_NAME: Final = re.compile(r"[^a-z0-9]+")
_TEMPLATE_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?\Z")
_VERSION: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,30}[A-Za-z0-9])?\Z")


def _template_name(text: str) -> str:
    if not _TEMPLATE_NAME.match(text):
        raise ValueError("a template's name has at most 30 lower-case letters, digits and dashes, a letter first")
    return text


def _version(text: str) -> str:
    if not _VERSION.match(text):
        raise ValueError('a version is a label of Kubernetes: write it as text, such as "1" or "2.1"')
    return text


class Format(Table):
    """A model format that the runtime serves; services name it, nothing chooses it by itself."""

    name: str = Field(min_length=1, max_length=253)
    version: str = Field(default="", max_length=64)


class Port(Table):
    """A port of the container; the first one is the service's."""

    port: int = Field(ge=1, le=65_535)
    name: str = Field(default="", pattern=r"^([a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?)?$")


class Page(Table):
    """A page on a port."""

    port: int = Field(ge=1, le=65_535)
    path: str = Field(pattern=r"^/", max_length=1024)


class Probes(Table):
    """How the engine's health is asked; without pages an open port counts.

    Attributes:
        startup_seconds: that loading may take. initial_delay: seconds before the first probe.
    """

    live: str = Field(default="", pattern=r"^(/.*)?$", max_length=1024)
    ready: str = Field(default="", pattern=r"^(/.*)?$", max_length=1024)
    port: int | None = Field(default=None, ge=1, le=65_535)
    startup_seconds: int = Field(default=1800, ge=30, le=14_400)
    initial_delay: int = Field(default=0, ge=0, le=3600)


class Mount(Table):
    """A volume: a claim of the namespace, or without one a folder that goes with the pod."""

    name: ObjectName
    path: str = Field(pattern=r"^/", max_length=1024)
    claim: Annotated[str, Field(max_length=253)] = ""


class RuntimeTemplate(Table):
    """A whole template.

    Attributes:
        version: of the template: raise it when it changes.
        engine: family by which an image is approved.
        types: of models that it serves. images: patterns of the repositories that it is meant for.
        env: values, or secrets by reference. shm: size of /dev/shm.
        cpu, memory: requests and limits; services override them. notes: what to know before it is used.
    """

    name: Annotated[str, AfterValidator(_template_name)]
    version: Annotated[str, AfterValidator(_version)]
    title: str = Field(min_length=1, max_length=120)
    engine: Literal["vllm", "nim", "triton", "sglang", "tgi", "other"] = "other"
    types: tuple[str, ...] = Field(default=(), max_length=32)
    images: tuple[str, ...] = Field(default=(), max_length=32)
    formats: tuple[Format, ...] = Field(min_length=1, max_length=16)
    protocols: tuple[Literal["v1", "v2", "grpc-v2"], ...] = Field(default=("v1", "v2"), max_length=3)
    command: tuple[Argument, ...] = Field(default=(), max_length=64)
    args: tuple[Argument, ...] = Field(default=(), max_length=256)
    env: tuple[Variable, ...] = Field(default=(), max_length=256)
    image_pull_secrets: tuple[ObjectName, ...] = Field(default=(), max_length=16)
    ports: tuple[Port, ...] = Field(min_length=1, max_length=16)
    probes: Probes = Probes()
    metrics: Page | None = None
    shm: Quantity = "16Gi"
    mounts: tuple[Mount, ...] = Field(default=(), max_length=16)
    cpu: Quantity | None = None
    memory: Quantity | None = None
    notes: tuple[str, ...] = Field(default=(), max_length=16)

    @field_validator("ports")
    @classmethod
    def _ports_differ(cls, ports: tuple[Port, ...]) -> tuple[Port, ...]:
        if len({one.port for one in ports}) != len(ports):
            raise ValueError("the same port stands there twice")
        if len(ports) > 1 and (not all(one.name for one in ports) or len({one.name for one in ports}) != len(ports)):
            raise ValueError("with several ports each needs a name of its own")
        return ports

    @field_validator("env")
    @classmethod
    def _variables_differ(cls, env: tuple[Variable, ...]) -> tuple[Variable, ...]:
        if len({one.name for one in env}) != len(env):
            raise ValueError("env names the same variable twice")
        return env

    @model_validator(mode="after")
    def _ports_are_there(self) -> RuntimeTemplate:
        known = {one.port for one in self.ports}
        for asked in (self.probes.port, self.metrics.port if self.metrics else None):
            if asked is not None and asked not in known:
                raise ValueError(f"port {asked} is asked and not among ports")
        return self


class RuntimeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a runtime is to be made of.

    Attributes:
        image: `host/repository@digest`. tag: by which it is known, for the name; or empty.
        name: instead of the one that is made. secrets: by variable, the secret and its key instead of the template's.
        pull_secrets: instead of the template's, unless empty. claims: by volume, the claim that holds it.
    """

    template: str
    image: str
    tag: str
    namespace: str
    name: str = ""
    secrets: dict[str, tuple[str, str]] = {}
    pull_secrets: tuple[str, ...] = ()
    claims: dict[str, str] = {}


def runtime_of(template: RuntimeTemplate, request: RuntimeRequest) -> dict[str, Any]:
    """The ServingRuntime that a template makes of an image."""
    spec = _spec(template, request)
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {
            "name": request.name or _name(template, request.tag, spec),
            "namespace": request.namespace,
            "labels": {
                MANAGED_BY: "modelyard",
                COMPONENT: "serving-runtime",
                TEMPLATE: template.name,
                TEMPLATE_VERSION: template.version,
            },
        },
        "spec": spec,
    }


def same_content(live: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether a runtime that is there is what a template makes now, whatever the server filled in."""
    return _within(without_noise(live).get("spec"), manifest["spec"])


def keys_at(location: tuple[str | int, ...]) -> list[str]:
    """The keys of the table at a location of a template's file."""
    tables: dict[str, type[Table]] = {
        "formats": Format,
        "ports": Port,
        "probes": Probes,
        "metrics": Page,
        "mounts": Mount,
        "env": Variable,
        "secretKeyRef": SecretKey,
    }
    named = [part for part in location if isinstance(part, str)]
    table = tables.get(named[-1], RuntimeTemplate) if named else RuntimeTemplate
    return sorted(field.alias or name for name, field in table.model_fields.items())


def template_view(template: RuntimeTemplate, source: str) -> TemplateView:
    """A template as it is shown."""
    secrets = [
        f"{one.name} from {one.secret_key_ref.name}/{one.secret_key_ref.key}"
        for one in template.env
        if one.secret_key_ref is not None
    ]
    return TemplateView(
        name=template.name,
        version=template.version,
        title=template.title,
        engine=template.engine,
        types=template.types,
        formats=tuple(f"{one.name} {one.version}".strip() for one in template.formats),
        protocols=template.protocols,
        images=template.images,
        ports=tuple(one.port for one in template.ports),
        secrets=tuple(secrets),
        pull_secrets=template.image_pull_secrets,
        source=source,
        notes=template.notes,
    )


# ---------------------------------------------------------------- making


def _spec(template: RuntimeTemplate, request: RuntimeRequest) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if template.metrics is not None:
        spec["annotations"] = {
            "prometheus.kserve.io/port": str(template.metrics.port),
            "prometheus.kserve.io/path": template.metrics.path,
        }
    spec["supportedModelFormats"] = [
        {"name": one.name, **({"version": one.version} if one.version else {}), "autoSelect": False}
        for one in template.formats
    ]
    spec["protocolVersions"] = list(template.protocols)
    if pull := request.pull_secrets or template.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in pull]
    spec["volumes"] = [
        {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": template.shm}},
        *(_volume(mount, request.claims) for mount in template.mounts),
    ]
    spec["containers"] = [_container(template, request)]
    return spec


def _volume(mount: Mount, claims: Mapping[str, str]) -> dict[str, Any]:
    claim = claims.get(mount.name) or mount.claim
    if claim:
        return {"name": mount.name, "persistentVolumeClaim": {"claimName": claim}}
    return {"name": mount.name, "emptyDir": {}}


def _container(template: RuntimeTemplate, request: RuntimeRequest) -> dict[str, Any]:
    container: dict[str, Any] = {"name": CONTAINER, "image": request.image}
    if template.command:
        container["command"] = list(template.command)
    if template.args:
        container["args"] = list(template.args)
    if template.env:
        container["env"] = [_variable(one, request.secrets) for one in template.env]
    container["ports"] = [
        {"containerPort": one.port, **({"name": one.name} if one.name else {}), "protocol": "TCP"}
        for one in template.ports
    ]
    asked = {key: value for key, value in (("cpu", template.cpu), ("memory", template.memory)) if value}
    if asked:
        container["resources"] = {"requests": asked, "limits": dict(asked)}
    container["volumeMounts"] = [
        {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - of the container
        *({"name": mount.name, "mountPath": mount.path} for mount in template.mounts),
    ]
    container.update(_probes(template))
    return container


def _variable(variable: Variable, secrets: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    if variable.secret_key_ref is None:
        return {"name": variable.name, "value": variable.value}
    name, key = secrets.get(variable.name) or (variable.secret_key_ref.name, variable.secret_key_ref.key)
    return {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _probes(template: RuntimeTemplate) -> dict[str, Any]:
    probes = template.probes
    port = probes.port or template.ports[0].port
    ready = {"httpGet": {"path": probes.ready, "port": port}} if probes.ready else {"tcpSocket": {"port": port}}
    live = {"httpGet": {"path": probes.live, "port": port}} if probes.live else {"tcpSocket": {"port": port}}
    delay = {"initialDelaySeconds": probes.initial_delay} if probes.initial_delay else {}
    failures = -(-probes.startup_seconds // _PERIOD)
    return {
        "startupProbe": {**ready, **delay, "periodSeconds": _PERIOD, "failureThreshold": failures},
        "readinessProbe": {**ready, "periodSeconds": _PERIOD, "timeoutSeconds": 5},
        "livenessProbe": {**live, "periodSeconds": _PERIOD, "timeoutSeconds": _LIVENESS_TIMEOUT, "failureThreshold": 6},
    }


def _name(template: RuntimeTemplate, tag: str, spec: Mapping[str, Any]) -> str:
    """Template, version of the image, and the content's hash: another content has another name."""
    content = hash_of({"template": template.version, "spec": dict(spec)}).partition(":")[2][:_HASH]
    version = _NOT_NAME.sub("-", re.sub(r"^v(?=\d)", "", tag.lower())).strip("-")
    room = _LONGEST_NAME - len(template.name) - len(content) - 2
    parts = (template.name, version[:room].strip("-"), content)
    return "-".join(part for part in parts if part)


def _within(value: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is so; lists have as many items, which may say more."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(key in value and _within(value[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_within(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return bool(value == wanted)
