"""The page of one runtime."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.errors import ModelyardError
from backend.core.views import RuntimeDetailView, RuntimeView
from tui.document import Line, Section, text
from tui.model import Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.runtimes.compare import CompareActions
from tui.panes.runtimes.install import InstallActions
from tui.panes.runtimes.view_model import approved_cell, detail_sections, facts, where
from tui.ports import ScreenYard


class RuntimePage(DetailPage, InstallActions, CompareActions):
    """What a runtime serves, who uses it, what to know before it is touched, and its manifest."""

    CSS_PATH = "../common/common.tcss"
    pane = "runtime"

    def __init__(self, runtime: RuntimeView, others: Sequence[RuntimeView]) -> None:
        super().__init__()
        self._runtime = runtime
        self._others = tuple(others)
        self._detail: RuntimeDetailView | None = None
        self._problem: Problem | None = None
        self._asked = False

    def current_runtime(self) -> RuntimeView | None:
        return self._runtime

    def others(self) -> Sequence[RuntimeView]:
        return self._others

    def namespace_here(self) -> str:
        return self._runtime.namespace

    def context_here(self) -> str:
        return self._runtime.context

    def reference(self) -> str:
        return self._runtime.images[0] if self._runtime.images else ""

    def title_parts(self) -> tuple[str, str, Line, Line]:
        runtime = self._runtime
        right = text(f"used by {len(runtime.used_by)}" if runtime.used_by else "unused", "muted")
        return "3", f"RUNTIME {where(runtime)}/{runtime.name}", approved_cell(runtime), right

    def sections(self) -> Sequence[Section]:
        if self._problem is not None:
            return (Section("Could not be read", problem_lines(self._problem)), *facts(self._runtime))
        return detail_sections(self._detail) if self._detail is not None else facts(self._runtime)

    def show(self) -> None:
        super().show()
        if not self._asked and self.room.feed.yard is not None:
            self._asked = True
            self.room.feed.spawn(self._read(self.room.feed.yard), f"reading runtime {self._runtime.name}")

    async def _read(self, yard: ScreenYard) -> None:
        runtime = self._runtime
        try:
            self._detail = await yard.runtimes.runtime(runtime.name, runtime.namespace, context=runtime.context)
            self._problem = None
        except ModelyardError as error:
            self._problem = Problem.of(error)
        if self.is_attached:
            self.show()

    def act_look_refresh(self) -> None:
        self._asked = False
        self.show()
