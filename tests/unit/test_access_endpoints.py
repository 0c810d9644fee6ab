"""Where a service is reached, and what only looks as if it were."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.access.endpoints import endpoints
from backend.cluster.kserve_objects import InferenceService

INSIDE = "http://llama-predictor.llm-prod.svc.cluster.local"
OUTSIDE = "http://llama-llm-prod.example.com"
SECOND = "http://llama-predictor-llm-prod.example.com"


def service(status: dict[str, Any] | None = None, **metadata: Any) -> InferenceService:
    return msgspec.convert(
        {"metadata": {"name": "llama", "namespace": "llm-prod", **metadata}, "status": status}, InferenceService
    )


def shown(found: InferenceService, mode: str = "Standard", domain: str = "") -> list[tuple[str, str]]:
    return [(view.scope, view.url) for view in endpoints(found, mode, domain)]


@pytest.mark.parametrize(
    ("mode", "inside"),
    [
        ("Standard", INSIDE),
        ("RawDeployment", INSIDE),
        ("Knative", "http://llama.llm-prod.svc.cluster.local"),
        ("Serverless", "http://llama.llm-prod.svc.cluster.local"),
    ],
)
def test_before_its_status_tells_kserves_rule_does(mode: str, inside: str) -> None:
    (view,) = endpoints(service(), mode)
    assert (view.scope, view.protocol, view.url) == ("inside", "http", inside)
    assert "rule" in view.note


def test_the_status_tells_inside_outside_and_the_second_way_in() -> None:
    found = service(
        {
            "url": OUTSIDE,
            "address": {"url": INSIDE},
            "components": {"predictor": {"url": SECOND, "grpcUrl": "llama-predictor-grpc-llm-prod.example.com"}},
        }
    )
    views = endpoints(found, "Standard", "example.com")
    assert [(view.scope, view.protocol, view.url) for view in views] == [
        ("inside", "http", INSIDE),
        ("outside", "http", OUTSIDE),
        ("outside", "http", SECOND),
        ("outside", "grpc", "grpc://llama-predictor-grpc-llm-prod.example.com"),
    ]
    assert "policy" in views[2].note
    assert views[0].note == views[1].note == ""


def test_a_private_service_has_no_outside_whatever_its_status_says() -> None:
    found = service(
        {"url": OUTSIDE, "components": {"predictor": {"url": SECOND}}},
        labels={"networking.kserve.io/visibility": "cluster-local"},
    )
    assert shown(found, domain="example.com") == [("inside", INSIDE)]


def test_an_address_of_the_cluster_is_inside_wherever_it_is_told() -> None:
    assert shown(service({"url": INSIDE, "components": {"predictor": {"url": INSIDE}}})) == [("inside", INSIDE)]


def test_with_the_ingress_domain_the_outside_address_is_known_beforehand() -> None:
    assert shown(service(), domain="example.com") == [("inside", INSIDE), ("outside", OUTSIDE)]
    assert shown(service({"url": OUTSIDE}), domain="example.com") == [("inside", INSIDE), ("outside", OUTSIDE)]


def test_a_stopped_service_answers_nowhere() -> None:
    found = service({"url": OUTSIDE}, annotations={"serving.kserve.io/stop": "true"})
    assert [view.note for view in endpoints(found, "Standard")] == ["stopped: nothing answers here"] * 2


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "http://", "http://[::1", "\x1b[31m"])
def test_what_is_no_address_is_not_shown(url: str) -> None:
    views = endpoints(service({"url": url, "address": {"url": url}}), "Standard")
    assert [view.url for view in views if view.scope == "inside"] == [INSIDE]
    assert all(view.url.startswith(("http://", "https://", "grpc://")) for view in views)


@given(st.text(max_size=40), st.text(max_size=40), st.booleans())
def test_no_status_breaks_the_addresses(url: str, grpc: str, private: bool) -> None:
    labels = {"networking.kserve.io/visibility": "cluster-local"} if private else {}
    found = service({"url": url, "components": {"predictor": {"grpcUrl": grpc}}}, labels=labels)
    views = endpoints(found, "Standard")
    assert len({view.url for view in views}) == len(views)
    assert not private or all(view.scope == "inside" for view in views)
