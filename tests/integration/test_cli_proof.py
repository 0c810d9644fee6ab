"""Rollouts are proved, and what fails is undone or proposed to be, on the demo's Kubernetes API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.config import load_configuration
from backend.flows import promoting, validating
from backend.serving import rollouts
from backend.yard import Yard, YardOptions
from tests.fakes.cli import Place
from tests.fakes.cli_world import NAMESPACE, World, running_world, until_serving

BAD = "[{name: DEMO_ANSWERS, value: errors}]"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's controller passes an apply on at once."""
    monkeypatch.setattr(rollouts, "_PASSED_ON", timedelta(seconds=0.5))
    monkeypatch.setattr(validating, "_LOOK_EVERY", 0.4)


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return world.place(tmp_path, monkeypatch)


def apply(world: World, place: Place, name: str, **more: str) -> Any:
    file = world.deployment(place, name, world.reference("1.3.0"), **more)
    return place.run("deploy", "apply", "-f", file, "--wait", "--yes", "-o", "json")


def newest(place: Place, name: str) -> dict[str, Any]:
    found: dict[str, Any] = place.json("deploy", "status", name)["validations"][0]
    return found


def test_a_good_rollout_passes_and_its_snapshot_says_so(world: World, place: Place) -> None:
    world.approved(place, "1.3.0")
    applied = apply(world, place, "good", validation="{latency: 30s, errorRate: 0.5, window: 1s}")
    assert applied.code == 0 and applied.data["validation"]
    assert "validation passed after traffic" in applied.err
    proved = newest(place, "good")
    assert proved["outcome"] == "passed" and proved["snapshot"] == applied.data["snapshot"]
    assert {check["name"]: check["value"] for check in proved["checks"]}["answer"] == "pass"
    assert {check["name"]: check["value"] for check in proved["checks"]}["latency"] == "pass"
    assert [one["proved"] for one in place.json("deploy", "snapshots", "good")] == ["passed"]
    asked = place.json("audit", "list", "--action", "deploy.validate")
    assert [one["outcome"] for one in asked] == ["done", "started"] and asked[0]["detail"]["status"] == 200
    assert place.json("audit", "verify")["intact"]


def test_a_bound_that_is_missed_fails(world: World, place: Place) -> None:
    world.approved(place, "1.3.0")
    assert apply(world, place, "bounded", env="[{name: DEMO_ANSWERS, value: slow}]").code == 0
    slow = place.run("deploy", "validate", "bounded", "--latency", "100ms", "-o", "json")
    assert slow.code == 1 and "at most 100 ms allowed" in slow.error
    assert {check["name"]: check["value"] for check in slow.data["checks"]}["latency"] == "fail"
    for wrong in ("soon", "-1s", "0s"):
        assert place.run("deploy", "validate", "bounded", "--latency", wrong).code == 2
    assert place.run("deploy", "validate", "absent").code == 5
    coming = world.deployment(place, "coming", world.reference("1.3.0"), replicas="{min: 40, max: 40}")
    place.json("deploy", "apply", "-f", coming, "--yes")
    early = place.run("deploy", "validate", "coming")
    assert early.code == 4 and "still coming up" in early.error
    assert newest(place, "coming")["outcome"] == "waiting", "what waits for the rollout goes on waiting"
    place.json("deploy", "delete", "coming", "--yes")


def test_a_failed_rollout_proposes_the_way_back_ready_to_confirm(world: World, place: Place) -> None:
    world.approved(place, "1.3.0")
    first = apply(world, place, "proposing").data["snapshot"]
    failed = apply(world, place, "proposing", env=BAD)
    assert failed.code == 1 and "EngineCore encountered an issue" in failed.err
    proved = newest(place, "proposing")
    assert (proved["outcome"], proved["proposal"], proved["answer"]) == ("failed", first, "")
    (row,) = [one for one in place.json("deploy", "status") if one["name"] == "proposing"]
    assert row["proposal"] == first and "roll back" in row["next_step"] and row["verdict"] == "serving"
    assert f"--to {first}" in place.run("deploy", "status").err
    told = place.run("deploy", "status", "proposing")
    assert f"--to {first}" in told.out
    snapshots = place.json("deploy", "snapshots", "proposing")
    assert [one["good"] for one in snapshots] == [False, True]

    back = place.json("deploy", "rollback", "proposing", "--yes")
    assert back["changed"]
    (row,) = [one for one in place.json("deploy", "status") if one["name"] == "proposing"]
    assert row["proposal"] == ""
    history = place.json("deploy", "status", "proposing")["validations"]
    assert [one["answer"] for one in history if one["outcome"] == "failed"] == ["rolled back"]
    assert history[0]["on_failure"] == "nothing", "a rollback that fails is not rolled back"


def test_the_deployment_file_may_have_it_rolled_back(world: World, place: Place) -> None:
    world.approved(place, "1.3.0")
    first = apply(world, place, "returning", onFailure="rollback").data["snapshot"]
    failed = apply(world, place, "returning", onFailure="rollback", env=BAD)
    assert failed.code == 1
    proved = [one for one in place.json("deploy", "status", "returning")["validations"] if one["outcome"] == "failed"]
    assert proved[0]["answer"] == "rolled back" and proved[0]["proposal"] == first
    entry = place.json("audit", "list", "--action", "deploy.rollback")[0]
    assert entry["outcome"] == "done" and entry["detail"]["on_behalf_of"] == "robin"
    service = world.cluster.get(NAMESPACE, "returning")
    assert service is not None and "env" not in service["spec"]["predictor"]["containers"][0]
    whats = [one["what"] for one in place.json("deploy", "changes", "returning")]
    assert whats[:2] == ["rollback", "validation failed"]


def test_policy_may_turn_it_off(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = world.place(tmp_path, monkeypatch, "[policy]\nvalidation = false\n")
    world.approved(place, "1.3.0")
    file = world.deployment(place, "unproved", world.reference("1.3.0"))
    assert place.json("deploy", "apply", "-f", file, "--yes")["validation"] == ""
    until_serving(place, "unproved")
    refused = place.run("deploy", "validate", "unproved")
    assert refused.code == 3 and "policy" in refused.error


def test_what_a_change_would_end_is_told_before_it_is_asked(world: World, place: Place) -> None:
    world.deployed(place, "ending")
    until_serving(place, "ending")
    asked = place.run("deploy", "stop", "ending")
    assert asked.code == 2 and "--yes" in asked.error
    for told in ("requests a second", "1 GPU", "free", "nothing answers any more at", "access keys"):
        assert told in asked.err
    assert "1 GPU" in place.run("deploy", "scale", "ending", "2").err


def test_standard_mode_promotes_nothing_and_says_why(world: World, place: Place) -> None:
    world.deployed(place, "standard")
    assert "splits no traffic" in place.json("deploy", "canary", "standard")["statement"]
    for words in (["promote", "standard"], ["promote", "standard", "--percent", "10"], ["abort", "standard"]):
        refused = place.run("deploy", *words, "--yes")
        assert refused.code == 2 and "splits no traffic" in refused.error
    assert place.run("deploy", "promote", "standard", "--percent", "0", "--yes").code == 2


def traffic(place: Place, name: str) -> tuple[int | None, dict[str, int]]:
    """The canary's share, and by revision the percent of the traffic."""
    view = place.json("deploy", "canary", name)
    return view["percent"], {one["role"]: one["percent"] for one in view["revisions"]}


def test_a_knative_revision_is_asked_before_it_gets_traffic_and_then_goes_by_steps(world: World, place: Place) -> None:
    world.approved(place, "1.3.0")
    steps = {"mode": "Knative", "canary": "{steps: [10, 50]}"}
    first = apply(world, place, "split", **steps)
    assert first.code == 0 and "after traffic" in first.err, first.err
    plan = place.json(
        "deploy", "plan", "-f", world.deployment(place, "split", world.reference("1.3.0"), args="[--a=1]", **steps)
    )
    assert any("no traffic until it is validated" in warning for warning in plan["warnings"])
    second = apply(world, place, "split", args="[--a=1]", **steps)
    assert second.code == 0 and "validation passed before traffic" in second.err, second.err
    assert traffic(place, "split")[0] == 10
    assert place.json("deploy", "promote", "split", "--percent", "50", "--yes")["changed"]
    assert traffic(place, "split")[0] == 50
    assert place.json("deploy", "abort", "split", "--yes")["changed"]
    assert traffic(place, "split")[0] == 0
    assert place.json("deploy", "promote", "split", "--yes")["changed"]
    assert traffic(place, "split")[0] is None
    assert place.run("deploy", "promote", "split", "--yes").code == 2, "there is no canary any more"

    bad = apply(world, place, "split", args="[--a=2]", env=BAD, **steps)
    assert bad.code == 1 and "validation failed before traffic" in bad.err
    percent, shares = traffic(place, "split")
    assert percent == 0 and shares["newest"] == 0, "nobody was ever sent to it"
    assert not place.json("deploy", "running", "--state", "drifted")
    assert "('" not in place.run("deploy", "running", "-o", "csv").out  # pods, as a spreadsheet reads them


async def test_whoever_holds_the_lease_validates_takes_canaries_on_and_rolls_back(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promoting, "_LOOK_EVERY", 0.4)
    steps = {"mode": "Knative", "canary": "{steps: [10, 50], hold: 1s}", "onFailure": "rollback"}

    def applied(**more: str) -> None:
        file = world.deployment(place, "worked", world.reference("1.3.0"), **steps, **more)
        assert place.run("deploy", "apply", "-f", file, "--yes").code == 0

    await asyncio.to_thread(world.approved, place, "1.3.0")
    await asyncio.to_thread(applied)
    yard = await Yard.open(await asyncio.to_thread(load_configuration, place.config), YardOptions())
    work = [asyncio.create_task(one.run(lambda: True)) for one in (yard._validating, yard._promoting)]
    try:
        await until(lambda: proved(yard, "worked", 0), ("passed", "after traffic", ""))
        await asyncio.to_thread(applied, args="[--a=1]")
        await until(lambda: proved(yard, "worked", 0), ("passed", "before traffic", ""))
        await until(lambda: shares_taken(yard), [10, 50, 100])
        await asyncio.to_thread(applied, args="[--a=2]", env=BAD)
        await until(lambda: proved(yard, "worked", 1), ("failed", "before traffic", "rolled back"))
        (entry, *_) = await yard.audit.entries(action="deploy.rollback", outcome="done")
        assert (entry.actor, entry.detail["on_behalf_of"]) == ("modelyard-worker", "robin")
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await yard.close()


async def proved(yard: Yard, name: str, position: int) -> tuple[str, str, str]:
    found = await yard.deployments.validations(NAMESPACE, name)
    one = found[position] if len(found) > position else None
    return (one.outcome, one.traffic, one.answer) if one is not None else ("", "", "")


async def shares_taken(yard: Yard) -> list[int]:
    entries = await yard.audit.entries(action="deploy.promote", outcome="done")
    return [entry.detail["percent"] for entry in entries if "worked" in entry.object][::-1]


async def until(told: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until something is told."""
    async with asyncio.timeout(40):
        while (found := await told()) != wanted:
            assert found[:1] != ("failed",) or wanted[:1] == ("failed",), found
            await asyncio.sleep(0.2)
