"""The configuration: composed of the rooms' own models, read from TOML, wrong keys and values told with their line."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

import msgspec
import platformdirs
from pydantic import BaseModel, Field, ValidationError

from backend.audit.config import AuditConfig
from backend.cluster.config import ClusterConfig, EnforceConfig
from backend.core.errors import ConfigurationError
from backend.core.settings import Settings
from backend.core.toml_lines import KeyPath, key_lines, line_of
from backend.curation.config import PolicyConfig, RoleConfig
from backend.curation.notify_config import NotifyConfig
from backend.curation.queue_config import QueueConfig
from backend.evidence.config import ScannerConfig
from backend.library.config import RuleConfig
from backend.registry.config import RegistryConfig
from backend.telemetry.alert_config import AlertConfig, AlertmanagerConfig, ObjectiveConfig
from backend.telemetry.config import PriceConfig, TelemetryConfig

_Model = TypeVar("_Model", bound=BaseModel)

SYSTEM_POLICY: Final = Path("/etc/modelyard/policy.toml")
_MAX_FILE: Final = 4 * 1024 * 1024
_AT_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")


class YardConfig(Settings):
    """The `[yard]` table: this installation's name, its database, and how it asks and tells who acts."""

    name: str = Field(default="modelyard", min_length=1, max_length=60)
    database: Path = Path("modelyard.db")
    confirm: Literal["type-name", "dialog"] = "type-name"
    identity: Literal["os", "cluster"] = "os"
    theme: str = ""


class Configuration(Settings):
    """A whole configuration file."""

    yard: YardConfig = Field(default_factory=dict, validate_default=True)
    registry: tuple[RegistryConfig, ...] = ()
    rule: tuple[RuleConfig, ...] = ()
    policy: PolicyConfig = Field(default_factory=dict, validate_default=True)
    role: tuple[RoleConfig, ...] = ()
    scanner: ScannerConfig = Field(default_factory=dict, validate_default=True)
    cluster: tuple[ClusterConfig, ...] = ()
    audit: AuditConfig = Field(default_factory=dict, validate_default=True)
    enforce: EnforceConfig = Field(default_factory=dict, validate_default=True)
    telemetry: TelemetryConfig = Field(default_factory=dict, validate_default=True)
    price: tuple[PriceConfig, ...] = ()
    objective: tuple[ObjectiveConfig, ...] = ()
    alert: tuple[AlertConfig, ...] = ()
    alertmanager: AlertmanagerConfig = Field(default_factory=dict, validate_default=True)
    queue: QueueConfig = Field(default_factory=dict, validate_default=True)
    notify: NotifyConfig = Field(default_factory=dict, validate_default=True)
    keys: dict[str, str] = Field(default_factory=dict)


class SystemPolicy(Settings):
    """`/etc/modelyard/policy.toml`: roles, policy and programs that decide, which a user's own file cannot loosen."""

    policy: PolicyConfig = Field(default_factory=dict, validate_default=True)
    role: tuple[RoleConfig, ...] = ()
    scanner: ScannerConfig = Field(default_factory=dict, validate_default=True)


class LoadedConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and where its parts came from.

    Attributes:
        path: the file, whether or not it exists.
        exists: whether it was there; without it everything has its default.
        policy_source: for the title bar, "policy: own file" or the system file's path.
        notes: what a person should know, such as tables that the system policy overrules.
        system_policy: where the system's policy is, or would be.
    """

    settings: Configuration
    path: Path
    exists: bool
    policy_source: str
    notes: tuple[str, ...] = ()
    system_policy: Path = SYSTEM_POLICY

    @property
    def folder(self) -> Path:
        """Where relative paths of keys and secrets start."""
        return self.path.parent

    def database_path(self, override: Path | None = None) -> Path:
        """The database's path: the override, or as configured, relative to the XDG data folder."""
        if override is not None:
            return override.expanduser().absolute()
        return data_folder() / self.settings.yard.database.expanduser()


def configuration_path(override: Path | None = None) -> Path:
    """The file to read: the override, `$MODELYARD_CONFIG`, or `modelyard/config.toml` in the XDG folder."""
    if override is not None:
        return override.expanduser().absolute()
    if named := os.environ.get("MODELYARD_CONFIG"):
        return Path(named).expanduser().absolute()
    return platformdirs.user_config_path("modelyard") / "config.toml"


def data_folder() -> Path:
    """The XDG data folder of Modelyard."""
    return platformdirs.user_data_path("modelyard")


def state_folder() -> Path:
    """The XDG state folder of Modelyard, where logs are."""
    return platformdirs.user_state_path("modelyard")


def load_configuration(path: Path | None = None, *, system_policy: Path = SYSTEM_POLICY) -> LoadedConfiguration:
    """Read and check the configuration.

    Args:
        path: a file that must exist; None: the usual place, where a missing file means all defaults.
        system_policy: the root-owned policy file that, when it is there, replaces `[policy]`, `[[role]]` and
            `[scanner]`.

    Raises:
        ConfigurationError: a file cannot be read, is not TOML, or holds an unknown key or a wrong value.
    """
    file = configuration_path(path)
    exists = file.exists()
    if not exists and (path is not None or os.environ.get("MODELYARD_CONFIG")):
        raise ConfigurationError("there is no such file", "name an existing file, or run modelyard init", path=file)
    settings = parse_settings(read_text(file), file) if exists else Configuration()
    if not system_policy.exists():
        return LoadedConfiguration(
            settings=settings, path=file, exists=exists, policy_source="policy: own file", system_policy=system_policy
        )
    _require_root_owned(system_policy)
    system = read_model(system_policy, SystemPolicy)
    overruled = [name for name in ("policy", "role", "scanner") if name in settings.model_fields_set]
    notes = tuple(f"[{name}] in {file} is not used: {system_policy} has it" for name in overruled)
    merged = settings.model_copy(update={"policy": system.policy, "role": system.role, "scanner": system.scanner})
    return LoadedConfiguration(
        settings=merged, path=file, exists=exists, policy_source=str(system_policy), notes=notes,
        system_policy=system_policy,
    )  # fmt: skip


def load_policy_tables(file: Path, system_policy: Path) -> tuple[PolicyConfig, tuple[RoleConfig, ...]]:
    """Policy and roles as the files say now, by the same precedence as `load_configuration`.

    Args:
        file: the user's own; a missing one means all defaults.

    Raises:
        ConfigurationError: the file that has them cannot be read, or is wrong.
    """
    if system_policy.exists():
        _require_root_owned(system_policy)
        system = read_model(system_policy, SystemPolicy)
        return system.policy, system.role
    settings = parse_settings(read_text(file), file) if file.exists() else Configuration()
    return settings.policy, settings.role


def read_model(file: Path, model: type[_Model]) -> _Model:
    """Read a TOML file into a model.

    Raises:
        ConfigurationError: with the line, for whatever is wrong.
    """
    return parse_model(read_text(file), file, model)


def parse_settings(text: str, file: Path) -> Configuration:
    """Read the text of a whole configuration file.

    Args:
        file: where the text is from, for errors.

    Raises:
        ConfigurationError: with the line, for whatever is wrong.
    """
    settings = parse_model(text, file, Configuration)
    _check_names(settings, text, file)
    return settings


def parse_model(text: str, file: Path, model: type[_Model]) -> _Model:
    """Read a TOML text into a model.

    Raises:
        ConfigurationError: with the line, for whatever is wrong.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _AT_LINE.search(str(error))
        raise ConfigurationError(
            _AT_LINE.sub("", str(error)).strip() or "it is not TOML",
            "correct the line",
            path=file,
            line=int(line.group(1)) if line else None,
        ) from error
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise _explained(error, file, key_lines(text), model) from error


def read_text(file: Path) -> str:
    """The text of a configuration file, its line ends as they are.

    Raises:
        ConfigurationError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        if file.stat().st_size > _MAX_FILE:
            raise ConfigurationError("it is larger than 4 MiB", "name a configuration file", path=file)
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"it cannot be read: {error.strerror}", "make it a file that you can read", path=file
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError("it is not UTF-8 text", "save it as UTF-8", path=file) from error


def _explained(
    error: ValidationError, file: Path, lines: Mapping[KeyPath, int], model: type[BaseModel]
) -> ConfigurationError:
    problems = error.errors(include_url=False, include_input=False)
    first = problems[0]
    location = first["loc"]
    name = ".".join(str(part) for part in location)
    action = "correct it"
    if first["type"] == "extra_forbidden":
        key = str(location[-1])
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(key, known, n=1)
        why = f"unknown key {name!r}"
        action = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known)) or 'nothing'}"
    elif first["type"] == "missing":
        why, action = f"{name!r} is missing", "add it"
    else:
        why = f"{name!r}: {first['msg'].removeprefix('Value error, ')}"
    if len(problems) > 1:
        why += f" (and {len(problems) - 1} more)"
    return ConfigurationError(why, action, path=file, line=line_of(dict(lines), location))


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys of the table at a location, as far as the models tell."""
    models: list[type[BaseModel]] = [model]
    for part in location:
        nested: list[type[BaseModel]] = []
        for current in models:
            field = current.model_fields.get(str(part))
            if field is not None:
                nested += _models_in(field.annotation)
        models = nested or models
    return sorted({key for current in models for key in current.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _check_names(settings: Configuration, text: str, file: Path) -> None:
    registries = [registry.name for registry in settings.registry]
    text_lines = key_lines(text) if settings.rule or registries else {}
    for kind, names in (("registry", registries), ("rule", [rule.name for rule in settings.rule])):
        twice = next((at for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise ConfigurationError(
                f"two [[{kind}]] tables are named {names[twice]!r}",
                "rename one",
                path=file,
                line=line_of(text_lines, (kind, twice, "name")),
            )
    for position, rule in enumerate(settings.rule):
        if rule.registry not in registries:
            raise ConfigurationError(
                f"rule {rule.name!r} names registry {rule.registry!r}, which is not configured",
                f"use one of: {', '.join(registries) or '(none configured)'}",
                path=file,
                line=line_of(text_lines, ("rule", position, "registry")),
            )


def _require_root_owned(file: Path) -> None:
    """A policy that a user can write is no policy."""
    information = file.stat()
    if information.st_uid != 0 or information.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            "it must belong to root and be writable by root alone",
            f"sudo chown root:root {file} && sudo chmod 644 {file}",
            path=file,
        )
