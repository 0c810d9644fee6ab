"""What goes wrong is told where it goes wrong, and nothing from outside does anything but be read."""

from __future__ import annotations

import pytest

from backend.core.errors import AuthenticationError, StoreDamagedError, UnreachableError
from backend.core.events import QueueChanged, SourceChanged, Topic
from backend.core.views import SourceState, SourceView, VerificationView
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import NIGHT, desk
from tests.fakes.screen_yard import FakeClock, FakeYard
from tui.app import ModelyardApp
from tui.ports import ScreenYard

_DOWN = UnreachableError("list of services", "the API server of prod-eu1 does not answer", "look at the network")


def _harmless(shown: str) -> bool:
    return not any(character in shown for character in "\x1b\x07\u202e\u200b\u2066")


async def test_an_error_of_one_pane_stays_in_that_pane() -> None:
    async with desk(FakeYard(errors={"services": _DOWN}), size=(160, 45)) as table:
        await table.sees("does not answer", "look at the network", "2 QUEUE 7", "llama-3.3-70b")
        await table.press("3")
        await table.sees("3 DEPLOYMENTS", "does not answer", "look at the network")


async def test_data_stays_with_its_age_when_reading_fails_later() -> None:
    async with desk() as table:
        table.yard.errors["candidates"] = AuthenticationError("list of candidates", "the token expired", "log in again")
        table.clock.move(minutes=4)
        table.yard.publish(Topic.QUEUE, QueueChanged())
        await table.press("2")
        await table.sees("the token expired", "log in again", "as of 4m ago", "llama-3.3-70b")


async def test_a_lost_cluster_stands_in_the_title() -> None:
    async with desk() as table:
        lost = SourceView(name="prod-eu1", kind="cluster", state=SourceState.LOST, as_of=data.NOW)
        table.yard.status_view = data.status(sources=(lost,), writes="the cluster is lost")
        table.yard.publish(Topic.SOURCES, SourceChanged(key="prod-eu1", source=lost))
        await table.sees("api lost", "WRITES OFF")
        table.clock.move(minutes=7)
        await table.sees("api lost 7m")


async def test_a_yard_that_cannot_be_opened_is_told_and_becomes_the_exit_status() -> None:
    async def broken() -> ScreenYard:
        raise StoreDamagedError("database modelyard.db", "it is not a database", "restore the backup beside it")

    app = ModelyardApp(broken, clock=FakeClock(), environment=NIGHT)
    async with app.run_test(size=(80, 24)) as pilot:
        from tests.fakes.screen_pilot import Desk

        table = Desk(app, pilot, FakeYard(), FakeClock())
        await table.sees("database modelyard.db", "it is not a database", "restore the backup beside it")
        await table.command("q")
    assert app.return_code == 1


async def test_a_fault_of_the_yard_does_not_end_the_screen() -> None:
    yard = FakeYard()

    async def fail() -> list[object]:
        raise ValueError("boom")

    yard.gpus.snapshot = fail  # type: ignore[assignment,method-assign]
    async with desk(yard, size=(120, 40), ready=False) as table:
        await table.sees("boom", "DEPLOYMENTS 41", "llama-3.3-70b")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_hostile_text_is_harmless_on_every_page(size: tuple[int, int]) -> None:
    async with desk(size=size) as table:
        for keys in (
            "0",
            "1",
            "2",
            "3",
            "4",
            "5",
            "3 G enter",
            "2 G enter",
            "1 enter",
            "0 p",
            "3 y",
            "3 e",
            "5 enter",
            "1 h",
            "1 y",
            "question_mark",
        ):
            await table.press(*keys.split())
            await table.pilot.pause(0.05)
            assert _harmless(table.text()), keys


async def test_hostile_text_is_harmless_in_dialogs_and_messages() -> None:
    async with desk() as table:
        await table.press("2", "slash")
        await table.type("evil")
        await table.press("enter")
        await table.sees("1 of 8")
        await table.press("c")
        await table.sees("sent to the terminal's clipboard")
        assert _harmless(table.text())
        await table.press("R")
        await table.sees("Reject ", "[red]bold[/red]")
        assert _harmless(table.text())


async def test_copying_is_never_claimed_to_have_worked() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("3", "c")
        await table.sees("sent to the terminal's clipboard (OSC 52), if it takes that", "@sha256:")


@pytest.mark.parametrize("size", [(30, 8), (10, 3), (47, 24), (80, 11), (1, 1)])
async def test_a_terminal_too_small_says_so_and_recovers(size: tuple[int, int]) -> None:
    async with desk(size=size) as table:
        if size[0] >= 30:
            await table.sees("is too small")
        await table.press("3", "j", "enter")
        await table.pilot.resize_terminal(80, 24)
        await table.sees("WRITES ON")


async def test_resizing_between_narrow_and_wide_keeps_the_cursor() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("j", "j")
        await table.sees("WHY  1 of 3 replicas not ready")
        await table.pilot.resize_terminal(80, 24)
        await table.sees("WHY  1 of 3 replicas not ready", "NEXT p shows the log")
        await table.pilot.resize_terminal(160, 45)
        await table.sees("NEXT  p shows the log")


async def test_a_ledger_that_does_not_hold_is_named_with_its_first_bad_entry() -> None:
    yard = FakeYard()
    yard.verification = VerificationView(entries=40, head="", intact=False, first_bad=17, reason="hash differs")
    async with desk(yard, size=(120, 40)) as table:
        await table.press("5", "v")
        await table.sees("entry 17 does not hold", "hash differs")


async def test_a_ledger_that_holds_is_told_with_its_head() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("5", "v")
        await table.sees("✓ intact", "40 entries, head aaaaaaaaaaaa")


async def test_five_thousand_services_stay_usable() -> None:
    async with desk(FakeYard(many=5000), size=(120, 40)) as table:
        await table.press("3")
        await table.sees("3 DEPLOYMENTS 5 041", "llama-70b")
        await table.press("G")
        await table.sees("phi-old")
        await table.press("slash")
        await table.type("model-04242")
        await table.press("enter")
        await table.sees("1 of 5 041", "bulk/model-04242")
