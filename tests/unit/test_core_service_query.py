"""Filters of services by words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.service_query import FIELDS, complete_query, parse_query
from backend.core.views import ServiceMetricsView, ServiceView, Verdict
from tests.fakes import screen_data as data

SERVICE = data.service("llm-prod", "llama-70b", Verdict.SLOW_TO_LOAD, approved=False, gpus=16, runtime="nim-1.8")


@pytest.mark.parametrize(
    ("typed", "keeps"),
    [
        ("", True),
        ("verdict:slow", True),
        ("verdict:slow-to-load", True),
        ("verdict:FAILED,slow", True),
        ("verdict:failed", False),
        ("-verdict:failed", True),
        ("approved:no ns:llm-prod", True),
        ("approved:no ns:llm-dev", False),
        ("namespace:llm-*", True),
        ("ns:*dev", False),
        ("image:nim/meta", True),
        ("image:vllm", False),
        ("gpu:h100", True),
        ("gpu:16", True),
        ("gpu:none", False),
        ("owner:none", True),
        ("live:yes", True),
        ("slow:no", True),
        ("verdict:", True),
        ("approved:no anything else", True),
    ],
)
def test_a_word_asks_of_a_field(typed: str, keeps: bool) -> None:
    assert parse_query(typed).keeps(SERVICE) is keeps


def test_what_names_no_field_is_left() -> None:
    query = parse_query("llama verdict:failed .*70b")
    assert (query.rest, len(query.terms), query.unknown) == ("llama .*70b", 1, ())
    odd = parse_query("nvcr.io/nim:1.8 colour:red")
    assert (odd.rest, odd.terms, odd.unknown) == ("nvcr.io/nim:1.8 colour:red", (), ("colour",))
    assert parse_query("a  b").rest == "a  b"


def test_slow_is_asked_of_what_is_measured() -> None:
    slow = ServiceMetricsView(namespace="n", service="s", replicas=1, slow="TTFT 2.9s > 0.8s")
    assert parse_query("slow:yes").keeps(SERVICE, slow)
    assert not parse_query("slow:yes").keeps(SERVICE)


def test_completion_offers_fields_and_what_is_there() -> None:
    values = {"verdict": ("failed", "serving"), "ns": ("llm-dev",)}
    assert complete_query("llama ver", values) == ["llama verdict:"]
    assert complete_query("-verdict:f", values) == ["-verdict:failed"]
    assert complete_query("approved:", values) == ["approved:no", "approved:unknown", "approved:yes"]
    assert complete_query("", values) == []


@given(st.text())
def test_nothing_that_can_be_typed_breaks_it(typed: str) -> None:
    parse_query(typed).keeps(SERVICE)
    complete_query(typed, {})


@given(st.sampled_from(FIELDS), st.sampled_from(["*", "?", "[", "(", "\\", "."]))
def test_values_are_no_expressions(field: str, value: str) -> None:
    assert not parse_query(f"{field}:{value}zzz").keeps(SERVICE) or value == "*"


def test_every_verdict_can_be_asked_for() -> None:
    for verdict in Verdict:
        service: ServiceView = data.service("n", "s", verdict)
        assert parse_query(f"verdict:{verdict.value.replace(' ', '-')}").keeps(service)
