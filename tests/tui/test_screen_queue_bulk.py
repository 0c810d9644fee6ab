"""Marked rows: rejection and comments together, hidden rows counted, approval one by one; and a large queue."""

from __future__ import annotations

import time

import msgspec

from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.queue import view_model

NAMES = [view.reference for view in view_model.mine_first(data.candidates())]


async def test_marked_rows_are_rejected_together_and_hidden_ones_are_counted() -> None:
    yard = FakeYard()
    yard.queue.rejected_not[NAMES[1]] = "it is rejected already"
    async with desk(yard, size=(120, 30)) as table:
        await table.press("2", "space", "space", "space")
        await table.sees("3 marked", "■")
        await table.press("A")
        await table.sees("approval is one by one")
        await table.press("slash")
        await table.type("bge-m3")
        await table.press("enter")
        await table.sees("1 of 8")
        await table.press("R")
        await table.sees("Reject 3 candidates?", "2 of them not seen now: the filter /bge-m3 hides them")
        await table.type("nobody needs them")
        await table.press("enter")
        await table.until(lambda: yard.called("reject_many"))
        assert yard.called("reject_many") == [(tuple(NAMES[:3]), "nobody needs them")]
        await table.sees("2 of 3 rejected; 1 stay marked: it is rejected already", "1 marked")
        await table.press("at")
        await table.sees("refused: it is rejected already")


async def test_ranges_all_and_none_are_marked_and_commented_on() -> None:
    async with desk(size=(100, 30)) as table:
        await table.press("2", "space", "j", "v")
        await table.sees("3 marked")
        await table.press("t")
        await table.sees("Comment 3 candidates?")
        await table.type("next week")
        await table.press("enter")
        await table.sees("3 of 3 commented on")
        assert [call[0] for call in table.yard.called("comment")] == NAMES[:3]
        await table.sees_not("marked")
        await table.press("asterisk")
        await table.sees("8 marked")
        await table.press("escape")
        await table.sees_not("marked")


async def test_five_thousand_candidates_are_shown_and_moved_through() -> None:
    yard = FakeYard()
    template = data.candidates()[1]
    yard.candidate_views = [
        msgspec.structs.replace(
            template, reference=f"{template.reference}{index}", name=f"ngc/m/{index}:1", risk=index % 90
        )
        for index in range(5000)
    ]
    async with desk(yard, size=(80, 24)) as table:
        started = time.perf_counter()
        await table.press("2")
        await table.sees("2 QUEUE 5 000")
        # A bound against rows built one by one: those take seconds.
        assert time.perf_counter() - started < 2.0
        await table.press("G")
        await table.sees("ngc/m/4950:1")
