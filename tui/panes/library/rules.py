"""The list of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.errors import ModelyardError
from backend.core.views import RuleView
from tui.document import Line, Section, join, text
from tui.model import Part, PartName, Problem
from tui.panes.common.listing import ListPage
from tui.panes.common.messages import first_run
from tui.panes.library import rule_model
from tui.panes.library.rule_actions import RuleActions
from tui.panes.library.synchronising import SyncAction
from tui.ports import ScreenYard
from tui.widgets.columns import Column


class RulesPage(ListPage[RuleView], RuleActions, SyncAction):
    """Every rule in force, what it takes, and when it last ran."""

    CSS_PATH = "../common/common.tcss"
    pane = "rules"
    parts = frozenset({PartName.LIBRARY, PartName.RULES, PartName.STATUS})
    number = "1"
    heading_title = "RULES"
    order = "as in the file"

    def __init__(self) -> None:
        super().__init__()
        self._rules: Part[list[RuleView]] = Part([])
        self._reading = False
        self._behind = True

    def columns(self) -> tuple[Column[RuleView], ...]:
        return rule_model.rule_columns(self.room.clock.now)

    def key(self, item: RuleView) -> str:
        return item.name

    def part(self) -> Part[Any]:
        return self._rules

    def items(self) -> Sequence[RuleView]:
        return self._rules.value

    def haystack(self, item: RuleView) -> str:
        return f"{item.name} {item.registry} {' '.join(item.repositories)} {item.tags} {' '.join(item.types)}"

    def tally(self) -> Line:
        off = sum(not rule.enabled for rule in self._rules.value)
        return join(text(f"{off} off", "warn") if off else (), self._file_line(), gap="  ")

    def _file_line(self) -> Line:
        """What is wrong with the file, or what in it waits for a new start."""
        status = self.model.status
        found = [source for source in status.sources if source.kind == "configuration"] if status else []
        return text(found[0].detail, "bad" if found[0].state.value == "refused" else "warn") if found else ()

    def empty(self) -> Sequence[Line]:
        status = self.model.status
        if not any(source.kind == "registry" for source in (status.sources if status is not None else ())):
            return first_run(False)
        return (
            text("No rule says what to take in.", "strong"),
            (*text("C", "key"), *text(" writes one; "), *text("[[rule]]", "accent"), *text(" in the configuration.")),
        )

    def preview(self, item: RuleView) -> Sequence[Section]:
        status = self.model.status
        sources = status.sources if status is not None else ()
        return (rule_model.rule_section(item, sources, self.room.clock.now()),)

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        self._behind = self._behind or bool(changed & {PartName.LIBRARY, PartName.RULES})
        super().parts_changed(changed)

    def show(self) -> None:
        super().show()
        if self._behind and not self._reading and self.room.feed.yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read(self.room.feed.yard), "reading the rules")

    async def _read(self, yard: ScreenYard) -> None:
        try:
            self._rules = Part(await yard.rules.rules(), self.room.clock.now())
        except ModelyardError as error:
            self._rules.problem = Problem.of(error, "reading the rules")
        finally:
            self._reading = False
        if self.is_attached:
            self.show()

    # ------------------------------------------------------------ actions

    def current_rule(self) -> RuleView | None:
        return self.table.current

    def rules_written(self, name: str | None) -> None:
        self._behind = True
        self.show()

    def act_look_open(self) -> None:
        from tui.panes.library.rule_page import RulePage

        if (rule := self.table.current) is not None:
            self.room.push_screen(RulePage(rule))

    def act_look_refresh(self) -> None:
        self.rules_written(None)

    def act_rules_new(self) -> None:
        if (yard := self.room.feed.yard) is not None:
            self.open_later(self._edit(yard, ""), "preparing a rule")

    def act_library_synchronise(self, *arguments: str) -> None:
        rule = self.table.current
        super().act_library_synchronise(*(arguments or ((rule.name,) if rule is not None else ())))
