"""What people should be told of alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Set

from backend.core.views import AlertView
from backend.curation.notices import Item
from backend.curation.notify_config import NoticeKind
from backend.telemetry.alert_store import OURS
from backend.telemetry.conditions import GROUPED
from backend.telemetry.episodes import State


def items(alerts: Iterable[AlertView], told: Set[str]) -> list[Item]:
    """That an alert fires, and later that it is over: of ours alone, for Alertmanager tells of its own.

    What is silenced or was taken up is told nobody any more; that it is over is told where it was told to fire.

    Args:
        told: keys of what was told already.
    """
    found = []
    for alert in alerts:
        if alert.source != OURS or alert.silenced_until is not None or alert.fired_at is None:
            continue
        key = key_of(alert)
        if alert.state == State.FIRING and not alert.acknowledged_by:
            found.append(_item(alert, key, f"{alert.severity}: {alert.rule} {alert.object}: {alert.summary}"))
        elif alert.state == State.RESOLVED and any(one.startswith(f"alert {alert.id}") for one in told):
            found.append(_item(alert, f"alert {alert.id} over", f"over: {alert.rule} {alert.object}"))
    return found


def key_of(alert: AlertView) -> str:
    """What makes it the same thing to tell: an alert that comes to be about more services is told again."""
    return f"alert {alert.id} {len(alert.services)}" if alert.rule in GROUPED else f"alert {alert.id}"


def _item(alert: AlertView, key: str, text: str) -> Item:
    at = alert.resolved_at or alert.fired_at or alert.since
    return Item(key=key, kind=NoticeKind.ALERT, reference=alert.object, at=at, text=text)
