"""History on the screen: charts, supply and demand, costs, and what stands there when there is none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes.screen_pilot import desk


async def test_a_gpus_charts_have_scales_gaps_and_holders() -> None:
    async with desk(size=(80, 60)) as table:
        await table.press("4", "h")
        await table.sees(
            "HISTORY", "[1h]", "busy 70%", "engine active", "100%┤", "80% measured", "·····", "power", "80 GiB┤"
        )
        await table.press("G")
        await table.sees("Not measured in this time", "memory bus active", "Held by", "llm-prod/llama-70b", "still")


async def test_the_time_that_is_looked_back_over_is_chosen_with_brackets() -> None:
    async with desk(size=(120, 40)) as table:
        await table.press("4", "h")
        await table.sees("[1h]")
        await table.press("]", "]", "]")
        await table.sees("[7d]", "engine active")
        assert table.yard.called("series")[-1][1] == timedelta(days=7)
        await table.press("]", "]")
        await table.sees("30d is the longest time")
        await table.press("escape")
        await table.sees_not("[30d]")


async def test_a_services_charts() -> None:
    async with desk(size=(80, 24)) as table:
        await table.press("3", "h")
        await table.sees("HISTORY llm-prod/", "generated tokens a second")


async def test_supply_and_demand_with_a_what_if_that_changes_nothing() -> None:
    async with desk(size=(120, 50)) as table:
        await table.press("4", "t")
        await table.sees("SUPPLY AND DEMAND", "[7d]", "supply 64 held 56 waiting 8 idle 9", "not enough history")
        await table.sees("advice only, nothing acts on it", "2 now, 3 advised")
        await table.press("w")
        await table.sees("What if?")
        await table.press("enter")
        await table.sees("What if llm-prod/llama-70b +2", "does not fit now", "+16 H100, 6 free", "+32.00 USD an hour")


async def test_costs_are_estimates_by_service_team_and_type() -> None:
    async with desk(size=(80, 24)) as table:
        await table.press("4", "$")
        await table.sees("COST", "estimates", "llm-prod/llama-70b", "200.00", "USD/1M TOK", "93% of the time")
        await table.press("b")
        await table.sees("by team", "some team")


async def test_without_prices_there_are_hours_and_no_cost() -> None:
    async with desk(size=(80, 24)) as table:
        table.yard.telemetry.priced = False
        await table.press("4", "$")
        await table.sees("No prices", "[[price]]", "100.0")
        await table.sees_not("0.00")


@pytest.mark.parametrize("key", ["h", "t", "$"])
async def test_a_damaged_database_is_told_and_nothing_else_suffers(key: str) -> None:
    async with desk(size=(80, 24)) as table:
        table.yard.telemetry.problem = "it is damaged or no database"
        await table.press("4", key)
        await table.sees("No history for now: it is damaged or no database", "Everything else goes on without it.")
        await table.press("escape")
        await table.sees("4 GPUS")


async def test_what_was_moved_aside_is_told_above_the_charts() -> None:
    async with desk(size=(120, 40)) as table:
        table.yard.telemetry.notes = ("telemetry.db was damaged: it was moved to telemetry.db.damaged-2026-03-02",)
        await table.press("4", "h")
        await table.sees("telemetry.db was damaged", "engine active")
