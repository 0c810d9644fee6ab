"""The command line, its completion and history, and filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.screen_pilot import desk
from tui.commands import Filter, History, complete, parse


@pytest.mark.parametrize(
    ("line", "word", "arguments", "pattern"),
    [
        ("q", "quit", (), None),
        ("quit", "quit", (), None),
        ("library", "library", (), None),
        ("isvc llm-prod /llama", "deployments", ("llm-prod",), "llama"),
        ("deployments /a b", "deployments", (), "a b"),
        ("sync nim --dry-run", "sync", ("nim", "--dry-run"), None),
        ("scale 3", "scale", ("3",), None),
        ("approve", "approve", (), None),
        ("theme day", "theme", ("day",), None),
        ("/abc", "", (), "abc"),
    ],
)
def test_commands_are_read(line: str, word: str, arguments: tuple[str, ...], pattern: str | None) -> None:
    command = parse(line)
    assert (command.word, command.arguments, command.filter, command.error) == (word, arguments, pattern, "")


def test_an_unknown_command_says_what_may_be_meant() -> None:
    assert "perhaps" in parse("libary").error
    assert "there is no command" in parse("zzz").error


@given(st.text(max_size=80))
def test_any_line_can_be_typed(line: str) -> None:
    command = parse(line)
    assert isinstance(command.error, str)
    complete(line, ["a"], ["b"], ["c"])


def test_completion_offers_commands_then_their_words() -> None:
    assert complete("dep", [], [], [])[0] == "deploy"
    assert "deployments llm-prod" in complete("deployments llm", ["llm-prod", "x"], [], [])
    assert complete("sync --d", [], ["nim"], []) == ["sync --dry-run"]
    assert complete("theme d", [], [], ["day", "night"]) == ["theme day"]


def test_history_goes_back_and_forth_and_keeps_each_line_once() -> None:
    history = History()
    for line in ("one", "two", "one"):
        history.add(line)
    assert [history.step(-1), history.step(-1), history.step(-1)] == ["one", "two", "two"]
    assert [history.step(1), history.step(1)] == ["one", ""]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("llama", ["Llama-70b"]), ("!llama", ["qwen"]), ("^q", ["qwen"]), ("[", []), ("", ["Llama-70b", "qwen"])],
)
def test_filters(typed: str, kept: list[str]) -> None:
    names = ["Llama-70b", "qwen"]
    assert [names[index] for index in Filter(typed).indices(names)] == kept
    assert [name for name in names if Filter(typed).keeps(name)] == kept


async def test_a_typed_command_completes_by_tab_and_comes_back_by_up() -> None:
    async with desk() as table:
        await table.press("colon")
        await table.type("lib")
        await table.press("tab", "enter")
        await table.sees("━ 1 LIBRARY")
        await table.press("colon", "up")
        await table.sees(":library")
        await table.press("escape")
        await table.sees_not(":library")
        assert table.app.return_code is None


async def test_a_wrong_command_is_told_and_nothing_else_happens() -> None:
    async with desk() as table:
        await table.command("frobnicate")
        await table.sees("there is no command 'frobnicate'")


async def test_synchronising_by_command_asks_first() -> None:
    async with desk() as table:
        await table.command("sync nim-llama --dry-run")
        await table.sees("Synchronise?", "Rule nim-llama", "a dry run", "▸ Cancel ◂")
        await table.press("tab", "enter")
        await table.until(lambda: table.yard.called("synchronise") == [("nim-llama", True)])
        await table.sees("dry run: 1 new, 0 moved")
