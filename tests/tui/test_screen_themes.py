"""Themes: complete, suited to the terminal, safe when a user's own is broken, and readable without colours."""

from __future__ import annotations

from pathlib import Path

import pytest

import themes
from backend.core.errors import ConfigurationError
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeClock, FakeYard, opener
from tui.app import ModelyardApp
from tui.palette import Palette
from tui.ports import ScreenSettings


def test_shipped_themes_have_the_same_roles_and_load() -> None:
    roles = {name: set(themes.load(name).roles) for name in themes.SHIPPED}
    assert roles["night"] == roles["day"] == roles["sixteen"]
    for name in themes.SHIPPED:
        Palette(themes.load(name).roles)


def test_every_role_that_the_screen_uses_is_in_the_themes() -> None:
    import re

    known = set(themes.load("night").roles)
    used: set[str] = set()
    for path in (Path(themes.__file__).parents[1] / "tui").rglob("*.py"):
        source = path.read_text()
        used |= set(re.findall(r'Span\([^()]*?, "([a-z-]+)"\)', source))
        used |= set(re.findall(r'\btext\([^()]*?, "([a-z-]+)"\)', source))
    assert used - known - {""} == set()
    assert {"bad", "warn", "chip-bad"} <= used | known


@pytest.mark.parametrize(
    ("environment", "theme"),
    [
        ({"COLORTERM": "truecolor", "TERM": "xterm"}, "night"),
        ({"TERM": "xterm-256color"}, "night"),
        ({"TERM": "tmux-256color"}, "night"),
        ({"TERM": "xterm"}, "sixteen"),
        ({"TERM": "linux"}, "sixteen"),
        ({"TERM": "screen"}, "sixteen"),
        ({}, "sixteen"),
        ({"NO_COLOR": "1", "COLORTERM": "truecolor"}, "sixteen"),
    ],
)
def test_the_theme_suits_the_terminal(environment: dict[str, str], theme: str) -> None:
    assert themes.suitable(environment) == theme


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[roles]\nbadd = 'red'\n", "unknown key 'badd'"),
        ("[roles]\nbad = 'red; rm'\n", "no style"),
        ("[colours]\nprimary = 'blueish'\n", "#rrggbb"),
        ("not toml", "cannot be used"),
        ("extra = 1\n", "unknown key 'extra'"),
        ("dark = 'yes'\n", "true or false"),
    ],
)
def test_a_broken_theme_file_is_told_with_its_place(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        themes.load("mine", tmp_path)
    assert told in caught.value.why
    assert str(tmp_path / "mine.toml") in caught.value.what


def test_a_user_theme_takes_what_it_leaves_out_from_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[roles]\nbad = 'bold #ff0000'\n")
    mine = themes.load("mine", tmp_path)
    assert mine.roles["bad"] == "bold #ff0000"
    assert mine.roles["ok"] == themes.load("night").roles["ok"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "nope"])
def test_a_name_that_is_no_theme(name: str) -> None:
    with pytest.raises(ConfigurationError):
        themes.load(name)


async def test_a_broken_theme_falls_back_with_a_notice(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("not toml")
    settings = ScreenSettings(theme="mine", theme_folder=tmp_path)
    app = ModelyardApp(opener(FakeYard()), settings=settings, clock=FakeClock(), environment={"COLORTERM": "truecolor"})
    async with app.run_test(size=(120, 30)) as pilot:
        table = Desk(app, pilot, FakeYard(), FakeClock())
        await table.sees("theme night is shown instead of mine:")


async def test_another_theme_by_command() -> None:
    async with desk() as table:
        before = table.app.palette
        await table.command("theme day")
        await table.until(lambda: table.app.palette is not before)
        await table.command("theme nope")
        await table.sees("there is no theme")


async def test_no_color_sends_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with desk(environment={"NO_COLOR": "1", "COLORTERM": "truecolor"}) as table:
        shown = table.text()
        assert "X FAILED" in shown
        assert "U SERVING" in shown
        for strip in table.app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                assert style is None or style.color is None or style.color.is_default
                assert style is None or style.bgcolor is None or style.bgcolor.is_default


async def test_sixteen_colours_are_the_terminals_own() -> None:
    async with desk(environment={"TERM": "xterm"}) as table:
        for strip in table.app.screen._compositor.render_strips():
            for segment in strip:
                colour = segment.style.color if segment.style else None
                assert colour is None or colour.is_system_defined
