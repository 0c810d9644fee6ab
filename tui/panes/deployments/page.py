"""The deployments pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.views import ServiceView, SourceState
from tui.document import EMPTY, Line, Section, text
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.deployments import view_model
from tui.panes.deployments.actions import ServiceActions
from tui.panes.deployments.detail_model import facts_section, gpu_section, verdict_section
from tui.widgets.columns import Column


class DeploymentsPage(ListPage[ServiceView], ServiceActions):
    """Services, worst first."""

    CSS_PATH = "../common/common.tcss"
    pane = "deployments"
    parts = frozenset({PartName.SERVICES, PartName.GPUS, PartName.STATUS})
    number = "3"
    heading_title = "DEPLOYMENTS"
    order = "worst first"

    def columns(self) -> tuple[Column[ServiceView], ...]:
        return view_model.service_columns(self.room.clock.now)

    def key(self, item: ServiceView) -> str:
        return item.key

    def part(self) -> Part[Any]:
        return self.model.services

    def items(self) -> Sequence[ServiceView]:
        return view_model.worst_first(self.model.services.value.values())

    def haystack(self, item: ServiceView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        return view_model.tally(view_model.verdict_counts(self.model.services.value.values()))

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
        return [verdict_section(item, now), facts_section(item, now), *([gpus] if gpus else [])]

    def current_service(self) -> ServiceView | None:
        return self.table.current

    def reference(self) -> str:
        service = self.table.current
        return "" if service is None else service.images[0] if service.images else service.key

    def act_look_open(self) -> None:
        from tui.panes.deployments.service import ServicePage

        if service := self.table.current:
            self.room.push_screen(ServicePage(service.key))
