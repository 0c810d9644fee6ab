"""Rules: which repositories and tags are taken, and the clause that says why not."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.library.config import RuleConfig
from backend.library.globs import matches
from backend.library.rules import (
    ImageTraits,
    Selection,
    choosing_hash,
    leaves_out_image,
    rule_hash,
    rule_view,
    takes_platform,
)


def rule(**given: Any) -> RuleConfig:
    return RuleConfig.model_validate({"name": "r", "registry": "local", **given})


def taken(names: list[str], /, **given: Any) -> list[str]:
    return [choice.tag for choice in Selection(rule(**given)).choose(names) if choice.taken]


TAGS = ["1.2.0", "1.3.0", "1.3.1-rtx", "2.0.0-rc1", "nightly"]


def test_an_absent_key_means_all() -> None:
    selection = Selection(rule())
    assert selection.needs_catalogue and not selection.leaves_out("any/repository")
    assert taken(TAGS) == TAGS


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"versions": ">=1.3"}, ["1.3.0", "1.3.1-rtx"]),
        ({"glob": ["1.3*"]}, ["1.3.0", "1.3.1-rtx"]),
        ({"glob": "night*"}, ["nightly"]),
        ({"regex": r"\d+\.\d+\.\d+"}, ["1.2.0", "1.3.0"]),
        ({"exclude": ["*-*"]}, ["1.2.0", "1.3.0", "nightly"]),
        ({"versions": ">=1.2", "exclude": ["*-rtx"]}, ["1.2.0", "1.3.0"]),
        ({"glob": []}, []),
    ],
)
def test_tags_are_chosen_each_way(tags: dict[str, Any], expected: list[str]) -> None:
    assert taken(TAGS, tags=tags) == expected


def test_newest_counts_by_version_and_tags_without_one_come_last() -> None:
    tags = ["latest", "1.9.0", "1.10.0", "1.2.0", "1.10.0-rtx"]
    assert taken(tags, newest=2) == ["1.10.0", "1.10.0-rtx"]
    assert taken(tags, newest=4) == ["1.9.0", "1.10.0", "1.2.0", "1.10.0-rtx"]
    assert taken(tags, newest=9) == tags


def test_every_tag_gets_its_clause() -> None:
    selection = Selection(rule(repositories=["nim/**"], tags={"versions": ">=1.3", "exclude": ["*-rtx"]}, newest=1))
    clauses = {view.tag: (view.taken, view.clause) for view in selection.explain("nim/a", [*TAGS, "1.4.0"])}
    assert clauses["1.4.0"] == (True, "taken")
    assert clauses["1.3.0"] == (False, "newest: not among the 1 newest")
    assert clauses["1.3.1-rtx"] == (False, "tags.exclude: *-rtx")
    assert clauses["2.0.0-rc1"] == (False, "tags.versions: it is a pre-release, and the list names none")
    assert clauses["nightly"] == (False, "tags.versions: it has no version")
    assert {view.clause for view in selection.explain("other/a", TAGS)} == {"repositories: none matches"}


def test_evidence_tags_are_hidden() -> None:
    tags = ["sha256-" + "a" * 64 + ".sig", "sha256-" + "a" * 64, "sha256-" + "a" * 64 + ".att", "sha256-x"]
    assert taken(tags) == ["sha256-x"]


def test_repositories_are_named_or_matched_and_left_out() -> None:
    selection = Selection(
        rule(repositories=["nim/meta/*", "vllm/vllm-openai", "x-dev"], exclude_repositories=["**/*-dev"])
    )
    assert selection.named_repositories == ("vllm/vllm-openai",) and selection.needs_catalogue
    assert not selection.leaves_out("nim/meta/llama")
    assert selection.leaves_out("nim/meta/llama-dev") == "exclude_repositories: **/*-dev"
    assert selection.leaves_out("x-dev") == "exclude_repositories: **/*-dev"
    assert selection.leaves_out("nim/meta/a/b") == "repositories: none matches"
    assert not Selection(rule(repositories=["a/b"])).needs_catalogue


@pytest.mark.parametrize(
    ("wanted", "platform", "expected"),
    [
        (None, ("linux", "s390x"), True),
        (["linux/amd64"], ("linux", "amd64"), True),
        (["linux/amd64"], ("linux", "arm64", "v8"), False),
        (["linux/arm64"], ("linux", "arm64", "v8"), True),
        (["linux/arm64/v8"], ("linux", "arm64"), False),
        (["linux/amd64"], ("", ""), True),
    ],
)
def test_platforms(wanted: list[str] | None, platform: tuple[str, ...], expected: bool) -> None:
    assert takes_platform(wanted, *platform) is expected


@pytest.mark.parametrize(
    "given",
    [
        {"tags": {"versions": "latest"}},
        {"tags": {"versions": ">=1", "glob": ["*"]}},
        {"tags": {"regex": "("}},
        {"tags": {"unknown": 1}},
        {"repositories": ["UPPER"]},
        {"repositories": ["a b"]},
        {"types": ["chatty"]},
        {"platforms": ["linux"]},
        {"newest": 0},
        {"every": "15"},
        {"every": "1ms"},
        {"every": "99999999999999999w"},
        {"max_age": "0s"},
        {"tags": {"regex": r"(a)\1"}},
        {"name": "a\x1b[31m"},
        {"max_new": -1},
        {"name": ""},
    ],
)
def test_a_rule_that_cannot_be_so_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rule(**given)


def test_what_only_an_image_tells_is_asked_of_it() -> None:
    image = ImageTraits(type="chat", platforms=("linux/arm64/v8",), created_at=datetime(2026, 1, 1, tzinfo=UTC))
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for keys, why in (
        ({}, ""),
        ({"types": ["chat"], "platforms": ["linux/arm64"], "max_age": "90d"}, ""),
        ({"types": ["embedding"]}, "types: it is chat"),
        ({"platforms": ["linux/amd64"]}, "platforms: it is for linux/arm64/v8"),
        ({"max_age": "30d"}, "max_age: created 2026-01-01, longer ago than 30d"),
    ):
        assert leaves_out_image(rule(**keys), image, now) == why
    nothing = ImageTraits(type="chat")
    assert not leaves_out_image(rule(max_age="1d", platforms=["linux/amd64"]), nothing, now)
    assert leaves_out_image(rule(platforms=["linux/amd64"]), ImageTraits(type="chat", is_index=True), now)


def test_a_hash_tells_what_a_rule_takes_apart_from_when_it_does() -> None:
    one = rule(newest=3)
    assert choosing_hash(one) == choosing_hash(rule(newest=3, every="1h", enabled=False, max_new=1, name="other"))
    assert choosing_hash(one) != choosing_hash(rule(newest=4)) != choosing_hash(rule(newest=4, max_age="1d"))
    assert rule_hash(one) != rule_hash(rule(newest=3, every="1h"))


def test_a_rule_is_shown_as_it_is_written() -> None:
    view = rule_view(rule(tags={"versions": ">=1.3", "exclude": ["*-rtx"]}, newest=3, every="15m", types=["chat"]))
    assert (view.tags, view.every, view.types) == ("versions >=1.3, not *-rtx, newest 3", "15m", ("chat",))
    assert rule_view(rule()).tags == "all"


# ---------------------------------------------------------------- globs


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("nim/meta/*", "nim/meta/llama", True),
        ("nim/meta/*", "nim/meta/a/b", False),
        ("nim/**", "nim/a/b/c", True),
        ("nim/**", "nim", False),
        ("**", "a/b/c", True),
        ("**/*-dev", "a-dev", True),
        ("**/*-dev", "a/b/c-dev", True),
        ("**/*-dev", "a/dev", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a/bz", False),
        ("a**/z", "ab/c/z", True),
        ("?im/*", "nim/x", True),
        ("n?m", "n/m", False),
        ("1.*", "1.", True),
        ("exact.name", "exactxname", False),
        ("*a*b*", "xxaxxbxx", True),
        ("**a*b", "a/ab", True),
    ],
)
def test_globs(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def _as_regex(pattern: str) -> str:
    """The same meaning written as a regular expression, to compare with; it may take very long."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)


NAMES = st.text("ab/-", max_size=12)
PATTERNS = st.lists(st.sampled_from(["a", "b", "-", "/", "*", "?", "**", "/**/"]), max_size=7).map("".join)


@given(PATTERNS, NAMES)
def test_globs_mean_what_their_regular_expression_means(pattern: str, name: str) -> None:
    folders_only_at_starts = re.sub(r"\*{3,}", "**", pattern)
    if re.search(r"[^/]\*\*/", folders_only_at_starts):
        return
    assert matches(folders_only_at_starts, name) == bool(re.fullmatch(_as_regex(folders_only_at_starts), name))


def test_a_hostile_name_takes_no_longer_than_another() -> None:
    assert not matches("*a" * 60 + "b", "a" * 255)
