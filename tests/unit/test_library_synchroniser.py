"""A synchronisation: what it takes in, what it tells, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.core.errors import (
    AuthenticationError,
    MalformedDataError,
    StoreError,
    UnreachableError,
    UsageError,
)
from backend.core.views import SyncEntryView, SyncProgressView
from backend.library import catalogue
from backend.library import events as library_events
from backend.library.run_views import one_run
from backend.library.runs import last_runs
from backend.library.sources import Setting
from backend.store.connection import Transaction
from tests.fakes.library_listing import images_of
from tests.fakes.library_registry import fill
from tests.fakes.library_snapshot import snapshot
from tests.fakes.library_yard import Yard, names, rule
from tests.fakes.store import open_database

DOWN = UnreachableError("registry local", "connection refused", "start it")


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with open_database(tmp_path / "modelyard.db") as database:
        yield Yard(database)


async def test_the_first_run_takes_in_what_the_rule_takes_and_the_next_nothing(yard: Yard) -> None:
    for tag in ("1.2.0", "1.3.0", "1.3.1-rtx", "2.0.0-rc1", "nightly", "sha256-" + "a" * 64 + ".sig"):
        yard.registry.push("nim/meta/llama", tag)
    yard.registry.push("misc/nginx", "1.3")
    chosen = rule(repositories=["nim/**"], tags={"versions": ">=1.3"})
    first = await yard.sync(chosen)
    assert names(first.new) == ["nim/meta/llama:1.3.0", "nim/meta/llama:1.3.1-rtx"]
    assert not first.moved and not first.gone and not first.failed and first.unchanged == 0
    yard.registry.calls.clear()
    second = await yard.sync(chosen)
    assert not second.new and not second.moved and not second.gone and second.unchanged == 2
    # Content by digest is never fetched again: only lists and one HEAD a tag.
    assert sorted(call.partition(" ")[0] for call in yard.registry.calls) == ["catalog", "resolve", "resolve", "tags"]
    assert second.requests == 4


async def test_a_moved_and_a_gone_tag_are_told_and_history_keeps_them(yard: Yard) -> None:
    old = yard.registry.push("a", "1.0")
    kept = yard.registry.push("a", "1.1")
    await yard.sync()
    new = yard.registry.push("a", "1.0", config={"Labels": {"moved": "yes"}})
    del yard.registry.repositories["a"]["1.1"]
    result = await yard.sync()
    assert [(entry.tag, entry.previous, entry.digest) for entry in result.moved] == [("1.0", old, new)]
    assert [(entry.tag, entry.digest) for entry in result.gone] == [("1.1", kept)]
    assert await yard.tags() == {"a:1.0": (new, False), "a:1.1": (kept, True)}
    again = await yard.sync()
    assert not again.moved and not again.gone and again.unchanged == 1
    yard.registry.push("a", "1.1", kept)
    back = await yard.sync()
    assert names(back.new) == ["a:1.1"]
    events = await library_events.recent_events(yard.database)
    assert [(event.tag, event.change) for event in reversed(events)] == [
        ("1.0", "new"), ("1.1", "new"), ("1.1", "gone"), ("1.0", "moved"), ("1.1", "back"),
    ]  # fmt: skip
    # The old digest keeps its rows.
    assert (await catalogue.manifest_of(yard.database, old)).digest == old


async def test_changes_are_recorded_with_their_transaction_and_the_ledger_tells_them(yard: Yard) -> None:
    digest = yard.registry.push("a", "1.0")
    await yard.sync()
    assert [(entry.tag, entry.digest) for entry in yard.recorded] == [("1.0", digest)]
    rows = await yard.database.fetch_all("SELECT action, object, outcome, detail FROM ledger ORDER BY seq")
    assert [tuple(row)[:3] for row in rows] == [
        ("library.synchronise", "rule all", "started"),
        ("library.change", "127.0.0.1:5000/a", "done"),
        ("library.synchronise", "rule all", "done"),
    ]
    assert digest in rows[1]["detail"] and '"rule":"all"' in rows[1]["detail"]
    await yard.sync()
    assert len(yard.recorded) == 1
    assert (await last_runs(yard.database))["all"].result == "1 unchanged"


async def test_a_recorder_that_fails_leaves_neither_tag_nor_what_it_wrote(yard: Yard) -> None:
    yard.registry.push("a", "1.0")

    async def fail(transaction: Transaction, entries: Sequence[SyncEntryView]) -> None:
        await transaction.execute("INSERT INTO meta VALUES ('half', 'done')")
        raise StoreError("queue", "cannot be written", "free space")

    owner = yard.synchroniser()
    owner._setting = Setting(**{**_fields(owner._setting), "recorded": fail})
    with pytest.raises(StoreError, match="cannot be written"):
        await owner.run(rule(), run="r")
    assert await yard.tags() == {}
    assert await yard.database.fetch_all("SELECT * FROM meta WHERE name = 'half'") == []
    assert (await last_runs(yard.database))["all"].result == "failed: cannot be written"
    assert names((await yard.sync()).new) == ["a:1.0"]


# ---------------------------------------------------------------- failures


async def test_a_failing_repository_fails_nothing_else(yard: Yard) -> None:
    yard.registry.push("good", "1.0")
    yard.registry.push("bad", "1.0")
    yard.registry.failing["tags bad"] = AuthenticationError("tags", "denied", "log in")
    result = await yard.sync()
    assert names(result.new) == ["good:1.0"]
    assert [(f.repository, f.tag, f.reason, f.unreachable) for f in result.failed] == [("bad", "", "denied", True)]
    journal = (await one_run(yard.database, "run-01")).journal
    assert [(line.repository, line.state, line.reasons) for line in journal] == [
        ("", "done", ()), ("bad", "failed", (("", "denied"),)), ("good", "done", ()),
    ]  # fmt: skip
    assert (await one_run(yard.database, "run-01")).outcome == "partial"
    assert (await last_runs(yard.database))["all"].result == "partial: 1 new, 1 failed"


async def test_a_run_that_could_read_nothing_failed(yard: Yard) -> None:
    yard.registry.push("bad", "1.0")
    yard.registry.failing["tags bad"] = AuthenticationError("tags", "denied", "log in")
    await yard.sync()
    run = await one_run(yard.database, "run-01")
    assert (run.outcome, run.reason, run.failed) == ("failed", "denied", 1)


async def test_a_list_that_cannot_be_read_marks_nothing_gone(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    await yard.sync()
    yard.registry.failing["tags a"] = MalformedDataError("tags", "truncated", "tell the operator")
    del yard.registry.repositories["a"]["1.0"]
    result = await yard.sync()
    assert not result.gone and len(result.failed) == 1 and not result.failed[0].unreachable
    assert not (await yard.tags())["a:1.0"][1]


async def test_a_tag_that_cannot_be_read_fails_alone(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    digest = yard.registry.push("a", "1.1")
    yard.registry.content[digest] = (yard.registry.content[digest][0], b"changed on the way")
    result = await yard.sync()
    assert names(result.new) == ["a:1.0"] and [failed.tag for failed in result.failed] == ["1.1"]
    assert "a:1.1" not in await yard.tags()


async def test_a_dead_registry_is_told_and_not_asked_for_everything(yard: Yard) -> None:
    for number in range(200):
        yard.registry.push("a", f"1.{number}")
    await yard.sync()
    yard.registry.calls.clear()
    yard.registry.failing["resolve"] = DOWN
    result = await yard.sync()
    assert all(failed.unreachable for failed in result.failed) and not result.gone and not result.unchanged
    assert len(yard.registry.calls) < 40
    assert any("were not tried: connection refused" in failed.reason for failed in result.failed)
    assert len(await yard.tags()) == 200


async def test_a_catalogue_that_cannot_be_read_is_a_failure_of_the_registry(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    yard.registry.push("named", "1.0")
    yard.registry.failing["catalog"] = DOWN
    result = await yard.sync(rule(repositories=["*", "named"]))
    assert names(result.new) == ["named:1.0"]
    assert [(failed.repository, failed.unreachable) for failed in result.failed] == [("", True)]


async def test_without_the_catalogue_what_is_known_is_still_kept_up(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    await yard.sync()
    yard.registry.failing["catalog"] = AuthenticationError("catalogue", "denied", "log in")
    yard.registry.push("a", "1.1")
    result = await yard.sync()
    assert names(result.new) == ["a:1.1"]
    assert "without wildcards" in result.failed[0].reason


async def test_literal_names_need_no_catalogue(yard: Yard) -> None:
    yard.registry.push("a/b", "1.0")
    yard.registry.failing["catalog"] = DOWN
    result = await yard.sync(rule(repositories=["a/b"]))
    assert names(result.new) == ["a/b:1.0"] and not result.failed


async def test_a_repository_is_gone_only_when_the_catalogue_agrees(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    yard.registry.push("b", "1.0")
    await yard.sync()
    del yard.registry.repositories["a"]
    assert names((await yard.sync()).gone) == ["a:1.0"]
    # Named outright there is nothing to agree with: it may only be hidden from us.
    del yard.registry.repositories["b"]
    result = await yard.sync(rule(repositories=["b"]))
    assert not result.gone and [failed.repository for failed in result.failed] == ["b"]


async def test_hostile_names_are_failures_of_their_own(yard: Yard) -> None:
    yard.registry.push("a", "1.0")
    yard.registry.repositories["a"]["1\x1b[2J\ud800"] = "sha256:" + "0" * 64
    yard.registry.failing["resolve a:1\x1b[2J\ud800"] = MalformedDataError("tag", "that is no tag", "leave it out")
    result = await yard.sync()
    assert names(result.new) == ["a:1.0"] and len(result.failed) == 1


# ---------------------------------------------------------------- rules in action


async def test_more_than_max_new_asks_first(yard: Yard) -> None:
    for number in range(3):
        yard.registry.push("a", f"1.{number}")
    careful = rule(max_new=2)
    with pytest.raises(UsageError, match="3 new tags, more than its max_new of 2"):
        await yard.sync(careful)
    assert await yard.tags() == {}
    assert (await last_runs(yard.database))["all"].result.startswith("refused")
    assert len((await yard.sync(careful, dry_run=True)).new) == 3
    assert len((await yard.sync(careful, allow_many=True)).new) == 3
    assert (await yard.sync(careful)).unchanged == 3


async def test_a_dry_run_tells_the_same_and_writes_nothing(yard: Yard) -> None:
    old = yard.registry.push("a", "1.0")
    yard.registry.push("a", "1.1")
    await yard.sync()
    new = yard.registry.push("a", "1.0", config={"Labels": {"x": "y"}})
    yard.registry.push("a", "1.2")
    del yard.registry.repositories["a"]["1.1"]
    before = await yard.database.data_version()
    would = await yard.sync(dry_run=True)
    assert await yard.database.data_version() == before
    assert would.dry_run and (names(would.new), names(would.gone)) == (["a:1.2"], ["a:1.1"])
    assert [(entry.previous, entry.digest) for entry in would.moved] == [(old, new)]
    did = await yard.sync()
    assert (did.new, did.moved, did.gone) == (would.new, would.moved, would.gone)


async def test_types_leave_out_what_is_of_another_type_without_fetching_it_twice(yard: Yard) -> None:
    yard.registry.push("nim/llama-instruct", "1.0")
    yard.registry.push("nim/nv-embedqa", "1.0")
    chats = rule(types=["chat"])
    assert names((await yard.sync(chats, dry_run=True)).new) == ["nim/llama-instruct:1.0"]
    first = await yard.sync(chats)
    assert names(first.new) == ["nim/llama-instruct:1.0"] and first.skipped == 1
    assert list(await yard.tags()) == ["nim/llama-instruct:1.0"]
    yard.registry.calls.clear()
    assert (await yard.sync(chats)).skipped == 1
    assert not any(call.startswith(("manifest", "blob")) for call in yard.registry.calls)


async def test_a_tag_of_the_library_that_moves_out_of_the_rule_is_told(yard: Yard) -> None:
    yard.registry.push("nim/x-instruct", "1.0", com=1)
    chats = rule(types=["chat"])
    await yard.sync(chats)
    moved = yard.registry.push("nim/x-instruct", "1.0", config={"Labels": {"com.nvidia.nim.type": "embedding"}})
    result = await yard.sync(chats)
    assert [entry.digest for entry in result.moved] == [moved]


async def test_of_an_index_the_kept_platforms_are_fetched_and_attestations_known(yard: Yard) -> None:
    amd, arm = yard.registry.image(size=10), yard.registry.image(size=20, architecture="arm64")
    index = yard.registry.index(("linux/amd64", amd), ("linux/arm64/v8", arm), attests=amd)
    yard.registry.push("a", "1.0", index)
    result = await yard.sync(rule(platforms=["linux/amd64"]))
    assert [entry.digest for entry in result.new] == [index]
    assert f"manifest a@{amd}" in yard.registry.calls and f"manifest a@{arm}" not in yard.registry.calls
    image = (await images_of(yard.database))[0]
    assert (image.kind, image.platforms) == ("index", ("linux/amd64",))
    detail = await catalogue.detail(yard.database, image)
    assert [(one.platform, one.size is None) for one in detail.platforms] == [
        ("linux/amd64", False), ("linux/arm64/v8", True),
    ]  # fmt: skip
    assert len(detail.layers) == 1 and len(detail.referrers) == 1
    # Another rule keeps another platform of the same index: it is fetched then.
    yard.registry.push("a", "1.1", index)
    await yard.sync(rule(name="arm", platforms=["linux/arm64"]))
    assert f"manifest a@{arm}" in yard.registry.calls
    image = (await images_of(yard.database))[0]
    assert image.platforms == ("linux/amd64", "linux/arm64/v8")


async def test_platforms_leave_out_images_of_others_but_not_artifacts_without_one(yard: Yard) -> None:
    yard.registry.push("amd", "1.0")
    yard.registry.push("arm", "1.0", architecture="arm64")
    yard.registry.push("none", "1.0", yard.registry.index())
    model = "application/vnd.cncf.model.config.v1+json"
    yard.registry.push("model", "1.0", yard.registry.image(config_type=model, descriptor={"name": "x"}))
    result = await yard.sync(rule(platforms=["linux/amd64"]))
    assert names(result.new) == ["amd:1.0", "model:1.0"] and result.skipped == 2


async def test_many_tags_of_one_digest_are_fetched_once(yard: Yard) -> None:
    digest = yard.registry.push("a", "1.0")
    for number in range(1, 30):
        yard.registry.push("a", f"1.{number}", digest)
    assert len((await yard.sync()).new) == 30
    assert sum(call.startswith("manifest") for call in yard.registry.calls) == 1


async def test_progress_is_told_from_beginning_to_end(yard: Yard) -> None:
    for number in range(5):
        yard.registry.push("a", f"1.{number}")
    told: list[SyncProgressView] = []

    async def tell(progress: SyncProgressView) -> None:
        told.append(progress)

    async def pass_time(call: str) -> None:
        yard.clock.advance(seconds=1)

    yard.registry.before = pass_time
    await yard.sync(progress=tell)
    assert told[0].total is None and not told[0].finished
    assert [one.done for one in told[1:-1]] == [1, 2, 3, 4, 5] and told[1].total == 5
    assert told[-1].finished and told[-1].new == 5


# ---------------------------------------------------------------- being cut off, and overlapping


@pytest.mark.parametrize("at", range(1, 26, 4))
async def test_a_run_cut_off_anywhere_leaves_a_whole_catalogue_that_the_next_completes(tmp_path: Path, at: int) -> None:
    async with open_database(tmp_path / "clean.db") as database:
        clean = Yard(database)
        fill(clean.registry)
        await clean.sync()
        expected = await snapshot(database)
    async with open_database(tmp_path / "cut.db") as database:
        yard = Yard(database)
        fill(yard.registry)
        task = asyncio.ensure_future(yard.sync())

        async def cut(call: str) -> None:
            if len(yard.registry.calls) == at:
                task.cancel()
            await asyncio.sleep(0)

        yard.registry.before = cut
        await asyncio.gather(task, return_exceptions=True)
        for tag in await images_of(database):
            await catalogue.detail(database, tag)
        if task.cancelled():
            assert (await last_runs(database))["all"].result == "interrupted"
        await yard.sync()
        assert await snapshot(database) == expected


async def test_two_runs_at_once_write_nothing_twice(yard: Yard) -> None:
    fill(yard.registry)

    async def turn(call: str) -> None:
        await asyncio.sleep(0)

    yard.registry.before = turn
    one, two = await asyncio.gather(yard.sync(), yard.sync(rule(name="other")))
    assert sorted(names(one.new) + names(two.new)) == sorted(
        ["a:1.0", "a:1.1", "a:1.2", "a:1.3", "b:latest", "index:1.0"]
    )
    assert len(one.new) + one.unchanged == len(two.new) + two.unchanged == 6
    events = await library_events.recent_events(yard.database)
    assert len(events) == 6 and len(yard.recorded) == 6


async def test_what_was_seen_earlier_does_not_overwrite_what_was_seen_later(yard: Yard) -> None:
    first = yard.registry.push("a", "1.0")
    await yard.sync()
    newer = yard.registry.image(config={"Labels": {"newer": "yes"}})
    yard.registry.push("a", "1.0", yard.registry.image(config={"Labels": {"between": "yes"}}))
    slow_may_go_on = asyncio.Event()
    slow_has_asked = asyncio.Event()

    async def hold(call: str) -> None:
        if call.startswith("manifest") and not slow_has_asked.is_set():
            slow_has_asked.set()
            await slow_may_go_on.wait()

    yard.registry.before = hold
    slow = asyncio.ensure_future(yard.sync())
    await slow_has_asked.wait()
    yard.registry.push("a", "1.0", newer)
    assert [entry.digest for entry in (await yard.sync()).moved] == [newer]
    slow_may_go_on.set()
    assert not (await slow).moved
    image = (await images_of(yard.database))[0]
    assert (image.digest, image.previous_digest) == (newer, first)


def _fields(setting: Setting) -> dict[str, Any]:
    return {name: getattr(setting, name) for name in setting.__struct_fields__}
