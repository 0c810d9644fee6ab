"""The library pane: flat and as a tree, filter, order, marks, and what is done to the marked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backend.core.errors import RoleError, UnreachableError
from backend.core.events import LibraryChanged, Topic
from backend.core.views import ImageState
from tests.fakes import screen_data as data
from tests.fakes.screen_library import ManyImages
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.library.page import LibraryPage
from tui.panes.library.rows import Row

MANY = 100_000


def _anybody(**status: object) -> FakeYard:
    return FakeYard(status={"unrestricted": True, **status})


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


# ---------------------------------------------------------------- the list


async def test_the_library_lists_and_filters_and_opens() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("1", "slash")
        await table.type("llama-3.1-8b")
        await table.press("enter")
        await table.sees("1 LIBRARY 1 of 64", "nim/meta/llama-3.1-8b:1.3", "moved 31m")
        await table.press("enter")
        await table.sees("▸overview◂", "Entrypoint", "/opt/nim/start.sh")
        await table.press("tab")
        await table.sees("▸tags◂", "History of the tag", "moved")


async def test_what_went_and_what_is_new_is_said_in_words() -> None:
    async with desk(size=(80, 24)) as table:
        await table.press("1", "slash")
        await table.type("falcon")
        await table.press("enter")
        await table.sees("nim/old/falcon:0.9", "gone 5h", "✓ approved")
        await table.press("escape", "slash")
        await table.type("vllm-openai")
        await table.press("enter")
        await table.sees("vllm/vllm-openai:v0.27.1", "new 32m", "○ candidate")


async def test_approved_images_only() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "o")
        await table.sees("approved only")
        await table.sees_not("candidate ")


async def test_an_approved_image_is_deployed_from_the_library() -> None:
    async with desk() as table:
        await table.press("1", "slash")
        await table.type("llama-3.1-8b")
        await table.press("enter")
        await table.sees("1 of 64")
        await table.press("D")
        await table.sees("Deploy", "Service name")


async def test_the_library_is_read_again_when_it_changed() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1")
        await table.sees("1 LIBRARY 64")
        table.yard.image_views = data.images(10)
        table.yard.publish(Topic.LIBRARY, LibraryChanged())
        await table.sees("1 LIBRARY 14")


async def test_rules_are_reached_from_it() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "u")
        await table.sees("1 RULES")


async def test_the_order_is_the_librarys_and_can_be_turned_around() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "s")
        await table.sees("CHANGED▼", "by last change")
        await table.until(lambda: _row(table).image and "llama-3.1-8b" in _row(table).key)
        await table.press("I")
        await table.sees("CHANGED▲", "turned around")
        assert table.yard.called("search")[-1][1:3] == ("changed", False)


# ---------------------------------------------------------------- the query


async def test_a_query_that_is_not_understood_says_what_to_write() -> None:
    async with desk() as table:
        await table.press("1", "slash")
        await table.type("typo:chat")
        await table.sees("/typo:chat", "typo: is no key; write type: or state:")
        await table.press("enter")
        await table.sees("write type: or state:", "Esc clears")
        await table.press("escape")
        await table.sees("1 LIBRARY 64 ")


async def test_keys_and_values_of_a_query_are_completed() -> None:
    async with desk() as table:
        await table.press("1", "slash")
        await table.type("ty")
        await table.press("tab")
        await table.type("em")
        await table.press("tab", "enter")
        await table.sees("of 64", "/type:embedding")
        assert {row.image.type for row in _page(table).table.items[:10] if row.image} == {"embedding"}


async def test_answers_to_older_questions_are_dropped() -> None:
    import asyncio

    async with desk() as table:
        await table.press("1")
        await table.sees("1 LIBRARY 64")
        gate = table.yard.library.slow = asyncio.Event()
        before = len(table.yard.called("search"))
        await table.press("slash")
        await table.type("falcon")
        await table.pilot.pause(0.05)
        # One question is under way, and none of those typed over it was sent.
        assert len(table.yard.called("search")) == before + 1
        table.yard.library.slow = None
        gate.set()
        await table.sees("1 LIBRARY 1 of 64", "nim/old/falcon:0.9")
        assert [call[0] for call in table.yard.called("search")[before:]] == ["f", "falcon"]


# ---------------------------------------------------------------- empty and failing


async def test_an_empty_yard_says_what_to_do_first() -> None:
    async with desk(FakeYard(empty=True)) as table:
        await table.press("1")
        await table.sees("No registry is configured yet.", "modelyard init")


async def test_registries_without_images_ask_to_be_synchronised() -> None:
    yard = FakeYard()
    yard.image_views, yard.runs.run_views = [], []
    async with desk(yard) as table:
        await table.press("1")
        await table.sees("nothing was synchronised yet", ":sync")


async def test_a_query_without_an_answer_says_how_to_get_back() -> None:
    async with desk() as table:
        await table.press("1", "slash")
        await table.type("nothing-like-it")
        await table.press("enter")
        await table.sees("Nothing matches nothing-like-it", "Esc clears")


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
        await table.sees("evil")
        await table.press("slash")
        await table.type("evil")
        await table.press("enter")
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
        await table.press("j", "left", "left")
        await table.sees("▸ nim/meta/llama-0b  2 tags")
        await table.press("z")
        await table.sees("▾ nim/meta/llama-10b", "1.27.0")
        await table.press("g", "enter")
        await table.sees("▸ ngc")
        await table.sees_not("nim/meta")


async def test_a_search_in_the_tree_shows_what_it_found() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "t", "slash")
        await table.type("llama-3.1-8b")
        await table.press("enter")
        await table.sees("▾ nim/meta/llama-3.1-8b", "1.3 ", "moved 31m")


async def test_an_image_in_the_tree_is_opened() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1", "t", "j", "j", "enter", "j", "enter")
        await table.sees("1 ngc/nim/meta/llama-0b:1.17.0", "▸overview◂")


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


async def test_a_tree_of_a_hundred_thousand_opens_where_it_is_looked_at() -> None:
    async with desk(_many(), size=(120, 40)) as table:
        await table.press("1", "t")
        await table.sees("▾ ngc", "1 000 repositories", "▸ bulk/model-00000  100 tags")
        await table.press("G", "right", "j", "j")
        await table.sees("▾ bulk/model-00999  100 tags", "1.01.0")
        assert _row(table).key == "ngc/bulk/model-00999:1.01.0"


async def test_the_cursor_stays_on_its_row_when_tags_come_in_above_it() -> None:
    yard = FakeYard()
    yard.image_views = data.images(400)
    async with desk(yard, size=(120, 40)) as table:
        await table.press("1")
        await table.sees("1 LIBRARY 404")
        await table.press("G")
        key = _row(table).key
        newer = [
            msgspec.structs.replace(view, repository=f"aaa/{view.repository}", state=ImageState.CANDIDATE)
            for view in data.images(700)
        ]
        table.yard.image_views = [*newer, *table.yard.image_views]
        table.yard.publish(Topic.LIBRARY, LibraryChanged())
        await table.sees("1 LIBRARY 1 108")
        assert _row(table).key == key


async def test_changes_without_end_are_gathered() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("1")
        await table.sees("1 LIBRARY 64")
        before = len(table.yard.called("search"))
        for _ in range(200):
            table.yard.publish(Topic.LIBRARY, LibraryChanged())
            await table.pilot.pause(0)
        assert len(table.yard.called("search")) - before < 12


# ---------------------------------------------------------------- marks


async def test_marks_stay_when_the_filter_hides_them_and_that_is_said() -> None:
    async with desk(_anybody(), size=(120, 40)) as table:
        await table.press("1", "j", "space", "space")
        await table.sees("■ 2 marked")
        await table.press("slash")
        await table.type("falcon")
        await table.press("enter")
        await table.sees("■ 2 marked, 2 hidden by the filter")
        await table.press("e")
        await table.sees("Correct 2 images?", "2 of them are hidden by the filter", "llama-0b:1.17.0")


async def test_a_range_all_and_the_others() -> None:
    async with desk(size=(140, 40)) as table:
        await table.press("1", "space", "j", "j", "v")
        await table.sees("■ 4 marked")
        await table.press("asterisk")
        await table.sees_not("marked")
        await table.press("asterisk")
        await table.sees("■ 64 marked")
        await table.press("g", "space", "tilde")
        await table.sees("■ 1 marked")


async def test_all_of_a_filter_and_a_repository_of_the_tree() -> None:
    async with desk(size=(140, 40)) as table:
        await table.press("1", "slash")
        await table.type("type:chat")
        await table.press("enter", "asterisk")
        await table.sees("■ 23 marked")
        await table.press("asterisk", "escape", "t", "j", "j", "space")
        await table.sees("■ 2 marked")


async def test_more_than_can_be_marked_is_said() -> None:
    async with desk(_many(12_000), size=(140, 40)) as table:
        await table.press("1", "asterisk")
        await table.sees("■ 10000 marked", "narrow the filter")


async def test_copying_sends_the_references_of_the_marked() -> None:
    async with desk(size=(120, 40)) as table:
        sent: list[str] = []
        table.app.copy_to_clipboard = sent.append  # type: ignore[method-assign]
        await table.press("1", "j", "c")
        await table.press("space", "space", "c")
        first = table.yard.image_views[17]
        assert first.repository == "nim/meta/llama-0b"
        assert sent[0] == first.reference
        assert sent[1].splitlines()[0] == first.reference
        assert len(sent[1].splitlines()) == 2
        await table.sees("2 lines")


async def test_too_many_for_a_clipboard_go_to_a_file(tmp_path: Path) -> None:
    async with desk(_many(600), size=(140, 40)) as table:
        await table.press("1", "asterisk", "c")
        await table.sees("600 are too many for a clipboard: x writes them to a file")
        await table.press("x")
        await table.sees("Write a list of images?")
        await _retype(table, str(tmp_path / "list.csv"))
        await table.sees("600 written to")
        written = (tmp_path / "list.csv").read_text().splitlines()
        assert written[0] == "reference,name,state"
        assert len(written) == 601


async def _retype(table: Desk, value: str) -> None:
    await table.press("ctrl+u")
    await table.type(value)
    await table.press("enter")


# ---------------------------------------------------------------- changing


async def test_a_classification_is_corrected_with_a_reason() -> None:
    async with desk(_anybody(), size=(120, 40)) as table:
        await table.press("1", "j")
        reference = table.yard.image_views[17].reference
        await table.press("e")
        await table.sees("Correct ngc/nim/meta/llama-0b:1.17.0?", "What it is")
        await table.press("enter")
        await table.type("vision")
        await table.press("enter")
        await table.type("its card says so")
        await table.press("enter")
        await table.until(lambda: table.yard.called("correct"))
        assert table.yard.called("correct") == [(reference, "type", "vision", "its card says so")]
        await table.sees("recorded for", "vision")


async def test_a_correction_that_is_refused_keeps_what_was_typed() -> None:
    yard = _anybody()
    yard.errors["correct"] = RoleError("correction", "robin is no curator", "ask a curator")
    async with desk(yard, size=(120, 40)) as table:
        await table.press("1", "e", "enter")
        await table.type("vision")
        await table.press("enter")
        await table.type("because")
        await table.press("enter")
        await table.sees("robin is no curator", "ask a curator", "because")


async def test_a_parent_is_named() -> None:
    async with desk(_anybody(), size=(120, 40)) as table:
        await table.press("1", "p")
        await table.sees("Name a parent of", "Made from")
        await table.type("base-model")
        await table.press("enter", "enter", "enter", "enter")
        await table.until(lambda: table.yard.called("name_parent"))
        assert table.yard.called("name_parent")[0][1:] == ("base-model", "fine-tuned", "", False)


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_the_pane_shows_at_both_sizes(size: tuple[int, int]) -> None:
    async with desk(size=size) as table:
        await table.press("1", "j", "j")
        await table.sees("1 LIBRARY 64  38 approved", "SYNC  done  3m ago  nim-llama", "3 failed", "IMAGE▲", "CHANGED")
        wide = size[0] == 160
        for word in ("TYPE", "registry   ngc  nvcr.io", "x export"):
            assert (word in table.text()) == wide
        for word in ("STATE", "SIZE", "Enter open", "f sync", "/ filter"):
            assert word in table.text()
