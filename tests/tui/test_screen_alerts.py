"""Alerts on the screen: counted, listed, taken up from where they show, silenced, and told by bell and title."""

from __future__ import annotations

import pytest

from tests.fakes import screen_data as data
from tests.fakes.screen_alerts import alert
from tests.fakes.screen_pilot import desk
from tests.fakes.screen_yard import FakeYard
from tui.attention import Attention

HOSTILE = "\x1b[2J[red]XID 79"


def a_yard() -> FakeYard:
    yard = FakeYard()
    yard.alert_views = [
        alert("a"),
        alert("b", rule="objective", severity="warning", object="prod-eu1/llm-prod/mistral ttft_p95",
              summary="TTFT p95 2.9 s (objective 800 ms)", services=("prod-eu1/llm-prod/mistral",)),
        alert("c", rule="gpu-idle", severity="info", object="prod-eu1/llm-dev/deepseek", state="pending"),
    ]  # fmt: skip
    return yard


async def test_alerts_are_counted_on_every_page_and_listed_with_the_worst_first() -> None:
    async with desk(a_yard(), size=(120, 40)) as table:
        await table.sees("ALERTS 2, 2 not taken up")
        await table.press("exclamation_mark")
        await table.sees("! ALERTS 3", "2 open", "X critical", "gpu-03 GPU 4", "XID 79", "waits")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_an_alert_is_taken_up_with_a_note_and_handed_over(size: tuple[int, int]) -> None:
    yard = a_yard()
    async with desk(yard, size=size) as table:
        await table.press("exclamation_mark")
        await table.sees("gpu-03 GPU 4")
        await table.press("a")
        await table.sees("Take this alert up?", "Note", "Hand over to")
        await table.type("draining it")
        await table.press("tab")
        await table.type("night shift")
        await table.press("enter")
        await table.sees("night shift", "1 open")
    assert yard.called("acknowledge") == [("a" * 32, "draining it", "night shift")]


async def test_a_service_at_hand_has_its_alert_taken_up_from_the_deployments() -> None:
    yard = a_yard()
    service = next(iter(yard.service_views.values()))
    yard.alert_views = [alert("d", services=(service.key,), object=service.key, rule="service-down")]
    async with desk(yard, size=(120, 40)) as table:
        await table.press("3")
        await table.press("slash")
        await table.type(service.name)
        await table.press("enter")
        await table.press("a")
        await table.sees("Take this alert up?", service.key)
        await table.press("escape", "enter")
        await table.sees("Alerts", "X critical  open  XID 79")
        await table.press("escape")
        await table.press("a")
        await table.sees("Take this alert up?")
        await table.press("escape")
        yard.alerts.put()
        await table.sees("ALERTS 0")
        await table.press("a")
        await table.sees("no alert fires here")


async def test_a_silence_asks_how_long_and_why_and_is_lifted_again() -> None:
    yard = a_yard()
    async with desk(yard, size=(120, 40)) as table:
        await table.press("exclamation_mark")
        await table.sees("gpu-03 GPU 4")
        await table.press("S")
        await table.sees("Silence alerts?", "For, or until")
        for _ in range(3):
            await table.press("tab")
        await table.type("maintenance")
        await table.press("enter")
        await table.sees("1 silenced")
        ((object, until, reason, rule),) = yard.called("silence")
        assert (object, reason, rule) == ("prod-eu1/gpu-03 GPU 4", "maintenance", "gpu-fault")
        assert (until - data.NOW).total_seconds() == 4 * 3600
        await table.press("X")
        await table.sees("Lift the silence?", "maintenance")
        await table.press("tab")
        await table.press("enter")
        await table.sees("2 open")


async def test_what_is_over_is_shown_when_asked_for() -> None:
    yard = a_yard()
    yard.alerts.over = [alert("e", state="resolved", resolved_at=data.NOW, object="gpu-09 GPU 1")]
    async with desk(yard, size=(120, 40)) as table:
        await table.press("exclamation_mark")
        await table.sees("! ALERTS 3")
        await table.press("o")
        await table.sees("! ALERTS 4", "gpu-09 GPU 1", "over")
        await table.press("o")
        await table.sees("! ALERTS 3")


async def test_hostile_text_in_an_alert_stays_text_and_nothing_is_told_as_such() -> None:
    yard = a_yard()
    yard.alert_views = [alert("f", summary=HOSTILE, object=HOSTILE)]
    async with desk(yard, size=(120, 40)) as table:
        await table.press("exclamation_mark")
        await table.sees("[red]XID 79")
        yard.alerts.put()
        await table.sees("Nothing needs a person")


def test_a_new_alert_rings_once_and_one_that_only_informs_does_not() -> None:
    written: list[str] = []
    attention = Attention(written.append, bell=True, title=True)
    attention.look("yard", (), data.NOW, ())
    attention.look("yard", (), data.NOW, [alert("a"), alert("b", severity="info")])
    assert written.count("\x07") == 1
    attention.look("yard", (), data.NOW, [alert("a")])
    assert written.count("\x07") == 1
    assert any("!1 modelyard yard" in told for told in written)
