"""Rows, windows, marks and readings of the library, without a screen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import ConflictError, ModelyardError, UnreachableError, UsageError
from backend.core.views import ImagePageView, ImageState, ImageView, RepositoryView, SyncProgressView
from tests.fakes import screen_data as data
from tests.fakes.screen_library import ManyImages, repositories_of
from tests.fakes.screen_yard import FakeClock, FakeYard
from tui.document import plain
from tui.panes.common import export
from tui.panes.library.corrections import span
from tui.panes.library.marks import MOST, Marks
from tui.panes.library.reader import Reader, Sight
from tui.panes.library.rows import Folding, TreeRows
from tui.panes.library.synchronising import progress_line
from tui.panes.library.window import CHUNK, ImageWindow

MANY = ManyImages(1000)


def _window(images: Sequence[ImageView], *offsets: int) -> ImageWindow:
    window = ImageWindow(len(images))
    for offset in offsets:
        window.put(ImagePageView(images=tuple(images[offset : offset + CHUNK]), offset=offset, total=len(images)))
    return window


def _tree(folding: Folding, window: ImageWindow, **options: Any) -> TreeRows:
    return TreeRows(MANY.repositories(), window, folding, **options)


# ---------------------------------------------------------------- window


def test_a_window_holds_what_was_read_and_tells_what_is_missing() -> None:
    window = _window(MANY, 128)
    assert window[127] is None
    assert window[128] == MANY[128]
    assert window.missing(range(100, 300)) == [0, 256]
    assert window.missing([-1, 5000]) == []
    assert window.position(MANY[200].name) == 200
    with pytest.raises(IndexError):
        window[1000]
    with pytest.raises(ValueError, match="multiple"):
        window.put(ImagePageView(images=(), offset=3, total=9))


def test_a_window_gives_up_what_was_looked_at_longest_ago() -> None:
    many = ManyImages(100_000)
    window = _window(many, 0)
    for offset in range(CHUNK, 40 * CHUNK, CHUNK):
        window.missing([0])
        window.put(ImagePageView(images=tuple(many[offset : offset + CHUNK]), offset=offset, total=len(many)))
    assert window.held <= 12 * CHUNK
    assert window[0] is not None


# ---------------------------------------------------------------- tree


# Of 20 images, 3 or so a repository: small enough to look at every row.
FEW = data.images(16)
FEW_BY_NAME = sorted(FEW, key=lambda image: (image.registry, image.repository, image.tag))
PLACES = {image.name: index for index, image in enumerate(FEW_BY_NAME)}


@given(st.sets(st.integers(0, 30)), st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_row_of_a_tree_is_found_again(opened: set[int], by_change: bool, descending: bool) -> None:
    folding, window, repositories = Folding(), _window(FEW_BY_NAME, 0), repositories_of(FEW_BY_NAME)
    closed = TreeRows(repositories, window, folding)
    for number in opened:
        if number < len(closed) - 1:
            folding.set(closed[number + 1], True)
    tree = TreeRows(repositories, window, folding, by_change=by_change, descending=descending)
    shown = sum(row.repository.tags for row in tree if row.repository is not None and row.is_open)
    assert len(tree) == len(closed) + shown
    for index, row in enumerate(tree):
        assert tree.position(row.key) == index
        if row.image is not None:
            place = PLACES[row.key]
            assert list(tree.image_indices(index, index + 1)) == [place]
            assert tree.under(index) == range(place, place + 1)


def test_a_fold_stands_for_all_that_is_in_it() -> None:
    folding = Folding()
    tree = _tree(folding, _window(MANY))
    assert tree.under(0) == range(1000)
    assert tree.under(3) == range(200, 300)
    folding.set(tree[0], False)
    assert [row.key for row in _tree(folding, _window(MANY))] == ["ngc/"]


def test_what_belongs_to_another_repository_is_not_shown_in_this_one() -> None:
    folding = Folding()
    folding.set(_tree(folding, _window(MANY))[1], True)
    moved = ManyImages(1100)[100:]
    tree = _tree(folding, _window(moved, 0))
    assert tree[2].image is None
    assert tree[2].key.startswith("?")


def test_few_are_open_until_they_are_folded() -> None:
    folding = Folding()
    few = MANY.repositories()[:1]
    window = _window(MANY[:100], 0)
    assert len(TreeRows(few, window, folding, few=True)) == 102
    folding.set(TreeRows(few, window, folding, few=True)[1], False)
    assert len(TreeRows(few, window, folding, few=True)) == 2
    assert folding.all()
    assert len(TreeRows(few, window, folding)) == 102
    assert not folding.all()
    assert len(TreeRows(few, window, folding)) == 2


# ---------------------------------------------------------------- reader


@dataclass
class _Desk:
    """A reader on a fake library, and what it told."""

    yard: FakeYard
    seen: Sight = field(default_factory=lambda: Sight(0, 80, 0, None))
    told: list[bool] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = Reader(
            lambda: self.yard.library, self._spawn, FakeClock(), lambda: self.seen, self.told.append, lambda: None
        )

    def _spawn(self, work: Coroutine[Any, Any, None], _what: str) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def done(self) -> None:
        while self.tasks:
            await self.tasks.pop()

    @property
    def asked(self) -> list[tuple[Any, ...]]:
        return self.yard.called("search")


async def test_only_what_is_seen_is_read() -> None:
    desk = _Desk(FakeYard())
    desk.yard.image_views = ManyImages(100_000)
    desk.reader.work()
    await desk.done()
    assert [call[3:] for call in desk.asked] == [(0, CHUNK)]
    desk.seen = Sight(99_900, 100_000, 99_999, None)
    desk.reader.work()
    await desk.done()
    assert [call[3] for call in desk.asked] == [0, 99_840, 99_968]
    assert desk.told == [True]


async def test_the_newest_question_is_answered_and_no_other() -> None:
    desk = _Desk(FakeYard())
    gate = desk.yard.library.slow = asyncio.Event()
    desk.reader.work()
    await asyncio.sleep(0)
    for query in ("f", "fa", "falcon"):
        desk.reader.ask(query=query)
    gate.set()
    await desk.done()
    assert [call[0] for call in desk.asked] == ["", "falcon"]
    assert desk.told == [True]
    assert [row.key for row in desk.reader.rows] == ["ngc/nim/old/falcon:0.9"]


async def test_what_is_no_query_yet_takes_nothing_away() -> None:
    desk = _Desk(FakeYard())
    desk.reader.ask(query="falcon")
    await desk.done()
    desk.reader.is_typed = True
    desk.reader.ask(query="falcon typo:")
    await desk.done()
    assert desk.reader.told.startswith("typo: is no key")
    assert len(desk.reader.rows) == 1
    desk.reader.is_typed = False
    desk.reader.outdate()
    await desk.done()
    assert len(desk.reader.rows) == 0


async def test_the_row_under_the_cursor_is_looked_for_where_it_went() -> None:
    desk = _Desk(FakeYard())
    desk.yard.image_views = data.images(600)
    desk.reader.work()
    await desk.done()
    row = desk.reader.rows[100]
    desk.seen = Sight(60, 140, 100, row.key)
    newer = [msgspec.structs.replace(view, repository=f"aaa/{view.repository}") for view in data.images(900)]
    desk.yard.image_views = [*newer, *desk.yard.image_views]
    desk.reader.outdate()
    await desk.done()
    assert desk.reader.rows.position(row.key) == 100 + len(newer)
    assert desk.told == [True, False]


async def test_a_failure_keeps_the_rows_of_the_same_question_and_no_others() -> None:
    desk = _Desk(FakeYard())
    desk.reader.work()
    await desk.done()
    desk.yard.errors["search"] = UnreachableError("library", "the disk is gone", "mount it")
    desk.reader.outdate()
    await desk.done()
    assert len(desk.reader.rows) == 64
    assert desk.reader.part.problem is not None
    desk.reader.ask(query="falcon")
    await desk.done()
    assert len(desk.reader.rows) == 0
    del desk.yard.errors["search"]
    desk.reader.outdate()
    await desk.done()
    assert len(desk.reader.rows) == 1
    assert desk.reader.part.problem is None


async def test_everything_is_read_in_pages_up_to_a_limit() -> None:
    desk = _Desk(FakeYard())
    desk.yard.image_views = ManyImages(2500)
    desk.reader.work()
    await desk.done()
    assert len(await desk.reader.everything(10_000)) == 2500
    assert len(await desk.reader.everything(1200)) == 1200
    assert [image.tag for image in await desk.reader.everything(10, span=range(201, 204))] == [
        "1.01.0",
        "1.02.0",
        "1.03.0",
    ]


async def test_the_tree_reads_its_tags_in_the_order_of_names() -> None:
    desk = _Desk(FakeYard())
    desk.yard.image_views = ManyImages(300)
    desk.reader.ask(tree=True, sort="changed", descending=True)
    await desk.done()
    assert desk.asked[-1][1:3] == ("name", False)
    assert desk.reader.rows[0].key == "ngc/"
    repositories: list[RepositoryView] = [row.repository for row in desk.reader.rows if row.repository is not None]
    assert len(repositories) == 3


# ---------------------------------------------------------------- marks


def test_marks_are_taken_away_only_where_all_have_one() -> None:
    marks = Marks()
    first, second, third = data.images(3)[:3]
    assert marks.toggle([first])
    assert marks.toggle([first, second])
    assert not marks.toggle([first, second])
    marks.put([first, second])
    marks.invert([second, third])
    assert [mark.name for mark in marks.all()] == [first.name, third.name]
    marks.count_hidden([third])
    assert marks.hidden == 1
    marks.clear()
    assert (len(marks), marks.hidden) == (0, 0)


def test_a_mark_means_the_digest_that_was_seen() -> None:
    marks = Marks()
    image = data.images(1)[0]
    marks.put([image])
    assert marks.all()[0].reference == image.reference
    assert marks.all()[0].state is ImageState.APPROVED


def test_marks_have_an_end() -> None:
    marks = Marks()
    marks.put(ManyImages(MOST + 500))
    assert len(marks) == MOST


# ---------------------------------------------------------------- files, spans, progress


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("list.json", '[\n  {\n    "reference": "a",\n    "name": "ü,1"\n  }\n]\n'),
        ("list.csv", 'reference,name\na,"ü,1"\n'),
        ("list.txt", "a\n"),
    ],
)
async def test_lists_are_written_as_the_name_says(tmp_path: Path, name: str, told: str) -> None:
    path = await export.write(str(tmp_path / name), [{"reference": "a", "name": "ü,1"}])
    assert path.read_text(encoding="utf-8") == told
    with pytest.raises(ConflictError, match="already"):
        await export.write(str(path), [])


async def test_a_list_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ends with"):
        await export.write(str(tmp_path / "list.doc"), [])
    with pytest.raises(ModelyardError, match="No such file"):
        await export.write(str(tmp_path / "none" / "list.txt"), [])


@pytest.mark.parametrize(
    ("typed", "meant"), [("48h", timedelta(days=2)), ("90d", timedelta(days=90)), ("2w", timedelta(weeks=2))]
)
def test_spans_of_time(typed: str, meant: timedelta) -> None:
    assert span(typed) == meant


@pytest.mark.parametrize("typed", ["", "d", "90", "-3d", "9999999999d", "3 m"])
def test_what_is_no_span_of_time(typed: str) -> None:
    assert span(typed) is None


@pytest.mark.parametrize("total", [None, 0, 10, 200])
def test_progress_is_told_however_much_of_it_is_known(total: int | None) -> None:
    run = SyncProgressView(
        run="r", rule="nim", repository="nim/x", done=20, total=total, new=1, moved=0, gone=0, failed=2,
        finished=False, rate=4.2, remaining=70 if total else None,
    )  # fmt: skip
    for width in (80, 120, 160):
        told = plain(progress_line(run, width))
        assert "SYNC  nim" in told
        assert "4/s" in told
        assert "2 failed" in told
        assert ("~1m 10s left" in told) == bool(total)
        assert ("10%" in told) == (total == 200)
