"""The pages of one GPU and of one node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from backend.core.errors import ModelyardError
from backend.core.views import AlertView, GpuView, SeriesView, ServiceView
from tui.document import Line, Section, Span, join, text
from tui.model import PartName
from tui.panes.alerts.actions import AlertActions
from tui.panes.alerts.view_model import of_gpus
from tui.panes.common.detail import DetailPage
from tui.panes.deployments.actions import ServiceActions
from tui.panes.gpus.cells import STATE_ROLE, STATE_WORD, shown_state, tally_of
from tui.panes.gpus.detail_model import alert_section, gpu_sections, holder, node_sections
from tui.panes.gpus.history_model import chart_sections, of_gpu
from tui.ports import ScreenYard
from tui.widgets.line_view import LineView

#: What is drawn of the last hour; of the first two, the first that was measured.
_CHARTED: Final = ("engine_active", "utilisation", "power")
_CHART_SPAN: Final = timedelta(hours=1)
_READ_EVERY: Final = 15.0


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
        self._past: tuple[str, list[SeriesView]] = ("", [])
        self._reading = False

    def on_mount(self) -> None:
        self._read_past()
        self.set_interval(_READ_EVERY, self._read_past)

    def _read_past(self) -> None:
        yard = self.room.feed.yard
        if yard is not None and not self._reading and self.is_current and not self.room.paused:
            self._reading = True
            self.room.feed.spawn(self._read(yard), "reading history")

    async def _read(self, yard: ScreenYard) -> None:
        key, found = self._gpu.key, []
        try:
            for metric in _CHARTED:
                found += await yard.telemetry.series([key], metric, _CHART_SPAN)
        except ModelyardError:
            # The page of history tells why there is none; the numbers of now stand without it.
            found = []
        finally:
            self._reading = False
        self._past = (key, [series for series in found if series.points])
        if self.is_whole:
            self.show()

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
        return "4", f"{gpu.node}/{gpu.place}", join(state, gone, gap="  "), text(gpu.product, "muted")

    def sections(self) -> Sequence[Section]:
        now = self.room.clock.now()
        found = gpu_sections(self._gpu, self.model.gpus.value, self.current_service(), now)
        at = next((index for index, section in enumerate(found) if not section.side), len(found))
        found[at:at] = self._charts()
        going = of_gpus(self.model.alerts.value, (self._gpu,))
        return [alert_section(going, now), *found] if going else found

    def _charts(self) -> Sequence[Section]:
        key, past = self._past
        told = {series.metric for series in past} - (
            {"utilisation"} if past and past[0].metric == _CHARTED[0] else set()
        )
        if key != self._gpu.key or not told:
            return ()
        subject = of_gpu(self._gpu)
        subject = subject._replace(metrics=tuple(drawn for drawn in subject.metrics if drawn.metric in told))
        width = max(20, self.query_one("#main", LineView).inner_width - 2)
        charts = chart_sections(subject, past, self.room.clock.now(), _CHART_SPAN, width, self.app.size.height)
        return (charts[0]._replace(title="The last hour", note="h: more, and longer"), *charts[1:])

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
        self._read_past()
        self.show()

    def act_gpus_service(self) -> None:
        service = self.current_service()
        if service is None:
            self.room.flash("no service holds this GPU", bad=True)
            return
        self.room.show_service(service.context, service.namespace, service.name)

    def act_gpus_node(self) -> None:
        self.room.push_screen(NodePage(self._gpu.context, self._gpu.node))


class NodePage(DetailPage, AlertActions):
    """A node: its GPUs, its pods, and which of the pods that wait could run there."""

    CSS_PATH = "../common/common.tcss"
    pane = "node"
    parts = frozenset({PartName.GPUS, PartName.SERVICES, PartName.ALERTS})

    def __init__(self, context: str, node: str) -> None:
        super().__init__()
        self._cluster = context
        self._node_name = node

    def reference(self) -> str:
        return self._node_name

    def _gpus(self) -> list[GpuView]:
        snapshot = self.model.gpus.value
        everything = snapshot.gpus if snapshot is not None else ()
        return [gpu for gpu in everything if (gpu.context, gpu.node) == (self._cluster, self._node_name)]

    def alerts_here(self) -> Sequence[AlertView]:
        return of_gpus(self.model.alerts.value, self._gpus())

    def title_parts(self) -> tuple[str, str, Line, Line]:
        return "4", self._node_name, tally_of(self._gpus()), text(self._cluster, "muted")

    def sections(self) -> Sequence[Section]:
        services, now = self.model.services.value.values(), self.room.clock.now()
        found = node_sections(self._cluster, self._node_name, self.model.gpus.value, services, now)
        going = self.alerts_here()
        return [alert_section(going, now), *found] if going else found
