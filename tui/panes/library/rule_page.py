"""One rule: its text, what it takes in, and what a draft of it would change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from backend.core.errors import ModelyardError
from backend.core.ports import instant
from backend.core.views import RulePreviewView, RuleTextView, RuleView
from tui import format as fmt
from tui.document import Line, Section, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.common.text import TextPage
from tui.panes.library import rule_model
from tui.panes.library.rule_actions import RuleActions
from tui.panes.library.synchronising import SyncAction
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values


class RulePage(DetailPage, RuleActions, SyncAction):
    """A rule in force."""

    CSS_PATH = "../common/common.tcss"
    pane = "rule"
    parts = frozenset({PartName.RULES})

    def __init__(self, rule: RuleView) -> None:
        super().__init__()
        self._rule = rule
        self._text: RuleTextView | None = None
        self._preview: RulePreviewView | None = None
        self._problem: Problem | None = None
        self._reading = False
        self._behind = True

    def current_rule(self) -> RuleView | None:
        return self._rule

    def title_parts(self) -> tuple[str, str, Line, Line]:
        left = rule_model.tally(self._preview) if self._preview is not None else text("asking the registry…", "info")
        if self._problem is not None:
            left = text("not known", "bad")
        return "1", f"RULE {self._rule.name}", left, text("Enter lists every tag", "muted")

    def sections(self) -> Sequence[Section]:
        status = self.model.status
        sections = [
            rule_model.rule_section(self._rule, status.sources if status is not None else (), self.room.clock.now())
        ]
        if self._text is not None:
            sections.append(rule_model.text_section(self._text.text)._replace(side=True))
            if self._text.writable:
                told = (text(f"{self._text.path}: {self._text.writable}", "warn"),)
                sections.append(Section("It cannot be edited from here", told, side=True))
        if self._problem is not None:
            sections.append(Section("What it takes in could not be found out", problem_lines(self._problem)))
        elif self._preview is None:
            sections.append(Section("Takes in", (text("asking the registry…", "muted"),)))
        else:
            sections += rule_model.preview_sections(self._preview)
        return sections

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        self._behind = self._behind or PartName.RULES in changed
        super().parts_changed(changed)

    def show(self) -> None:
        super().show()
        yard = self.room.feed.yard
        if self._behind and not self._reading and yard is not None:
            self._behind, self._reading = False, True
            self.room.feed.spawn(self._read(yard), "reading the rule")

    async def _read(self, yard: ScreenYard) -> None:
        try:
            found = next((rule for rule in await yard.rules.rules() if rule.name == self._rule.name), None)
            self._rule = found or self._rule
            self._text = await yard.rules.text(self._rule.name)
            self._show_if_attached()
            previews = await yard.rules.preview(self._rule.name)
            self._preview, self._problem = (previews[0] if previews else None), None
        except ModelyardError as error:
            self._problem = Problem.of(error)
        finally:
            self._reading = False
        self._show_if_attached()

    def _show_if_attached(self) -> None:
        if self.is_attached:
            self.show()

    # ------------------------------------------------------------ actions

    def rules_written(self, name: str | None) -> None:
        if name is None:
            self.dismiss()
            return
        self._rule = msgspec.structs.replace(self._rule, name=name)
        self._behind = True
        self.show()

    def act_look_refresh(self) -> None:
        self.rules_written(self._rule.name)

    def act_look_open(self) -> None:
        preview = self._preview
        if preview is None:
            self.room.flash("what it takes in is not known yet", bad=True)
            return

        async def read() -> str:
            return "\n".join(rule_model.clause_text(clause) for clause in preview.clauses)

        self.room.push_screen(TextPage(f"TAGS UNDER {self._rule.name}", read, rule_model.clause_line))

    def act_rules_past(self) -> None:
        """Ask for a time, and show what the rule would have taken in then."""
        yard = self.room.feed.yard
        if yard is None:
            return

        async def perform(values: Values) -> object:
            at = _moment(values["at"])
            return (await yard.rules.preview(self._rule.name, at=at))[0]

        def done(result: object) -> None:
            if isinstance(result, RulePreviewView):
                self.room.push_screen(PastPage(result))

        lines = (text("By the history of tags in the library; no registry is asked."),)
        field = Field(id="at", label="Time", placeholder="2026-01-31 or 2026-01-31T14:00:00Z", check=_check_moment)
        self.ask(f"{self._rule.name} at a time that is past", lines, "Show", perform, fields=(field,), done=done)

    def act_library_synchronise(self, *arguments: str) -> None:
        super().act_library_synchronise(*(arguments or (self._rule.name,)))


class PastPage(DetailPage):
    """What a rule would have taken in at a time that is past."""

    CSS_PATH = "../common/common.tcss"
    pane = "note"

    def __init__(self, preview: RulePreviewView) -> None:
        super().__init__()
        self._preview = preview

    def title_parts(self) -> tuple[str, str, Line, Line]:
        at = self._preview.at
        told = fmt.moment(at) if at is not None else ""
        return "1", f"RULE {self._preview.rule}", rule_model.tally(self._preview), text(f"as of {told}", "warn")

    def sections(self) -> Sequence[Section]:
        return rule_model.preview_sections(self._preview)


class RuleDraftPage(DetailPage):
    """A rule that was edited and not written yet: what it would change, and whether to write it.

    Args:
        seen: the file as the editor last read it.
        draft: the edited text.
        save: writes it.
        written: told of the rule when it was.
    """

    CSS_PATH = "../common/common.tcss"
    pane = "draft"

    def __init__(
        self,
        preview: RulePreviewView | None,
        problem: Problem | None,
        seen: RuleTextView,
        draft: str,
        written: Callable[[RuleView], None],
    ) -> None:
        super().__init__()
        self._preview = preview
        self._problem = problem
        self._seen = seen
        self._draft = draft
        self._written = written

    def on_mount(self) -> None:
        self.call_after_refresh(self.act_rules_save)

    def title_parts(self) -> tuple[str, str, Line, Line]:
        title = f"DRAFT OF {self._seen.rule}" if self._seen.rule else "DRAFT OF A NEW RULE"
        left = rule_model.tally(self._preview) if self._preview is not None else text("not tried", "bad")
        return "1", title, left, text("nothing is written yet", "muted")

    def sections(self) -> Sequence[Section]:
        before = self._seen.text if self._seen.rule else ""
        sections = [rule_model.difference_section(before, self._draft)._replace(side=True)]
        if self._problem is not None:
            sections.append(Section("It could not be tried", problem_lines(self._problem)))
        if self._preview is not None:
            sections += rule_model.preview_sections(self._preview)
        return sections

    def act_rules_save(self) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        seen = self._seen

        async def perform(_values: Values) -> object:
            command = f"modelyard rules set FILE{' --replaces ' + seen.rule if seen.rule else ''}"
            try:
                rule = await yard.rules.save(self._draft, replaces=seen.rule or None, file_hash=seen.hash)
            except Exception:
                self.room.log_command(command, "failed")
                raise
            self.room.log_command(command, "done")
            return rule

        def done(result: object) -> None:
            if isinstance(result, RuleView):
                self._written(result)

        lines = [text(f"Into {seen.path}; its comments and other tables stay.")]
        if self._preview is not None:
            lines.insert(0, rule_model.tally(self._preview))
        self.ask("Write this rule?", lines, "Write", perform, low=True, done=done)


def _moment(typed: str) -> datetime:
    """An instant that was typed; a date means its end."""
    day = typed.strip()
    return instant(f"{day}T23:59:59.999999+00:00" if len(day) == len("2026-01-31") else day)


def _check_moment(typed: str) -> str:
    try:
        _moment(typed)
    except ValueError:
        return "write 2026-01-31 or 2026-01-31T14:00:00Z"
    return ""
