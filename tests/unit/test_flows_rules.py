"""Rules as they are written: through the gate, into the file and the ledger, and into force."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.config import load_configuration
from backend.core.actors import Actor, ActorSource, Role
from backend.core.errors import (
    ConfigurationError,
    ConflictError,
    ModelyardError,
    NotFoundError,
    RefusedError,
    RoleError,
    StoreUnwritableError,
    UsageError,
)
from backend.core.events import StatusChanged, Topic
from backend.core.views import LedgerEntryView, SourceState
from backend.flows import audit, queue, synchronising
from backend.flows.rules import author_of
from backend.library.config import RuleConfig
from backend.store.text_file import replace_file
from backend.yard import Yard, YardOptions
from tests.fakes.library_registry import FakeRegistry
from tests.fakes.store import FixedClock

#: Imported here: an event loop has not the time.
_ROOMS = (audit, queue, synchronising)
RULE = '# Models to talk to.\n[[rule]]\nname = "chat"\nregistry = "local"\nrepositories = ["chat/*"]\n'
REST = "\n[policy]\napprovals = 2   # four eyes\n"
HEAD = '[yard]\nname = "x"\n\n[[registry]]\nname = "local"\nurl = "https://registry.example"\n\n'


class House:
    """A yard on a configuration file of its own, with a registry in memory."""

    def __init__(self, folder: Path, yard: Yard, registry: FakeRegistry) -> None:
        self.file = folder / "config.toml"
        self.yard = yard
        self.rules = yard.rules
        self.registry = registry
        self.foundation = yard._foundation

    def act_as(self, name: str, *roles: Role) -> None:
        """Let somebody else sit at the keyboard."""
        actor = Actor(name=name, source=ActorSource.OPERATING_SYSTEM, roles=frozenset(roles))
        self.foundation.identity._actor = actor

    async def save(self, text: str, replaces: str | None = None) -> str:
        """Save a rule over the file as it is; gives who is its author then."""
        seen = await self.rules.text("")
        return (await self.rules.save(text, replaces=replaces, file_hash=seen.hash)).author

    async def entries(self, *actions: str) -> list[LedgerEntryView]:
        """The ledger's entries of some actions, the oldest first."""
        return [entry for entry in reversed(await self.yard.audit.entries()) if entry.action in actions]


class _Registry(FakeRegistry):
    quota = ""
    warnings: tuple[str, ...] = ()

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def house_in(folder: Path, text: str = HEAD + RULE + REST) -> AsyncIterator[House]:
    file = folder / "config.toml"
    file.write_bytes(text.encode())
    yard = await Yard.open(
        await asyncio.to_thread(load_configuration, file, system_policy=folder / "none"),
        YardOptions(database=folder / "yard.db"),
        clock=FixedClock(),
    )
    registry = _Registry()
    yard._foundation.registries._clients["local"] = registry  # type: ignore[assignment]
    house = House(folder, yard, registry)
    house.act_as("robin", Role.CURATOR, Role.OPERATOR)
    try:
        yield house
    finally:
        await yard.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(tmp_path) as found:
        yield found


# ---------------------------------------------------------------- writing


async def test_a_rule_is_written_into_its_place_and_is_in_force_at_once(house: House) -> None:
    told = house.yard.subscribe(Topic.LIBRARY)
    edited = RULE.replace("chat/*", "talk/*") + "newest = 3\n"
    assert await house.save(edited, "chat") == "robin"
    assert house.file.read_text() == HEAD + edited + REST
    assert [(rule.name, rule.newest) for rule in house.foundation.rules.rules] == [("chat", 3)]
    assert type(await anext(told)).__name__ == "RulesChanged"
    started, done = await house.entries("rules.write")
    assert (started.outcome, done.outcome, done.object, done.actor) == ("started", "done", "rule chat", "robin")
    assert done.detail["before"] == started.detail["before"] != done.detail["after"]
    assert '-repositories = ["chat/*"]' in done.detail["difference"] and "+newest = 3" in done.detail["difference"]
    assert "four eyes" not in done.detail["difference"].replace(" approvals = 2   # four eyes", "")


async def test_rules_are_added_renamed_switched_and_removed(house: House) -> None:
    await house.save('[[rule]]\nname = "[odd] \\"name\\""\nregistry = "local"\n')
    assert [view.name for view in await house.rules.rules()] == ["chat", '[odd] "name"']
    await house.save(RULE.replace('"chat"', '"talk"'), "chat")
    seen = await house.rules.text("talk")
    assert not (await house.rules.switch("talk", False, file_hash=seen.hash)).enabled
    assert "enabled = false" in house.file.read_text() and "# Models to talk to." in house.file.read_text()
    seen = await house.rules.text("talk")
    await house.rules.remove("talk", file_hash=seen.hash)
    assert [view.name for view in await house.rules.rules()] == ['[odd] "name"']
    assert [entry.outcome for entry in await house.entries("rules.remove")] == ["started", "done"]
    assert "approvals = 2   # four eyes" in house.file.read_text()


@pytest.mark.parametrize(
    ("text", "replaces", "why"),
    [
        (RULE, None, "two \\[\\[rule\\]\\] tables are named 'chat'"),
        (RULE.replace("local", "other"), "chat", "registry 'other'"),
        (RULE + "newst = 3\n", "chat", "did you mean 'newest'"),
        (RULE + RULE, "chat", "2 \\[\\[rule\\]\\] tables"),
        (RULE + REST, "chat", "unknown key 'policy'"),
        ("", "chat", "0 \\[\\[rule\\]\\] tables"),
        (RULE + "x =", "chat", "config|draft"),
        (RULE.replace('"chat"', '"a\\u0007"'), "chat", "cannot be printed"),
        (RULE + "tags = { regex = '(a)\\1' }\n", "chat", "bounded time"),
    ],
)
async def test_what_is_no_rule_is_not_written(house: House, text: str, replaces: str | None, why: str) -> None:
    before = house.file.read_bytes()
    with pytest.raises(ConfigurationError, match=why):
        await house.save(text, replaces)
    assert house.file.read_bytes() == before
    assert all(entry.outcome != "done" for entry in await house.entries("rules.write"))


async def test_a_problem_is_told_with_its_line(house: House) -> None:
    assert (await house.rules.check(RULE + "\nnewest = 0\n")).startswith("line 7: 'newest'")
    assert await house.rules.check(RULE) == ""


async def test_a_file_that_changed_meanwhile_is_a_conflict_and_nothing_is_lost(house: House) -> None:
    seen = await house.rules.text("chat")
    theirs = house.file.read_text() + "# theirs\n"
    house.file.write_text(theirs)
    for attempt in (
        house.rules.save(RULE, replaces="chat", file_hash=seen.hash),
        house.rules.remove("chat", file_hash=seen.hash),
    ):
        with pytest.raises(ConflictError, match="changed since"):
            await attempt
    assert house.file.read_text() == theirs
    assert {entry.outcome for entry in await house.entries("rules.write", "rules.remove")} == {"refused"}


async def test_without_the_role_nothing_is_written(house: House) -> None:
    house.act_as("kim", Role.OPERATOR)
    with pytest.raises(RoleError, match="curator"):
        await house.save(RULE, "chat")
    assert house.file.read_text() == HEAD + RULE + REST


async def test_a_file_that_is_not_ours_is_refused_with_the_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.file.chmod(0o444)
    assert (await house.rules.text("chat")).writable == "it is read-only"
    with pytest.raises(RefusedError, match="it is read-only"):
        await house.save(RULE, "chat")
    house.file.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: house.file.stat().st_uid + 1)
    with pytest.raises(RefusedError, match="belongs to somebody else"):
        await house.save(RULE, "chat")
    monkeypatch.undo()
    house.file.unlink()
    with pytest.raises(ModelyardError):
        await house.save(RULE, "chat")


async def test_mode_links_and_line_ends_are_kept(tmp_path: Path) -> None:
    async with house_in(tmp_path, (HEAD + RULE + REST).replace("\n", "\r\n")) as house:
        kept = tmp_path / "kept" / "real.toml"
        kept.parent.mkdir()
        house.file.rename(kept)
        house.file.symlink_to(kept)
        kept.chmod(0o640)
        await house.save(RULE + "newest = 1\n", "chat")
        assert house.file.is_symlink() and kept.stat().st_mode & 0o777 == 0o640
        assert kept.read_bytes() == (HEAD + RULE + "newest = 1\n" + REST).replace("\n", "\r\n").encode()
        assert [name.name for name in kept.parent.iterdir()] == ["real.toml"]


def test_a_file_that_cannot_be_written_is_left_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnwritableError, match="No space left"):
        replace_file(file, b"new", seen=b"old")
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]
    monkeypatch.undo()
    with pytest.raises(ConflictError):
        replace_file(file, b"new", seen=b"older")


def test_a_file_that_another_program_holds_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.store.text_file._PAUSE", 0.0)
    file = tmp_path / "config.toml"
    file.write_bytes(b"old")
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreUnwritableError, match="another program holds it"):
            replace_file(file, b"new", seen=b"old")
    replace_file(file, b"new", seen=b"old")
    assert file.read_bytes() == b"new"


async def test_two_who_write_at_once_do_not_lose_what_either_wrote(house: House) -> None:
    seen = await house.rules.text("chat")
    texts = [f'[[rule]]\nname = "r{number}"\nregistry = "local"\n' for number in range(4)]
    ended = await asyncio.gather(
        *(house.rules.save(text, replaces=None, file_hash=seen.hash) for text in texts), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in ended) == 1
    assert all(isinstance(one, ConflictError) for one in ended if isinstance(one, BaseException))
    assert len(await house.rules.rules()) == 2


# ---------------------------------------------------------------- authors


async def author(house: House) -> str:
    return await author_of(house.foundation.database, house.foundation.rules.rules[0])


async def test_the_author_is_whoever_last_wrote_what_a_rule_takes_in(house: House) -> None:
    assert await author(house) == ""
    await house.save(RULE + "newest = 3\n", "chat")
    house.act_as("kim", Role.CURATOR)
    # Neither the switch nor the schedule says what is taken in.
    await house.save(RULE + 'newest = 3\nevery = "1h"\nenabled = false\n', "chat")
    assert await author(house) == "robin"
    await house.save(RULE + "newest = 4\n", "chat")
    assert await author(house) == "kim"
    with pytest.raises(ConflictError):
        house.act_as("robin", Role.CURATOR)
        await house.rules.save(RULE + "newest = 4\n", replaces="chat", file_hash="other")
    assert await author(house) == "kim"
    house.file.write_text(HEAD + RULE + "newest = 9\n" + REST)
    await house.foundation.rules.refresh()
    assert await author(house) == ""
    house.file.write_text(HEAD + RULE + "newest = 3\n\n" + REST)
    await house.foundation.rules.refresh()
    assert await author(house) == "robin"


async def test_a_write_that_failed_makes_nobody_an_author(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StoreUnwritableError("config.toml", "the disk is full", "make room")

    monkeypatch.setattr("backend.flows.rules.replace_file", fails)
    with pytest.raises(StoreUnwritableError):
        await house.save(RULE + "newest = 3\n", "chat")
    assert [entry.outcome for entry in await house.entries("rules.write")] == ["started", "failed"]
    rule = RuleConfig(name="chat", registry="local", repositories=("chat/*",), newest=3)
    assert await author_of(house.foundation.database, rule) == ""


# ---------------------------------------------------------------- in force


async def test_a_file_that_breaks_keeps_the_last_good_rules_and_tells_so(house: House) -> None:
    rules = house.foundation.rules
    assert not await rules.refresh() and rules.source() is None
    house.file.write_text(HEAD + RULE + "newest = \n")
    assert await rules.refresh()
    source = rules.source()
    assert source is not None and source.state is SourceState.REFUSED and "config.toml:13" in source.detail
    assert [rule.name for rule in rules.rules] == ["chat"]
    assert source in house.yard.status().sources
    house.file.unlink()
    assert await rules.refresh() and "cannot be read" in rules.problem
    house.file.write_text(HEAD + RULE + "newest = 7\n" + REST)
    assert await rules.refresh() and rules.rules[0].newest == 7 and rules.source() is None


async def test_what_needs_a_new_start_is_told(house: House) -> None:
    more = '[[registry]]\nname = "more"\nurl = "https://more.example"\n'
    house.file.write_text(HEAD + more + RULE + "newest = 7\n" + REST.replace("2", "1"))
    assert await house.foundation.rules.refresh()
    source = house.foundation.rules.source()
    assert source is not None and source.state is SourceState.LIVE
    assert "[registry], [policy] changed" in source.detail
    assert house.foundation.rules.rules[0].newest == 7
    house.file.write_text(HEAD + more + RULE.replace("local", "more"))
    await house.foundation.rules.refresh()
    assert "configured after the start" in house.foundation.rules.problem


async def test_the_configuration_in_force_is_recorded_once_a_change(house: House) -> None:
    record, rules = house.foundation.record, house.foundation.rules
    for _ in range(2):
        await rules.refresh()
        await record.keep()
    (first,) = await house.entries("configuration.load")
    assert first.actor == "robin" and first.detail["changed"] == [] and first.object == str(house.file)
    assert set(first.detail["tables"]) >= {"registry", "rule", "policy", "role"}
    house.file.write_text(HEAD + RULE + "newest = 7\n" + REST)
    await rules.refresh()
    await record.keep()
    changed = (await house.entries("configuration.load"))[-1]
    assert changed.detail["changed"] == ["rule", "rule chat"]
    assert changed.detail["policy"] == first.detail["policy"] and changed.detail["hash"] != first.detail["hash"]
    await house.yard.close()
    folder = house.file.parent
    for text, told in (
        (HEAD + RULE + "newest = 7\n" + REST, None),
        (HEAD + RULE + "newest = 7\n" + REST.replace("2", "1"), ["policy"]),
    ):
        async with house_in(folder, text) as again:
            await again.foundation.record.keep()
            last = (await again.entries("configuration.load"))[-1]
            assert last.detail["changed"] == (told or ["rule", "rule chat"])


async def test_a_mutation_is_preceded_by_the_configuration_that_it_was_done_under(house: House) -> None:
    await house.save(RULE + "newest = 1\n", "chat")
    actions = [entry.action for entry in reversed(await house.yard.audit.entries())]
    assert actions == ["configuration.load", "rules.write", "rules.write", "configuration.load"]


async def test_a_program_that_runs_notices_what_changes_in_the_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.flows.configuration._LOOK_EVERY", 0.005)
    told, looked = house.yard.subscribe(Topic.LIBRARY, Topic.STATUS), house.yard._configuration_watch()
    watching = asyncio.ensure_future(looked.run())
    try:
        house.file.write_text("broken =")
        assert type(await anext(told)).__name__ == "RulesChanged"
        status = await anext(told)
        assert isinstance(status, StatusChanged) and status.status.sources[-1].state is SourceState.REFUSED
        assert [rule.name for rule in house.foundation.rules.rules] == ["chat"]
        house.file.write_text(HEAD + RULE.replace("chat", "talk") + REST)
        assert type(await anext(told)).__name__ == "RulesChanged"
        assert [rule.name for rule in house.foundation.rules.rules] == ["talk"]
        await house.foundation.record.keep()
        (_, last) = await house.entries("configuration.load")
        assert last.detail["changed"] == ["rule", "rule chat", "rule talk"]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


# ---------------------------------------------------------------- trying


def filled(house: House) -> None:
    for tag in ("1.0", "1.1", "2.0"):
        house.registry.push("chat/a", tag)
    house.registry.push("talk/b", "1.0")


async def test_a_draft_is_held_against_the_rule_in_force(house: House) -> None:
    filled(house)
    (found,) = await house.rules.preview("chat", draft=RULE.replace("chat/*", "*/*") + 'tags = { glob = ["1.*"] }\n')
    assert found.draft and found.added == ("local/talk/b:1.0",) and found.removed == ("local/chat/a:2.0",)
    (renamed,) = await house.rules.preview("chat", draft=RULE.replace('"chat"', '"new"'))
    assert (renamed.rule, renamed.added, renamed.removed) == ("new", (), ())
    (new,) = await house.rules.preview(draft=RULE.replace('"chat"', '"new"'))
    assert len(new.added) == 3 and any("it is new" in note for note in new.notes)


async def test_a_whole_configuration_that_was_edited_is_tried(house: House) -> None:
    filled(house)
    edited = house.file.read_text().replace('name = "chat"', 'name = "other"')
    other, chat = await house.rules.preview(draft=edited)
    assert (other.rule, len(other.added)) == ("other", 3)
    assert (chat.rule, len(chat.removed)) == ("chat", 3) and "no rule of this name" in chat.notes[0]
    with pytest.raises(ConfigurationError, match="draft:2"):
        await house.rules.preview(draft="[yard]\nnme = 'x'\n")
    with pytest.raises(NotFoundError):
        await house.rules.preview("missing", draft=edited)


async def test_a_time_that_is_past_is_answered_by_the_library(house: House) -> None:
    filled(house)
    await house.yard.runs.synchronise("chat", evaluate=False)
    clock: Any = house.foundation.clock
    clock.advance(hours=1)
    house.registry.calls.clear()
    (then,) = await house.rules.preview("chat", at=clock.now())
    assert sum(clause.taken for clause in then.clauses) == 3 and not house.registry.calls
    (draft,) = await house.rules.preview("chat", draft=RULE + "newest = 1\n", at=clock.now())
    assert draft.removed == ("local/chat/a:1.0", "local/chat/a:1.1")
    clock.advance(hours=-2)
    with pytest.raises(UsageError, match="still to come"):
        await house.rules.preview("chat", at=then.at)


async def test_what_a_rule_brings_in_names_its_author(house: House) -> None:
    filled(house)
    await house.save(RULE + "newest = 1\n", "chat")
    await house.yard.runs.synchronise("chat", evaluate=False)
    rows = await house.foundation.database.fetch_all("SELECT rule, rule_author FROM submission")
    assert [tuple(row) for row in rows] == [("chat", "robin")]
