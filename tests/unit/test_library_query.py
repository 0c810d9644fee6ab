"""The language that the library is searched in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import UsageError
from backend.library.query import LONGEST, VALUES, Term, completions, is_digest_prefix, name_and_digest, parse, words_of


def terms(text: str) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(term.key, term.values, term.negated) for term in parse(text).terms]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  \t ", []),
        ("LLaMA 1.3", [("", ("llama",), False), ("", ("1.3",), False)]),
        ("type:chat", [("type", ("chat",), False)]),
        ("Type:Chat,EMBEDDING", [("type", ("chat", "embedding"), False)]),
        ("-type:chat -rtx", [("type", ("chat",), True), ("", ("rtx",), True)]),
        ('"a b"', [("", ("a b",), False)]),
        ('"-"', [("", ("-",), False)]),
        ('registry:"my own"', [("registry", ("my own",), False)]),
        ('"foo:bar"', [("", ("foo:bar",), False)]),
        ("127.0.0.1:5000/a", [("", ("127.0.0.1:5000/a",), False)]),
        ("localhost:5000/a", [("", ("localhost:5000/a",), False)]),
        ("llama-3:1.8", [("", ("llama-3:1.8",), False)]),
        ("sha256:0a1b2c", [("", ("sha256:0a1b2c",), False)]),
        ("repository:x license:mit type:reranker", [
            ("repo", ("x",), False), ("licence", ("mit",), False), ("type", ("reranking",), False)]),
        ('""', []),
        ("a\x00b\x1b[31m", [("", ("a",), False), ("", ("b",), False), ("", ("[31m",), False)]),
    ],
)  # fmt: skip
def test_queries_are_read(text: str, found: list[tuple[str, tuple[str, ...], bool]]) -> None:
    assert terms(text) == found


@pytest.mark.parametrize(
    ("text", "operator", "amount"),
    [
        ("size:<20GB", "<", 20_000_000_000), ("size:>=1.5GiB", ">=", 1_610_612_736), ("size:=7", "=", 7),
        ("size:<=500mb", "<=", 500_000_000), ("size:<1e", "", 0), ("moved:7d", "", 604_800),
        ("new:90m", "", 5400), ("new:2w", "", 1_209_600),
    ],
)  # fmt: skip
def test_sizes_and_times_are_read(text: str, operator: str, amount: int) -> None:
    if not amount:
        with pytest.raises(UsageError, match="size:<20GB"):
            parse(text)
        return
    (term,) = parse(text).terms
    assert (term.operator, term.amount) == (operator, amount)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("typ:chat", "write type:"), ("type:chta", "write type:chat"), ("type:zzz", "chat, completion"),
        ("type:", "type:chat"), ("approved:maybe", "approved: with yes, no"), ("size:20", "size:<20GB"),
        ("moved:yesterday", "moved:7d"), ("moved:0d", "moved:7d"), ("new:99999999999d", "new:7d"),
        ("digest:xyz", "hexadecimal"), ("registry:", "registry:ngc"), ("zzzzz:1", "keys are type, framework"),
        ("-", "write -word"), ("llama - chat", "write -word"), ('-""', "write -word"),
        ('"unclosed', 'write "unclosed"'), ('registry:"my own', 'write "my own"'), ('"', 'write "two words"'),
        ("state:done", "candidate"), ("a " * 40, "fewer"), ("a" * (LONGEST + 1), "write less"), ("type:,", "type:chat"),
    ],
)  # fmt: skip
def test_what_is_not_understood_tells_what_to_write(text: str, instead: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(text)
    assert instead in str(told.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except UsageError as error:
        assert error.action
        return
    assert all(term.values or term.amount for term in query.terms)
    assert all(term.key in VALUES or not term.key for term in query.terms)


_WORD = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters='":'), min_size=1, max_size=12)


@given(st.lists(_WORD.filter(lambda word: not word.startswith("-") and word.isprintable()), max_size=8))
def test_words_come_back_in_lower_case(words: list[str]) -> None:
    query = parse(" ".join(words))
    assert query.terms == tuple(Term("", (word.casefold(),)) for word in words)
    assert words_of(query) == tuple(word.casefold() for word in words)


@given(st.sampled_from(sorted(VALUES)), st.integers(0, 5))
def test_every_completion_can_be_read(key: str, position: int) -> None:
    for offer in completions(f"{key}:", len(key) + 1, {"registry": ["ngc", "my own"]}):
        assert parse(offer.text).terms[0].key == key
    for offer in completions(key[:position], position):
        assert offer.text.endswith(":") and offer.text.startswith(key[:position]) and offer.hint


def test_completions_are_of_the_term_at_the_cursor() -> None:
    assert [offer.text for offer in completions("llama ty x", 8)] == ["type:"]
    assert [(offer.start, offer.end) for offer in completions("llama ty x", 8)] == [(6, 8)]
    assert [offer.text for offer in completions("-type:em", 8)] == ["type:embedding"]
    assert [offer.start for offer in completions("-type:em", 8)] == [1]
    assert "type:chat,embedding" in [offer.text for offer in completions("type:chat,e", 11)]
    assert [offer.text for offer in completions("registry:n", 10, {"registry": ["ngc", "hub"]})] == ["registry:ngc"]
    assert completions("nothing:x", 9) == ()
    assert completions("", 99)[0].text == "type:"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30), st.sampled_from(["", "sha256:"]))
def test_a_reference_with_a_digest_has_two_parts(name: str, algorithm: str) -> None:
    assert name_and_digest(f"{name}@{algorithm}0a1b2c") == (name, f"{algorithm}0a1b2c")
    assert name_and_digest(f"{name}@{algorithm}0a1b") is None


def test_of_a_reference_with_a_digest_the_name_is_marked() -> None:
    assert words_of(parse("ngc/llama@sha256:0a1b2c @sha256:0a1b2c")) == ("ngc/llama", "sha256:0a1b2c")


def test_digest_prefixes() -> None:
    assert is_digest_prefix("0a1b2c") and is_digest_prefix("sha256:0a1b2c")
    assert not is_digest_prefix("0a1b2") and not is_digest_prefix("0a1b2g") and not is_digest_prefix("llama")
