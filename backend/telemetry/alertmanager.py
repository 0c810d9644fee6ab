"""Reads what Prometheus' Alertmanager tells (its API, version 2: `GET /api/v2/alerts`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from backend.core.canonical import canonical_json, sha256_hex
from backend.core.errors import MalformedDataError
from backend.core.ports import instant
from backend.core.text import sanitise
from backend.core.views import AlertView
from backend.telemetry.alert_config import Severity

#: The kind of all of them.
RULE: Final = "alertmanager"
#: So many are looked at; the rest is told of by its number.
MOST: Final = 500
_LONGEST: Final = 500
_SEVERITIES: Final = {
    **dict.fromkeys(("critical", "page", "emergency", "fatal"), Severity.CRITICAL),
    **dict.fromkeys(("warning", "error", "major", "minor", "high"), Severity.WARNING),
}


class _Status(msgspec.Struct, frozen=True):
    state: str = ""


class _Alert(msgspec.Struct, rename="camel"):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    starts_at: str = ""
    fingerprint: str = ""
    status: _Status = _Status()


_DECODER: Final = msgspec.json.Decoder(list[_Alert])


def read(page: bytes, source: str, context: str, now: datetime) -> tuple[AlertView, ...]:
    """The alerts that fire and that Alertmanager does not silence or inhibit itself.

    Args:
        page: as it answered.
        source: its address, for people.
        context: of the cluster that its services are in.
        now: for alerts that do not tell when they began.

    Raises:
        MalformedDataError: it is no list of alerts.
    """
    try:
        alerts = _DECODER.decode(page)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedDataError(
            f"alerts of {source}", f"they cannot be read: {sanitise(str(error), 200)}", "is that an Alertmanager?"
        ) from error
    found: dict[str, AlertView] = {}
    for alert in alerts:
        if alert.status.state in {"", "active"} and len(found) < MOST:
            view = _view(alert, source, context, now)
            found.setdefault(view.id, view)
    return tuple(found.values())


def _view(alert: _Alert, source: str, context: str, now: datetime) -> AlertView:
    labels = alert.labels
    name = labels.get("alertname", "") or "alert"
    annotations = alert.annotations
    told = next((annotations[key] for key in ("summary", "description", "message") if annotations.get(key)), "")
    started = _instant(alert.starts_at, now)
    fingerprint = alert.fingerprint or sha256_hex(canonical_json(dict(sorted(labels.items()))))
    return AlertView(
        # Of an alert that comes again the fingerprint is the same: when it began tells the episodes apart.
        id=sha256_hex(f"{source} {fingerprint} {alert.starts_at}".encode())[:32],
        rule=RULE,
        severity=_SEVERITIES.get(labels.get("severity", "").lower(), Severity.INFO).value,
        object=sanitise(" ".join((name, _about(labels))).strip(), _LONGEST),
        summary=sanitise(told or name, _LONGEST),
        state="firing",
        since=started,
        fired_at=started,
        services=_services(labels, context),
        source=source,
    )


def _about(labels: Mapping[str, str]) -> str:
    """What tells this alert from others of its name."""
    for keys in (("namespace", "pod"), ("node",), ("Hostname", "gpu"), ("instance",), ("namespace",)):
        told = [labels[key] for key in keys if labels.get(key)]
        if len(told) == len(keys):
            return "/".join(told)
    return ""


def _services(labels: Mapping[str, str], context: str) -> tuple[str, ...]:
    namespace = labels.get("namespace", "")
    for key in ("inferenceservice", "isvc", "serving_kserve_io_inferenceservice", "service_name"):
        if namespace and labels.get(key):
            return (f"{context}/{sanitise(namespace, 63)}/{sanitise(labels[key], 63)}",)
    return ()


def _instant(text: str, now: datetime) -> datetime:
    try:
        return min(instant(text), now)
    except ValueError:
        return now
