"""Headers as registries really write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.registry.headers import media_type, next_link, parse_challenges, retry_after

NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
QUOTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["Bearer", "Basic", "NTLM"]), st.dictionaries(NAMES, QUOTABLE, min_size=1)),
        max_size=4,
    ),
    st.sampled_from([", ", ",", " , "]),
)
def test_every_well_formed_challenge_is_read_back(challenges: list[tuple[str, dict[str, str]]], comma: str) -> None:
    header = comma.join(
        f"{scheme} {comma.join(f'{name}={quoted(value)}' for name, value in parameters.items())}"
        for scheme, parameters in challenges
    )
    read = parse_challenges([header])
    assert [(c.scheme, c.parameters) for c in read] == [(scheme.lower(), values) for scheme, values in challenges]


@given(st.lists(st.text(max_size=300), max_size=3))
def test_no_header_breaks_the_parser(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        (
            "Bearer realm=https://nvcr.io/proxy_auth?account=a=b,service=nvcr.io,scope=repository:nim/x:pull,push",
            "bearer",
            {
                "realm": "https://nvcr.io/proxy_auth?account=a=b",
                "service": "nvcr.io",
                "scope": "repository:nim/x:pull,push",
            },
        ),
        (
            'Bearer realm="https://r.example/t?x=1&y=2" service="s" scope="repository:a:pull"',
            "bearer",
            {"realm": "https://r.example/t?x=1&y=2", "service": "s", "scope": "repository:a:pull"},
        ),
        ('BEARER Realm = "x" , SERVICE=y', "bearer", {"realm": "x", "service": "y"}),
        ('Basic realm="never closed', "basic", {"realm": "never closed"}),
        ("Basic", "basic", {}),
        ('Bearer realm="first",realm="second"', "bearer", {"realm": "first"}),
    ],
)
def test_loose_challenges_are_read(header: str, scheme: str, parameters: dict[str, str]) -> None:
    read = parse_challenges([header])
    assert [(c.scheme, c.parameters) for c in read] == [(scheme, parameters)]


def test_several_challenges_stand_in_one_header_or_in_several() -> None:
    one = parse_challenges(['Bearer realm="a",scope=repository:x:pull, Basic realm="b"'])
    assert [(c.scheme, c.parameters) for c in one] == [
        ("bearer", {"realm": "a", "scope": "repository:x:pull"}),
        ("basic", {"realm": "b"}),
    ]
    assert [c.scheme for c in parse_challenges(["Negotiate", 'Basic realm="b"'])] == ["negotiate", "basic"]


@pytest.mark.parametrize("filler", ["a", '"', "a,", ", ", "a=", "\\", "(", "a ", 'a="', "a" * 50 + '"'])
def test_a_hostile_header_takes_no_time(filler: str) -> None:
    started = time.process_time()
    parse_challenges([filler * 200_000] * 2)
    next_link([f"<{filler}" * 50_000] * 2)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("values", "target"),
    [
        (['</v2/a/tags/list?n=2&last=b>; rel="next"'], "/v2/a/tags/list?n=2&last=b"),
        (["</v2/a?last=b,c>;rel=next"], "/v2/a?last=b,c"),
        (['</first>; rel="first", </next>; title="a, b"; rel="prev next"'], "/next"),
        (['</first>; rel="first"', "</next>; REL=Next"], "/next"),
        (['</p>; rel="prev"'], None),
        (["</open; rel=next"], None),
        ([""], None),
        ([], None),
    ],
)
def test_the_next_link_is_found_as_written(values: list[str], target: str | None) -> None:
    assert next_link(values) == target


@given(st.lists(st.text(alphabet='<>;,="abrelnxt /', max_size=80), max_size=3))
def test_no_link_breaks_the_parser(values: list[str]) -> None:
    target = next_link(values)
    assert target is None or any(f"<{target}>" in value for value in values)


NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))
def test_a_date_to_retry_after_is_seconds_from_now_and_never_below_zero(naive: datetime) -> None:
    date = naive.replace(microsecond=0, tzinfo=UTC)
    assert retry_after(format_datetime(date, usegmt=True), NOW) == max(0.0, (date - NOW).total_seconds())


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), (" 17 ", 17.0), (None, None), ("soon", None), ("-5", None)])
def test_seconds_to_retry_after(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


def test_an_instant_in_seconds_since_1970_is_no_wait_of_fifty_years() -> None:
    at = int(NOW.timestamp())
    assert retry_after(str(at + 17), NOW) == 17
    assert retry_after(str(at - 17), NOW) == 0
    assert retry_after("999999999", NOW) == 999_999_999


@given(st.text(max_size=80))
def test_no_text_breaks_retry_after(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert seconds is None or seconds >= 0


def test_parameters_of_a_content_type_are_left_out() -> None:
    assert media_type("Application/JSON; charset=utf-8") == "application/json"
    assert media_type(None) == ""
