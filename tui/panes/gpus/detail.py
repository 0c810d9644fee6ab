"""The page of one GPU."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import GpuView, ServiceView
from tui.document import Line, Section, Span, text
from tui.model import PartName
from tui.panes.common.detail import DetailPage
from tui.panes.deployments.actions import ServiceActions
from tui.panes.gpus.detail_model import gpu_sections, holder
from tui.panes.gpus.view_model import STATE_ROLE


class GpuPage(DetailPage, ServiceActions):
    """A GPU, who holds it, and what its model server says."""

    CSS_PATH = "../common/common.tcss"
    pane = "gpu"
    parts = frozenset({PartName.GPUS, PartName.SERVICES})

    def __init__(self, gpu: GpuView) -> None:
        super().__init__()
        self._gpu = gpu

    def show(self) -> None:
        snapshot = self.model.gpus.value
        found = next((gpu for gpu in snapshot.gpus if gpu.key == self._gpu.key), None) if snapshot else None
        self._gpu = found or self._gpu
        super().show()

    def current_service(self) -> ServiceView | None:
        return holder(self._gpu, self.model.services.value.values())

    def gpus_here(self) -> Sequence[GpuView]:
        return (self._gpu,)

    def reference(self) -> str:
        return self._gpu.uuid or self._gpu.key

    def title_parts(self) -> tuple[str, str, Line, Line]:
        gpu = self._gpu
        return (
            "4",
            f"{gpu.node}/{gpu.index}",
            (Span(gpu.state.value, STATE_ROLE[gpu.state]),),
            text(gpu.product, "muted"),
        )

    def sections(self) -> Sequence[Section]:
        return gpu_sections(self._gpu, self.model.gpus.value, self.current_service(), self.room.clock.now())
