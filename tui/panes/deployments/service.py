"""The page of one service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from textual.widget import Widget

from backend.core.errors import ModelyardError
from backend.core.views import ServiceDetailView, ServiceView
from tui.document import EMPTY, Line, Section, Span, text
from tui.model import PartName, Problem
from tui.panes.alerts.view_model import alert_lines, of_service
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.deployments.actions import ServiceActions
from tui.panes.deployments.exporting import ExportAction
from tui.panes.deployments.opening import ChangeAction
from tui.panes.deployments.service_tabs import SERVICE_TABS
from tui.panes.deployments.settling import RuntimesAction
from tui.panes.deployments.tabs import INFERENCE_SERVICE, ServiceTab, TabContext, tab_line
from tui.panes.deployments.view_model import look
from tui.ports import ScreenYard
from tui.widgets.line_view import LineView
from tui.widgets.one_line import OneLine

_DETAIL: Final = ""


class ServicePage(DetailPage, ServiceActions, RuntimesAction, ExportAction, ChangeAction):
    """What is known of a service, in tabs; it follows what the cluster does."""

    CSS_PATH = "../common/common.tcss"
    pane = "service"
    parts = frozenset({PartName.SERVICES, PartName.GPUS, PartName.STATUS, PartName.ALERTS})

    def __init__(self, key: str, tab: str = "overview") -> None:
        """
        Args:
            key: `context/namespace/name`.
            tab: that is open first.
        """
        super().__init__()
        self._key = key
        self._last: ServiceView | None = None
        self._detail_view: ServiceDetailView | None = None
        self._tab = tab
        # By tab what it told, and by tab (the detail: an empty id) of which state of the service, and what went wrong.
        self._told: dict[str, Any] = {}
        self._read_of: dict[str, ServiceView] = {}
        self._problems: dict[str, Problem] = {}
        self._reading: set[str] = set()

    def above(self) -> Iterable[Widget]:
        yield OneLine(id="tabs")

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
        return "3", f"{namespace}/{name}".lstrip("/"), state, text(service.context, "muted")

    # ------------------------------------------------------------ tabs

    @property
    def tabs(self) -> list[ServiceTab]:
        """Those that are offered for this service."""
        service = self.current_service()
        return [tab for tab in SERVICE_TABS if tab.is_for(service.kind if service is not None else INFERENCE_SERVICE)]

    @property
    def tab(self) -> ServiceTab:
        """The one that is open."""
        return next((tab for tab in self.tabs if tab.id == self._tab), self.tabs[0])

    def _tab_context(self, service: ServiceView, tab: ServiceTab) -> TabContext:
        return TabContext(
            service=service,
            detail=self._detail_view,
            snapshot=self.model.gpus.value,
            now=self.room.clock.now(),
            told=self._told.get(tab.id),
            problem=self._problems.get(tab.id),
        )

    def sections(self) -> Sequence[Section]:
        service = self.current_service()
        unread = self._problems.get(_DETAIL)
        if service is None:
            told = "It has not appeared in the cluster yet." if unread is None else ""
            lines = problem_lines(unread) if unread is not None else (text(told, "muted"),)
            return (Section("", lines),)
        sections = list(self.tab.sections(self._tab_context(service, self.tab)))
        alerts = alert_lines(of_service(self.model.alerts.value, self._key), self.room.clock.now())
        if alerts and self.tab is self.tabs[0]:
            sections.insert(1, Section("Alerts", alerts))
        if unread is not None:
            sections.insert(1, Section("Could not be read", problem_lines(unread)))
        return sections

    def reference(self) -> str:
        service = self.current_service()
        return service.images[0] if service is not None and service.images else self._key

    def show(self) -> None:
        super().show()
        service = self.current_service()
        if service is None:
            return
        tabs, at = self.tabs, self.tabs.index(self.tab)
        counts = [tab.count(self._tab_context(service, tab)) for tab in tabs]
        self.query_one("#tabs", OneLine).show(lambda width: tab_line(tabs, at, counts, width))
        self._read_later(service, _DETAIL)
        if self.tab.read is not None:
            self._read_later(service, self.tab.id)

    def open_tab(self, name: str) -> None:
        """Show a tab from its top."""
        if name == self._tab:
            return
        self._tab = name
        self.show()
        # Each tab is a document of its own, and it is read from its top.
        for view in self.query(LineView):
            view.scroll_lines(0)

    def act_pane_next(self) -> None:
        self._turn(1)

    def act_pane_previous(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        tabs = self.tabs
        self.open_tab(tabs[(tabs.index(self.tab) + by) % len(tabs)].id)

    def act_look_changes(self) -> None:
        self.open_tab("changes")

    def act_look_tab(self, name: str = "") -> None:
        """Open a tab by the beginning of its name."""
        found = [tab for tab in self.tabs if name and tab.id.startswith(name.lower())]
        if found:
            self.open_tab(found[0].id)
        else:
            names = ", ".join(tab.id for tab in self.tabs)
            self.room.flash(
                f"there is no tab {name!r}; there are {names}" if name else f"tabs: {names}", bad=bool(name)
            )

    # ------------------------------------------------------------ reading

    def _read_later(self, service: ServiceView, what: str) -> None:
        if self._read_of.get(what) == service or what in self._reading or self.room.feed.yard is None:
            return
        self._reading.add(what)
        self._read_of[what] = service
        self.room.feed.spawn(self._read(self.room.feed.yard, service, what), f"reading {service.name}")

    async def _read(self, yard: ScreenYard, service: ServiceView, what: str) -> None:
        try:
            if what == _DETAIL:
                self._detail_view = await self._detail(service)
                self._last = self._detail_view.service
            else:
                tab = next(tab for tab in SERVICE_TABS if tab.id == what)
                self._told[what] = await tab.read(yard, service) if tab.read is not None else None
            self._problems.pop(what, None)
        except ModelyardError as error:
            self._problems[what] = Problem.of(error)
        finally:
            self._reading.discard(what)
        if self.is_attached:
            self.show()

    def act_look_refresh(self) -> None:
        self._read_of.clear()
        super().act_look_refresh()
        self.show()
