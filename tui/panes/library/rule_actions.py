"""What can be done to a rule."""

from __future__ import annotations

from collections.abc import Awaitable

from backend.core.views import RuleView
from tui.document import text
from tui.page import Page
from tui.ports import ScreenYard
from tui.widgets.fields import Values


class RuleActions(Page):
    """Actions on the rule that a page points at."""

    def current_rule(self) -> RuleView | None:
        """The rule that is meant."""
        raise NotImplementedError

    def rules_written(self, name: str | None) -> None:
        """Called when the file was written; with the rule's name, or None when it is gone."""

    def act_rules_edit(self) -> None:
        if (rule := self._rule_or_told()) is not None and self.room.feed.yard is not None:
            self.open_later(self._edit(self.room.feed.yard, rule.name), "reading the rule")

    async def _edit(self, yard: ScreenYard, name: str) -> None:
        from tui.panes.library.rule_editor import RuleEditor

        seen = await yard.rules.text(name)
        if seen.writable:
            self.room.flash(f"{seen.path}: {seen.writable}", bad=True)
            return

        def written(rule: RuleView | None) -> None:
            if rule is not None:
                self.room.flash(f"rule {rule.name} is written and in force")
                self.rules_written(rule.name)

        self.room.push_screen(RuleEditor(seen), written)

    def act_rules_switch(self) -> None:
        rule, yard = self._rule_or_told(), self.room.feed.yard
        if rule is None or yard is None:
            return
        verb = "off" if rule.enabled else "on"

        async def perform(_values: Values) -> object:
            seen = await yard.rules.text(rule.name)
            return await self._logged(
                yard.rules.switch(rule.name, not rule.enabled, file_hash=seen.hash),
                f"modelyard rules {'disable' if rule.enabled else 'enable'} {rule.name}",
            )

        def done(result: object) -> None:
            if result is not None:
                self.room.flash(f"rule {rule.name} is {verb}")
                self.rules_written(rule.name)

        told = (
            "No run takes anything in by it; what it took in stays in the library."
            if rule.enabled
            else f"It runs {'every ' + rule.every if rule.every else 'when it is asked to'} from now on."
        )
        self.ask(f"Switch {rule.name} {verb}?", (text(told),), f"Switch {verb}", perform, done=done)

    def act_rules_remove(self) -> None:
        rule, yard = self._rule_or_told(), self.room.feed.yard
        if rule is None or yard is None:
            return

        async def perform(_values: Values) -> object:
            seen = await yard.rules.text(rule.name)
            await self._logged(
                yard.rules.remove(rule.name, file_hash=seen.hash), f"modelyard rules remove {rule.name}"
            )  # fmt: skip
            return True

        def done(result: object) -> None:
            if result is not None:
                self.room.flash(f"rule {rule.name} is removed")
                self.rules_written(None)

        lines = (
            text("It is taken out of the configuration file, with its comments."),
            text("What it took in stays in the library, and so do decisions.", "muted"),
        )
        self.ask(f"Remove rule {rule.name}?", lines, "Remove", perform, danger=True, done=done)

    async def _logged(self, work: Awaitable[object], command: str) -> object:
        try:
            result = await work
        except Exception:
            self.room.log_command(command, "failed")
            raise
        self.room.log_command(command, "done")
        return result

    def _rule_or_told(self) -> RuleView | None:
        rule = self.current_rule()
        if rule is None:
            self.room.flash("there is no rule under the cursor", bad=True)
        return rule
