"""A text that grows: what is kept of it is bounded, and who looks somewhere goes on looking there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.line_view import TextView


class _View(TextView):
    """Without a screen to be drawn on."""

    window = 10  # type: ignore[assignment]
    inner_width = 20  # type: ignore[assignment]

    def repaint(self) -> None:
        pass

    def repaint_changed(self) -> None:
        pass


def _shown(view: TextView) -> list[str]:
    return list(view.kept)


def test_the_oldest_lines_go_and_the_end_stays_in_sight() -> None:
    view = _View()
    view.show("\n".join(f"line {number}" for number in range(50)), at_end=True)
    assert view.top == 40
    assert view.add(["line 50"], most=100, most_characters=10_000) == 0
    assert view.top == 41
    dropped = view.add([f"line {number}" for number in range(51, 151)], most=100, most_characters=10_000)
    assert (dropped, len(view.kept), view.kept[-1], view.top) == (61, 90, "line 150", 80)


def test_who_reads_further_up_is_not_moved() -> None:
    view = _View()
    view.show("\n".join(f"line {number}" for number in range(100)))
    view.top = 60
    view.add(["more"], most=100, most_characters=10_000)
    assert view.kept[view.top] == "line 60"


@given(st.lists(st.lists(st.text(max_size=60), max_size=30), max_size=12), st.booleans())
def test_what_is_kept_is_bounded_and_every_row_is_of_a_line(parts: list[list[str]], wraps: bool) -> None:
    view = _View()
    view.wraps = wraps
    view.show("")
    for part in parts:
        view.add(part, most=50, most_characters=500)
        assert len(view.kept) <= 50
        assert sum(map(len, view.kept)) <= 500 or len(view.kept) == 1
        assert 0 <= view.top <= view.line_count
        assert {number for number, _ in view._rows} == set(range(len(view.kept)))
