"""The list of serving runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.errors import ModelyardError
from backend.core.views import RuntimeView
from tui.document import EMPTY, Line, Section, text
from tui.model import Part, PartName, Problem
from tui.panes.common.listing import ListPage
from tui.panes.runtimes import view_model
from tui.panes.runtimes.compare import CompareActions
from tui.panes.runtimes.install import InstallActions
from tui.ports import ScreenYard
from tui.widgets.columns import Column


class RuntimesPage(ListPage[RuntimeView], InstallActions, CompareActions):
    """ServingRuntimes and ClusterServingRuntimes: what they serve, of which image, and who uses them."""

    CSS_PATH = "../common/common.tcss"
    pane = "runtimes"
    parts = frozenset({PartName.SERVICES, PartName.STATUS})
    number = "3"
    heading_title = "RUNTIMES"
    order = "unapproved first, then by use"

    def __init__(self) -> None:
        super().__init__()
        self._runtimes: Part[list[RuntimeView]] = Part([])
        self._reading = False
        self._behind = True

    def columns(self) -> tuple[Column[RuntimeView], ...]:
        return view_model.columns(lambda: len(self._contexts()))

    def key(self, item: RuntimeView) -> str:
        return view_model.key(item)

    def part(self) -> Part[Any]:
        return self._runtimes

    def items(self) -> Sequence[RuntimeView]:
        return view_model.ordered(self._runtimes.value)

    def haystack(self, item: RuntimeView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        return view_model.tally(self._runtimes.value)

    def empty(self) -> Sequence[Line]:
        return (
            text("No serving runtime is in the namespaces that are watched.", "strong"),
            EMPTY,
            (*text("D", "key"), *text(" makes one of a template and an approved image.")),
        )

    def preview(self, item: RuntimeView) -> Sequence[Section]:
        return view_model.facts(item)

    def show(self) -> None:
        super().show()
        if self._behind and not self._reading and self.room.feed.yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading the runtimes")

    def on_screen_resume(self) -> None:
        self._behind = True
        super().on_screen_resume()
        if self.is_whole:
            self.show()

    async def _read(self, yard: ScreenYard) -> None:
        found: list[RuntimeView] = []
        problem: Problem | None = None
        for context in self._contexts():
            try:
                found += await yard.runtimes.runtimes(context=context)
            except ModelyardError as error:
                problem = Problem.of(error, "reading the runtimes")
        self._reading = False
        if problem is None or found:
            self._runtimes = Part(found, self.room.clock.now())
        self._runtimes.problem = problem
        if self.is_attached:
            self.show()

    def _contexts(self) -> tuple[str, ...]:
        """The clusters to ask; with one it needs no name."""
        status = self.model.status
        names = [source.name for source in status.sources if source.kind == "cluster"] if status is not None else []
        return tuple(names) if len(names) > 1 else ("",)

    # ------------------------------------------------------------ actions

    def current_runtime(self) -> RuntimeView | None:
        return self.table.current

    def others(self) -> Sequence[RuntimeView]:
        return self._runtimes.value

    def reference(self) -> str:
        runtime = self.table.current
        return runtime.images[0] if runtime is not None and runtime.images else ""

    def namespace_here(self) -> str:
        return self.table.current.namespace if self.table.current is not None else ""

    def context_here(self) -> str:
        return self.table.current.context if self.table.current is not None and len(self._contexts()) > 1 else ""

    def act_look_open(self) -> None:
        from tui.panes.runtimes.detail import RuntimePage

        if (runtime := self.table.current) is not None:
            self.room.push_screen(RuntimePage(runtime, self._runtimes.value))

    def act_look_refresh(self) -> None:
        self._behind = True
        self.show()
        self.room.flash("reading again")
