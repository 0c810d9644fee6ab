"""What changed, what runs unapproved, what proves a rollout, and what a change would end, on the screen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backend.core.events import ChangeObserved, Topic
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard

LLAMA = "prod-eu1/llm-prod/llama-70b"


async def test_all_changes_are_a_page_and_lead_to_their_service() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("t")
        await table.sees("CHANGES", "last 24 hours", "max-model-len")
        await table.press("slash", *"opr-9", "enter")
        await table.sees("of")


async def test_a_service_tells_its_changes_its_traffic_and_its_proofs_in_tabs() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("enter", "t")
        await table.sees("changes", "max-model-len")
        await table.press("tab")
        await table.sees("splits no traffic", "✗ failed", "a return to r41 is proposed")


async def test_what_runs_is_listed_worst_first_and_one_state_at_a_time(tmp_path: Path) -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("o")
        await table.sees("RUNNING", "1 revoked", "1 unapproved", "1 drifted", "1 edited", "1 unknown")
        lines = [line for line in table.text().splitlines() if "llm-prod/llama-70b" in line]
        assert "revoked" in lines[0]
        await table.press("o")
        await table.sees("only revoked")
        await table.press("o", "o", "x")
        await table.sees("Write the list?", "1 rows")
        target = tmp_path / "drift.csv"
        await table.press(*["backspace"] * 30, *str(target), "enter")
        await table.sees("was written")
        assert "minReplicas" in target.read_text()


async def test_what_a_stop_would_end_is_told_in_its_dialog() -> None:
    async with desk() as table:
        await table.press("S")
        await table.sees("Stop llm-prod/llama-70b?", "12.5 requests a second that nothing answers then")
        assert table.yard.called("blast") == [("llm-prod", "llama-70b", "stop")]


async def test_a_canary_is_promoted_by_its_next_step() -> None:
    yard = FakeYard()
    yard.canary_of = "llama-70b"
    async with desk(yard=yard) as table:
        await table.press("P")
        await table.sees("Promote llm-prod/llama-70b?", "gets no traffic", "10")
        await table.press("tab", *"llama-70b", "enter")
        await table.sees("promoted")
        assert yard.called("promote") == [("llm-prod", "llama-70b", 10)]


async def test_a_mode_that_splits_nothing_says_so() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("P")
        await table.sees("splits no traffic")
        assert not table.yard.called("promote")


async def test_a_validation_is_asked_for_and_told() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("z")
        await table.sees("Validate llm-prod/llama-70b?", "around gateway")
        await table.press("tab", "enter")
        await table.sees("✓ passed")
        assert table.yard.called("validate") == [("llm-prod", "llama-70b")]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_proposed_rollback_stands_on_the_screen_and_is_ready_to_confirm(size: tuple[int, int]) -> None:
    yard = FakeYard()
    view = yard.service_views[LLAMA]
    yard.service_views[LLAMA] = msgspec.structs.replace(view, proposal="r41", next_step="roll back to r41, as proposed")
    async with desk(yard=yard, size=size) as table:
        await table.sees("BACK? 1", "roll back to r41, as proposed")
        await table.press("B")
        await table.sees("Roll back llm-prod/llama-70b?")


async def test_what_is_not_as_it_was_applied_is_counted_on_the_overview() -> None:
    yard = FakeYard()
    yard.drifted_views = data.running()[2:4]
    async with desk(yard=yard, size=(160, 45)) as table:
        table.yard.publish(Topic.LEDGER, ChangeObserved(key=LLAMA, change=data.changes()[0]))
        await table.sees("DRIFTED 2")
