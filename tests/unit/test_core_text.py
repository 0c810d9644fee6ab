"""Text from outside does nothing but be read."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.text import sanitise, sanitise_lines


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("title\x1b]0;owned\x07end", "titleend"),
        ("link\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "linktext"),
        ("\x9b2Jcleared", "cleared"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("bell\x07", "bell\ufffd"),
        ("abc\u202etxt.exe", "abc\ufffdtxt.exe"),
        ("zero\u200bwidth", "zero\ufffdwidth"),
        ("[bold red]markup[/]", "[bold red]markup[/]"),
        ("naïve 模型 🚀", "naïve 模型 🚀"),
    ],
)
def test_hostile_text_is_neutralised(hostile: str, shown: str) -> None:
    assert sanitise(hostile) == shown


@given(st.text(max_size=300))
def test_nothing_that_controls_a_terminal_comes_through(text: str) -> None:
    shown = sanitise(text)
    assert not [character for character in shown if unicodedata.category(character) in {"Cc", "Cs"}]
    assert not any("\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069" for character in shown)


@given(st.text(max_size=300))
def test_sanitising_twice_changes_nothing_more(text: str) -> None:
    assert sanitise(sanitise(text)) == sanitise(text)


def test_long_text_is_cut_and_marked() -> None:
    assert sanitise("x" * 5000, 10) == "xxxxxxxxx…"


def test_lines_stay_lines() -> None:
    assert sanitise_lines("one\r\ntwo\x1b[2J\nthree") == "one\ntwo\nthree"
