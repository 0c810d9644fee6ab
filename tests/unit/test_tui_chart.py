"""A chart shows what was measured, on a scale that is told, and nothing where nothing was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.views import PointView, SeriesView
from tui.document import cells, plain
from tui.widgets.chart import Chart, buckets, draw, measured_share, plot_row, scale_of, short, value_text

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def chart(values: list[float | None], unit: str = "percent", band: float = 0.0, ceiling: float | None = None) -> Chart:
    """A value a minute; None: not measured."""
    points = tuple(
        PointView(at=START + timedelta(minutes=number), mean=value, low=max(0.0, value - band), high=value + band)
        for number, value in enumerate(values)
        if value is not None
    )
    series = SeriesView(key="a", metric="utilisation", unit=unit, step=60, points=points)
    return Chart(series, START, START + timedelta(minutes=len(values)), ceiling)


def rows(drawn: Chart, width: int = 30, height: int = 6) -> list[str]:
    return [plain(line) for line in draw(drawn, width, height)]


def test_a_gap_is_no_zero() -> None:
    assert rows(chart([0.0, None, 50.0]), width=11, height=3)[:2] == ["100%┤      ", "   0┤▁▁··██"]


def test_percentages_are_on_a_fixed_scale() -> None:
    assert scale_of(chart([97.0, 99.0])) == 100
    assert rows(chart([50.0] * 10))[0].startswith("100%")
    assert scale_of(chart([0.5], "share")) == 1.0


@pytest.mark.parametrize(
    ("value", "unit", "top"), [(412, "watts", 500), (0.83, "seconds", 1.0), (61, "GPUs", 80), (0, "watts", 1.0)]
)
def test_other_scales_end_at_a_round_number_above_what_was_measured(value: float, unit: str, top: float) -> None:
    assert scale_of(chart([value], unit)) == pytest.approx(top)


def test_a_known_ceiling_is_the_top() -> None:
    assert scale_of(chart([10.0], "bytes", ceiling=80 * 2**30)) == 80 * 2**30
    assert scale_of(chart([90.0], "watts", ceiling=50)) > 90


def test_a_peak_that_the_mean_hides_is_shaded() -> None:
    bars = buckets(chart([50.0], band=40.0), 1)
    column = "".join(plot_row(bars, row, 10, 100) for row in range(10))
    assert column == "█▓▓▓▓░░░░ "


def test_a_coarse_series_is_no_comb() -> None:
    assert all(bucket is not None for bucket in buckets(chart([10.0, 20.0, 30.0]), 60))
    assert measured_share(chart([1.0, None])) == pytest.approx(0.5)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e13)), min_size=1, max_size=50),
    st.sampled_from(["percent", "share", "bytes", "watts", "seconds", "tokens/s", "GPUs"]),
    st.integers(20, 200),
    st.integers(2, 20),
)
def test_every_line_has_the_width_that_was_asked_for(
    values: list[float | None], unit: str, width: int, height: int
) -> None:
    lines = draw(chart(values, unit), width, height)
    assert len(lines) == height
    assert {cells(line) for line in lines} == {width}


def test_a_row_of_the_plot_is_one_segment() -> None:
    assert all(len(line) == 3 for line in draw(chart([10.0, None, 90.0], band=5), 60, 8))


def test_numbers_are_short() -> None:
    assert [short(value) for value in (0.25, 12.0, 12.34, 980, 12_345, 2_100_000)] == [
        "0.25", "12", "12.3", "980", "12.3k", "2.1M",
    ]  # fmt: skip
    assert value_text(None, "percent") == "–"
    assert value_text(0.85, "seconds") == "850 ms"
    assert value_text(0.002, "share") == "0.20%"
