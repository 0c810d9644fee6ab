"""The library pane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from textual.widget import Widget

from backend.core.errors import ModelyardError
from backend.core.views import ImageView, RunView
from tui import format as fmt
from tui.commands import Filter
from tui.document import EMPTY, Line, Section, Span, join, text
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.common.messages import first_run
from tui.panes.library import view_model
from tui.panes.library.actions import ImageActions
from tui.panes.library.corrections import CorrectionActions
from tui.panes.library.detail_model import preview_sections
from tui.panes.library.marks import MOST, Marked, Marks
from tui.panes.library.reader import Reader, Sight
from tui.panes.library.rows import Row
from tui.panes.library.synchronising import SyncAction, ended_line, progress_line, running
from tui.panes.library.table import LibraryTable
from tui.ports import LibraryPort
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable
from tui.widgets.one_line import OneLine, heading
from tui.widgets.prompt import Prompt


class LibraryPage(ListPage[Row], CorrectionActions, ImageActions, SyncAction):
    """Everything that was synchronised: flat or as a tree, read as far as it is looked at."""

    CSS_PATH = "../common/common.tcss"
    pane = "library"
    parts = frozenset({PartName.LIBRARY, PartName.STATUS, PartName.SYNC})
    number = "1"
    heading_title = "LIBRARY"
    order = view_model.SORTS[0][2]

    def __init__(self) -> None:
        super().__init__()
        self._marks = Marks()
        self._sorted = 0
        self._last_run: RunView | None = None
        self._reading_run = False
        # The library changed while another page was looked at.
        self._behind = True

    # ------------------------------------------------------------ the list

    def body(self) -> Iterable[Widget]:
        self._reader = Reader(
            self._library, self.room.feed.spawn, self.room.clock, self._sight, self._answered, self._filled
        )
        yield from super().body()

    def above(self) -> Iterable[Widget]:
        yield OneLine(id="sync")

    def make_table(self) -> LineTable[Row]:
        return LibraryTable(self.columns(), self.key, id="table")

    def columns(self) -> tuple[Column[Row], ...]:
        return view_model.library_columns(self.room.clock.now, self._marks, tree=self._reader.shown.tree)

    def key(self, item: Row) -> str:
        return item.key

    def part(self) -> Part[Any]:
        return self._reader.part

    def items(self) -> Sequence[Row]:
        return self._reader.rows

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        self._behind = self._behind or PartName.LIBRARY in changed
        super().parts_changed(changed)

    def show(self) -> None:
        if self._behind and self.room.feed.yard is not None:
            self._behind = False
            self._reader.outdate()
            if not self._reading_run:
                self._reading_run = True
                self.room.feed.spawn(self._read_last_run(), "reading the last run")
        self.table.tell_empty(self._empty_lines())
        self._show_heading(len(self._reader.rows.images))
        self._show_problem()
        self._show_sync()
        self._show_beside()

    def _library(self) -> LibraryPort | None:
        yard = self.room.feed.yard
        return yard.library if yard is not None else None

    def _sight(self) -> Sight:
        table = self.table
        return table.sight() if isinstance(table, LibraryTable) else Sight(0, 0, 0, None)

    def _answered(self, is_new: bool) -> None:
        if not self.is_whole:
            return
        sort = view_model.SORTS[self._sorted]
        self.table.sort_key, self.table.descending = sort[1], self._descending
        if is_new:
            self.table.set_columns(self.columns())
        self.table.tell_empty(self._empty_lines())
        self.table.show(self._reader.rows, keep=not is_new)
        if is_new:
            self.table.repaint()
        self._tell_query()
        self.show()
        if self._marks and is_new:
            self.room.feed.spawn(self._count_hidden(), "counting marks")

    def _filled(self) -> None:
        if self.is_whole and isinstance(table := self.table, LibraryTable):
            table.filled()

    def on_library_table_missing(self) -> None:
        self._reader.work()

    async def _read_last_run(self) -> None:
        yard = self.room.feed.yard
        try:
            if yard is not None:
                self._last_run = next(iter(await yard.runs.runs(limit=1)), None)
        except ModelyardError:
            # Reading the library fails likewise, and that is told.
            self._last_run = None
        finally:
            self._reading_run = False
        if self.is_whole:
            self._show_sync()

    # ------------------------------------------------------------ heading, empty states, preview

    def _show_heading(self, shown: int) -> None:
        reader, part = self._reader, self._reader.part
        asked, total = reader.shown, self.model.library.value.total
        narrowed = bool(asked.query.strip()) or asked.approved
        number = f"{shown:,}".replace(",", " ")
        of = f" of {total:,}".replace(",", " ") if narrowed else ""
        left = join(text(f"{number}{of}" if part.known else fmt.UNKNOWN, "strong"), self.tally(), gap="  ")
        order = view_model.SORTS[self._sorted][2]
        words = ("tree, " if asked.tree else "") + (f"{order}, turned around" if self._turned() else order)
        right = text(words, "muted")
        if part.problem is not None and part.read_at is not None:
            right = text(f"as of {fmt.ago(part.read_at, self.room.clock.now())}", "warn")
        self.query_one("#heading", OneLine).show(partial(heading, self.number, self.heading_title, left, right, True))

    def tally(self) -> Line:
        status = self.model.status
        approved = status.library_approved if status is not None else 0
        hidden = self._marks.hidden
        unseen = f", {hidden} hidden by the filter" if hidden else ", some perhaps hidden" if hidden is None else ""
        return join(
            text(f"{approved} approved", "ok" if approved else "muted"),
            text("approved only", "accent") if self._reader.shown.approved else EMPTY,
            text(f"{view_model.MARK} {len(self._marks)} marked{unseen}", "mine") if self._marks else EMPTY,
            gap="  ",
        )

    def _empty_lines(self) -> Sequence[Line]:
        asked = self._reader.shown
        if self._reader.told:
            return ((Span("? ", "warn"), *text(self._reader.told)), text("Esc clears the filter", "muted"))
        if asked.query.strip() and self._reader.part.known:
            return (
                text(f"Nothing matches {asked.query}", "strong"),
                text(
                    "Esc clears the filter; type: state: size: moved: and others narrow, - in front excludes.", "muted"
                ),
            )
        return super()._empty_lines()

    def empty(self) -> Sequence[Line]:
        if self._reader.shown.approved and self.model.library.value.total:
            return (text("Nothing was approved yet.", "strong"), text("o shows all images; 2 is the queue.", "muted"))
        status = self.model.status
        sources = status.sources if status is not None else ()
        return first_run(any(source.kind == "registry" for source in sources))

    def preview(self, item: Row) -> Sequence[Section]:
        return preview_sections(item, self.room.clock.now())

    def _show_sync(self) -> None:
        run, now, ended = running(self.model.sync.values()), self.room.clock.now(), self._last_run
        line = self.query_one("#sync", OneLine)
        if run is not None:
            line.show(partial(progress_line, run))
            return
        told = next(reversed(self.model.sync.values()), None)
        line.show(partial(ended_line, ended, told, now))

    # ------------------------------------------------------------ filter, order, tree

    def find(self, pattern: Filter | None) -> str:
        self._reader.ask(query=pattern.typed if pattern is not None else "")
        return ""

    def enter(self, arguments: Sequence[str], pattern: str | None) -> None:
        self._find(" ".join([*arguments, *([pattern] if pattern else [])]))

    def complete_filter(self, line: str) -> Sequence[str]:
        library = self._library()
        if library is None or not line or line.endswith(" "):
            return ()
        whole = (line[: found.start] + found.text + line[found.end :] for found in library.completions(line, len(line)))
        return [completed for completed in whole if completed != line]

    def on_prompt_opened(self) -> None:
        self._reader.is_typed = bool(self.query("#prompt"))

    def on_prompt_done(self, event: Prompt.Done) -> None:
        self._reader.is_typed = False
        if self._reader.told:
            self._reader.outdate()

    def _tell_query(self) -> None:
        """Tell in the line where the query is typed how many it finds, or why it is not understood."""
        for prompt in self.query(Prompt):
            told, number = self._reader.told, len(self._reader.rows.images)
            prompt.tell(text(f"  {told} ", "warn") if told else text(f"  {fmt.count(number, 'image')} ", "muted"))

    def note(self) -> Line:
        if self.is_whole and self._reader.told:
            return (Span("/", "prompt"), *text(self._reader.told, "warn"), Span(" Esc clears", "muted"))
        return super().note()

    def act_look_sort(self) -> None:
        last = self._sorted
        while True:
            self._sorted = (self._sorted + 1) % len(view_model.SORTS)
            if not self._reader.question.tree or view_model.SORTS[self._sorted][0] in view_model.TREE_SORTS:
                break
        if last != self._sorted:
            self._descending = view_model.SORTS[self._sorted][3]
            self._resort()

    def act_look_invert(self) -> None:
        self._descending = not self._descending
        self._resort()

    def _resort(self) -> None:
        sort = view_model.SORTS[self._sorted]
        self._reader.ask(sort=sort[0], descending=self._descending)
        self.room.flash(sort[2] + (", turned around" if self._turned() else ""))

    def _turned(self) -> bool:
        return self._descending != view_model.SORTS[self._sorted][3]

    def act_library_tree(self) -> None:
        tree = not self._reader.question.tree
        if tree and view_model.SORTS[self._sorted][0] not in view_model.TREE_SORTS:
            self._sorted, self._descending = 0, False
        self._reader.ask(tree=tree, sort=view_model.SORTS[self._sorted][0], descending=self._descending)

    def act_library_approved(self) -> None:
        self._reader.ask(approved=not self._reader.question.approved)

    def act_library_fold(self) -> None:
        if self._in_tree():
            opened = self._reader.folding.all()
            self._reader.refold()
            self.room.flash("every repository is open" if opened else "every repository is folded")

    def act_move_right(self) -> None:
        self._fold(True)

    def act_move_left(self) -> None:
        self._fold(False)

    def _fold(self, is_open: bool) -> None:
        row = self.table.current
        if row is None or not self._in_tree():
            return
        if row.image is not None and not is_open:
            # From a tag, to the repository that holds it.
            self.table.select(f"{row.image.registry}/{row.image.repository}")
        elif self._reader.folding.set(row, is_open):
            self._reader.refold()
        elif is_open:
            self.act_move_down()

    def _in_tree(self) -> bool:
        if not self._reader.shown.tree:
            self.room.flash("t shows the tree", bad=True)
        return self._reader.shown.tree

    # ------------------------------------------------------------ marks

    def chosen(self) -> list[Marked]:
        if self._marks:
            return self._marks.all()
        image = self.current_image()
        return [Marked.of(image)] if image is not None else []

    def hidden_marks(self) -> int | None:
        return self._marks.hidden

    async def listed(self) -> list[Marked]:
        if self._marks:
            return self._marks.all()
        return [Marked.of(image) for image in await self._reader.everything(MOST)]

    def act_look_mark(self) -> None:
        row = self.table.current
        if row is None:
            return
        if row.image is not None:
            self._marks.anchor = row.key
            self._marked(self._marks.toggle, [row.image])
            self.act_move_down()
        else:
            self._mark_later(self._marks.toggle, self._reader.rows.under(self.table.cursor))

    def act_look_mark_range(self) -> None:
        rows, cursor = self._reader.rows, self.table.cursor
        start = rows.position(self._marks.anchor) if self._marks.anchor else None
        if start is None:
            self.room.flash("Space marks where the range starts, v marks up to the cursor", bad=True)
            return
        first, last = sorted((start, cursor))
        indices = list(rows.image_indices(first, last + 1))
        if indices:
            self._mark_later(self._marks.put, range(indices[0], indices[-1] + 1))

    def act_look_mark_all(self) -> None:
        if self._marks:
            self._marks.clear()
            self._marked(self._marks.put, [])
        else:
            self._mark_later(self._marks.put, None)

    def act_look_mark_invert(self) -> None:
        self._mark_later(self._marks.invert, None)

    def _mark_later(self, mark: Callable[[list[ImageView]], object], span: range | None) -> None:
        async def work() -> None:
            found = await self._reader.everything(MOST, span=span)
            self._marked(mark, found)
            if span is None and len(self._reader.rows.images) > MOST:
                self.room.flash(f"the first {MOST} of them are marked: narrow the filter for the others", bad=True)

        self.open_later(work(), "marking")

    def _marked(self, mark: Callable[[list[ImageView]], object], images: list[ImageView]) -> None:
        mark(images)
        self.table.repaint_changed()
        self._show_heading(len(self._reader.rows.images))

    async def _count_hidden(self) -> None:
        asked = self._reader.shown
        if not asked.query.strip() and not asked.approved:
            self._marks.hidden = 0
        else:
            is_short = len(self._reader.rows.images) <= 2 * MOST
            found = await self._reader.everything(2 * MOST) if is_short else []
            if asked != self._reader.shown:
                return
            if is_short:
                self._marks.count_hidden(found)
            else:
                self._marks.hidden = None
        self._show_heading(len(self._reader.rows.images))

    # ------------------------------------------------------------ what is under the cursor

    def current_image(self) -> ImageView | None:
        row = self.table.current
        return row.image if row is not None else None

    def act_look_open(self) -> None:
        row = self.table.current
        if row is None:
            return
        if row.image is None:
            if self._reader.folding.set(row, not row.is_open):
                self._reader.refold()
            return
        from tui.panes.library.detail import ImagePage

        self.room.push_screen(ImagePage(row.image))

    def act_library_rules(self) -> None:
        from tui.panes.library.rules import RulesPage

        self.room.push_screen(RulesPage())

    def act_library_runs(self) -> None:
        from tui.panes.library.runs import RunsPage

        self.room.push_screen(RunsPage())
