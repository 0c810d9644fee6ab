"""The terminal's bell and title."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from backend.core.views import CandidateView
from tests.fakes import screen_data as data
from tui.attention import Attention, has_title, title_of

MINE, OTHER = data.candidates()[0], data.candidates()[1]


def _look(attention: Attention, *candidates: CandidateView) -> None:
    attention.look("production", candidates, data.NOW)


def test_the_bell_rings_for_what_is_new_and_never_for_what_was_there() -> None:
    sent: list[str] = []
    attention = Attention(sent.append, bell=True, title=False)
    _look(attention, MINE)
    _look(attention, MINE)
    assert sent == []
    _look(attention, MINE, OTHER)
    assert sent == ["\x07"]
    _look(attention, OTHER)
    assert sent == ["\x07"]
    _look(attention, OTHER, msgspec.structs.replace(MINE, waits_for_me=False, break_glass="until 14:00 by kim alone"))
    assert sent == ["\x07", "\x07"]


def test_an_approval_that_ends_soon_rings_once() -> None:
    sent: list[str] = []
    attention = Attention(sent.append, bell=True, title=False)
    approved = data.candidates()[-1]
    given = data.decision(approved.digest, "approve", "kim", "fine", 20)

    def ending(days: int) -> CandidateView:
        until = msgspec.structs.replace(given, expires_at=data.NOW + timedelta(days=days))
        return msgspec.structs.replace(approved, approvals=(until,))

    _look(attention, ending(30))
    assert sent == []
    _look(attention, ending(3))
    _look(attention, ending(3))
    assert sent == ["\x07"]


def test_the_title_counts_is_written_once_and_is_given_back() -> None:
    sent: list[str] = []
    attention = Attention(sent.append, bell=False, title=True)
    _look(attention, MINE, OTHER)
    _look(attention, MINE, OTHER)
    assert sent == ["\x1b[22;2t\x1b]2;(2) modelyard production\x07"]
    _look(attention)
    assert sent[1:] == ["\x1b]2;modelyard production\x07"]
    attention.close()
    attention.close()
    assert sent[2:] == ["\x1b]2;\x07\x1b[23;2t"]


def test_a_hostile_name_does_not_get_out_of_the_title() -> None:
    told = title_of(f"x{data.HOSTILE}\x07\x1b]2;owned\x07", 1, 1)
    assert told.startswith("(1) BREAK-GLASS modelyard xevil")
    assert not any(ord(character) < 32 for character in told)


def test_terminals_without_a_title_get_none() -> None:
    assert has_title({"TERM": "screen-256color"})
    assert not has_title({"TERM": "linux"})
    assert not has_title({"TERM": "dumb"})
    assert not has_title({})
