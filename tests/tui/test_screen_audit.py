"""The audit pane: the whole ledger is found by terms, page by page, and hostile text in it stays text."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.audit.terms import complete, read_terms


def long_ledger(count: int = 700) -> FakeYard:
    yard = FakeYard()
    yard.entries_view = data.ledger(count)
    return yard


async def test_older_entries_are_read_as_the_cursor_comes_near_the_end() -> None:
    async with desk(long_ledger(), size=(120, 40)) as table:
        await table.press("5")
        await table.sees("5 AUDIT 200")
        for count in ("400", "600", "700"):
            await table.press("G")
            await table.sees(f"5 AUDIT {count}")
        await table.press("G")
        await table.sees("deploy.stop")
        assert "5 AUDIT 700" in table.text()


async def test_terms_find_what_the_screen_has_not_read() -> None:
    async with desk(long_ledger(), size=(120, 40)) as table:
        await table.press("5")
        await table.sees("5 AUDIT 200")
        await table.press("slash")
        await table.type("actor:mira action:queue.*")
        await table.press("enter")
        await table.sees("175")
        await table.sees_not("deploy.apply")
        await table.press("escape")
        await table.sees("5 AUDIT 200", "deploy.apply")


async def test_a_term_that_means_nothing_says_what_to_write() -> None:
    async with desk(long_ledger(), size=(120, 40)) as table:
        await table.press("5")
        await table.sees("5 AUDIT 200")
        await table.press("slash")
        await table.type("since:soon")
        await table.press("enter")
        await table.sees("is no time", "since:7d")


def test_terms_and_words_are_told_apart() -> None:
    terms = read_terms("actor:mira object:llama since:7d until:2026-11-20 CVE-1 timeout", data.NOW)
    assert (terms.actor, terms.object, terms.rest) == ("mira", "llama", "CVE-1 timeout")
    assert terms.since == data.NOW - timedelta(days=7)
    assert terms.until is not None and terms.until.isoformat() == "2026-11-21T00:00:00+00:00"
    assert terms.asks
    assert not read_terms("llama.*70b", data.NOW).asks
    assert not read_terms("actor:", data.NOW).asks


@pytest.mark.parametrize("typed", ["outcome:maybe", "since:yesterday", "until:2026-13-01", "since:999999999999w"])
def test_what_is_no_value_of_a_term_is_a_problem(typed: str) -> None:
    assert read_terms(typed, data.NOW).problem


@given(st.text(max_size=60))
def test_any_text_can_be_typed(typed: str) -> None:
    terms = read_terms(typed, data.NOW)
    assert terms.problem or set(terms.rest) - {" "} <= set(typed)
    assert terms.problem or ":" in typed or not terms.asks
    assert all(line.startswith(typed.rpartition(" ")[0]) for line in complete(typed, ["mira"], ["queue.approve"]))


def test_terms_are_completed_by_name_and_by_value() -> None:
    assert complete("act", [], []) == ["actor:", "action:"]
    assert complete("x actor:m", ["mira", "max", "robin", "mira"], []) == ["x actor:max", "x actor:mira"]
    assert complete("outcome:re", [], []) == ["outcome:refused"]
    assert complete("", ["mira"], []) == []
