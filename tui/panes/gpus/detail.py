"""The pages of one GPU and of one node."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import GpuView, ServiceView
from tui.document import Line, Section, Span, join, text
from tui.model import PartName
from tui.panes.alerts.view_model import of_gpus
from tui.panes.common.detail import DetailPage
from tui.panes.deployments.actions import ServiceActions
from tui.panes.gpus.cells import STATE_ROLE, STATE_WORD, shown_state, tally_of
from tui.panes.gpus.detail_model import alert_section, gpu_sections, holder, node_sections


class GpuPage(DetailPage, ServiceActions):
    """A GPU, who holds it, its ranks, and what its model server says. `[` and `]` go to its neighbours."""

    CSS_PATH = "../common/common.tcss"
    pane = "gpu"
    parts = frozenset({PartName.GPUS, PartName.SERVICES, PartName.ALERTS})

    def __init__(self, gpu: GpuView, *, among: Sequence[str] = ()) -> None:
        """
        Args:
            among: keys of the GPUs that it was chosen from, in their order.
        """
        super().__init__()
        self._gpu = gpu
        self._among = tuple(among)
        self._is_gone = False

    def show(self) -> None:
        snapshot = self.model.gpus.value
        found = next((gpu for gpu in snapshot.gpus if gpu.key == self._gpu.key), None) if snapshot else None
        self._is_gone = found is None and snapshot is not None
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
        gone = text("it is not there any more: what was last known", "bad") if self._is_gone else ()
        state = (Span(STATE_WORD[shown_state(gpu)], STATE_ROLE[shown_state(gpu)]),)
        return "4", f"{gpu.node}/{gpu.index}", join(state, gone, gap="  "), text(gpu.product, "muted")

    def sections(self) -> Sequence[Section]:
        now = self.room.clock.now()
        found = gpu_sections(self._gpu, self.model.gpus.value, self.current_service(), now)
        going = of_gpus(self.model.alerts.value, (self._gpu,))
        return [alert_section(going, now), *found] if going else found

    def act_gpus_before(self) -> None:
        self._step(-1)

    def act_gpus_after(self) -> None:
        self._step(1)

    def _step(self, by: int) -> None:
        snapshot = self.model.gpus.value
        known = {gpu.key: gpu for gpu in snapshot.gpus} if snapshot is not None else {}
        among = [key for key in self._among if key in known]
        if self._gpu.key not in among or not 0 <= among.index(self._gpu.key) + by < len(among):
            self.room.flash("there is no other GPU that way", bad=True)
            return
        self._gpu = known[among[among.index(self._gpu.key) + by]]
        self.show()

    def act_gpus_service(self) -> None:
        service = self.current_service()
        if service is None:
            self.room.flash("no service holds this GPU", bad=True)
            return
        self.room.show_service(service.context, service.namespace, service.name)

    def act_gpus_node(self) -> None:
        self.room.push_screen(NodePage(self._gpu.context, self._gpu.node))


class NodePage(DetailPage):
    """A node: its GPUs, its pods, and which of the pods that wait could run there."""

    CSS_PATH = "../common/common.tcss"
    pane = "node"
    parts = frozenset({PartName.GPUS, PartName.SERVICES})

    def __init__(self, context: str, node: str) -> None:
        super().__init__()
        self._cluster = context
        self._node_name = node

    def reference(self) -> str:
        return self._node_name

    def title_parts(self) -> tuple[str, str, Line, Line]:
        snapshot = self.model.gpus.value
        gpus = [gpu for gpu in snapshot.gpus if gpu.node == self._node_name] if snapshot is not None else []
        return "4", self._node_name, tally_of(gpus), text(self._cluster, "muted")

    def sections(self) -> Sequence[Section]:
        services = self.model.services.value.values()
        return node_sections(self._cluster, self._node_name, self.model.gpus.value, services, self.room.clock.now())
