"""The overview: what is read in five seconds, at 160 columns and at 80."""

from __future__ import annotations

import msgspec
import pytest

from backend.core.events import GpusSampled, Topic
from backend.core.views import ChangeView, Verdict
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.overview.view_model import newest_first


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 45), (200, 60)])
async def test_shows_every_pane_with_the_worst_first(size: tuple[int, int]) -> None:
    async with desk(size=size) as table:
        shown = table.text()
        lines = shown.splitlines()
        for word in ("DEPLOYMENTS", "QUEUE", "GPUS", "LIBRARY", "CHANGED", "WHY", "NEXT", "BROKEN 2", "FOR ME 4"):
            assert word in shown
        first = next(line for line in lines if "llm-prod/" in line)
        assert "FAILED" in first
        assert "llama-70b" in first
        assert all(len(line) <= size[0] for line in lines)


async def test_why_and_next_tell_of_what_is_under_the_cursor() -> None:
    async with desk() as table:
        await table.sees("WHY  crash loop: KV cache needs 52 GiB", "NEXT B back to r41")
        await table.press("j")
        await table.sees("WHY  needs 2 GPUs on one node")
        await table.press("tab")
        await table.sees("WHY  2 critical, at most 0 allowed")


async def test_a_change_of_the_cluster_appears_without_a_key() -> None:
    async with desk() as table:
        failed = data.service("llm-prod", "new-one", Verdict.FAILED, "image cannot be pulled", gpus=99)
        table.yard.put_service(failed)
        await table.sees("new-one", "BROKEN 3")
        table.yard.remove_service(failed.key)
        await table.sees("BROKEN 2")


async def test_the_cursor_stays_on_its_service_when_others_come_before_it() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("j")
        await table.sees("WHY  needs 2 GPUs on one node")
        table.yard.put_service(data.service("a", "a-new-worst", Verdict.FAILED, "out of memory", gpus=99))
        await table.sees("a-new-worst")
        assert "WHY  needs 2 GPUs on one node" in table.text()


async def test_enter_opens_a_service_and_a_card() -> None:
    async with desk() as table:
        await table.press("enter")
        await table.sees("3 llm-prod/llama-70b", "verdict  FAILED  for 12m  1 of 2 replicas ready")
        await table.press("escape", "tab", "enter")
        await table.sees("2 ngc/nim/meta/llama-3.3-70b:1.8.2", "What changed")


async def test_tab_goes_around_and_plus_gives_a_pane_the_screen() -> None:
    async with desk() as table:
        await table.press("tab", "plus")
        await table.sees_not("DEPLOYMENTS")
        assert "arctic-embed" in table.text()
        await table.press("underscore")
        await table.sees("DEPLOYMENTS")
        for _ in range(4):
            await table.press("tab")
        await table.sees("━ 3 DEPLOYMENTS")


async def test_gauges_move_with_each_sample() -> None:
    async with desk(size=(160, 45)) as table:
        snapshot = data.gpus()
        first = msgspec.structs.replace(snapshot.gpus[0], engine_active=41.0, utilisation=41.0)
        table.yard.publish(
            Topic.GPUS, GpusSampled(snapshot=msgspec.structs.replace(snapshot, gpus=(first, *snapshot.gpus[1:])))
        )
        await table.sees("│  41  65  70  75│")


async def test_a_change_before_a_failure_is_pointed_out() -> None:
    async with desk(size=(160, 45)) as table:
        line = next(line for line in table.text().splitlines() if "--max-model-len" in line)
        assert "← cause of llama-70b FAILED?" in line


def test_the_tags_of_a_run_do_not_bury_what_else_changed() -> None:
    tags = [
        ChangeView(at=data.ago(seconds=number), actor="registry", what="tag new", object=f"nim/model-{number}:1")
        for number in range(9)
    ]
    rows = newest_first([*tags, *data.changes()])
    assert len(rows) == 6
    assert rows[0].what == "tag new ×9"
    assert rows[0].object == "model-0:1, model-1:1, model-2:1"
    assert rows[0].detail == "and 6 more"


async def test_changes_leave_the_list_when_their_hour_is_over() -> None:
    async with desk(size=(160, 45)) as table:
        await table.sees("CHANGED 1h 5")
        table.clock.move(minutes=10)
        await table.sees("CHANGED 1h 4")
        await table.sees_not("by kubectl")


async def test_the_filter_narrows_the_deployments_and_escape_clears_it() -> None:
    async with desk() as table:
        await table.press("slash")
        await table.type("qwen")
        await table.press("enter")
        await table.sees_not("X FAILED")
        assert "llm-prod/qwen-vl" in table.text()
        await table.press("escape")
        await table.sees("llm-prod/llama-70b")


async def test_a_pause_holds_the_screen_and_then_shows_what_came() -> None:
    async with desk() as table:
        await table.press("Z")
        await table.sees("PAUSED")
        table.yard.put_service(data.service("llm-prod", "later", Verdict.FAILED, "x", gpus=99))
        await table.pilot.pause(0.3)
        assert "later" not in table.text()
        await table.press("Z")
        await table.sees("llm-prod/later")


async def test_an_empty_first_run_says_what_to_do_next() -> None:
    async with desk(FakeYard(empty=True)) as table:
        await table.sees("No registry is configured yet.", "modelyard init", "modelyard demo")
        await table.press("1")
        await table.sees("1 LIBRARY", "modelyard init")


async def test_a_configured_yard_without_images_says_to_synchronise() -> None:
    sources = data.status().sources
    async with desk(FakeYard(empty=True, status={"sources": sources})) as table:
        await table.sees("nothing was synchronised yet", ":sync")


async def test_colon_q_leaves_with_status_0() -> None:
    async with desk() as table:
        await table.command("q")
    assert table.app.return_code == 0
    assert table.yard.closed
