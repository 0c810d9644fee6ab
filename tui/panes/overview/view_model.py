"""What changed, and the lines WHY and NEXT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from backend.core.views import ChangeView, ServiceView
from tui import format as fmt
from tui.document import Line, Span, join, text
from tui.header import BROKEN
from tui.panes.deployments.view_model import look
from tui.widgets.columns import Column


def newest_first(changes: Iterable[ChangeView]) -> list[ChangeView]:
    """Changes, the newest first."""
    return sorted(changes, key=lambda change: change.at, reverse=True)


def suspect_of(change: ChangeView, services: Iterable[ServiceView]) -> ServiceView | None:
    """The broken service that this change was made to before it broke; it may be the cause, and is not called so."""
    for service in services:
        named = service.verdict in BROKEN and f"{service.namespace}/{service.name}" in change.object
        if named and (service.since is None or change.at <= service.since):
            return service
    return None


def change_columns(
    now: Callable[[], datetime], services: Callable[[], Iterable[ServiceView]]
) -> tuple[Column[ChangeView], ...]:
    """The columns of what changed."""
    del now

    def what(change: ChangeView) -> Line:
        suspect = suspect_of(change, services())
        note = (Span("← before " + look(suspect)[1], "bad"),) if suspect is not None else ()
        return join(text(change.what), text(change.object, "name"), text(change.detail, "muted"), note, gap="  ")

    return (
        Column(key="at", title="", cell=lambda change: text(fmt.clock_time(change.at), "muted"), minimum=5),
        Column(key="actor", title="", cell=lambda change: text(change.actor, "space"), minimum=6, maximum=18),
        Column(key="what", title="", cell=what, minimum=20, maximum=30, flex=1),
    )


def why_lines(why: Line, following: Line, width: int, lines: int) -> Sequence[Line]:
    """WHY and NEXT on one line where there is room, else on two."""
    first = (Span(" WHY  ", "heading"), *why)
    second = (Span(" NEXT " if lines > 1 else "  NEXT  ", "heading"), *following)
    if lines > 1:
        return (first, second)
    del width
    return ((*first, *second),)
