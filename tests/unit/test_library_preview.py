"""Previews: what a rule takes now and then, and that a synchronisation does just that."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.core.errors import AuthenticationError, NotFoundError, UnreachableError
from backend.library.config import RuleConfig
from backend.library.preview import HistoryPreview, Preview, RegistryPreview
from backend.library.rules import AGE_UNKNOWN
from tests.fakes.library_yard import Yard, rule
from tests.fakes.store import open_database

NOW = "2026-03-01T00:00:00Z"


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield Yard(database)


async def looked(yard: Yard, given: RuleConfig) -> Preview:
    room = RegistryPreview(yard.registry, yard.database, "local", clock=yard.clock, concurrency=2)
    return await room.of(given)


def clauses(preview: Preview) -> dict[str, str]:
    return {f"{clause.repository}:{clause.tag}": clause.clause for clause in preview.clauses}


async def test_each_clause_that_leaves_an_image_out_is_named(yard: Yard) -> None:
    yard.registry.push("nim/old-embed", "1.0", created="2024-01-01T00:00:00Z")
    yard.registry.push("nim/new-embed", "1.0", created=NOW)
    yard.registry.push("nim/new-embed", "1.1", architecture="arm64", created=NOW)
    yard.registry.push("nim/new-embed", "nightly", created=NOW)
    yard.registry.push("nim/undated-embed", "1.0")
    yard.registry.push("nim/a-chat", "1.0", created=NOW)
    yard.registry.push("nim/x-dev", "1.0")
    found = await looked(
        yard,
        rule(
            repositories=["nim/*"], exclude_repositories=["**/*-dev"], types=["embedding"], platforms=["linux/amd64"],
            max_age="30d", tags={"versions": ">=1"},
        ),
    )  # fmt: skip
    assert clauses(found) == {
        "nim/x-dev:": "exclude_repositories: **/*-dev",
        "nim/old-embed:1.0": "max_age: created 2024-01-01, longer ago than 30d",
        "nim/new-embed:1.0": "taken",
        "nim/new-embed:1.1": "platforms: it is for linux/arm64",
        "nim/new-embed:nightly": "tags.versions: it has no version",
        "nim/undated-embed:1.0": AGE_UNKNOWN,
        "nim/a-chat:1.0": "types: it is chat",
    }
    assert found.taken == {"local/nim/new-embed:1.0", "local/nim/undated-embed:1.0"}


async def test_a_clock_that_is_behind_makes_nothing_too_old(yard: Yard) -> None:
    yard.registry.push("a", "1", created="2026-06-01T00:00:00Z")
    assert (await looked(yard, rule(max_age="1d"))).taken == {"local/a:1"}


async def test_what_the_library_holds_is_not_asked_for_again(yard: Yard) -> None:
    yard.registry.push("a-embed", "1.0")
    await yard.sync()
    yard.registry.calls.clear()
    assert (await looked(yard, rule(types=["chat"]))).taken == frozenset()
    assert yard.registry.calls == ["catalog", "tags a-embed"]


async def test_no_more_images_are_looked_at_than_is_said(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.library.preview.MOST_LOOKED_AT", 2)
    for number in range(4):
        yard.registry.push("a-chat", f"1.{number}")
    found = await looked(yard, rule(types=["chat"]))
    assert sum("not looked at" in clause.clause for clause in found.clauses) == 2
    assert sum(call.startswith("resolve") for call in yard.registry.calls) == 2
    assert any("no more than 2 images" in note for note in found.notes)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"repositories": ["other/*"]}, "no repository matches other/*"),
        ({"repositories": ["a"], "tags": {"versions": ">=9"}}, "of 3 tags tags.versions leaves out 3"),
        ({"repositories": ["empty"]}, "there are no tags in empty"),
        ({"repositories": ["missing"]}, "no repository matches missing"),
        ({"repositories": ["*"], "exclude_repositories": ["*"]}, "2 more are left out by exclude_repositories"),
    ],
)
async def test_a_rule_that_takes_nothing_says_why(yard: Yard, given: dict[str, Any], why: str) -> None:
    for number in range(3):
        yard.registry.push("a", f"1.{number}")
    yard.registry.repositories["empty"] = {}
    found = await looked(yard, rule(**given))
    assert not found.taken and any(why in note for note in found.notes), found.notes


async def test_more_than_max_new_is_said(yard: Yard) -> None:
    for number in range(3):
        yard.registry.push("a", f"1.{number}")
    assert any("3 tags would be new" in note for note in (await looked(yard, rule(max_new=2))).notes)
    await yard.sync()
    assert not (await looked(yard, rule(max_new=2))).notes


async def test_a_registry_without_a_catalogue_is_looked_at_as_far_as_it_is_known(yard: Yard) -> None:
    yard.registry.push("a", "1")
    yard.registry.push("b", "1")
    refused = AuthenticationError("catalogue", "it may not be read", "ask for the right")
    with pytest.raises(AuthenticationError):
        yard.registry.failing["catalog"] = refused
        await looked(yard, rule())
    await yard.sync(rule(repositories=["a"]))
    found = await looked(yard, rule())
    assert found.taken == {"local/a:1"} and any("may not be read" in note for note in found.notes)


async def test_a_repository_that_cannot_be_read_keeps_nothing_else_from_being_told(yard: Yard) -> None:
    yard.registry.push("a", "1")
    yard.registry.push("b", "1")
    yard.registry.failing["tags b"] = UnreachableError("tags", "reset", "try again")
    found = await looked(yard, rule())
    assert found.taken == {"local/a:1"} and "b is not looked at: reset" in found.notes
    yard.registry.failing["tags a"] = NotFoundError("a", "gone", "")
    with pytest.raises(UnreachableError):
        await looked(yard, rule())


async def test_the_past_is_told_by_the_history_of_tags(yard: Yard) -> None:
    yard.registry.push("a-chat", "1.0")
    yard.registry.push("a-chat", "1.1", created="2024-01-01T00:00:00Z")
    await yard.sync()
    then = yard.clock.now() + timedelta(seconds=1)
    yard.clock.advance(days=2)
    del yard.registry.repositories["a-chat"]["1.0"]
    yard.registry.push("a-chat", "1.1")
    yard.registry.push("b-chat", "1.0")
    await yard.sync()
    past, now = HistoryPreview(yard.database, then), HistoryPreview(yard.database, yard.clock.now())
    assert (await past.of(rule(), "local")).taken == {"local/a-chat:1.0", "local/a-chat:1.1"}
    assert (await now.of(rule(), "local")).taken == {"local/a-chat:1.1", "local/b-chat:1.0"}
    aged = await past.of(rule(max_age="30d", types=["chat"]), "local")
    assert aged.taken == {"local/a-chat:1.0"}
    assert any("b-chat was first seen on 2026-03-03" in note for note in aged.notes)
    before = await HistoryPreview(yard.database, then - timedelta(days=1)).of(rule(), "local")
    assert not before.clauses and any("takes nothing" in note for note in before.notes)


# ---------------------------------------------------------------- a preview is what a synchronisation does

_TAGS = st.sampled_from(["1.0", "1.2.0", "1.10", "2.0.0-rc1", "v3", "latest", "1.2.0-rtx", "nightly", "0.1"])
_IMAGES = st.fixed_dictionaries(
    {"architecture": st.sampled_from(["amd64", "arm64"])},
    optional={"created": st.sampled_from(["2020-01-01T00:00:00Z", "2026-02-25T00:00:00Z", "no time"])},
)
_HELD = st.dictionaries(
    st.sampled_from(["x/a-chat", "x/b-embed", "y/c", "y/d-chat-dev"]), st.dictionaries(_TAGS, _IMAGES, max_size=4)
)
_RULES = st.fixed_dictionaries(
    {},
    optional={
        "repositories": st.lists(st.sampled_from(["**", "x/*", "y/c", "*/*-chat", "none"]), min_size=1, max_size=2),
        "exclude_repositories": st.lists(st.sampled_from(["**/*-dev", "x/**"]), max_size=1),
        "tags": st.fixed_dictionaries(
            {}, optional={"exclude": st.lists(st.sampled_from(["*-rtx", "night*"]), max_size=1)}
        ) | st.sampled_from([{"versions": ">=1.1"}, {"regex": r"v?\d+(\.\d+)*"}, {"glob": ["1.*", "latest"]}]),
        "types": st.lists(st.sampled_from(["chat", "embedding", "generic"]), min_size=1, max_size=2),
        "platforms": st.lists(st.sampled_from(["linux/amd64", "linux/arm64"]), min_size=1, max_size=1),
        "newest": st.integers(1, 3),
        "max_age": st.sampled_from(["30d", "3650d"]),
    },
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_HELD, _RULES)
def test_a_synchronisation_takes_in_what_the_preview_says(held: dict[str, Any], given: dict[str, Any]) -> None:
    async def agree(folder: str) -> None:
        async with open_database(Path(folder) / "modelyard.db") as database:
            yard = Yard(database)
            for repository, tags in held.items():
                yard.registry.repositories[repository] = {}
                for tag, config in tags.items():
                    yard.registry.push(repository, tag, **config)
            previewed = await looked(yard, rule(**given))
            assert not await database.fetch_all(
                "SELECT 1 FROM image UNION SELECT 1 FROM tag UNION SELECT 1 FROM content"
            )
            await yard.sync(rule(**given))
            assert {f"local/{name}" for name in await yard.tags()} == previewed.taken
            assert (await looked(yard, rule(**given))).taken == previewed.taken
            then = await HistoryPreview(database, yard.clock.now()).of(rule(**given), "local")
            assert then.taken == previewed.taken

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(agree(folder))
