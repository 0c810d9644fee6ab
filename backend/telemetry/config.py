"""The table `[telemetry]` of the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import field_validator

from backend.core.settings import Duration, Settings
from backend.telemetry.prometheus_config import PrometheusConfig

_SHORTEST_INTERVAL: Final = timedelta(milliseconds=500)
_LONGEST_INTERVAL: Final = timedelta(minutes=5)


class TelemetryConfig(Settings):
    """How often GPUs and model servers are sampled, and how long series are kept.

    Attributes:
        interval: between two samples, 500ms to 5m.
        keep: age at which series are thrown away, at least an hour.
        prometheus: that GPUs and model servers are read from, before exporters are asked; a table, or several.
    """

    interval: Duration = timedelta(seconds=2)
    keep: Duration = timedelta(days=30)
    prometheus: tuple[PrometheusConfig, ...] = ()

    @field_validator("prometheus", mode="before")
    @classmethod
    def _one_is_several(cls, value: object) -> object:
        return [value] if isinstance(value, dict) else value

    @field_validator("prometheus")
    @classmethod
    def _one_for_each_context(cls, tables: tuple[PrometheusConfig, ...]) -> tuple[PrometheusConfig, ...]:
        if len({one.context for one in tables}) < len(tables):
            raise ValueError("each context has one Prometheus: name the context of each")
        return tables

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
