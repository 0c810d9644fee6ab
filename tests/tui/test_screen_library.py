"""The library pane: flat and as a tree, filter, order, marks, and what is done to the marked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backend.core.errors import RoleError, UnreachableError
from backend.core.events import LibraryChanged, SyncProgressed, Topic
from backend.core.views import PruneView, SyncProgressView
from tests.fakes import screen_data as data
from tests.fakes.screen_library import ManyImages
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard
from tui.document import plain
from tui.panes.library.corrections import prune_lines
from tui.panes.library.page import LibraryPage
from tui.panes.library.rows import Row

MANY = 100_000


def _many(number: int = MANY) -> FakeYard:
    yard = FakeYard()
    yard.image_views = ManyImages(number)
    return yard


def _page(table: Desk) -> LibraryPage:
    page = table.app.page()
    assert isinstance(page, LibraryPage)
    return page


def _row(table: Desk) -> Row:
    row = _page(table).table.current
    assert row is not None
    return row


async def _filter(table: Desk, query: str) -> None:
    await table.press("slash")
    await table.until(lambda: table.app.screen.query("#prompt Input"))
    await table.type(query)
    await table.press("enter")


# ---------------------------------------------------------------- looking


async def test_it_lists_filters_and_opens_the_tabs_of_an_image() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("1")
        await _filter(table, "3.1-8b")
        await table.sees("1 LIBRARY 1 of 64", "nim/meta/llama-3.1-8b:1.3", "moved 31m", "✓ approved")
        await table.press("enter")
        await table.sees("▸overview◂", "Entrypoint", "/opt/nim/start.sh", "NIM_TYPE of its environment", "90% sure")
        assert table.text().splitlines()[2].startswith("━ 1 ngc/nim/meta/llama-3.1-8b:1.3")
        for told in (
            ("▸tags◂", "History of the tag", "moved"),
            ("▸layers◂", "Platforms", "linux/amd64", "812 MiB"),
            ("▸evidence◂", "critical CVE-2026-1230"),
            ("▸card◂", "# Llama", "- careful"),
            ("▸lineage◂", "nvcr.io/nvidia/cuda:12.8", "fine-tuned", "named by mira", "prod-eu1/llm-prod/llama-8b"),
            ("▸manifest◂", '"schemaVersion": 2'),
        ):
            await table.press("tab")
            await table.sees(*told)
        await table.press("left")
        await table.sees("▸lineage◂")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_the_pane_shows_at_both_sizes(size: tuple[int, int]) -> None:
    async with desk(size=size) as table:
        await table.press("1", "j", "j")
        await table.sees(
            "1 LIBRARY 64  38 approved", "SYNC  partial  3m ago  nim-llama", "3 failed", "IMAGE▲", "CHANGED"
        )
        wide = size[0] == 160
        for word in ("TYPE", "registry   ngc  nvcr.io", "t tree"):
            assert (word in table.text()) == wide
        for word in ("STATE", "SIZE", "Enter open", "f sync", "/ filter"):
            assert word in table.text()
        await table.press("o")
        await table.sees("approved only")
        await table.sees_not("candidate ")
        await table.press("o")
        for query, told in (("falcon", "gone 5h"), ("vllm-openai", "new 32m")):
            await _filter(table, query)
            await table.sees(told, "1 of 64")
            await table.press("escape")


async def test_the_order_is_the_librarys_and_can_be_turned_around() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "s")
        await table.sees("CHANGED▼", "by last change")
        await table.until(lambda: "llama-3.1-8b" in _row(table).key)
        await table.press("I")
        await table.sees("CHANGED▲", "turned around")
        assert table.yard.called("search")[-1][1:3] == ("changed", False)


async def test_an_approved_image_is_deployed_from_the_library() -> None:
    async with desk() as table:
        await table.press("1")
        await _filter(table, "3.1-8b")
        await table.sees("1 of 64")
        await table.press("D")
        await table.sees("DEPLOY", "Service name")


# ---------------------------------------------------------------- the query


async def test_a_query_is_completed_and_says_what_is_wrong_with_it() -> None:
    async with desk() as table:
        await table.press("1", "slash")
        await table.type("ty")
        await table.press("tab")
        await table.type("em")
        await table.press("tab")
        await table.sees("/type:embedding", "20 images")
        await table.type("l:")
        # What was found before stays while the query is none yet.
        await table.sees("l: is no key; write type: or state:", "○ candidate")
        await table.press("enter")
        await table.sees("? l: is no key", "Esc clears")
        await table.sees_not("○ candidate")
        await table.press("escape")
        await table.sees("1 LIBRARY 64 ")
        await _filter(table, "nothing")
        await table.sees("Nothing matches nothing", "Esc clears")


# ---------------------------------------------------------------- empty and failing


async def test_empty_yards_say_what_to_do_first() -> None:
    async with desk(FakeYard(empty=True)) as table:
        await table.press("1")
        await table.sees("No registry is configured yet.", "modelyard init", "nothing was synchronised yet")
        table.yard.put_status(sources=data.status().sources)
        await table.sees("The library is empty", ":sync")


async def test_what_fails_stands_in_the_pane_and_goes_when_it_works_again() -> None:
    async with desk() as table:
        await table.press("1")
        await table.sees("1 LIBRARY 64")
        table.yard.errors["search"] = UnreachableError("library", "the database is on a lost disk", "mount it")
        table.yard.publish(Topic.LIBRARY, LibraryChanged())
        await table.sees("the database is on a lost disk", "mount it", "nim/meta/llama-0b", "as of")
        del table.yard.errors["search"]
        table.yard.publish(Topic.LIBRARY, LibraryChanged())
        await table.sees_not("lost disk")


async def test_hostile_names_do_nothing_but_be_read() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("1", "t", "z")
        await table.sees("▾ evil/repo")
        await _filter(table, "evil")
        await table.sees("1 of 64")
        await table.press("t", "enter")
        for _ in range(7):
            assert not any(character in table.text() for character in "\x1b\x07\u202e\u200b")
            await table.press("tab")


# ---------------------------------------------------------------- the tree


async def test_the_tree_folds_and_opens() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "t")
        await table.sees("▾ ngc", "▸ nim/meta/llama-0b  2 tags, newest 1.17.0", "tree")
        assert "1.51.0" not in table.text()
        await table.press("j", "j", "right")
        await table.sees("▾ nim/meta/llama-0b  2 tags", "1.51.0")
        await table.press("j", "enter")
        await table.sees("1 ngc/nim/meta/llama-0b:1.17.0", "▸overview◂")
        await table.press("escape", "left", "left")
        await table.sees("▸ nim/meta/llama-0b  2 tags")
        await table.press("space")
        await table.sees("■ 2 marked")
        await table.press("z")
        await table.sees("▾ nim/meta/llama-10b", "1.27.0")
        await table.press("g", "enter")
        await table.sees("▸ ngc")
        await table.sees_not("nim/meta")
        await _filter(table, "3.1-8b")
        await table.press("g", "enter")
        await table.sees("▾ nim/meta/llama-3.1-8b", "1.3 ", "moved 31m")


# ---------------------------------------------------------------- a hundred thousand


async def test_a_hundred_thousand_are_listed_without_being_held() -> None:
    async with desk(_many(), size=(120, 40)) as table:
        await table.press("1")
        await table.sees("1 LIBRARY 100 000", "bulk/model-00000:1.00.0")
        await table.press("G")
        await table.sees("bulk/model-00999:1.99.0")
        await table.press("pageup", "pageup")
        await table.sees("bulk/model-00999:1.40.0")
        images = _page(table)._reader.rows.images
        assert len(images) == MANY
        assert images.held <= 12 * 128
        # What was read was read by chunks, however far the cursor went.
        assert {call[4] for call in table.yard.called("search")} <= {50, 128}
        await table.press("t")
        await table.sees("▾ ngc", "1 000 repositories", "▸ bulk/model-00000  100 tags")
        await table.press("G", "right", "j", "j")
        await table.sees("▾ bulk/model-00999  100 tags", "1.01.0")
        assert _row(table).key == "ngc/bulk/model-00999:1.01.0"


async def test_changes_without_end_are_gathered_and_the_cursor_stays_on_its_row() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1")
        await table.sees("1 LIBRARY 64")
        await table.press("G")
        key = _row(table).key
        before = len(table.yard.called("search"))
        table.yard.image_views = data.images(90)
        for _ in range(200):
            table.yard.publish(Topic.LIBRARY, LibraryChanged())
            await table.pilot.pause(0)
        assert len(table.yard.called("search")) - before < 20
        await table.sees("1 LIBRARY 94")
        assert _row(table).key == key


async def test_how_far_a_run_is_stands_there_and_it_can_be_cancelled() -> None:
    async with desk(FakeYard(status={"unrestricted": True}), size=(120, 40)) as table:
        await table.press("1")
        going = SyncProgressView(
            run="run9", rule="nim-all", repository="nim/x", done=1240, total=10_000, new=1200, moved=3, gone=0,
            failed=2, finished=False, rate=412.0, remaining=21.0,
        )  # fmt: skip
        table.yard.publish(Topic.SYNC, SyncProgressed(key="run9/nim-all", progress=going))
        await table.sees("SYNC  nim-all", "12%", "1 240/10 000", "412/s", "~21s left", "2 failed", "K cancels")
        await table.press("K")
        await table.sees("Cancel the run?", "goes on where this one stopped")
        await table.press("right", "enter")
        await table.until(lambda: table.yard.called("cancel") == [("run9",)])


# ---------------------------------------------------------------- marks


async def test_ranges_of_marks_stay_when_the_filter_hides_them_and_that_is_said() -> None:
    async with desk(FakeYard(status={"unrestricted": True}), size=(140, 40)) as table:
        await table.press("1", "space", "j", "j", "v")
        await table.sees("■ 4 marked")
        await _filter(table, "falcon")
        await table.sees("■ 4 marked, 4 hidden by the filter")
        await table.press("e")
        await table.sees("Correct 4 images?", "4 of them are hidden by the filter", "llama-0b:1.17.0")
        await table.press("escape", "escape", "asterisk")
        await table.sees_not("marked")
        await _filter(table, "type:chat")
        await table.press("asterisk")
        await table.sees("■ 23 marked")
        await table.press("g", "space", "tilde")
        await table.sees("■ 1 marked")


async def test_more_than_can_be_marked_is_said() -> None:
    async with desk(_many(10_050), size=(140, 40)) as table:
        await table.press("1", "asterisk")
        await table.sees("■ 10000 marked", "narrow the filter")


async def test_references_are_copied_or_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with desk(_many(600), size=(140, 40)) as table:
        sent: list[str] = []
        table.app.copy_to_clipboard = sent.append  # type: ignore[method-assign]
        await table.press("1", "c", "space", "space", "c")
        first, second = table.yard.image_views[:2]
        assert sent == [first.reference, f"{first.reference}\n{second.reference}"]
        await table.press("asterisk", "asterisk", "c")
        await table.sees("600 are too many for a clipboard: x writes them to a file")
        await table.press("x")
        await table.sees("Write a list of images?")
        await table.press("enter")
        await table.sees("600 written to modelyard-images.txt")
        assert (tmp_path / "modelyard-images.txt").read_text().splitlines()[1] == second.reference


# ---------------------------------------------------------------- changing


async def test_a_classification_is_corrected_and_what_is_refused_keeps_what_was_typed() -> None:
    yard = FakeYard(status={"unrestricted": True})
    yard.errors["correct"] = RoleError("correction", "robin is no curator", "ask a curator")
    async with desk(yard, size=(120, 40)) as table:
        await table.press("1", "j")
        reference = table.yard.image_views[17].reference
        await table.press("e")
        await table.sees("Correct ngc/nim/meta/llama-0b:1.17.0?", "What it is")
        await table.press("enter")
        await table.type("vision")
        await table.press("enter")
        await table.type("its card")
        await table.press("enter")
        await table.sees("robin is no curator", "ask a curator", "its card")
        del yard.errors["correct"]
        await table.press("enter")
        await table.sees("recorded for")
        assert table.yard.called("correct")[-1] == (reference, "type", "vision", "its card")


async def test_a_parent_is_named_and_what_is_long_gone_forgotten() -> None:
    async with desk(FakeYard(status={"unrestricted": True}), size=(120, 40)) as table:
        await table.press("1", "p")
        await table.sees("Name a parent of", "Made from")
        await table.type("base")
        await table.press("enter")
        await table.until(lambda: table.yard.called("name_parent"))
        assert table.yard.called("name_parent")[0][1:] == ("base", "fine-tuned", "", False)
        await table.command("prune 90d")
        await table.sees("Forget what no tag named for 90d?", "1 digest", "as old are kept", "it is approved")
        await table.press("right", "enter")
        await table.until(lambda: table.yard.called("prune") == [(90, True), (90, False)])


async def test_marked_images_are_rejected_at_once() -> None:
    async with desk(FakeYard(status={"unrestricted": True}), size=(120, 40)) as table:
        await table.press("1", "j", "space", "space", "R")
        await table.sees("Reject 2 images?")
        await table.type("old")
        await table.press("enter")
        await table.until(lambda: table.yard.called("reject_many"))
        assert len(table.yard.called("reject_many")[0][0]) == 2


# ---------------------------------------------------------------- runs


async def test_runs_and_the_journal_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with desk(size=(120, 40)) as table:
        await table.press("1", "J")
        await table.sees("1 RUNS 2", "! partial", "✓ done", "nim-llama", "08-14 13:58")
        await table.press("enter")
        await table.sees("1 JOURNAL 2", "evil/repo", "! partial")
        await table.press("x")
        await table.sees("Write the journal?", "modelyard-run-run1.json")
        await table.press("enter")
        await table.sees("the journal was written to")
        assert '"reasons": "1.0: its manifest has another digest;' in (tmp_path / "modelyard-run-run1.json").read_text()
        await table.press("enter")
        await table.sees("Skipped and failed", "its manifest has another digest", "(repository)", "429 for an hour")
        await table.press("escape", "escape", "escape")
        await table.sees("1 LIBRARY 64")
        await table.press("u")
        await table.sees("1 RULES")


def test_pruning_says_when_no_cluster_was_asked() -> None:
    found = PruneView(dry_run=True, before=data.NOW, removed=(), kept=(), bytes=0)
    assert plain(prune_lines(found)[0]).startswith("There is nothing to forget")
    alone = prune_lines(msgspec.structs.replace(found, asked_cluster=False))
    assert plain(alone[0]).startswith("No cluster was asked") and len(alone) == 2
