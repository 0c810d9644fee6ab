"""References are read as the distribution-spec has them, or refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import UsageError
from backend.core.references import DigestPrefix, ImageReference, is_repository, parse_reference, short_digest

_DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ngc/nim/meta/llama:1.3", ImageReference("ngc", "nim/meta/llama", "1.3")),
        (f"nvcr.io/nim/llama@{_DIGEST}", ImageReference("nvcr.io", "nim/llama", None, _DIGEST)),
        (f"127.0.0.1:5000/a/b:t@{_DIGEST}", ImageReference("127.0.0.1:5000", "a/b", "t", _DIGEST)),
        ("[::1]:5000/a:t", ImageReference("[::1]:5000", "a", "t")),
        ("abababababab", DigestPrefix("abababababab")),
        ("sha256:abababababab", DigestPrefix("abababababab")),
    ],
)
def test_reads_what_the_contract_names(text: str, expected: ImageReference | DigestPrefix) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "llama",
        "ngc/llama",
        "ngc/../etc/passwd:1",
        "ngc/Llama:1",
        "ngc/llama:",
        "ngc/llama:a b",
        "ngc/llama@sha256:12",
        "ngc//llama:1",
        "abc",
        "ngc/llama:\x1b[31m",
        "/llama:1",
        "a" * 11,
    ],
)
def test_refuses_the_rest_with_a_reason(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.exit_code == 2
    assert "REGISTRY/repository" in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    if isinstance(reference, ImageReference):
        assert parse_reference(str(reference)) == reference


def test_a_repository_name_has_an_end() -> None:
    assert is_repository("a" * 255)
    assert not is_repository("a" * 256)


def test_short_digest_is_what_commands_take_back() -> None:
    assert parse_reference(short_digest(_DIGEST)) == DigestPrefix("abababababab")
