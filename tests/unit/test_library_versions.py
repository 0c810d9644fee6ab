"""Versions in tags: what a rule takes, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from backend.library.versions import Specifiers, TagVersion, order_key, parse_tag_version


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("1.3.0", TagVersion((1, 3, 0))),
        ("v1.10", TagVersion((1, 10))),
        ("1.3.1-rtx", TagVersion((1, 3, 1), variant="rtx")),
        ("v0.27.1-ubuntu2404", TagVersion((0, 27, 1), variant="ubuntu2404")),
        ("25.04-trtllm-python-py3", TagVersion((25, 4), variant="trtllm-python-py3")),
        ("2.0.0-rc1", TagVersion((2, 0, 0), 3, 1)),
        ("1.2.0rc1", TagVersion((1, 2, 0), 3, 1)),
        ("1.2.0b2", TagVersion((1, 2, 0), 2, 2)),
        ("1.2.0-beta.3-ubuntu", TagVersion((1, 2, 0), 2, 3, variant="ubuntu")),
        ("1.2.0-ubuntu-RC2", TagVersion((1, 2, 0), 3, 2, variant="ubuntu")),
        ("1.2.0.dev4", TagVersion((1, 2, 0), 0, 4)),
        ("1.2.0-nightly20260101", TagVersion((1, 2, 0), 0, 20260101)),
        ("1.2.0.post1", TagVersion((1, 2, 0), post=1)),
        ("1.3.0-a100", TagVersion((1, 3, 0), variant="a100")),
        ("1.3.0-b200", TagVersion((1, 3, 0), variant="b200")),
        ("1.3.0-devel", TagVersion((1, 3, 0), variant="devel")),
        ("1.3.0-predictor", TagVersion((1, 3, 0), variant="predictor")),
        ("12", TagVersion((12,))),
    ],
)
def test_real_tags_are_taken_apart(tag: str, version: TagVersion) -> None:
    assert parse_tag_version(tag) == version


@pytest.mark.parametrize("tag", ["nightly", "latest", "70b", "70b-instruct", "7f3e2a1", "cu121-1.2", "", "v", "-1.2"])
def test_a_tag_that_starts_with_no_version_has_none(tag: str) -> None:
    assert parse_tag_version(tag) is None


@pytest.mark.parametrize(
    ("specifiers", "taken", "left_out"),
    [
        (">=1.3", ["1.3.0", "1.3.1-rtx", "v1.10", "2"], ["2.0.0-rc1", "1.2.9", "nightly", "1.3.0-rc1"]),
        (">=1.3,<3", ["1.3", "2.99-x"], ["3", "3.0.0-rtx", "3.0.0-rc1"]),
        (">=2.0.0rc1", ["2.0.0-rc1", "2.0.0", "2.1.0-beta1"], ["2.0.0-beta1", "1.9"]),
        ("==1.3.*", ["1.3", "1.3.9-rtx"], ["1.4", "1.30"]),
        ("~=1.3", ["1.3", "1.9-rtx"], ["2.0", "1.2"]),
        ("!=1.3.1", ["1.3.0"], ["1.3.1", "1.3.1-rtx", "v1.3.1"]),
        ("===1.3.1-rtx", ["1.3.1-rtx"], ["1.3.1", "v1.3.1-rtx"]),
        ("", ["1", "99.0-x"], ["1rc1", "latest"]),
    ],
)
def test_a_specifier_list_reads_as_pip_does(specifiers: str, taken: list[str], left_out: list[str]) -> None:
    reader = Specifiers(specifiers)
    assert [tag for tag in taken + left_out if reader.takes(tag)] == taken
    assert all(reader.why_not(tag) for tag in left_out)


@pytest.mark.parametrize("text", [">=", "1.3", ">=x", ">=1.3.0-rtx", "; import os"])
def test_what_is_no_specifier_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Specifiers(text)


def test_tags_order_by_version_not_by_text() -> None:
    tags = ["1.10.0", "latest", "1.9.0", "2.0.0-rc1", "1.9.0-rtx", "2.0.0", "v1.8", "2.0.0-beta1", "1.10.0.post1"]
    assert sorted(tags, key=order_key) == [
        "latest", "v1.8", "1.9.0-rtx", "1.9.0", "1.10.0", "1.10.0.post1", "2.0.0-beta1", "2.0.0-rc1", "2.0.0",
    ]  # fmt: skip


TAGS = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,40}", fullmatch=True) | st.from_regex(
    r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}([-.]?(rc|alpha|beta|dev|post|a|b)[0-9]{0,2})?(-[a-z0-9]{1,6})?", fullmatch=True
)
RELEASES = st.lists(st.integers(0, 300), min_size=1, max_size=4).map(lambda numbers: ".".join(map(str, numbers)))


@given(st.text())
def test_any_text_is_read_without_failing(text: str) -> None:
    parse_tag_version(text)
    order_key(text)
    Specifiers(">=1").takes(text)


@given(TAGS)
def test_a_version_is_one_of_pep_440_and_reads_back_the_same(tag: str) -> None:
    found = parse_tag_version(tag)
    assume(found is not None)
    assert found is not None
    public = Version(found.public)
    assert public.release == found.release
    assert public.is_prerelease == found.is_prerelease
    again = parse_tag_version(found.public)
    assert again is not None
    assert (again.release, again.phase, again.post) == (found.release, found.phase, found.post)


@given(TAGS, TAGS)
def test_the_order_is_that_of_pep_440_where_releases_differ(one: str, other: str) -> None:
    first, second = parse_tag_version(one), parse_tag_version(other)
    assume(first is not None and second is not None)
    assert first is not None and second is not None
    assume(first.post == second.post == -1)
    if Version(first.public) < Version(second.public):
        assert order_key(one) < order_key(other)


@given(RELEASES, RELEASES, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~="]), st.sampled_from(["", "-rtx"]))
def test_releases_compare_as_packaging_compares_them(tag: str, bound: str, operator: str, variant: str) -> None:
    assume(operator != "~=" or "." in bound)
    expected = SpecifierSet(f"{operator}{bound}").contains(tag)
    assert Specifiers(f"{operator}{bound}").takes(tag + variant) == expected
