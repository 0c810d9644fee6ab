"""Keys that come faster than pages, prompts and dialogs are made."""

from __future__ import annotations

from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk

LLAMA = data.candidates()[0]


async def test_a_pane_and_enter_at_once() -> None:
    async with desk() as table:
        await table.hurry("2", "enter")
        await table.sees("2 ngc/nim/meta/llama-3.3-70b:1.8.2", "What changed")


async def test_a_whole_decision_at_once() -> None:
    async with desk() as table:
        await table.hurry("2", "enter", "A", *"ship it", "enter", *LLAMA.digest[-6:], "enter")
        await table.until(lambda: table.yard.called("approve"))
        assert table.yard.called("approve") == [(LLAMA.reference, "ship it", LLAMA.evidence_hash)]


async def test_a_command_at_once() -> None:
    async with desk() as table:
        await table.hurry(":", *"deployments llm-dev", "enter")
        await table.sees("3 DEPLOYMENTS 4 of 41")


async def test_a_filter_at_once() -> None:
    async with desk() as table:
        await table.hurry("3", "/", *"qwen", "enter", "enter")
        await table.sees("3 llm-prod/qwen-vl")


async def test_the_menu_and_a_choice_at_once() -> None:
    async with desk() as table:
        await table.hurry("m", "4")
        await table.sees("4 GPUS")


async def test_typing_while_a_dialog_opens_is_never_taken_for_commands() -> None:
    async with desk() as table:
        await table.hurry("3", "X", *"llama-70b", "enter")
        await table.until(lambda: table.yard.called("delete"))
        assert table.yard.called("delete") == [("llm-prod", "llama-70b")]


async def test_quitting_before_anything_is_there() -> None:
    async with desk(ready=False) as table:
        await table.hurry(":", "q", "enter")
        await table.until(lambda: table.app.return_code is not None)
    assert table.app.return_code == 0


async def test_a_rollback_at_once() -> None:
    async with desk() as table:
        await table.hurry("0", "B", *"llama-70b", "enter")
        await table.until(lambda: table.yard.called("apply"))
        await table.sees("3 llm-prod/llama-70b")
        assert not table.yard.called("logs")
