"""Rules on the screen: listed, opened, tried, edited, switched and removed."""

from __future__ import annotations

from typing import Any

from textual.widgets import TextArea

from backend.core.errors import RoleError, UnreachableError
from backend.core.events import RulesChanged, Topic
from backend.core.views import SourceState, SourceView
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard


def curated(**given: Any) -> FakeYard:
    """A yard whose actor may write rules."""
    return FakeYard(status={"roles": ("curator", "operator")}, **given)


def area(table: Desk) -> TextArea:
    return table.app.screen.query_one(TextArea)


async def editing(table: Desk) -> TextArea:
    """Open the editor of the first rule."""
    await table.press("1", "u")
    await table.sees("1 RULES 2")
    await table.press("e")
    await table.until(lambda: table.app.screen.query(TextArea) and area(table).has_focus)
    return area(table)


async def test_rules_are_listed_with_what_they_take_and_their_last_run() -> None:
    async with desk(size=(80, 24)) as table:
        await table.press("1", "u")
        await table.sees("1 RULES 2", "nim-llama", "on", "off", "4m", "3 new, 1 moved", "1 off", "never")
        await table.press("f")
        await table.sees("Synchronise?", "Rule nim-llama")
        await table.press("escape")
        table.yard.rules.views = table.yard.rules.views[:1]
        table.yard.publish(Topic.LIBRARY, RulesChanged(key="rules"))
        await table.sees("1 RULES 1")
        broken = SourceView(
            name="config", kind="configuration", state=SourceState.REFUSED, as_of=data.NOW, detail="config.toml:3: no"
        )
        table.yard.put_status(sources=(*table.yard.status_view.sources, broken))
        await table.sees("config.toml:3: no", "config refused")


async def test_a_rule_is_opened_with_its_text_and_what_it_takes_now_and_took_then() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("1", "u")
        await table.sees("1 RULES 2")
        await table.press("enter")
        await table.sees("RULE nim-llama", "1 of 3 tags taken", "# For the chat models.", "a run asks first")
        await table.sees("Left out by", "tags.versions: no version in it")
        await table.press("enter")
        await table.sees("+ ngc/nim/meta/llama-3.1-8b:1.3.0")
        await table.press("escape", "p")
        await table.sees("By the history of tags")
        await table.press("x", "enter")
        await table.sees("write 2026-01-31 or")
        await table.press("backspace")
        await table.type("2026-01-31")
        await table.press("enter")
        await table.sees("as of", "Would have taken in")
        assert table.yard.called("preview")[-1][2].isoformat() == "2026-01-31T23:59:59.999999+00:00"


async def test_a_rule_is_edited_tried_and_written_and_another_from_a_template() -> None:
    async with desk(curated(), size=(120, 40)) as table:
        text = await editing(table)
        assert text.text.startswith("# For the chat models.")
        text.insert("newest = 5\n", text.document.end)
        await table.sees("this is a rule")
        await table.press("f2")
        await table.sees("DRAFT OF nim-llama", "+newest = 5", "Write this rule?", "+1", "-1")
        assert not table.yard.called("save")
        await table.press("tab", "enter")
        await table.until(lambda: table.yard.called("save"))
        written, replaces, seen = table.yard.called("save")[0]
        assert "newest = 5" in written and (replaces, seen) == ("nim-llama", "sha256:1")
        await table.sees("1 RULES 2", "rule nim-llama is written and in force")
        assert table.app.model.commands[-1].outcome == "done"
        await table.press("C")
        await table.sees("A new rule", "new-rule")
        await table.press("f2")
        await table.sees("DRAFT OF A NEW RULE", "Write this rule?")
        await table.press("tab", "enter")
        await table.sees("1 RULES 3")
        assert table.yard.called("save")[1][1] is None


async def test_a_wrong_rule_is_told_while_it_is_typed_and_is_not_tried() -> None:
    async with desk(curated(), size=(120, 40)) as table:
        text = await editing(table)
        text.insert("wrong = 1\n", text.document.end)
        await table.sees("line 2: unknown key")
        await table.press("f2")
        await table.press("escape")
        await table.sees("Esc again leaves it")
        await table.press("escape")
        await table.sees("1 RULES 2")
        assert not table.yard.called("preview") and not table.yard.called("save")
        table.yard.rules.unwritable = "it belongs to somebody else"
        await table.press("e")
        await table.sees("it belongs to somebody else")
        assert not table.app.screen.query(TextArea)


async def test_what_somebody_else_wrote_meanwhile_is_told_and_nothing_typed_is_lost() -> None:
    async with desk(curated(), size=(120, 40)) as table:
        text = await editing(table)
        text.insert("newest = 5\n", text.document.end)
        table.yard.rules.texts["nim-llama"] += "max_new = 1\n"
        table.yard.rules.hash = "sha256:2"
        await table.press("f2")
        await table.sees("was changed in the file since you opened it")
        assert "newest = 5" in text.text
        await table.press("f2")
        await table.sees("DRAFT OF nim-llama", "-max_new = 1", "+newest = 5")
        table.yard.rules.hash = "sha256:3"
        await table.press("tab", "enter")
        await table.sees("the file was changed since it was read")
        await table.press("escape", "escape")
        await table.until(lambda: table.app.screen.query(TextArea))
        assert "newest = 5" in area(table).text
        await table.press("f2")
        await table.sees("Write this rule?")
        await table.press("tab", "enter")
        await table.sees("is written and in force")


async def test_a_registry_that_is_down_is_told_and_does_not_keep_a_rule_from_being_written() -> None:
    down = UnreachableError("registry ngc", "connection refused", "run modelyard doctor")
    async with desk(curated(errors={"preview": down}), size=(120, 40)) as table:
        await table.press("1", "u")
        await table.sees("1 RULES 2")
        await table.press("enter")
        await table.sees("could not be found out", "connection refused")
        await table.press("enter")
        await table.sees("not known yet")
        await table.press("e")
        await table.until(lambda: table.app.screen.query(TextArea))
        await table.press("f2")
        await table.sees("It could not be tried", "connection refused", "Write this rule?")
        await table.press("tab", "enter")
        await table.sees("is written and in force")


async def test_switching_and_removing_ask_first_and_stay_with_a_refusal() -> None:
    async with desk(curated(), size=(120, 40)) as table:
        await table.press("1", "u")
        await table.sees("1 RULES 2")
        await table.press("S")
        await table.sees("Switch nim-llama off?", "stays in the library")
        await table.press("enter")
        assert not table.yard.called("switch")
        await table.press("S", "tab", "enter")
        await table.sees("2 off")
        assert table.yard.called("switch") == [("nim-llama", False, "sha256:1")]
        table.yard.errors["remove"] = RoleError("rules.remove of nim-llama", "robin is no curator", "ask for the role")
        await table.press("X")
        await table.sees("Remove rule nim-llama?")
        await table.press("tab", "enter")
        await table.sees("robin is no curator", "ask for the role")
        del table.yard.errors["remove"]
        await table.press("enter")
        await table.sees("1 RULES 1")


async def test_without_rules_it_says_how_to_write_one() -> None:
    async with desk(FakeYard(empty=True), size=(80, 24)) as table:
        await table.press("1", "u")
        await table.sees("No registry is configured yet")
