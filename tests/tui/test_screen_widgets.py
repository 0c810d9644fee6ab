"""The table and its kin: cheap with 50,000 rows, steady under change, sane at any width."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Region

import themes
from tests.fakes import screen_data as data
from tui.document import Line, Section, Span, text
from tui.palette import Palette
from tui.widgets.columns import Column, fit_columns
from tui.widgets.line_table import LineTable
from tui.widgets.line_view import LineView, TextView, lay_out
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine


class Asked(Counter[str]):
    """Counts which cells are asked for."""

    def columns(self) -> list[Column[str]]:
        def cell(name: str) -> Column[str]:
            def make(item: str) -> Line:
                self[name] += 1
                return text(f"{name}-{item}")

            return Column(key=name, title=name.upper(), cell=make, minimum=6, maximum=20)

        return [cell("a"), cell("b")]


class TableApp(App[None]):
    """A table alone."""

    def __init__(self, table: LineTable[str]) -> None:
        super().__init__()
        self.table = table

    def compose(self) -> ComposeResult:
        yield self.table


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(0, 40), st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=8
    ),
    st.integers(1, 200),
)
def test_columns_never_spill_and_the_first_always_stays(shapes: list[tuple[int, int, int, int]], width: int) -> None:
    columns: list[Column[str]] = [
        Column(key=str(index), title="", cell=text, minimum=least, maximum=most, flex=flex, priority=priority)
        for index, (least, most, flex, priority) in enumerate(shapes)
    ]
    fitted = fit_columns(columns, [most for _, most, _, _ in shapes], width)
    assert fitted
    assert sum(size for _, size in fitted) + sum(columns[index].gap for index, _ in fitted[:-1]) <= width
    assert [index for index, _ in fitted] == sorted(index for index, _ in fitted)


def test_what_matters_least_goes_first() -> None:
    columns: list[Column[str]] = [
        Column(key="name", title="", cell=text, minimum=10, priority=1),
        Column(key="size", title="", cell=text, minimum=10, priority=3),
        Column(key="why", title="", cell=text, minimum=10, priority=2),
    ]
    assert [index for index, _ in fit_columns(columns, [10, 10, 10], 40)] == [0, 1, 2]
    assert [index for index, _ in fit_columns(columns, [10, 10, 10], 26)] == [0, 2]


async def test_fifty_thousand_rows_cost_no_more_than_the_window() -> None:
    asked = Asked()
    table = LineTable(asked.columns(), str)
    app = TableApp(table)
    async with app.run_test(size=(80, 24)) as pilot:
        items = [str(index) for index in range(50_000)]
        asked.clear()
        table.show(items)
        await pilot.pause()
        first = asked.total()
        assert first < 2 * (24 * 4 + 200)
        asked.clear()
        table.move_page(1)
        await pilot.pause()
        assert asked.total() < 2 * 24 * 4
        table.move_end()
        await pilot.pause()
        assert table.current == "49999"


async def test_only_rows_whose_text_changed_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {str(index): 0 for index in range(10)}
    columns: list[Column[str]] = [
        Column(key="v", title="V", cell=lambda item: text(f"{item} {values[item]}"), minimum=8)
    ]
    table = LineTable(columns, str)
    async with TableApp(table).run_test(size=(40, 20)) as pilot:
        table.show(list(values))
        await pilot.pause()
        drawn: list[tuple[Region, ...]] = []
        monkeypatch.setattr(table, "refresh", lambda *regions, **_: drawn.append(regions))
        table.show(list(values))
        assert drawn == []
        values["3"] = 7
        table.show(list(values))
        assert drawn == [(Region(3, 4, 1, 1),)]


async def test_the_cursor_stays_on_its_item() -> None:
    table = LineTable(Asked().columns(), str)
    async with TableApp(table).run_test(size=(60, 12)) as pilot:
        table.show([str(index) for index in range(100)])
        await pilot.pause()
        table.move_to(50)
        table.show([str(index) for index in range(40, 100)])
        assert table.current == "50"
        table.show(["1", "2"])
        assert table.current == "2"
        table.show([])
        assert table.current is None
        table.move(1)
        table.show(["9"])
        assert table.current == "9"


async def test_rows_that_go_leave_nothing_behind() -> None:
    table = LineTable(Asked().columns(), str, headings=False)
    app = TableApp(table)
    async with app.run_test(size=(60, 12)) as pilot:
        table.show(["1", "2", "3"])
        await pilot.pause()
        table.show(["1"])
        await pilot.pause()
        shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "a-1" in shown
        assert "a-2" not in shown


async def test_a_document_jumps_from_section_to_section() -> None:
    view = LineView()

    class ViewApp(App[None]):
        def compose(self) -> ComposeResult:
            yield view

    sections = [Section(f"S{number}", tuple(text(f"line {index}") for index in range(20))) for number in range(3)]
    async with ViewApp().run_test(size=(60, 12)) as pilot:
        view.show(sections)
        await pilot.pause()
        view.next_section()
        assert view.top == lay_out(sections, 59)[1][1]
        view.next_section()
        view.next_section()
        assert view.top in {0, lay_out(sections, 59)[1][2], view.line_count - view.window}
        view.move_end()
        view.next_section()
        assert view.top == 0


async def test_a_log_shows_hostile_lines_harmless() -> None:
    view = TextView()

    class ViewApp(App[None]):
        def compose(self) -> ComposeResult:
            yield view

    app = ViewApp()
    async with app.run_test(size=(80, 12)) as pilot:
        view.show(f"one\n{data.HOSTILE}\nthree")
        await pilot.pause()
        shown = "".join(segment.text for strip in app.screen._compositor.render_strips() for segment in strip)
        assert "\x1b" not in shown
        assert "[red]bold[/red]" in shown


def test_a_line_begins_no_style_for_blanks_or_for_nothing() -> None:
    palette = Palette(themes.load("night").roles)
    line = (Span(" "), Span("  ", "ok"), Span("", "rule"), Span("gpu-01", "name"), Span(" "), Span("97", "bad"))
    assert [segment.text for segment in palette.strip(line, 12)] == ["   gpu-01 ", "97"]
    turned = palette.strip((Span("  "), Span("x", "chip-bad")), 3)
    assert [segment.text for segment in turned] == ["  ", "x"]


async def test_a_line_draws_the_cells_again_that_changed() -> None:
    line, error = OneLine(), Lines()

    class BarApp(App[None]):
        def compose(self) -> ComposeResult:
            yield line
            yield error

    async with BarApp().run_test(size=(40, 5)) as pilot:
        line.show(lambda _width: (Span("busy "), Span("97"), Span(" of 100")))
        error.show([text("lost")])
        await pilot.pause()
        drawn: list[object] = []
        line.refresh = lambda *regions, **_: drawn.extend(regions)  # type: ignore[method-assign,assignment]
        error.refresh = lambda *_, **how: drawn.append(how)  # type: ignore[method-assign,assignment]
        error.show([text("lost")])
        line.show(lambda _width: (Span("busy "), Span("98"), Span(" of 100")))
        assert drawn == [Region(6, 0, 1, 1)]
