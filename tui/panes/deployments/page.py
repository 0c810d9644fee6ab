"""The deployments pane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textual.widget import Widget

from backend.core.service_query import FIELDS, complete_query, parse_query
from backend.core.views import GpuSnapshotView, ServiceMetricsView, ServiceView, SourceState
from tui import format as fmt
from tui.commands import Filter
from tui.document import EMPTY, Line, Section, Span, join, text
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.deployments import view_model
from tui.panes.deployments.bulk import MarkedServices
from tui.panes.deployments.columns import service_columns
from tui.panes.deployments.detail_model import facts_section, gpu_section, metrics_section, verdict_section
from tui.panes.deployments.exporting import ExportAction
from tui.panes.deployments.opening import ChangeAction
from tui.panes.deployments.plan_model import cut_off_lines
from tui.panes.deployments.settling import RuntimesAction, SettleActions
from tui.service_tally import metrics_by_key
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable
from tui.widgets.line_view import LineView
from tui.widgets.lines import Lines


class DeploymentsPage(ListPage[ServiceView], MarkedServices, SettleActions, RuntimesAction, ExportAction, ChangeAction):
    """Services of every context, worst first. Rows can be marked to be stopped or started together."""

    CSS_PATH = "../common/common.tcss"
    pane = "deployments"
    parts = frozenset({PartName.SERVICES, PartName.GPUS, PartName.STATUS})
    number = "3"
    heading_title = "DEPLOYMENTS"
    order = "worst first"

    def __init__(self) -> None:
        super().__init__()
        self._wide = False
        self._several = False
        self._query = parse_query("")
        self._order = view_model.WorstFirst()
        self._measured: tuple[GpuSnapshotView | None, dict[str, ServiceMetricsView]] = (None, {})

    def columns(self) -> tuple[Column[ServiceView], ...]:
        return service_columns(
            self.room.clock.now,
            wide=self._wide,
            several=self._several,
            measured=lambda key: self._measured[1].get(key),
            marked=self.marked,
        )

    def key(self, item: ServiceView) -> str:
        return item.key

    def part(self) -> Part[Any]:
        return self.model.services

    def show(self) -> None:
        snapshot = self.model.gpus.value
        if snapshot is not self._measured[0]:
            self._measured = (snapshot, metrics_by_key(snapshot, self._primary()))
            self.table.measure_again()
        several = len(self.model.tally.look(self.model.services.value).contexts) > 1
        if several is not self._several:
            self._several = several
            self.table.set_columns(self.columns())
        super().show()
        now = self.room.clock.now()
        lines = cut_off_lines(self.model.cut_off, lambda one: fmt.ago(one.started_at, now))
        self.query_one("#cut-off", Lines).show(lines)

    def _primary(self) -> str:
        return self.model.status.context if self.model.status is not None else ""

    def measured(self) -> Mapping[str, ServiceMetricsView]:
        return self._measured[1]

    def items(self) -> Sequence[ServiceView]:
        services = self.model.services.value
        return self._order.of(services, self.model.tally.slow(services, self._measured[0], self._primary()))

    def haystack(self, item: ServiceView) -> str:
        return view_model.haystack(item)

    def make_table(self) -> LineTable[ServiceView]:
        return LineTable(self.columns(), self.key, steady=True, id="table")

    def above(self) -> Iterable[Widget]:
        yield Lines(id="cut-off")

    def tally(self) -> Line:
        marked = (Span(f"{len(self.marked)} marked", "warn"),) if self.marked else EMPTY
        return join(marked, view_model.tally(self.model.tally.look(self.model.services.value).verdicts), gap="  ")

    # ------------------------------------------------------------ filter

    def matching(self) -> Filter | None:
        return Filter(self._query.rest) if self._query.rest else None

    def _shown_items(self) -> Sequence[ServiceView]:
        self._query = parse_query(self.filter.typed if self.filter is not None else "")
        items = super()._shown_items()
        if not self._query.terms:
            return items
        measured = self._measured[1]
        return [item for item in items if self._query.keeps(item, measured.get(view_model.metrics_key(item)))]

    def find(self, pattern: Filter | None) -> str:
        told = super().find(Filter(self._query.rest) if pattern is not None else None)
        if self._query.unknown and not self.table.items:
            return f"there is no field {self._query.unknown[0]!r}: {', '.join(FIELDS)}"
        return told

    def complete_filter(self, line: str) -> Sequence[str]:
        return complete_query(line, view_model.field_values(self.model.services.value.values()))

    # ------------------------------------------------------------ marks and width

    def rows(self) -> Sequence[ServiceView]:
        return self.table.items

    def at(self) -> int:
        return self.table.cursor

    def show_marks(self) -> None:
        self.table.repaint_changed()
        self._show_heading(len(self.table.items))

    def _show_beside(self) -> None:
        # Wide, the table has the whole width.
        self.query_one("#preview", LineView).display = not self._wide and self.app.size.width >= self.preview_from
        self._show_preview(keep=True)

    def act_look_wide(self) -> None:
        self._wide = not self._wide
        self.table.set_columns(self.columns())
        self.show()
        self.table.repaint()

    def empty(self) -> Sequence[Line]:
        status = self.model.status
        clusters = [source for source in status.sources if source.kind == "cluster"] if status is not None else []
        if not clusters or all(source.state is SourceState.ABSENT for source in clusters):
            told = clusters[0].detail if clusters and clusters[0].detail else "No cluster is configured."
            return (
                text(told, "strong"),
                EMPTY,
                text("Name a context of your kubeconfig in the configuration:"),
                text('  [[cluster]]  context = "prod"', "accent"),
                text("Without a cluster the library and the queue work all the same.", "muted"),
            )
        return (
            text("No InferenceService runs in the namespaces that are watched.", "strong"),
            EMPTY,
            text("Deploy an approved image: 1 or 2, then D on it."),
        )

    def preview(self, item: ServiceView) -> Sequence[Section]:
        now = self.room.clock.now()
        gpus = gpu_section(item, self.model.gpus.value)
        measured = metrics_section(self._measured[1].get(view_model.metrics_key(item)))
        found = (gpus, measured)
        return [verdict_section(item, now), facts_section(item, now), *(part for part in found if part is not None)]

    def current_service(self) -> ServiceView | None:
        return self.table.current

    def reference(self) -> str:
        service = self.table.current
        return "" if service is None else service.images[0] if service.images else service.key

    def act_look_open(self) -> None:
        from tui.panes.deployments.service import ServicePage

        if service := self.table.current:
            self.room.push_screen(ServicePage(service.key))
