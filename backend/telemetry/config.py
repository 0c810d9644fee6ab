"""The tables `[telemetry]` and `[[price]]` of the configuration.

```toml
[telemetry]
interval = "2s"
keep = "30d"
max_size = "1GB"
currency = "USD"

[[price]]                           # the first that matches counts; none at all: hours, and no cost
gpu = "*H100*"
per_hour = 2.95
```
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field, field_validator

from backend.core.settings import Duration, Settings, Size
from backend.telemetry.prometheus_config import PrometheusConfig

_SHORTEST_INTERVAL: Final = timedelta(milliseconds=500)
_LONGEST_INTERVAL: Final = timedelta(minutes=5)
_SMALLEST_HISTORY: Final = 10 * 10**6


class TelemetryConfig(Settings):
    """How often GPUs and model servers are sampled, and how long series are kept.

    Attributes:
        interval: between two samples, 500ms to 5m.
        keep: age at which series are thrown away, at least an hour.
        prometheus: that GPUs and model servers are read from, before exporters are asked; a table, or several.
        max_size: of `telemetry.db`, at least 10MB; of what is too much the finest and oldest goes first.
        currency: of all prices.
    """

    interval: Duration = timedelta(seconds=2)
    keep: Duration = timedelta(days=30)
    max_size: Size = 10**9
    currency: str = Field(default="USD", pattern=r"^[A-Za-z]{1,8}$|^[€$£¥]$")
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

    @field_validator("max_size")
    @classmethod
    def _there_is_room(cls, size: int) -> int:
        if size < _SMALLEST_HISTORY:
            raise ValueError("leave it at least 10MB")
        return size


class PriceConfig(Settings):
    """What a GPU costs.

    Attributes:
        gpu: a glob on its product, upper and lower case alike, such as "*H100*"; the first table that matches counts.
            It may name a MIG profile, too ("*H100* 1g.10gb"); else an instance costs its share of the GPU.
        per_hour: in `[telemetry] currency`, whether it is used or not.
    """

    gpu: str = Field(min_length=1, max_length=200)
    per_hour: float = Field(ge=0, le=1_000_000, allow_inf_nan=False)
