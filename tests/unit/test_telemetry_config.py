"""What the tables of telemetry may say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from backend.core.settings import Settings
from backend.telemetry.alert_config import AlertConfig, AlertmanagerConfig, ObjectiveConfig
from backend.telemetry.config import TelemetryConfig


def test_the_tables_of_the_design_are_read() -> None:
    telemetry = TelemetryConfig.model_validate({"interval": "2s", "keep": "30d"})
    assert (telemetry.interval, telemetry.keep) == (timedelta(seconds=2), timedelta(days=30))
    assert telemetry == TelemetryConfig()
    objective = ObjectiveConfig.model_validate({"services": ["llm-prod/*"], "ttft_p95": "800ms"})
    assert objective.ttft_p95 == timedelta(milliseconds=800)
    assert AlertConfig.model_validate({"kind": "gpu-idle", "for": "30m"}).lasting == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (TelemetryConfig, {"interval": "100ms"}),
        (TelemetryConfig, {"interval": "1h"}),
        (TelemetryConfig, {"keep": "5m"}),
        (TelemetryConfig, {"unknown": 1}),
        (ObjectiveConfig, {"services": ["llm-prod/*"]}),
        (ObjectiveConfig, {"services": [], "ttft_p95": "1s"}),
        (ObjectiveConfig, {"services": ["llm-prod"], "ttft_p95": "1s"}),
        (ObjectiveConfig, {"services": ["a/b/c"], "ttft_p95": "1s"}),
        (ObjectiveConfig, {"services": ["a/b"], "ttft_p95": "0s"}),
        (ObjectiveConfig, {"services": ["a/b"], "error_rate": 5}),
        (AlertConfig, {"kind": "gpu-on-fire"}),
        (AlertConfig, {"kind": "gpu-idle", "for": "1s"}),
        (AlertConfig, {"kind": "gpu-idle", "lasting": "30m"}),
        (AlertConfig, {"kind": "gpu-fault", "for": "-1s"}),
        (AlertConfig, {"kind": "gpu-fault", "severity": "terrible"}),
        (AlertConfig, {"kind": "service-down", "services": ["llama"]}),
        (ObjectiveConfig, {"services": ["a/b"], "availability": 1}),
        (AlertmanagerConfig, {"url": "http://alerts.example.org"}),
        (AlertmanagerConfig, {"url": "https://user:word@alerts.example.org"}),
        (AlertmanagerConfig, {"url": "alerts.example.org"}),
        (AlertmanagerConfig, {"url": "https://alerts.example.org", "token": "secret"}),
        (AlertmanagerConfig, {"url": "https://alerts.example.org", "every": "1s"}),
    ],
)
def test_what_makes_no_sense_is_refused(model: type[Settings], values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)
