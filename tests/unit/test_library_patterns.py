"""Regular expressions of rules: what Python means by them, in a time that is bounded."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.library.patterns import Expression


@pytest.mark.parametrize(
    ("expression", "matching", "others"),
    [
        (r"\d+\.\d+", ["1.2", "10.04"], ["1", "1.2-x", "v1.2", ""]),
        (r"v?[0-9.]+(-rtx)?", ["v1.2-rtx", "1"], ["v1.2-", "V1"]),
        (r"(?i)LATEST|nightly", ["latest", "Nightly"], ["late"]),
        (r"(?!.*rc).*", ["1.2", ""], ["1.2-rc1"]),
        (r".*(?<!-dev)", ["1.2", "dev"], ["1.2-dev"]),
        (r"^1\.\w{1,3}$", ["1.abc"], ["1.", "1.abcd"]),
        (r"1\b.*", ["1", "1.2"], ["12"]),
        (r"[^-]*", ["1.2", ""], ["1-2"]),
    ],
)
def test_the_whole_tag_has_to_match(expression: str, matching: list[str], others: list[str]) -> None:
    read = Expression(expression)
    assert [tag for tag in [*matching, *others] if read.matches(tag)] == matching


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("(", "not a regular expression"),
        ("a{99999999999}", "not a regular expression"),
        (r"(a)\1", "bounded time"),
        ("(?>a*)", "bounded time"),
        ("a*+", "bounded time"),
        ("(a)?(?(1)b|c)", "bounded time"),
        ("((a{90}){90}){90}", "too large"),
    ],
)
def test_what_cannot_be_matched_in_bounded_time_is_refused(expression: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Expression(expression)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "expression", ["(a+)+b", "(a|aa)+b", "(a|a?)+b", "(.*)*b", "(?=.*" * 30 + "x" + ")" * 30 + ".*", "(a?){150}a{50}b"]
)
def test_what_makes_other_matchers_hang_does_not(expression: str) -> None:
    assert not Expression(expression).matches("a" * 128)


def test_a_text_that_is_longer_than_any_tag_matches_nothing() -> None:
    assert Expression("a*").matches("a" * 128) and not Expression("a*").matches("a" * 129)


_ATOMS = st.sampled_from(
    ["a", "b", "1", "-", ".",
     "[ab]", "[^a]", r"\d", r"\W", "^", "$", r"\b", r"\B", "(?=a)", "(?!b)", "(?<=a)", "(?<!1)",
     "(?i:A)", r"\."]
)  # fmt: skip
_REPEATS = st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{0,2}?"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, _REPEATS).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    ),
    max_leaves=8,
)


@given(_EXPRESSIONS, st.lists(st.text("abA1-.", min_size=1, max_size=6), max_size=5))
def test_an_expression_means_what_python_means_by_it(expression: str, tags: list[str]) -> None:
    read, compiled = Expression(expression), re.compile(expression)
    assert [read.matches(tag) for tag in tags] == [compiled.fullmatch(tag) is not None for tag in tags]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        Expression(text).matches(text)
    except ValueError as error:
        assert str(error)
