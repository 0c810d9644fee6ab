"""The tables `[telemetry]`, `[[objective]]` and `[[alert]]` of the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from backend.core.settings import Duration, Settings

_SHORTEST_INTERVAL: Final = timedelta(milliseconds=500)
_LONGEST_INTERVAL: Final = timedelta(minutes=5)


class TelemetryConfig(Settings):
    """How often GPUs and model servers are sampled, and how long series are kept.

    Attributes:
        interval: between two samples, 500ms to 5m.
        keep: age at which series are thrown away, at least an hour.
    """

    interval: Duration = timedelta(seconds=2)
    keep: Duration = timedelta(days=30)

    @field_validator("interval")
    @classmethod
    def _interval_is_sensible(cls, interval: timedelta) -> timedelta:
        if not _SHORTEST_INTERVAL <= interval <= _LONGEST_INTERVAL:
            raise ValueError("an interval is 500ms to 5m")
        return interval

    @field_validator("keep")
    @classmethod
    def _something_is_kept(cls, keep: timedelta) -> timedelta:
        if keep < timedelta(hours=1):
            raise ValueError("keep at least 1h")
        return keep


class ObjectiveConfig(Settings):
    """What services promise.

    Attributes:
        services: globs on `namespace/name`.
        ttft_p95: 95 of 100 requests get their first token within this time.
        inter_token_p95: 95 of 100 tokens come within this time after the one before.
        error_rate: share of requests that may fail, 0 to 1.
    """

    services: tuple[str, ...] = Field(min_length=1)
    ttft_p95: Duration | None = None
    inter_token_p95: Duration | None = None
    error_rate: float | None = Field(default=None, ge=0, le=1)

    @field_validator("services")
    @classmethod
    def _services_have_a_namespace(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in services:
            if pattern.count("/") != 1 or pattern.startswith("/") or pattern.endswith("/"):
                raise ValueError(f'{pattern!r} is not of the form NAMESPACE/NAME, such as "llm-prod/*"')
        return services

    @model_validator(mode="after")
    def _something_is_promised(self) -> ObjectiveConfig:
        if self.ttft_p95 is None and self.inter_token_p95 is None and self.error_rate is None:
            raise ValueError("promise something: ttft_p95, inter_token_p95 or error_rate")
        for promised in (self.ttft_p95, self.inter_token_p95):
            if promised is not None and promised <= timedelta(0):
                raise ValueError("a promised time is above zero")
        return self


class AlertConfig(Settings):
    """When somebody is told.

    Attributes:
        kind: `gpu-idle`: a GPU is allocated and does nothing.
        lasting: written `for`: how long it has to be so.
    """

    kind: Literal["gpu-idle"]
    lasting: Duration = Field(default=timedelta(minutes=30), alias="for")

    @field_validator("lasting")
    @classmethod
    def _lasts_a_while(cls, lasting: timedelta) -> timedelta:
        if lasting < timedelta(minutes=1):
            raise ValueError("an alert waits for at least 1m")
        return lasting
