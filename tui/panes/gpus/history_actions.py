"""What leads to history from pages that point at GPUs or services."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import GpuView, ServiceView
from tui.page import Page


class HistoryActions(Page):
    """History of what is under the cursor, and of all."""

    def current_service(self) -> ServiceView | None:
        """The service that is meant."""
        return None

    def gpus_here(self) -> Sequence[GpuView]:
        """The GPUs that are meant, where the page points at GPUs."""
        return ()

    def act_history_open(self) -> None:
        # Imported late: a first paint draws no charts.
        from tui.panes.gpus.history import HistoryPage
        from tui.panes.gpus.history_model import of_gpu, of_service

        gpus, service = self.gpus_here(), self.current_service()
        if gpus:
            self.room.push_screen(HistoryPage(of_gpu(gpus[0])))
        elif service is not None:
            self.room.push_screen(HistoryPage(of_service(service.key)))
        else:
            self.room.flash("there is no GPU and no service under the cursor", bad=True)

    def act_history_capacity(self) -> None:
        from tui.panes.gpus.history_capacity import CapacityPage

        self.room.push_screen(CapacityPage())

    def act_history_cost(self) -> None:
        from tui.panes.gpus.history_cost import CostPage

        self.room.push_screen(CostPage())
