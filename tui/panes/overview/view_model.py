"""What changed, and the lines WHY and NEXT."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.timeline import BROKEN, with_suspects
from backend.core.views import ChangeView, ServiceView
from tui import format as fmt
from tui.document import Line, join, text
from tui.panes.deployments.proof_model import short_digests, suspect_note
from tui.widgets.columns import Column

_SHOWN_SINGLY: Final = 3
_NAMED: Final = 3


def newest_first(changes: Iterable[ChangeView]) -> list[ChangeView]:
    """Changes, the newest first; many of a kind in one minute, such as the tags of a run, are one row."""
    ordered = sorted(changes, key=lambda change: change.at, reverse=True)
    groups: dict[tuple[str, str, datetime], list[ChangeView]] = {}
    for change in ordered:
        minute = change.at.replace(second=0, microsecond=0)
        # What may have broken something stands by itself.
        what = f"{change.what} {change.suspected}"
        groups.setdefault((change.actor, what, minute), []).append(change)
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
    """Those that failed, are stuck or serve with too little."""
    return [service for service in services if service.verdict in BROKEN]


def suspected(changes: Sequence[ChangeView], broken: Iterable[ServiceView]) -> list[ChangeView]:
    """The changes; the one nearest before each failure of now says what failed after it, a guess by time alone."""
    unsaid = [msgspec.structs.replace(change, suspected="") if change.suspected else change for change in changes]
    return with_suspects(unsaid, broken)


def change_columns() -> tuple[Column[ChangeView], ...]:
    """The columns of what changed."""

    def what(change: ChangeView) -> Line:
        return join(
            text(change.what),
            text(short_digests(change.object), "name"),
            suspect_note(change),
            text(change.detail, "muted"),
            gap="  ",
        )

    return (
        Column(key="at", title="", cell=lambda change: text(fmt.clock_time(change.at), "muted"), minimum=5),
        Column(key="actor", title="", cell=lambda change: text(change.actor, "space"), minimum=6, maximum=18),
        Column(key="what", title="", cell=what, minimum=20, maximum=30, flex=1),
    )
