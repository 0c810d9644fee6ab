"""The tables `[[objective]]`, `[[alert]]` and `[alertmanager]` of the configuration.

```toml
[[objective]]
services = ["llm-prod/*"]           # globs on namespace/name
ttft_p95 = "800ms"
availability = 0.999                # share of time with a replica that serves

[[alert]]                           # none at all: every kind, as it comes
kind = "gpu-idle"
for = "30m"                         # how long it has to be so
clear = "5m"                        # how long it has to be otherwise, to be over
severity = "info"
services = ["llm-prod/*"]           # none: all

[alertmanager]
url = "https://alertmanager.example.org"
token = { env = "ALERTMANAGER_TOKEN" }
```
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from backend.core.settings import Duration, SecretReference, Settings


class AlertKind(StrEnum):
    """What is watched for."""

    GPU_FAULT = "gpu-fault"
    GPU_IDLE = "gpu-idle"
    GPU_USELESS = "gpu-useless"
    GPU_THROTTLED = "gpu-throttled"
    GPU_UNMEASURED = "gpu-unmeasured"
    GPU_PENDING = "gpu-pending"
    OBJECTIVE = "objective"
    SERVICE_DOWN = "service-down"
    UNAPPROVED = "unapproved-running"


class Severity(StrEnum):
    """How much it matters."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class ObjectiveConfig(Settings):
    """What services promise.

    Attributes:
        services: globs on `namespace/name`.
        ttft_p95: 95 of 100 requests get their first token within this time.
        inter_token_p95: 95 of 100 tokens come within this time after the one before.
        error_rate: share of requests that may fail, 0 to 1.
        availability: share of time with a replica that serves, above 0 to below 1.
    """

    services: tuple[str, ...] = Field(min_length=1)
    ttft_p95: Duration | None = None
    inter_token_p95: Duration | None = None
    error_rate: float | None = Field(default=None, ge=0, le=1)
    availability: float | None = Field(default=None, gt=0, lt=1)

    @field_validator("services")
    @classmethod
    def _services_have_a_namespace(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(services)

    @model_validator(mode="after")
    def _something_is_promised(self) -> ObjectiveConfig:
        promised = (self.ttft_p95, self.inter_token_p95, self.error_rate, self.availability)
        if all(one is None for one in promised):
            raise ValueError("promise something: ttft_p95, inter_token_p95, error_rate or availability")
        for time in (self.ttft_p95, self.inter_token_p95):
            if time is not None and time <= timedelta(0):
                raise ValueError("a promised time is above zero")
        return self


class AlertConfig(Settings):
    """When somebody is told.

    Attributes:
        lasting: written `for`: how long it has to be so; None: as the kind has it.
        clear: how long it has to be otherwise before it is over.
        severity: None: as the kind has it.
        services: globs on `namespace/name`; none: all, and what belongs to no service.
    """

    kind: AlertKind
    lasting: Duration | None = Field(default=None, alias="for")
    clear: Duration = timedelta(minutes=2)
    severity: Severity | None = None
    services: tuple[str, ...] = ()

    @field_validator("lasting", "clear")
    @classmethod
    def _lasts_a_while(cls, time: timedelta | None) -> timedelta | None:
        if time is not None and not timedelta(0) <= time <= timedelta(days=30):
            raise ValueError("it is between 0s and 30d")
        return time

    @field_validator("services")
    @classmethod
    def _services_have_a_namespace(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(services)

    @model_validator(mode="after")
    def _a_pause_is_no_alert(self) -> AlertConfig:
        at_least = timedelta(minutes=1)
        if self.kind in {AlertKind.GPU_IDLE, AlertKind.GPU_USELESS} and self.wait < at_least:
            raise ValueError(f"{self.kind} waits for at least 1m: requests pause")
        return self

    @property
    def wait(self) -> timedelta:
        """How long it has to be so before it fires."""
        return _WAITS[self.kind] if self.lasting is None else self.lasting

    @property
    def weight(self) -> Severity:
        """How much it matters."""
        return self.severity or _SEVERITIES[self.kind]


class AlertmanagerConfig(Settings):
    """Where Prometheus' Alertmanager is read; its alerts are shown, and told by itself.

    Attributes:
        url: of its root; none: it is not read.
        token: bearer token.
        ca: of the certificate authority to trust instead of the system's, a PEM file.
        every: between two readings.
    """

    url: str = Field(default="", max_length=2048)
    token: SecretReference | None = None
    ca: Path | None = None
    every: Duration = timedelta(seconds=30)
    insecure: bool = False

    @field_validator("every")
    @classmethod
    def _every_is_sensible(cls, every: timedelta) -> timedelta:
        if not timedelta(seconds=5) <= every <= timedelta(hours=1):
            raise ValueError("it is between 5s and 1h")
        return every

    @model_validator(mode="after")
    def _url_is_one(self) -> AlertmanagerConfig:
        if not self.url:
            return self
        try:
            parts = urlsplit(self.url)
        except ValueError as error:
            raise ValueError("url is none") from error
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("url starts with https:// and names a host")
        if parts.scheme == "http" and not self.insecure:
            raise ValueError("http:// needs insecure = true")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url holds no credentials: use token")
        return self


_WAITS: Final = {
    AlertKind.GPU_FAULT: timedelta(0),
    AlertKind.GPU_IDLE: timedelta(minutes=30),
    AlertKind.GPU_USELESS: timedelta(minutes=15),
    AlertKind.GPU_THROTTLED: timedelta(minutes=5),
    AlertKind.GPU_UNMEASURED: timedelta(minutes=10),
    AlertKind.GPU_PENDING: timedelta(minutes=10),
    AlertKind.OBJECTIVE: timedelta(minutes=5),
    AlertKind.SERVICE_DOWN: timedelta(minutes=2),
    # A decision and the watch of the cluster do not reach everybody in the same instant.
    AlertKind.UNAPPROVED: timedelta(minutes=1),
}
_SEVERITIES: Final = {
    AlertKind.GPU_FAULT: Severity.CRITICAL,
    AlertKind.GPU_IDLE: Severity.INFO,
    AlertKind.GPU_USELESS: Severity.INFO,
    AlertKind.GPU_THROTTLED: Severity.WARNING,
    AlertKind.GPU_UNMEASURED: Severity.WARNING,
    AlertKind.GPU_PENDING: Severity.WARNING,
    AlertKind.OBJECTIVE: Severity.WARNING,
    AlertKind.SERVICE_DOWN: Severity.CRITICAL,
    AlertKind.UNAPPROVED: Severity.CRITICAL,
}


def default_alerts() -> tuple[AlertConfig, ...]:
    """The rules where the configuration has none: every kind, as it comes."""
    return tuple(AlertConfig(kind=kind) for kind in AlertKind)


def _checked(services: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in services:
        if pattern.count("/") != 1 or pattern.startswith("/") or pattern.endswith("/"):
            raise ValueError(f'{pattern!r} is not of the form NAMESPACE/NAME, such as "llm-prod/*"')
    return services
