"""The tabs of a service's page: one registry, so that each part of the program adds what it can tell of a service.

A tab is made from what is known; what has to be read first names a `read`, which is awaited when the tab is first seen
and again when the service changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.core.views import GpuSnapshotView, ServiceDetailView, ServiceView
from tui.document import Line, Section, Span, text
from tui.model import Problem
from tui.ports import ScreenYard

INFERENCE_SERVICE = "InferenceService"
WITH_PODS = (INFERENCE_SERVICE, "LLMInferenceService")


@dataclass(frozen=True, kw_only=True)
class TabContext:
    """What a tab is made from.

    Attributes:
        detail: None until it was read.
        told: what the tab's own `read` gave, None until then; `problem` is why it gave nothing.
    """

    service: ServiceView
    detail: ServiceDetailView | None
    snapshot: GpuSnapshotView | None
    now: datetime
    told: Any = None
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceTab:
    """A tab.

    Attributes:
        id: `:tab ID` opens it.
        title: in the row of tabs.
        sections: what it shows.
        read: gives what it has to ask for; raises ModelyardError. None: service and detail are enough.
        count: how many there are, for the title; None: not known or of no interest.
        kinds: of services that it is offered for; empty: all.
    """

    id: str
    title: str
    sections: Callable[[TabContext], Sequence[Section]]
    read: Callable[[ScreenYard, ServiceView], Awaitable[Any]] | None = None
    count: Callable[[TabContext], int | None] = lambda _context: None
    kinds: tuple[str, ...] = ()

    def is_for(self, kind: str) -> bool:
        """Whether it is offered for services of a kind."""
        return not self.kinds or kind in self.kinds


def tab_line(tabs: Sequence[ServiceTab], at: int, counts: Sequence[int | None], width: int) -> Line:
    """The row of tabs; where it does not fit, those around the current one."""
    labels = [
        f"{tab.title} {count}" if count is not None else tab.title for tab, count in zip(tabs, counts, strict=True)
    ]
    first = 0
    while first < at and sum(len(label) + 3 for label in labels[first : at + 1]) + 4 > width:
        first += 1
    line: list[Span] = [Span(" " if first == 0 else "‹", "faint")]
    used = 1
    for index in range(first, len(tabs)):
        label = labels[index]
        if used + len(label) + 3 > width - 1 and index > at:
            line.append(Span("›", "faint"))
            break
        # The marks tell which is open where there are no colours.
        shown = text(f"[{label}]", "title-focus") if index == at else text(f" {label} ", "muted")
        line.extend((*shown, Span(" ")))
        used += len(label) + 3
    return tuple(line)
