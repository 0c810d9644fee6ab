"""Runs of the synchroniser, and the journal of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from backend.core.errors import ModelyardError
from backend.core.views import JournalEntryView, RunView
from tui.document import EMPTY, Line, Section, join, text
from tui.model import Part, PartName, Problem
from tui.panes.common import export
from tui.panes.common.detail import DetailPage
from tui.panes.common.listing import ListPage
from tui.panes.library import runs_model
from tui.panes.library.synchronising import SyncAction, progress_line, running
from tui.ports import ScreenYard
from tui.widgets.columns import Column
from tui.widgets.fields import Field, Values
from tui.widgets.one_line import OneLine

_RUNS_SHOWN = 200


class RunsPage(ListPage[RunView], SyncAction):
    """The last runs, the newest first."""

    CSS_PATH = "../common/common.tcss"
    pane = "runs"
    parts = frozenset({PartName.LIBRARY, PartName.SYNC})
    number = "1"
    heading_title = "RUNS"
    order = "newest first"

    def __init__(self) -> None:
        super().__init__()
        self._runs: Part[list[RunView]] = Part([])
        self._reading = False
        self._behind = True
        self._ended: set[str] = set()

    def columns(self) -> tuple[Column[RunView], ...]:
        return runs_model.run_columns(self.room.clock.now)

    def key(self, item: RunView) -> str:
        return item.run

    def part(self) -> Part[Any]:
        return self._runs

    def items(self) -> Sequence[RunView]:
        return self._runs.value

    def haystack(self, item: RunView) -> str:
        return f"{' '.join(item.rules)} {item.outcome} {item.actor} {item.reason} {item.run}"

    def tally(self) -> Line:
        going = running(self.model.sync.values())
        return text(f"{going.rule} goes on: {going.done} done", "info") if going is not None else EMPTY

    def empty(self) -> Sequence[Line]:
        return (
            text("Nothing was synchronised yet.", "strong"),
            (*text("f", "key"), *text(" takes in what the rules name; the worker does so by their schedule.")),
        )

    def preview(self, item: RunView) -> Sequence[Section]:
        return (runs_model.run_section(item, self.room.clock.now()),)

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        ended = {run.run for run in self.model.sync.values() if run.finished}
        self._behind = self._behind or PartName.LIBRARY in changed or not ended <= self._ended
        self._ended |= ended
        super().parts_changed(changed)

    def show(self) -> None:
        super().show()
        if self._behind and not self._reading and self.room.feed.yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading the runs")

    async def _read(self, yard: ScreenYard) -> None:
        try:
            self._runs = Part(await yard.runs.runs(limit=_RUNS_SHOWN), self.room.clock.now())
        except ModelyardError as error:
            self._runs.problem = Problem.of(error, "reading the runs")
        finally:
            self._reading = False
        if self.is_whole:
            self.show()

    def act_look_open(self) -> None:
        if run := self.table.current:
            self.room.push_screen(RunPage(run))

    def act_look_refresh(self) -> None:
        self._behind = True
        self.show()


class RunPage(ListPage[JournalEntryView], SyncAction):
    """The journal of a run: a line a repository, those with something to tell first."""

    CSS_PATH = "../common/common.tcss"
    pane = "run"
    parts = frozenset({PartName.LIBRARY, PartName.SYNC})
    number = "1"
    heading_title = "JOURNAL"
    order = "what failed first"
    preview_from = 130

    def __init__(self, run: RunView) -> None:
        super().__init__()
        self._run = run
        self._journal: Part[list[JournalEntryView]] = Part([])
        self._reading = False
        self._behind = True

    def columns(self) -> tuple[Column[JournalEntryView], ...]:
        return runs_model.journal_columns()

    def key(self, item: JournalEntryView) -> str:
        return runs_model.entry_key(item)

    def part(self) -> Part[Any]:
        return self._journal

    def items(self) -> Sequence[JournalEntryView]:
        return self._journal.value

    def haystack(self, item: JournalEntryView) -> str:
        return runs_model.entry_haystack(item)

    def above(self) -> Sequence[OneLine]:
        return (OneLine(id="sync"),)

    def tally(self) -> Line:
        run = self._run
        return join(
            runs_model.outcome_cell(run),
            text(" ".join(run.rules) or "every rule", "name"),
            runs_model.number_of(run.new, "new", "ok"),
            runs_model.number_of(run.moved, "moved", "warn"),
            runs_model.number_of(run.failed, "failed", "bad"),
            gap="  ",
        )

    def empty(self) -> Sequence[Line]:
        why = f": {self._run.reason}" if self._run.reason else ""
        return (text(f"The run reached no repository{why}", "muted"),)

    def preview(self, item: JournalEntryView) -> Sequence[Section]:
        return runs_model.entry_sections(item)

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        self._behind = self._behind or (self._run.finished_at is None and bool(changed & self.parts))
        super().parts_changed(changed)

    def show(self) -> None:
        super().show()
        line = self.query_one("#sync", OneLine)
        going = running(run for run in self.model.sync.values() if run.run == self._run.run)
        line.display = going is not None
        if going is not None:
            line.show(partial(progress_line, going))
        if self._behind and not self._reading and self.room.feed.yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading the run")

    async def _read(self, yard: ScreenYard) -> None:
        try:
            self._run = await yard.runs.run(self._run.run)
            journal = sorted(self._run.journal, key=lambda entry: (-entry.failed, entry.registry, entry.repository))
            self._journal = Part(journal, self.room.clock.now())
        except ModelyardError as error:
            self._journal.problem = Problem.of(error, "reading the run")
        finally:
            self._reading = False
        if self.is_whole:
            self.show()

    def act_look_open(self) -> None:
        if entry := self.table.current:
            self.room.push_screen(EntryPage(entry))

    def act_look_refresh(self) -> None:
        self._behind = True
        self.show()

    def reference(self) -> str:
        return self._run.run

    def act_library_export(self) -> None:
        journal = self._journal.value

        async def perform(values: Values) -> object:
            rows: list[dict[str, object]] = [
                {
                    "name": f"{entry.registry}/{entry.repository}",
                    **{name: getattr(entry, name) for name in entry.__struct_fields__ if name != "reasons"},
                    "reasons": "; ".join(f"{tag}: {why}" if tag else why for tag, why in entry.reasons),
                }
                for entry in journal
            ]
            return await export.write(values["path"], rows)

        def done(result: object) -> None:
            if result is not None:
                self.room.flash(f"the journal was written to {result}")

        name = f"modelyard-run-{self._run.run[:12]}.json"
        field = Field(id="path", label="File (.json, .csv, .txt)", value=name, check=export.check_path)
        lines = (text(f"{len(journal)} repositories, with every reason."),)
        self.ask("Write the journal?", lines, "Write", perform, fields=(field,), done=done)


class EntryPage(DetailPage):
    """What a run found in one repository, with every reason."""

    CSS_PATH = "../common/common.tcss"
    pane = "note"

    def __init__(self, entry: JournalEntryView) -> None:
        super().__init__()
        self._entry = entry

    def title_parts(self) -> tuple[str, str, Line, Line]:
        name = "/".join(part for part in (self._entry.registry, self._entry.repository) if part)
        return "1", name, EMPTY, text("Tab next section  Esc back", "muted")

    def sections(self) -> Sequence[Section]:
        return runs_model.entry_sections(self._entry)
