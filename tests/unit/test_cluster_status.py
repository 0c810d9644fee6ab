"""What a real API server's refusals become, from recorded answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.status import error_of
from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    AuthenticationError,
    ConflictError,
    ModelyardError,
    NotFoundError,
    NotInstalledError,
    UnreachableError,
)
from tests.fakes.cluster_server import wire_exchanges

EXPECTED: dict[str, tuple[type[ModelyardError], int, str]] = {
    "08-unauthorized-expired-token": (AuthenticationError, 6, "refused our credentials"),
    "09-forbidden-viewer-apply": (
        AccessDeniedError,
        3,
        "let viewer patch inferenceservices.serving.kserve.io in namespace llm-prod",
    ),
    "16-apply-conflict": (ConflictError, 4, ".spec.predictor.maxReplicas is managed by kubectl-edit"),
    "18-apply-unknown-field": (AdmissionError, 3, ".spec.predictor.minReplica: field not declared in schema"),
    "19-apply-wrong-type": (AdmissionError, 3, ".spec.predictor.minReplicas: expected numeric"),
    "20-apply-bad-name": (AdmissionError, 3, "metadata.name: Invalid value"),
    "21-apply-namespace-missing": (NotFoundError, 5, 'namespaces "nowhere" not found'),
    "22-get-not-found": (NotFoundError, 5, '"none" not found'),
    "23-delete-forbidden": (AccessDeniedError, 3, "let operator delete inferenceservices.serving.kserve.io"),
    "36-pod-log-unreachable": (UnreachableError, 6, "no preferred addresses found"),
    "38-pod-proxy-forbidden": (AccessDeniedError, 3, "let operator get pods/proxy in namespace llm-prod"),
    "41-admission-denied": (AdmissionError, 3, "image is not in the approved model library: docker.io/evil/llm"),
    "43-delete-stale-precondition": (ConflictError, 4, "changed since it was read"),
    "55-api-group-not-installed": (NotInstalledError, 5, "does not have this kind"),
    "56-list-forbidden-namespace-secrets": (AccessDeniedError, 3, "let operator list secrets in namespace llm-prod"),
    "60-apply-stale-resource-version": (ConflictError, 4, "changed since it was read"),
    "61-apply-wrong-uid": (ConflictError, 4, "deleted and made again"),
}


def _body(exchange: dict[str, Any]) -> bytes:
    body = exchange["response"]["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def test_recorded_refusals_become_the_errors_that_a_user_meets(shared: Path) -> None:
    exchanges = dict(wire_exchanges(shared))
    for name, (kind, exit_code, words) in EXPECTED.items():
        error = error_of(exchanges[name]["response"]["status"], _body(exchanges[name]), "apply of x")
        assert type(error) is kind, f"{name}: {error!r}"
        assert error.exit_code == exit_code
        assert words in error.why, f"{name}: {error.why}"


def test_every_recorded_refusal_becomes_an_error(shared: Path) -> None:
    for name, exchange in wire_exchanges(shared):
        if exchange["response"]["status"] >= 400:
            error = error_of(exchange["response"]["status"], _body(exchange), name)
            assert error.why
            assert error.action


def test_a_conflict_tells_each_field_with_its_manager(shared: Path) -> None:
    exchange = dict(wire_exchanges(shared))["16-apply-conflict"]
    error = error_of(409, _body(exchange), "apply of x")
    assert isinstance(error, ConflictError)
    assert error.conflicts == (".spec.predictor.maxReplicas is managed by kubectl-edit",)


@pytest.mark.parametrize("code", [400, 403])
def test_a_webhook_is_named_with_what_it_says(code: int) -> None:
    status = {
        "kind": "Status",
        "code": code,
        "reason": "BadRequest",
        "message": 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '
        "minReplicas cannot be greater than maxReplicas",
    }
    error = error_of(code, json.dumps(status).encode(), "apply of x")
    assert isinstance(error, AdmissionError)
    assert error.why.startswith("minReplicas cannot be greater than maxReplicas (webhook inferenceservice")


def test_an_answer_of_a_login_page_is_told_as_such() -> None:
    error = error_of(400, b"<html><title>Sign in\x1b[2J</title>", "list of pods")
    assert "no Kubernetes Status" in error.why
    assert "\x1b" not in error.why


@given(st.integers(400, 599), st.binary(max_size=200))
def test_no_answer_breaks_the_reading(code: int, body: bytes) -> None:
    assert isinstance(error_of(code, body, "x"), ModelyardError)


@given(
    st.integers(400, 599),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["message", "reason", "details", "causes", "field", "x"]), inner, max_size=4
            )
        ),
        max_leaves=10,
    ),
)
def test_no_status_breaks_the_reading(code: int, details: Any) -> None:
    body = json.dumps({"kind": "Status", "message": "no", "details": details}).encode()
    assert error_of(code, body, "x").what == "x"
