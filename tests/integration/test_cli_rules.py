"""Rules by commands, on a real `docker-registry`: tried, written, and in force for the next command."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.cli import Place
from tests.fakes.cli_world import NIM, World, running_world

DRAFT = '# Newer ones.\n[[rule]]\nname = "nim"\nregistry = "local"\nrepositories = ["nim/**"]\n'


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    return world.place(tmp_path, monkeypatch)


def draft(place: Place, more: str) -> Path:
    file = place.folder / "draft.toml"
    file.write_text(DRAFT + more)
    return file


def test_a_draft_and_a_past_time_are_tried_without_writing(place: Place) -> None:
    tried = place.run(
        "rules", "preview", "nim", "--draft", draft(place, 'tags = { versions = ">=1.4" }\n'), "-o", "json"
    )
    told = {(one["tag"], one["taken"], one["change"], one["rule"]) for one in tried.data}
    assert told == {("1.3.0", False, "removed", "nim"), ("1.4.0", True, "", "nim")}
    assert "1 of 2 tags would be taken in" in tried.err and "0 more than the rule in force takes, 1 fewer" in tried.err
    assert place.json("images", "list") == [] and place.json("audit", "list") == []
    before = datetime.now(UTC)
    place.json("sync")
    then = place.run("rules", "preview", "nim", "--at", before.isoformat(), "-o", "json")
    assert then.data == [] and "what it held before is not known" in then.err
    now = place.run("rules", "preview", "--at", datetime.now(UTC).isoformat())
    assert "2 of 2 tags would have been taken in" in now.err
    for wrong in ("yesterday", (datetime.now(UTC) + timedelta(days=1)).isoformat()):
        assert place.run("rules", "preview", "--at", wrong).code == 2
    assert place.run("rules", "preview", "--draft", draft(place, "newst = 1\n")).code == 2


def test_a_rule_is_written_shown_switched_and_removed(place: Place) -> None:
    unsure = place.run("rules", "set", draft(place, "newest = 1\n"))
    assert unsure.code == 2 and "--yes" in unsure.error
    assert place.run("rules", "set", draft(place, "newest = 1\n"), "--yes").code == 0
    assert place.run("rules", "show", "nim").out == DRAFT + "newest = 1\n"
    assert [rule["author"] for rule in place.json("rules", "list")] == ["robin"]
    assert {entry["tag"] for entry in place.json("sync")["new"]} == {"1.4.0"}
    assert place.json("rules", "disable", "nim")["enabled"] is False
    refused = place.run("sync")
    assert refused.code == 2
    assert place.json("rules", "enable", "nim")["enabled"] is True
    wrong = place.run("rules", "set", draft(place, "newest = 0\n"), "--yes")
    assert wrong.code == 2 and "line 6" in wrong.error
    renamed = place.run("rules", "set", draft(place, "").with_name("draft.toml"), "--replaces", "other", "--yes")
    assert renamed.code == 5 and "nim" in renamed.error
    assert place.run("rules", "remove", "nim", "--yes").code == 0
    assert place.json("rules", "list") == []
    assert place.run("rules", "show", "nim").code == 5
    assert place.json("audit", "verify")["intact"]


def test_who_wrote_a_rule_does_not_approve_what_it_brings_in(place: Place, world: World) -> None:
    assert place.run("rules", "set", draft(place, 'tags = { versions = ">=1.3" }\n'), "--yes").code == 0
    place.json("sync")
    text = place.config.read_text() + '\n[[role]]\nname = "approver"\nusers = ["robin"]\n'
    place.config.write_text(text)
    shown = place.json("queue", "show", world.reference("1.4.0"))
    refused = place.run(
        "approve", f"{world.registry.host}/{NIM}@{world.digests['1.4.0']}", "--reason", "x", "--evidence",
        shown["evidence_hash"], "--yes",
    )  # fmt: skip
    assert refused.code == 3 and "rule" in refused.error


def test_the_configuration_is_recorded_once_a_change(place: Place) -> None:
    def loads() -> list[list[str]]:
        entries = place.json("audit", "list")
        return [one["detail"]["changed"] for one in reversed(entries) if one["action"] == "configuration.load"]

    place.json("sync")
    place.json("sync")
    assert loads() == [[]]
    place.config.write_text(place.config.read_text() + "\n[policy]\napprovals = 3\n")
    place.json("images", "list")
    assert loads() == [[]]
    place.json("sync")
    assert loads() == [[], ["policy"]]
