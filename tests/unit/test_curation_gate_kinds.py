"""Gates on SBOM, weights, benchmarks, compliance and reviews, and to which images and environments gates apply."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.core.views import EvidenceValue, GateView
from backend.curation.config import PolicyConfig
from backend.curation.gates import assess, evaluate
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin
from tests.fakes.curation import DIGEST, NOW, finding, image, policy, report_record

PASS, FAIL = EvidenceValue.PASS, EvidenceValue.FAIL
STALE, UNKNOWN = EvidenceValue.STALE, EvidenceValue.NOT_MEASURED
WHOLE = {
    "labels": {"org.example.owner": "platform", "org.example.residency": "eu"},
    "annotations": {"org.opencontainers.image.licenses": "Apache-2.0"},
    "base": {"name": "docker.io/library/ubuntu:24.04", "digest": f"sha256:{'1' * 64}", "told_by": "annotation"},
    "created": "2026-11-01T00:00:00Z",
    "size": 9_000_000_000,
    "users": ["1000"],
    "root": False,
    "ports": ["8000/tcp"],
}


def record(
    kind: EvidenceKind, payload: Mapping[str, Any], *, state: str = "read", origin: Origin = Origin.REGISTRY,
    measured_at: datetime | None = NOW, **rest: Any,
) -> EvidenceRecord:  # fmt: skip
    return EvidenceRecord(
        id=kind.value, digest=DIGEST, kind=kind, origin=origin, state=state, summary=f"{kind.value} is {state}",
        source="a tool", measured_at=measured_at, collected_at=NOW, payload=dict(payload), **rest,
    )  # fmt: skip


def judge(gate: Mapping[str, Any], *evidence: EvidenceRecord, now: datetime = NOW) -> GateView:
    (view,) = evaluate(policy(None, gate), image(), evidence, now)
    return view


# ---------------------------------------------------------------- SBOM, weights


def test_an_sbom_has_to_be_vouched_for_list_something_and_be_new_enough() -> None:
    gate = {"kind": "sbom", "accept_unsigned": True, "max_age": "7d"}
    sbom = record(EvidenceKind.SBOM, {"packages": 412})
    assert judge(gate) == GateView(kind="sbom", effect="block", value=UNKNOWN, sentence="no SBOM")
    assert judge(gate, sbom).value is PASS and "412 packages" in judge(gate, sbom).sentence
    assert judge({**gate, "accept_unsigned": False}, sbom).value is UNKNOWN
    assert judge({**gate, "accept_unsigned": False, "effect": "warn"}, sbom).value is PASS
    assert judge(gate, record(EvidenceKind.SBOM, {"packages": 0})).value is FAIL
    old = judge(gate, sbom, now=NOW + timedelta(days=8))
    assert old.value is STALE and "8 days old, 1w allowed" in old.sentence


@pytest.mark.parametrize(
    ("gate", "state", "by", "value"),
    [
        ({}, "fixed", "image", PASS),
        ({}, "not fixed", "", FAIL),
        ({"by": ["modelpack", "image"]}, "fixed", "image", PASS),
        ({"by": ["modelpack"]}, "fixed", "storage-uri", FAIL),
    ],
)
def test_weights_have_to_be_fixed_by_what_policy_takes(
    gate: dict[str, Any], state: str, by: str, value: EvidenceValue
) -> None:
    weights = record(EvidenceKind.WEIGHTS, {"fixed_by": by}, state=state, origin=Origin.IMAGE)
    assert judge({"kind": "weights", **gate}, weights).value is value
    assert judge({"kind": "weights", **gate}).value is UNKNOWN


# ---------------------------------------------------------------- benchmarks

TTFT = {"kind": "benchmark", "metric": "ttft_p95", "max": 800, "hardware": ["*H200*"], "accept_unsigned": True}


def results(*told: tuple[str, object, str], **rest: Any) -> EvidenceRecord:
    listed = [
        {"name": name, "value": value, "unit": "ms", "hardware": hardware, "at": "2026-11-19T12:00:00Z"}
        for name, value, hardware in told
    ]
    return record(EvidenceKind.BENCHMARK, {"results": listed}, **rest)


@pytest.mark.parametrize(
    ("told", "value"),
    [
        (("ttft_p95", 650, "NVIDIA H200"), PASS),
        (("ttft_p95", 800.0, "NVIDIA H200"), PASS),
        (("ttft_p95", 801, "NVIDIA H200"), FAIL),
        (("ttft_p95", float("nan"), "NVIDIA H200"), FAIL),
        (("ttft_p95", 100, "NVIDIA L4"), UNKNOWN),
        (("ttft_p95", "fast", "NVIDIA H200"), UNKNOWN),
        (("throughput", 100, "NVIDIA H200"), UNKNOWN),
    ],
)
def test_a_benchmark_counts_for_its_metric_on_its_hardware(told: tuple[str, object, str], value: EvidenceValue) -> None:
    assert judge(TTFT, results(told)).value is value


def test_a_benchmark_says_what_was_measured_on_what_and_grows_stale() -> None:
    view = judge(TTFT, results(("ttft_p95", 650, "NVIDIA H200")))
    assert view.sentence == "ttft_p95 650 ms, at most 800 asked for; on NVIDIA H200"
    late = judge({**TTFT, "max_age": "7d"}, results(("ttft_p95", 650, "NVIDIA H200")), now=NOW + timedelta(days=7))
    assert late.value is STALE and "8 days old" in late.sentence
    unsigned = {**TTFT, "accept_unsigned": False}
    assert judge(unsigned, results(("ttft_p95", 650, "NVIDIA H200"))).value is UNKNOWN
    assert judge(unsigned, results(("ttft_p95", 900, "NVIDIA H200"))).value is FAIL


# ---------------------------------------------------------------- compliance


@pytest.mark.parametrize(
    ("asked", "changes", "value", "told"),
    [
        ({"labels": {"org.example.owner": "*"}}, {}, PASS, "holds"),
        ({"labels": {"org.example.cost": "*"}}, {}, FAIL, "org.example.cost is missing"),
        ({"labels": {"org.example.owner": "sec*"}}, {}, FAIL, "'platform', 'sec*' asked for"),
        ({"annotations": {"org.opencontainers.image.licenses": "Apache-2.0"}}, {}, PASS, ""),
        ({"base_images": ["docker.io/library/ubuntu:*"]}, {}, PASS, ""),
        ({"base_images": ["registry.example/*"]}, {}, FAIL, "docker.io/library/ubuntu:24.04"),
        ({"base_images": ["*"]}, {"base": {}}, UNKNOWN, "base image is not told"),
        ({"max_image_age": "30d"}, {}, PASS, ""),
        ({"max_image_age": "7d"}, {}, FAIL, "made 19 days ago, 1w allowed"),
        ({"max_image_age": "7d"}, {"created": "yesterday"}, UNKNOWN, "not told"),
        ({"max_size": "10GB"}, {}, PASS, ""),
        ({"max_size": "8GiB"}, {}, FAIL, "9.0 GB, 8.6 GB allowed"),
        ({"residency_label": "org.example.residency", "residency": ["eu", "ch"]}, {}, PASS, ""),
        ({"residency_label": "org.example.residency", "residency": ["us"]}, {}, FAIL, "'eu' is not allowed"),
        ({"residency_label": "org.example.where", "residency": ["us"]}, {}, FAIL, "is missing"),
        ({"non_root": True}, {}, PASS, ""),
        ({"non_root": True}, {"root": True}, FAIL, "runs as root"),
        ({"non_root": True}, {"root": None}, UNKNOWN, "not told"),
        ({"ports": ["8000"]}, {}, PASS, ""),
        ({"ports": []}, {}, FAIL, "exposes 8000/tcp"),
        ({"ports": ["8000/udp"]}, {"ports": ["8000/udp"]}, PASS, ""),
        ({"ports": ["8000"]}, {"ports": None}, UNKNOWN, "not told"),
    ],
)
def test_compliance_asks_of_manifest_and_configuration(
    asked: dict[str, Any], changes: dict[str, Any], value: EvidenceValue, told: str
) -> None:
    evidence = record(EvidenceKind.COMPLIANCE, {**WHOLE, **changes}, origin=Origin.IMAGE)
    view = judge({"kind": "compliance", **asked}, evidence)
    assert view.value is value and told in view.sentence
    nothing = judge({"kind": "compliance", **asked})
    assert nothing.value is UNKNOWN and "not looked at yet" in nothing.sentence
    unread = record(EvidenceKind.COMPLIANCE, {}, state="unchecked", origin=Origin.IMAGE)
    assert judge({"kind": "compliance", **asked}, unread).value is UNKNOWN


def test_compliance_names_everything_that_is_wrong_the_failures_first() -> None:
    gate = {"kind": "compliance", "non_root": True, "base_images": ["x"], "max_size": "1GB", "model_card": True}
    view = judge(gate, record(EvidenceKind.COMPLIANCE, {**WHOLE, "base": {}}, origin=Origin.IMAGE))
    assert view.value is FAIL
    assert view.sentence.split("; ")[0] == "9.0 GB, 1.0 GB allowed" and "base image" in view.sentence


@pytest.mark.parametrize(
    ("attestations", "state", "value"),
    [
        ([{"key": "K", "builder": "https://ci.example/1"}], "read", FAIL),
        ([{"fixed": True, "key": "", "builder": "https://ci.example/1"}], "read", PASS),
        ([{"fixed": True, "key": "", "builder": "https://elsewhere.example"}], "read", FAIL),
        ([], "none", FAIL),
        ([], "unchecked", UNKNOWN),
    ],
)
def test_provenance_has_to_be_vouched_for_and_made_by_whom_policy_names(
    attestations: list[dict[str, Any]], state: str, value: EvidenceValue
) -> None:
    gate = {"kind": "compliance", "provenance": True, "builders": ["https://ci.example/*"]}
    evidence = record(EvidenceKind.PROVENANCE, {"attestations": attestations}, state=state)
    assert judge(gate, evidence).value is value
    assert judge(gate).value is UNKNOWN


def test_a_model_card_has_to_be_there() -> None:
    gate = {"kind": "compliance", "model_card": True}
    assert judge(gate, record(EvidenceKind.MODEL_CARD, {"where": "layer"})).value is PASS
    assert judge(gate, record(EvidenceKind.MODEL_CARD, {}, state="none")).value is FAIL
    assert judge(gate).value is UNKNOWN


# ---------------------------------------------------------------- reviews


def test_a_review_counts_once_a_person_and_only_while_it_is_new() -> None:
    gate = {"kind": "review", "people": 2, "accept_unsigned": True, "max_age": "30d"}

    def review(by: str, at: datetime = NOW) -> EvidenceRecord:
        made = record(EvidenceKind.REVIEW, {"link": "x"}, origin=Origin.HANDED_IN, asserted_by=by, measured_at=at)
        return msgspec.structs.replace(made, id=by)

    assert judge(gate).value is UNKNOWN
    assert judge(gate, review("mira"), review("MIRA@corp")).value is UNKNOWN
    both = judge(gate, review("mira"), review("robin"))
    assert both.value is PASS and both.sentence == "reviewed by mira, robin"
    assert judge(gate, review("mira"), review("robin", NOW - timedelta(days=31))).value is STALE


# ---------------------------------------------------------------- what gates apply to, and VEX


def test_a_gate_of_one_environment_judges_what_is_approved_for_it_or_for_any() -> None:
    draft = policy(
        None,
        {"kind": "weights", "applies": {"environments": ["production"]}},
        environment=[{"name": "production", "contexts": ["prod-*"]}, {"name": "lab"}],
    )
    assert len(evaluate(draft, image(), (), NOW)) == 1
    assert len(evaluate(draft, image(), (), NOW, environment="production")) == 1
    assert evaluate(draft, image(), (), NOW, environment="lab") == ()
    assert draft.environment_of("prod-eu", "llm") == "production" and draft.environment_of("dev", "x") == "lab"


def test_vex_takes_findings_off_once_and_only_where_it_is_trusted() -> None:
    report = report_record(finding("CVE-1"), finding("CVE-2"))
    said = [{"status": "not_affected", "key": "", "by": "vex"}]
    overlaid = msgspec.structs.replace(
        report,
        payload={**report.payload, "vex": [{"id": "CVE-1", "severity": "critical", "count": 1, "said": said}]},
    )
    gate = {"kind": "vulnerabilities", "max_critical": 1, "accept_unsigned": True}
    view = judge(gate, overlaid)
    assert view.value is PASS and "1 critical (1 more excused by VEX), 1 allowed" in view.sentence
    (both,) = evaluate(
        policy(None, gate), image(), [overlaid], NOW, {"report": {"critical": 1}}, waived_names={"CVE-1"}
    )
    assert "1 critical (1 more waived), 1 allowed" in both.sentence


@pytest.mark.parametrize(
    "gate",
    [
        {"kind": "benchmark", "metric": "ttft"},
        {"kind": "benchmark", "metric": "ttft", "min": 2, "max": 1},
        {"kind": "compliance"},
        {"kind": "compliance", "residency_label": "x"},
        {"kind": "compliance", "builders": ["x"]},
        {"kind": "compliance", "max_size": "big"},
        {"kind": "review"},
        {"kind": "weights", "by": ["magic"]},
        {"kind": "weights", "applies": {"environments": ["nowhere"]}},
    ],
)
def test_a_gate_that_asks_for_nothing_or_nonsense_is_refused(gate: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicyConfig.model_validate({"gate": [gate]})


# ---------------------------------------------------------------- until when a verdict holds

KINDS = [
    {"kind": "vulnerabilities", "max_critical": 0, "max_age": "7d", "accept_unsigned": True},
    {"kind": "sbom", "accept_unsigned": True, "max_age": "3d"},
    {"kind": "compliance", "max_image_age": "30d"},
    TTFT,
]


@given(st.integers(0, 40 * 24 * 60), st.integers(0, 40 * 24 * 60))
def test_what_gates_say_holds_until_the_instant_that_they_name(age: int, later: int) -> None:
    draft = policy(None, *KINDS)
    measured = NOW - timedelta(minutes=age)
    evidence = [
        report_record(measured_at=measured, database_at=measured),
        record(EvidenceKind.SBOM, {"packages": 3}, measured_at=measured),
        record(EvidenceKind.COMPLIANCE, WHOLE, origin=Origin.IMAGE),
        results(("ttft_p95", 650, "NVIDIA H200")),
    ]
    said, until = assess(draft, image(), evidence, NOW)
    then = NOW + timedelta(minutes=later)
    if until is None or then < until:
        assert evaluate(draft, image(), evidence, then) == said
    else:
        assert until > NOW
