"""Registries that change while they are read, refuse, or stop answering."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.core.errors import AuthenticationError, NotFoundError, UnreachableError
from tests.fakes.library_registry import nothing
from tests.fakes.library_yard import Yard, names, resolved, rule, run_name
from tests.fakes.store import open_database

MISSING = NotFoundError("tag", "MANIFEST_UNKNOWN", "check it")
REFUSED = AuthenticationError("tag", "the registry refuses us", "log in")


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield Yard(database)


async def test_tags_that_go_while_they_are_read_are_no_failures_and_broken_ones_are(yard: Yard) -> None:
    for tag in ("kept", "known", "new", "broken"):
        yard.registry.push("a", tag)
    await yard.sync(rule(tags={"glob": ["kept", "known"]}))

    async def meanwhile(call: str) -> None:
        if call == "resolve a:kept":
            yard.registry.repositories["a"].pop("known", None)
            yard.registry.repositories["a"].pop("new", None)

    yard.registry.before = meanwhile
    yard.registry.failing["resolve a:broken"] = MISSING
    result = await yard.sync()
    assert names(result.gone) == ["a:known"] and result.skipped == 1
    assert [(failed.tag, failed.reason) for failed in result.failed] == [("broken", "MANIFEST_UNKNOWN")]
    assert (await yard.tags())["a:known"][1]
    reasons = dict((await yard.run(2)).journal[1].reasons)
    assert reasons == {"new": "it went while the registry was read", "broken": "MANIFEST_UNKNOWN"}


async def test_a_list_that_cannot_be_read_again_marks_nothing_gone(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    await yard.sync()
    yard.registry.failing["resolve"] = MISSING

    async def cut(call: str) -> None:
        if call.startswith("resolve"):
            yard.registry.failing["tags"] = UnreachableError("tags", "cut", "try again")

    yard.registry.before = cut
    result = await yard.sync()
    assert not result.gone and [failed.tag for failed in result.failed] == ["1.0"]
    assert not (await yard.tags())["a:1.0"][1]


async def test_a_tag_that_moves_while_it_is_read_is_taken_as_it_is_then(yard: Yard) -> None:
    old = yard.registry.push("a", "1.0")
    new = yard.registry.image(config={"Labels": {"newer": "yes"}})

    async def move(call: str) -> None:
        if call.startswith("manifest") and old in call:
            yard.registry.push("a", "1.0", new)
            yard.registry.content.pop(old, None)

    yard.registry.before = move
    result = await yard.sync()
    assert [entry.digest for entry in result.new] == [new] and not result.failed


async def test_a_repository_that_refuses_us_is_not_asked_for_every_tag_and_others_are(yard: Yard) -> None:
    for number in range(200):
        yard.registry.push("a", f"1.{number}")
    yard.registry.push("b", "1.0")
    yard.registry.failing["resolve a"] = REFUSED
    result = await yard.sync()
    assert names(result.new) == ["b:1.0"] and len(yard.registry.calls) < 40
    assert any("were not tried: the registry refuses us" in failed.reason for failed in result.failed)
    assert all(failed.unreachable for failed in result.failed)
    lines = {line.repository: line for line in (await yard.run(1)).journal}
    assert (lines["a"].state, lines["a"].failed, lines["b"].state) == ("partial", 200, "done")


async def test_a_run_that_a_registry_broke_off_goes_on_where_it_was(yard: Yard) -> None:
    for number in range(100):
        yard.registry.push("a", f"1.{number}")

    async def die(call: str) -> None:
        if len(resolved(yard)) == 50:
            yard.registry.failing["resolve"] = UnreachableError("tag", "asks to wait for an hour", "try again then")

    yard.registry.before = die
    first = await yard.sync()
    assert first.failed and len(first.new) >= 40
    yard.registry.before = nothing
    yard.registry.failing.clear()
    yard.registry.calls.clear()
    rest = await yard.sync()
    assert rest.resumed_from == run_name(1) and rest.resumed == len(first.new)
    assert len(rest.new) == 100 - len(first.new) == len(resolved(yard))
