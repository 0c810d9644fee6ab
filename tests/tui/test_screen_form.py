"""The deployment form by keyboard alone, in a small terminal."""

from __future__ import annotations

import pytest

from backend.core.errors import UnreachableError
from backend.core.views import FitNodeView, FitView, RoomView
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard


async def _form(table: Desk) -> None:
    await table.press("2", "G", "D")
    await table.sees("DEPLOY", "▸What◂", "estimate", "it would run now on gpu-01")


async def test_the_first_field_has_the_focus_and_enter_plans() -> None:
    async with desk() as table:
        await _form(table)
        await table.type("chat")
        await table.press("enter")
        await table.sees("PLAN llm-prod/chat")
        ((written, namespace),) = table.yard.called("plan")
        assert "name: chat\n" in written
        assert namespace == "llm-prod"


async def test_keys_that_do_not_wait_for_the_form_go_where_they_are_meant_for() -> None:
    async with desk() as table:
        await table.press("2", "G")
        await table.sees("approved")
        await table.hurry("D", *"fast", "tab", "down", "pagedown", "pagedown", "4", "enter")
        await table.sees("PLAN llm-dev/fast")
        assert "gpu: 4" in table.yard.called("plan")[0][0]


async def test_what_runs_is_changed_in_the_form() -> None:
    async with desk() as table:
        await table.press("3")
        await table.sees("3 DEPLOYMENTS", "llama-70b")
        await table.press("D")
        await table.sees("DEPLOY  llm-prod/llama-70b", "! metadata.annotations.team: nlp is not in the file")
        await table.press("pagedown", "pagedown", "pagedown")
        await table.type("3")
        await table.sees_not("nlp is not in the file")
        await table.press("enter")
        await table.sees("PLAN llm-prod/llama-70b")
        assert "min: 3" in table.yard.called("plan")[0][0]


async def test_the_plan_tells_where_it_would_run() -> None:
    yard = FakeYard()
    yard.plan_fit = FitView(
        verdict="waits", pods=1, fitting=0, sentence="8 GPUs: 11 free, no node has more than 5",
        nodes=(FitNodeView(name="gpu-01", product="H100", gpus=8, free=5, pods=0),),
        goes=(
            RoomView(
                namespace="llm-dev", name="old", service=True, pods=1, gpus=8, nodes=("gpu-01",), reason="idle for 3 h"
            ),
        ),
    )  # fmt: skip
    async with desk(yard, size=(100, 60)) as table:
        await _form(table)
        await table.press("enter")
        await table.sees("Where it would run", "an estimate", "! 8 GPUs: 11 free", "would have to go: llm-dev/old")
        await table.sees("gpu-01    5 of 8   free  takes 0  H100")


async def test_what_will_not_do_is_told_while_typing_and_enter_goes_there() -> None:
    async with desk() as table:
        await _form(table)
        await table.type("9_Bad")
        await table.sees("✗ Service name: KServe takes lower-case letters", "▸What◂✗")
        await table.press("pagedown", "pagedown")
        await table.sees("▸Resources◂", " What ✗")
        await table.type("many")
        await table.sees("✗ GPUs: write a whole number", "▸Resources◂✗")
        await table.press("pagedown", "enter")
        await table.sees("▸What◂✗", "✗ Service name")
        assert not table.yard.called("plan")


async def test_closed_sets_are_chosen_by_the_arrows_and_what_does_not_suit_says_why() -> None:
    async with desk() as table:
        await _form(table)
        await table.press("tab", "tab")
        await table.sees("2 of 3", "the image brings its own")
        await table.press("down")
        await table.sees("triton-25.06", "! Runtime: it is disabled, and KServe will not use it")
        await table.press("up", "up")
        await table.sees("nim-1.8", "1 of 3  serves nim")
        await table.press("up")
        await table.sees("1 of 3  serves nim")


async def test_what_was_typed_is_come_back_to_from_the_offers() -> None:
    async with desk() as table:
        await _form(table)
        await table.press("tab")
        await table.type("mine")
        await table.sees("! Namespace: it is not among the 2 that are known")
        await table.press("down")
        await table.sees("1 of 2")
        await table.press("up")
        await table.sees("! Namespace: it is not among the 2 that are known", "mine")


async def test_tab_goes_on_from_section_to_section() -> None:
    async with desk() as table:
        await _form(table)
        await table.press("shift+tab")
        await table.sees("▸Access◂", "empty: that of the engine")
        await table.press("tab")
        await table.sees("▸What◂", "lower-case letters")


async def test_a_suggestion_is_shown_with_its_reason_and_taken_by_a_key_alone() -> None:
    async with desk() as table:
        await _form(table)
        await table.sees("suggested", "GPUs 2 (now 1) 1 of 2", "8 billion parameters", "assumed: weights of bf16")
        await table.press("f5")
        await table.sees("maximum length 65536 2 of 2")
        await table.press("f4")
        await table.sees("it is not suggested any more")
        await table.press("f5", "f4")
        await table.sees_not("suggested")
        await table.press("pagedown", "pagedown")
        await table.sees("GPUs               2")


async def test_the_estimate_follows_what_is_written_and_says_what_would_have_to_go() -> None:
    async with desk(size=(120, 40)) as table:
        await _form(table)
        await table.press("pagedown", "pagedown")
        await table.type("8")
        await table.sees(
            "8 GPUs: 11 free, no node has more than 5", "would have to go: llm-dev/deepseek-dev (8 GPUs, idle"
        )


async def test_the_file_is_edited_as_text_and_comes_back_into_the_form() -> None:
    async with desk() as table:
        await _form(table)
        await table.press("f2")
        await table.sees("Deployment file", "back to the form", "name: ")
        await table.press("end")
        await table.type("-x")
        await table.press("f2")
        await table.sees("▸What◂", "llama-3-1-8b-x")
        await table.press("f2")
        await table.sees("back to the form")
        await table.type("!")
        await table.press("f2")
        await table.sees("✗ deployment file")
        await table.press("escape")
        await table.sees("llama-3-1-8b-x")


async def test_leaving_what_was_written_asks_once_more() -> None:
    async with desk() as table:
        await _form(table)
        await table.type("chat")
        await table.press("escape")
        await table.sees("Esc again leaves")
        await table.press("escape")
        await table.sees_not("DEPLOY")


async def test_another_namespace_has_other_offers_and_what_stands_there_stays() -> None:
    async with desk() as table:
        await _form(table)
        await table.type("chat")
        await table.press("tab", "down")
        await table.until(lambda: table.yard.called("forms.of_file"))
        assert "namespace: llm-dev" in table.yard.called("forms.of_file")[0][0]
        await table.sees("chat", "llm-dev", "2 of 2")


async def test_a_cluster_that_is_away_keeps_the_estimate_back_and_the_form_open() -> None:
    gone = UnreachableError("cluster", "no answer from 10.0.0.1", "look at the network")
    async with desk(FakeYard(errors={"forms.advice": gone, "plan": gone})) as table:
        await table.press("2", "G", "D")
        await table.sees("it cannot be told: no answer from 10.0.0.1")
        await table.press("enter")
        await table.sees("✗ cluster", "no answer", "▸What◂")
        await table.press("escape")
        await table.sees_not("DEPLOY")


@pytest.mark.parametrize("environment", [{"TERM": "xterm", "NO_COLOR": "1"}])
async def test_it_is_usable_without_colours(environment: dict[str, str]) -> None:
    async with desk(environment=environment) as table:
        await _form(table)
        await table.type("9")
        await table.sees("✗ Service name", "▸What◂✗")
