"""Lines of text with roles: cut, padded and wrapped without losing or spilling a cell."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.fakes.screen_data import HOSTILE, NOW
from tui import format as fmt
from tui.document import Span, cells, ends, fit, fit_end, pad, plain, text, wrap

_WORDS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cf", "Mn", "Me", "Zl", "Zp"]), max_size=60
)
_LINES = st.lists(st.builds(Span, _WORDS, st.sampled_from(["", "bad", "ok"])), max_size=5).map(tuple)


@given(_LINES, st.integers(min_value=1, max_value=90))
def test_nothing_spills(line: tuple[Span, ...], width: int) -> None:
    assert cells(fit(line, width)) <= width
    assert cells(fit_end(line, width)) <= width
    assert cells(pad(line, width)) == width
    assert cells(ends(line, line, width)) == width


@given(_LINES, st.integers(min_value=12, max_value=90), st.integers(min_value=0, max_value=3))
def test_wrapping_keeps_every_character(line: tuple[Span, ...], width: int, indent: int) -> None:
    wrapped = wrap(line, width, indent)
    assert all(cells(part) <= width for part in wrapped)
    joined = "".join(plain(part) for part in wrapped).replace(" ", "")
    assert joined == plain(line).replace(" ", "").replace("\u3000", "") or "\u3000" in plain(line)


def test_what_is_cut_ends_or_starts_with_an_ellipsis() -> None:
    assert plain(fit(text("abcdefgh"), 5)) == "abcd…"
    assert plain(fit_end(text("abcdefgh"), 5)) == "…efgh"
    assert plain(fit(text("abcde"), 5)) == "abcde"


def test_wide_characters_take_two_cells() -> None:
    assert cell_len(plain(pad(text("模型仓库"), 5))) == 5


def test_text_is_sanitised_when_it_is_made() -> None:
    shown = plain(text(HOSTILE))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]bold[/red]" in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "now"),
        (14, "now"),
        (15, "<1m"),
        (59, "<1m"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (26 * 3600, "26h"),
        (48 * 3600, "2d"),
    ],
)
def test_ages_are_short_and_steady(seconds: int, shown: str) -> None:
    assert fmt.age(NOW - timedelta(seconds=seconds), NOW) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1024, "1 KiB"), (8 * 1024**3, "8 GiB"), (1100 * 1024**3, "1.07 TiB")],
)
def test_sizes_are_in_binary_units(count: int | None, shown: str) -> None:
    assert fmt.size(count) == shown
