"""The columns of services: what matters less goes first where there is little room; wide, facts stand for reasons."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from backend.core.views import ServiceMetricsView, ServiceView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, text
from tui.panes.deployments.view_model import (
    approved_cell,
    gpus_cell,
    mark_cell,
    metrics_key,
    name_cell,
    rank,
    reason_cell,
    replicas_cell,
    verdict_cell,
)
from tui.widgets.columns import Column

#: What the model servers of a service measure, by its key.
Measured: TypeAlias = Callable[[str], ServiceMetricsView | None]
_MARK: Final = "●"
_STALE: Final = timedelta(seconds=60)


def service_columns(
    now: Callable[[], datetime],
    *,
    narrow: bool = False,
    wide: bool = False,
    several: bool = False,
    measured: Measured = lambda _key: None,
    marked: Container[str] = frozenset(),
) -> tuple[Column[ServiceView], ...]:
    """The columns of services.

    Args:
        narrow: for the overview. wide: facts of each service take the place of the reason.
        several: of several contexts, so that each row names its own.
        marked: keys of the rows that are marked.
    """

    def mark(service: ServiceView) -> Line:
        if service.key in marked:
            return (Span(_MARK, "mine"),)
        return mark_cell(service, measured(metrics_key(service)))

    name = Column[ServiceView](
        key="name",
        title="NAMESPACE/NAME",
        cell=name_cell,
        minimum=20,
        maximum=26 if narrow else 34,
        sort=lambda service: (service.namespace, service.name),
    )
    columns: list[Column[ServiceView]] = [
        Column(key="mark", title="", cell=mark, minimum=1, tight=True),
        Column(
            key="verdict",
            title="VERDICT",
            cell=lambda service: verdict_cell(service, measured(metrics_key(service))),
            minimum=8,
            sort=rank,
        ),
        *([_context(priority=1)] if several else []),
        name,
        *_amounts(narrow=narrow, wide=wide),
    ]
    since = Column[ServiceView](
        key="since",
        title="SINCE",
        cell=lambda service: text(fmt.age(service.since, now()), "muted"),
        minimum=4 if narrow else 5,
        right=True,
        sort=lambda service: service.since or datetime.min.replace(tzinfo=now().tzinfo),
    )
    why = Column[ServiceView](
        key="reason",
        title="WHY",
        cell=lambda service: reason_cell(service, measured(metrics_key(service))),
        minimum=20 if several else 22 if narrow else 26,
        maximum=60,
        flex=1,
        priority=9 if wide else 1,
    )
    if narrow:
        return (*columns, why, since)
    if wide:
        return (*columns, *_facts(first=2), *_traffic(measured, first=2), why, _created(now, priority=2))
    return (*columns, why, *_facts(first=4), *_traffic(measured, first=3), _created(now, priority=6), since)


def _context(priority: int) -> Column[ServiceView]:
    return Column(
        key="context",
        title="CONTEXT",
        cell=lambda service: text(service.context, "accent"),
        minimum=6,
        maximum=18,
        priority=priority,
        keep_end=True,
        sort=lambda service: service.context,
    )


def _amounts(*, narrow: bool, wide: bool) -> list[Column[ServiceView]]:
    return [
        Column(
            key="replicas",
            title="READY",
            cell=replicas_cell,
            minimum=3 if narrow else 5,
            maximum=7,
            right=True,
            sort=lambda service: service.ready_replicas - service.wanted_replicas,
        ),
        Column(
            key="gpus",
            title="GPUS",
            cell=gpus_cell,
            minimum=7,
            maximum=10,
            priority=1 if wide else 3,
            right=True,
            shown_from=0 if wide else 84,
            sort=lambda service: -service.gpus,
        ),
    ]


def _facts(*, first: int) -> list[Column[ServiceView]]:
    return [
        Column(
            key="approved",
            title="APPROVED",
            cell=approved_cell,
            minimum=10,
            maximum=12,
            priority=first,
            sort=lambda service: str(service.approved),
        ),
        Column(
            key="model",
            title="MODEL",
            cell=lambda service: text(service.model),
            minimum=12,
            maximum=34,
            priority=first + 1,
            keep_end=True,
            shown_from=100 if first == 2 else 170,
            sort=lambda service: service.model,
        ),
        Column(
            key="image",
            title="IMAGE",
            cell=lambda service: text(image_name(service), "muted"),
            minimum=14,
            maximum=44,
            priority=first + 3,
            keep_end=True,
            shown_from=130 if first == 2 else 185,
            sort=image_name,
        ),
        Column(
            key="runtime",
            title="RUNTIME",
            cell=lambda service: text(service.runtime, "faint"),
            minimum=8,
            maximum=16,
            priority=first + 4,
            shown_from=110 if first == 2 else 150,
            sort=lambda service: service.runtime,
        ),
        Column(
            key="mode",
            title="MODE",
            cell=lambda service: text(service.mode, "faint"),
            minimum=8,
            maximum=10,
            priority=first + 5,
            shown_from=140,
            sort=lambda service: service.mode,
        ),
        Column(
            key="owner",
            title="OWNER",
            cell=lambda service: text(service.owner, "muted"),
            minimum=7,
            maximum=12,
            priority=first + 5,
            shown_from=125,
            sort=lambda service: service.owner,
        ),
    ]


def _traffic(measured: Measured, *, first: int) -> list[Column[ServiceView]]:
    def rate(service: ServiceView) -> Line:
        metrics = measured(metrics_key(service))
        if metrics is None or metrics.requests_per_second is None:
            return EMPTY
        return text(rate_text(metrics.requests_per_second), "faint" if is_old(metrics) else "")

    def ttft(service: ServiceView) -> Line:
        metrics = measured(metrics_key(service))
        if metrics is None:
            return EMPTY
        if metrics.ttft is None or metrics.ttft.p95 is None:
            return text(fmt.UNKNOWN, "faint")
        role = "bad" if metrics.slow else "faint" if is_old(metrics) else ""
        return text(fmt.duration(metrics.ttft.p95), role)

    def by_rate(service: ServiceView) -> float:
        metrics = measured(metrics_key(service))
        return -(metrics.requests_per_second or 0.0) if metrics is not None else 1.0

    def by_ttft(service: ServiceView) -> float:
        metrics = measured(metrics_key(service))
        known = metrics.ttft.p95 if metrics is not None and metrics.ttft is not None else None
        return -known if known is not None else 1.0

    return [
        Column(
            key="traffic",
            title="TRAFFIC",
            cell=lambda service: text(service.traffic, "accent"),
            minimum=8,
            maximum=26,
            priority=first + 2,
            shown_from=120 if first == 2 else 165,
            sort=lambda service: service.traffic,
        ),
        Column(
            key="rate",
            title="REQ/S",
            cell=rate,
            minimum=5,
            maximum=6,
            right=True,
            priority=first,
            shown_from=90 if first == 2 else 112,
            sort=by_rate,
        ),
        Column(
            key="ttft",
            title="TTFT95",
            cell=ttft,
            minimum=6,
            maximum=7,
            right=True,
            priority=first,
            shown_from=90 if first == 2 else 112,
            sort=by_ttft,
        ),
    ]


def _created(now: Callable[[], datetime], *, priority: int) -> Column[ServiceView]:
    return Column(
        key="age",
        title="AGE",
        cell=lambda service: text(fmt.age(service.created_at, now()) if service.created_at else "", "muted"),
        minimum=4,
        right=True,
        priority=priority,
        shown_from=0 if priority == 2 else 160,
        sort=lambda service: service.created_at or datetime.max.replace(tzinfo=now().tzinfo),
    )


def image_name(service: ServiceView) -> str:
    """The first image without its registry and with the beginning of its digest."""
    if not service.images:
        return ""
    name, _, digest = service.images[0].partition("@")
    host, slash, path = name.partition("/")
    shown = path if slash and ("." in host or ":" in host or host == "localhost") else name
    return f"{shown}@{digest.removeprefix('sha256:')[:7]}" if digest else shown


def rate_text(rate: float) -> str:
    """Requests a second."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def is_old(metrics: ServiceMetricsView) -> bool:
    """Whether the numbers are of a while ago."""
    return metrics.age is not None and metrics.age > _STALE.total_seconds()
