"""Another program on the terminal: the screen steps aside for it, where the terminal can be given away at all."""

from __future__ import annotations

import pytest

from tests.fakes.screen_pilot import desk
from tui.outside import missing, run_outside


def test_a_program_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing("sh") == ""
    monkeypatch.setenv("PATH", "/nowhere")
    assert "kubectl is not on the PATH" in missing("kubectl")


async def test_a_terminal_that_cannot_be_given_away_runs_nothing() -> None:
    async with desk() as table:
        assert await run_outside(table.app, ("false",)) is None
        await table.sees("DEPLOYMENTS")
