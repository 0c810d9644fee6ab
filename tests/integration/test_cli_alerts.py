"""Alerts by commands: listed, silenced, lifted; wrong use and read-only told by exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.cli import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Place(tmp_path)


def test_silences_are_made_listed_and_lifted(place: Place) -> None:
    assert place.json("alerts", "list") == []
    made = place.json("alerts", "silence", "llm-dev/*", "--until", "4h", "--reason", "drill", "--yes")
    assert (made["object"], made["reason"], made["rule"]) == ("llm-dev/*", "drill", "")
    assert [one["id"] for one in place.json("alerts", "silences")] == [made["id"]]
    assert place.json("alerts", "lift", made["id"][:12]) == {"lifted": 1}
    assert place.json("alerts", "silences") == []
    told = [entry["action"] for entry in place.json("audit", "list") if entry["action"].startswith("alert.")]
    assert told == ["alert.lift", "alert.silence"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("silence", "x", "--until", "soon", "--reason", "r", "--yes"), 2),
        (("silence", "x", "--until", "90d", "--reason", "r", "--yes"), 2),
        (("silence", "x", "--until", "4h", "--reason", "r"), 2),
        (("silence", "x", "--until", "4h", "--reason", "r", "--yes", "--read-only"), 3),
        (("acknowledge", "gpu-99", "--note", "?"), 5),
        (("lift", "nothing-there"), 5),
        (("list", "--since", "ever"), 2),
    ],
)
def test_what_cannot_be_done_says_so(place: Place, words: tuple[str, ...], code: int) -> None:
    place.json("alerts", "list")
    refused = place.run("alerts", *words)
    assert refused.code == code, refused.err
    assert refused.error
