"""Comparing two runtimes."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import DiffLineView, RuntimeView
from tui.document import Line, Section, Span, join, text
from tui.page import Page
from tui.panes.common.detail import DetailPage
from tui.panes.common.text import TextPage, yaml_line
from tui.panes.deployments.plan_model import folded_lines
from tui.panes.runtimes.view_model import where


class CompareActions(Page):
    """Actions on the runtime that a page points at."""

    def current_runtime(self) -> RuntimeView | None:
        """The runtime that is meant."""
        raise NotImplementedError

    def others(self) -> Sequence[RuntimeView]:
        """What it can be compared with."""
        return ()

    def act_runtimes_compare(self) -> None:
        from tui.widgets.pick import Offer, Pick

        one, yard = self.current_runtime(), self.room.feed.yard
        others = [other for other in self.others() if one is not None and other != one and other.context == one.context]
        if one is None or yard is None or not others:
            self.room.flash("there is no other runtime to compare it with", bad=True)
            return
        offers = [
            Offer(named(other), (*text(f"{where(other)}/", "space"), *text(other.name, "name"))) for other in others
        ]

        async def open_difference(wanted: str) -> None:
            lines = await yard.runtimes.difference(named(one), wanted, context=one.context)
            self.room.push_screen(DifferencePage(named(one), wanted, lines))

        def chosen(picked: tuple[str, ...] | None) -> None:
            if picked:
                self.open_later(open_difference(picked[0]), "comparing")

        self.room.push_screen(Pick(f"Compare {one.name} with", (), offers, does="compares"), chosen)

    def act_look_manifest(self) -> None:
        runtime, yard = self.current_runtime(), self.room.feed.yard
        if runtime is None or yard is None:
            return

        async def read() -> str:
            found = await yard.runtimes.runtime(runtime.name, runtime.namespace, context=runtime.context)
            return found.manifest

        self.room.push_screen(TextPage(f"MANIFEST {where(runtime)}/{runtime.name}", read, yaml_line))


class DifferencePage(DetailPage):
    """What differs between two runtimes; lines that do not are folded."""

    CSS_PATH = "../common/common.tcss"
    pane = "difference"

    def __init__(self, one: str, other: str, lines: tuple[DiffLineView, ...]) -> None:
        super().__init__()
        self._one = one
        self._other = other
        self._lines = lines
        self._unfolded = False

    def title_parts(self) -> tuple[str, str, Line, Line]:
        marks = [line.mark for line in self._lines]
        counts = join((Span(f"+{marks.count('+')}", "add"),), (Span(f"-{marks.count('-')}", "remove"),))
        return "3", "RUNTIMES COMPARED", counts, text("names and places left out", "muted")

    def sections(self) -> Sequence[Section]:
        head = ((Span("- ", "remove"), *text(self._one, "name")), (Span("+ ", "add"), *text(self._other, "name")))
        lines = folded_lines(self._lines, unfolded=self._unfolded)
        return (Section("", head), Section("Content", lines or (text("they have the same content", "ok"),)))

    def act_plan_fold(self) -> None:
        self._unfolded = not self._unfolded
        self.show()


def named(runtime: RuntimeView) -> str:
    """A runtime as comparisons name it."""
    return f"{where(runtime)}/{runtime.name}"
