"""The page of one service."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.errors import ModelyardError
from backend.core.views import ServiceDetailView, ServiceView
from tui.document import EMPTY, Line, Section, Span, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.deployments.actions import ServiceActions
from tui.panes.deployments.detail_model import service_sections
from tui.panes.deployments.view_model import look


class ServicePage(DetailPage, ServiceActions):
    """Verdict, conditions, pods, events, timeline and endpoints of a service; it follows what the cluster does."""

    CSS_PATH = "../common/common.tcss"
    pane = "service"
    parts = frozenset({PartName.SERVICES, PartName.GPUS})

    def __init__(self, key: str) -> None:
        """
        Args:
            key: `context/namespace/name`.
        """
        super().__init__()
        self._key = key
        self._last: ServiceView | None = None
        self._detail_view: ServiceDetailView | None = None
        self._problem: Problem | None = None
        self._read_of: ServiceView | None = None
        self._reading = False

    def current_service(self) -> ServiceView | None:
        return self.model.services.value.get(self._key) or self._last

    def title_parts(self) -> tuple[str, str, Line, Line]:
        service = self.current_service()
        _, namespace, name = self._key.rsplit("/", 2)
        if service is None:
            return "3", f"{namespace}/{name}", EMPTY, EMPTY
        gone = self._key not in self.model.services.value
        mark, word, role = look(service)
        state = text("GONE", "alarm") if gone else (Span(f"{mark.strip()} {word}".strip(), role),)
        return "3", f"{namespace}/{name}", state, text(service.context, "muted")

    def sections(self) -> Sequence[Section]:
        service = self.current_service()
        if service is None:
            told = "It has not appeared in the cluster yet." if self._problem is None else ""
            lines = problem_lines(self._problem) if self._problem is not None else (text(told, "muted"),)
            return (Section("", lines),)
        sections = service_sections(service, self._detail_view, self.model.gpus.value, self.room.clock.now())
        if self._problem is not None:
            sections.insert(1, Section("Could not be read", problem_lines(self._problem)))
        return sections

    def reference(self) -> str:
        service = self.current_service()
        return service.images[0] if service is not None and service.images else self._key

    def show(self) -> None:
        service = self.current_service()
        super().show()
        if service is not None and service != self._read_of and not self._reading:
            self._reading = True
            self._read_of = service
            self.room.feed.spawn(self._read(service), f"reading {service.name}")

    async def _read(self, service: ServiceView) -> None:
        try:
            self._detail_view = await self._detail(service)
            self._last = self._detail_view.service
            self._problem = None
        except ModelyardError as error:
            self._problem = Problem.of(error)
        finally:
            self._reading = False
        if self.is_attached:
            self.show()

    def act_look_refresh(self) -> None:
        self._read_of = None
        super().act_look_refresh()
        self.show()
