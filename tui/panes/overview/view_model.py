"""What changed, and the lines WHY and NEXT."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from backend.core.views import ChangeView, ServiceView
from tui import format as fmt
from tui.document import Line, Span, join, text
from tui.header import BROKEN
from tui.panes.deployments.view_model import look
from tui.widgets.columns import Column

_SHOWN_SINGLY: Final = 3
_NAMED: Final = 3


def newest_first(changes: Iterable[ChangeView]) -> list[ChangeView]:
    """Changes, the newest first; many of a kind in one minute, such as the tags of a run, are one row."""
    ordered = sorted(changes, key=lambda change: change.at, reverse=True)
    groups: dict[tuple[str, str, datetime], list[ChangeView]] = {}
    for change in ordered:
        minute = change.at.replace(second=0, microsecond=0)
        groups.setdefault((change.actor, change.what, minute), []).append(change)
    rows: list[ChangeView] = []
    for group in groups.values():
        rows.extend(group if len(group) <= _SHOWN_SINGLY else [_together(group)])
    return sorted(rows, key=lambda change: change.at, reverse=True)


def _together(group: list[ChangeView]) -> ChangeView:
    first = group[0]
    named = ", ".join(change.object.rpartition("/")[2] for change in group[:_NAMED])
    return ChangeView(
        at=first.at,
        actor=first.actor,
        what=f"{first.what} ×{len(group)}",
        object=named,
        detail=f"and {len(group) - _NAMED} more",
    )


def broken_services(services: Iterable[ServiceView]) -> list[ServiceView]:
    """Those that failed or are stuck."""
    return [service for service in services if service.verdict in BROKEN]


def suspect_of(change: ChangeView, broken: Iterable[ServiceView]) -> ServiceView | None:
    """The broken service that this change was made to before it broke; it may be the cause, and is not called so."""
    for service in broken:
        named = f"{service.namespace}/{service.name}" in change.object
        if named and (service.since is None or change.at <= service.since):
            return service
    return None


def change_columns(broken: Callable[[], Iterable[ServiceView]]) -> tuple[Column[ChangeView], ...]:
    """The columns of what changed, beside the services that are broken now."""

    def what(change: ChangeView) -> Line:
        suspect = suspect_of(change, broken())
        note = (Span("← before " + look(suspect)[1], "bad"),) if suspect is not None else ()
        return join(text(change.what), text(change.object, "name"), text(change.detail, "muted"), note, gap="  ")

    return (
        Column(key="at", title="", cell=lambda change: text(fmt.clock_time(change.at), "muted"), minimum=5),
        Column(key="actor", title="", cell=lambda change: text(change.actor, "space"), minimum=6, maximum=18),
        Column(key="what", title="", cell=what, minimum=20, maximum=30, flex=1),
    )
