"""The rules, and what became of each tag under one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from backend.core.errors import ModelyardError
from backend.core.views import RuleClauseView, RuleView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, text
from tui.model import Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.common.text import TextPage
from tui.widgets.line_view import LineView

_TAKEN, _LEFT_OUT = "+ ", "- "


class RulesPage(DetailPage):
    """Every rule as it is configured, when it last ran, and what it would take in now."""

    CSS_PATH: ClassVar[str] = "../common/common.tcss"
    pane = "rules"

    def __init__(self) -> None:
        super().__init__()
        self._rules: list[RuleView] | None = None
        self._problem: Problem | None = None

    def on_mount(self) -> None:
        self.room.feed.spawn(self._read(), "reading the rules")

    async def _read(self) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        try:
            self._rules, self._problem = await yard.rules.rules(), None
        except ModelyardError as error:
            self._problem = Problem.of(error)
        if self.is_attached:
            self.show()

    def title_parts(self) -> tuple[str, str, Line, Line]:
        number = text(str(len(self._rules)), "strong") if self._rules is not None else EMPTY
        return "1", "RULES", number, text("Enter tries them on the registries", "muted")

    def sections(self) -> Sequence[Section]:
        if self._problem is not None:
            return (Section("", problem_lines(self._problem)),)
        return rule_sections(self._rules, self.room.clock.now())

    def act_look_open(self) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return

        async def read() -> str:
            previews = await yard.rules.preview(None)
            return "\n".join(clause_text(clause) for preview in previews for clause in preview.clauses)

        self.room.push_screen(TextPage("WHAT THE RULES TAKE IN", read, clause_line))

    def act_look_refresh(self) -> None:
        self.query_one("#main", LineView).scroll_lines(0)
        self.room.feed.spawn(self._read(), "reading the rules")


def rule_sections(rules: Sequence[RuleView] | None, now: datetime) -> tuple[Section, ...]:
    """A section for each rule."""
    if rules is None:
        return (Section("", (text("reading…", "muted"),)),)
    if not rules:
        told = (*text("No rule says what to take in: write a "), *text("[[rule]]", "accent"), *text("."))
        return (Section("", (told,)),)
    return tuple(_rule_section(rule, now) for rule in rules)


def _rule_section(rule: RuleView, now: datetime) -> Section:
    ran = join(text(f"{fmt.age(rule.last_run_at, now)} ago"), text(rule.last_result, "muted"), gap="  ")
    rows = [
        ("registry", text(rule.registry)),
        ("takes", text(" ".join(rule.repositories) or "every repository", "name")),
        ("tags", text(rule.tags or "all", "accent")),
        ("types", text(" ".join(rule.types) or "all")),
        ("every", text(rule.every)),
        ("last ran", ran if rule.last_run_at is not None else text("never", "warn")),
    ]
    return Section(rule.name, facts(rows), note="" if rule.enabled else "switched off")


def clause_text(clause: RuleClauseView) -> str:
    """What became of a tag, in a line."""
    mark = _TAKEN if clause.taken else _LEFT_OUT
    return f"{mark}{clause.registry}/{clause.repository}:{clause.tag}  {clause.clause}"


def clause_line(line: str) -> Line:
    """Such a line with its mark in colour."""
    return (Span(line, "ok" if line.startswith(_TAKEN) else "muted"),)
