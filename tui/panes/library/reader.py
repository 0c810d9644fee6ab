"""Reads what the library pane shows: one question at a time, the newest first, and only what is near the window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

from backend.core.errors import ModelyardError
from backend.core.ports import Clock
from backend.core.views import ImagePageView, ImageView, RepositoryView
from tui.model import Part, Problem
from tui.panes.library.rows import OPEN_BELOW, FlatRows, Folding, Rows, TreeRows
from tui.panes.library.window import CHUNK, ImageWindow
from tui.ports import LibraryPort

# How many images are looked through for the row under the cursor when the library changed around it.
_SEARCHED: Final = 16 * CHUNK
_PAGE: Final = 1000
_LATER_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Question:
    """What is asked of the library.

    Attributes:
        query: as typed.
        sort: as the library knows it.
    """

    query: str = ""
    sort: str = "name"
    descending: bool = False
    approved: bool = False
    tree: bool = False


@dataclass(frozen=True)
class Sight:
    """What is seen of the rows: those from `first` to before `last`, the cursor at `cursor` on the row `key`."""

    first: int
    last: int
    cursor: int
    key: str | None


class Reader:
    """Keeps rows for a question.

    At most one reading is under way. When it ends and something else was asked meanwhile, its answer is dropped.

    Args:
        library: the yard's library; None while there is no yard.
        spawn: runs a coroutine in the background; a second word names it.
        sight: what is seen.
        answered: there are other rows; whether the question is another one too.
        filled: rows that were still being read are there now.
    """

    def __init__(
        self,
        library: Callable[[], LibraryPort | None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        clock: Clock,
        sight: Callable[[], Sight],
        answered: Callable[[bool], None],
        filled: Callable[[], None],
    ) -> None:
        self._library = library
        self._spawn = spawn
        self._clock = clock
        self._sight = sight
        self._answered = answered
        self._filled = filled
        self.folding = Folding()
        self.question = Question()
        self.rows: Rows = FlatRows(ImageWindow(0))
        # What was wrong with the query, as the library told it.
        self.told = ""
        self.part: Part[ImageWindow] = Part(self.rows.images)
        # While a query is typed, most of its beginnings are no query: what was found before stays until it is done.
        self.is_typed = False
        self._repositories: list[RepositoryView] = []
        # What was answered last, and what the rows answer: another one where the last was not understood.
        self._answered_last: Question | None = None
        self._of = Question()
        self._outdated = True
        self._working = False

    @property
    def shown(self) -> Question:
        """The question that the rows answer."""
        return self._of

    @property
    def busy(self) -> bool:
        """Whether the answer to what was asked last is not there yet."""
        return self._answered_last != self.question

    def ask(self, **changes: Any) -> None:
        """Ask something else."""
        self.question = replace(self.question, **changes)
        self.work()

    def outdate(self) -> None:
        """Read again: the library changed."""
        self._outdated = True
        self.work()

    def refold(self) -> None:
        """Make the rows of the tree again, as it is folded now."""
        if self.shown.tree:
            self.rows = self._tree(self.shown, self._repositories, self.rows.images)
            self._answered(False)
            self.work()

    def work(self) -> None:
        """Read what is missing, in the background."""
        if not self._working and self._library() is not None:
            self._working = True
            self._spawn(self._work(), "reading the library")

    async def everything(self, most: int, *, span: range | None = None) -> list[ImageView]:
        """The images that the rows stand for, at most so many, read anew.

        Args:
            span: positions among them; None: all.

        Raises:
            ModelyardError: they could not be read.
        """
        library, asked = self._library(), self.shown
        result: list[ImageView] = []
        if library is None:
            return result
        start, end = (0, most) if span is None else (span.start, min(span.stop, span.start + most))
        while start < end:
            page = await _search(library, asked, start, min(_PAGE, end - start))
            result.extend(page.images)
            start += len(page.images)
            if not page.images or start >= page.total:
                break
        return result

    # ------------------------------------------------------------ inside

    async def _work(self) -> None:
        try:
            while (library := self._library()) is not None:
                if self.busy or self._outdated:
                    self._outdated = False
                    await self._answer(library, self.question)
                elif missing := self._missing():
                    await self._fill(library, missing[0])
                else:
                    return
        except Exception as error:
            if is_new := self.busy:
                # Rows of another question would be taken for the answer.
                self.rows, self.told = FlatRows(ImageWindow(0)), ""
                self.part = Part(self.rows.images)
            self._answered_last = self._of = self.question
            self.part.problem = Problem.of(error, "reading the library")
            self._answered(is_new)
            if not isinstance(error, ModelyardError):
                raise
        finally:
            self._working = False

    def _missing(self) -> list[int]:
        sight = self._sight()
        if self.part.problem is not None:
            return []
        return self.rows.images.missing(self.rows.image_indices(sight.first, sight.last))

    async def _fill(self, library: LibraryPort, offset: int) -> None:
        images = self.rows.images
        page = await _search(library, self._of, offset, CHUNK)
        if images is not self.rows.images:
            return
        if page.total != len(images) and not self._of.tree:
            # The library changed before it told so; the rest is read with the change.
            self._outdated = True
            await asyncio.sleep(_LATER_SECONDS)
            return
        images.put(page)
        self._filled()

    async def _answer(self, library: LibraryPort, asked: Question) -> None:
        is_new = asked != self._of or not self.part.known
        sight = self._sight()
        offset = 0 if is_new or asked.tree else sight.first // CHUNK * CHUNK
        page = await _search(library, asked, offset, CHUNK)
        if not page.images and offset:
            page = await _search(library, asked, 0, CHUNK)
        repositories: list[RepositoryView] = []
        if asked.tree and not page.problem:
            repositories = await library.repositories(_query(asked), sort="name")
        if asked != self.question:
            return
        self.told = page.problem
        if page.problem and self.is_typed:
            self._answered_last = asked
            self._answered(False)
            return
        images = ImageWindow(sum(item.tags for item in repositories) if asked.tree else page.total)
        images.put(page)
        rows = self._tree(asked, repositories, images) if asked.tree else FlatRows(images)
        if not is_new and sight.key is not None and not sight.key.startswith("?"):
            await self._find_again(library, asked, rows, sight)
            if asked != self.question:
                return
        self.rows, self._repositories = rows, repositories
        self._of = self._answered_last = asked
        self.part = Part(images, self._clock.now())
        self._answered(is_new)

    async def _find_again(self, library: LibraryPort, asked: Question, rows: Rows, sight: Sight) -> None:
        """Read where the row under the cursor may be now, so that the cursor can stay on it."""
        if sight.key is None or rows.position(sight.key) is not None:
            return
        moved = len(rows.images) - len(self.rows.images)
        likely = list(rows.near(sight.key, sight.cursor, moved))[:_SEARCHED]
        for offset in rows.images.missing(likely):
            rows.images.put(await _search(library, asked, offset, CHUNK))
            if rows.position(sight.key) is not None:
                return

    def _tree(self, asked: Question, repositories: list[RepositoryView], images: ImageWindow) -> TreeRows:
        is_search = bool(asked.query.strip()) or asked.approved
        return TreeRows(
            repositories,
            images,
            self.folding,
            by_change=asked.sort == "changed",
            descending=asked.descending,
            few=is_search and len(images) <= OPEN_BELOW,
        )


def _query(asked: Question) -> str:
    return f"{asked.query} approved:yes".strip() if asked.approved else asked.query.strip()


async def _search(library: LibraryPort, asked: Question, offset: int, limit: int) -> ImagePageView:
    # A tree has its tags in the order of names, whatever its repositories are sorted by.
    sort, descending = ("name", False) if asked.tree else (asked.sort, asked.descending)
    return await library.search(_query(asked), sort=sort, descending=descending, offset=offset, limit=limit)
