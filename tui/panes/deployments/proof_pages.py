"""The pages of all changes and of what runs against what was approved, with filter and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from backend.core.errors import ModelyardError
from backend.core.views import ChangeView, RunningState, RunningView
from tui.document import EMPTY, Line, Section, join, text
from tui.model import Part, PartName, Problem
from tui.panes.common import export
from tui.panes.common.listing import Item, ListPage
from tui.panes.deployments import proof_model
from tui.ports import ScreenYard
from tui.widgets.columns import Column
from tui.widgets.fields import Field, Values

#: Of the page of changes, in hours.
_PERIODS: Final = 24


class _ReadPage(ListPage[Item]):
    """A list that is read when it is opened, and again when what it tells of changed."""

    CSS_PATH = "../common/common.tcss"
    number = "3"
    file: str = ""

    def __init__(self) -> None:
        super().__init__()
        self._read_part: Part[list[Item]] = Part([])
        self._reading = False
        self._behind = True

    async def read(self, yard: ScreenYard) -> list[Item]:
        """What is listed.

        Raises:
            ModelyardError: it cannot be read.
        """
        raise NotImplementedError

    def fields_of(self, item: Item) -> dict[str, object]:
        """A row of the file that is written."""
        raise NotImplementedError

    def part(self) -> Part[Any]:
        return self._read_part

    def items(self) -> Sequence[Item]:
        return self._read_part.value

    def parts_changed(self, parts: frozenset[PartName]) -> None:
        self._behind = self._behind or bool(parts & self.parts)
        super().parts_changed(parts)

    def show(self) -> None:
        super().show()
        if self._behind and not self._reading and self.room.feed.yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read_now(self.room.feed.yard), f"reading {self.heading_title.lower()}")

    async def _read_now(self, yard: ScreenYard) -> None:
        try:
            self._read_part.value = await self.read(yard)
            self._read_part.read_at, self._read_part.problem = self.room.clock.now(), None
        except ModelyardError as error:
            self._read_part.problem = Problem.of(error)
        finally:
            self._reading = False
        if self.is_attached:
            self.show()

    def act_look_refresh(self) -> None:
        self._behind = True
        self.show()

    def act_running_export(self) -> None:
        shown = self._shown_items()

        async def perform(values: Values) -> object:
            return await export.write(values["path"], [self.fields_of(item) for item in shown])

        def done(result: object) -> None:
            if result is not None:
                self.room.flash(f"the list was written to {result}")

        field = Field(id="path", label="File (.json, .csv, .txt)", value=self.file, check=export.check_path)
        lines = (text(f"{len(shown)} rows, as they are filtered now."),)
        self.ask("Write the list?", lines, "Write", perform, fields=(field,), done=done)


class RunningPage(_ReadPage[RunningView]):
    """What runs, by digest, against what was approved and applied; the worst first."""

    pane = "running"
    parts = frozenset({PartName.SERVICES, PartName.CHANGES, PartName.STATUS})
    heading_title = "RUNNING"
    order = "worst first"
    file = "modelyard-running.csv"

    def __init__(self) -> None:
        super().__init__()
        self._only: RunningState | None = None

    def columns(self) -> tuple[Column[RunningView], ...]:
        status = self.model.status
        contexts = sum(source.kind == "cluster" for source in status.sources) if status is not None else 0
        return proof_model.running_columns(self.room.clock.now, contexts)

    def key(self, item: RunningView) -> str:
        return item.key

    async def read(self, yard: ScreenYard) -> list[RunningView]:
        return await yard.deployments.running()

    def items(self) -> Sequence[RunningView]:
        rows: Sequence[RunningView] = self._read_part.value
        return [row for row in rows if self._only in (None, row.state)]

    def haystack(self, item: RunningView) -> str:
        return proof_model.running_haystack(item)

    def tally(self) -> Line:
        only = text(f"only {self._only.value}", "accent") if self._only is not None else EMPTY
        return join(proof_model.running_tally(self._read_part.value), only, gap="  ")

    def empty(self) -> Sequence[Line]:
        told = f"Nothing that runs is {self._only.value}." if self._only is not None else "Nothing runs."
        return (text(told, "strong"), text("o shows another state.", "muted") if self._only is not None else EMPTY)

    def preview(self, item: RunningView) -> Sequence[Section]:
        return proof_model.running_sections(item, self.room.clock.now())

    def reference(self) -> str:
        row = self.table.current
        return (row.digest or row.service) if row is not None else ""

    def fields_of(self, item: RunningView) -> dict[str, object]:
        told = {name: getattr(item, name) for name in item.__struct_fields__}
        return {"service": item.service, **told, "state": item.state.value, "pods": " ".join(item.pods)}

    def act_running_state(self) -> None:
        states: list[RunningState | None] = [None, *RunningState]
        self._only = states[(states.index(self._only) + 1) % len(states)]
        self.show()
        self.room.flash(f"only {self._only.value}" if self._only is not None else "all states")

    def act_look_open(self) -> None:
        if row := self.table.current:
            self.room.show_service(row.context, row.namespace, row.name)


class ChangesPage(_ReadPage[ChangeView]):
    """What changed in the last day, of all services and images; the newest first."""

    pane = "changes"
    parts = frozenset({PartName.CHANGES})
    heading_title = "CHANGES"
    order = "newest first"
    file = "modelyard-changes.csv"

    def columns(self) -> tuple[Column[ChangeView], ...]:
        return proof_model.change_columns(self.room.clock.now)

    def key(self, item: ChangeView) -> str:
        return f"{item.at.isoformat()} {item.actor} {item.what} {item.object}"

    async def read(self, yard: ScreenYard) -> list[ChangeView]:
        return await yard.deployments.changes(hours=_PERIODS)

    def haystack(self, item: ChangeView) -> str:
        return proof_model.change_haystack(item)

    def tally(self) -> Line:
        suspected = sum(bool(change.suspected) for change in self._read_part.value)
        note = text(f"{suspected} before a failure", "bad") if suspected else EMPTY
        return join(text("last 24 hours", "muted"), note, gap="  ")

    def empty(self) -> Sequence[Line]:
        return (text("Nothing was changed in the last 24 hours.", "strong"),)

    def preview(self, item: ChangeView) -> Sequence[Section]:
        return proof_model.change_sections(item)

    def reference(self) -> str:
        change = self.table.current
        return change.object if change is not None else ""

    def fields_of(self, item: ChangeView) -> dict[str, object]:
        told = {name: getattr(item, name) for name in item.__struct_fields__}
        return {**told, "services": " ".join(item.services)}

    def act_look_open(self) -> None:
        change = self.table.current
        if change is None:
            return
        if not change.services:
            self.room.flash(f"{change.object} is no service", bad=True)
            return
        context, namespace, name = change.services[0].rsplit("/", 2)
        self.room.show_service(context, namespace, name)
