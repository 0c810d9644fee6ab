"""What gates say: pass, fail, not measured, stale; and that absence never passes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.core.views import EvidenceValue, GateView
from backend.curation.config import PolicyConfig, RoleConfig, roles_of
from backend.curation.gates import evaluate
from backend.curation.policy import Policy, load_policy
from backend.evidence import documents, sbom
from backend.evidence.documents import Provenance
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin
from tests.fakes.curation import (
    DIGEST,
    NOW,
    component,
    cyclonedx,
    finding,
    image,
    key_pair,
    policy,
    report_record,
)
from tests.fakes.ports import NumberedIds

KEY = key_pair().public.fingerprint
OTHER_KEY = key_pair("rsa", "other").public.fingerprint
SCAN = {"kind": "vulnerabilities", "max_critical": 0, "max_high": 1, "max_age": "7d"}
LICENCES = {"kind": "licence", "allow": ["Apache-2.0", "LicenseRef-NVIDIA-*"]}
SIGNED = {"kind": "signature", "keys": ["platform.pub"]}


def one(judged: tuple[GateView, ...]) -> GateView:
    (view,) = judged
    return view


@pytest.fixture
def signed_policy(tmp_path: Path) -> Policy:
    return policy(tmp_path, SIGNED, SCAN, LICENCES, keys=[key_pair()])


def signature_record(state: str, key: str = "", tried: tuple[str, ...] = (KEY,), **changes: Any) -> EvidenceRecord:
    signatures = [] if state in {"none", "unchecked"} else [{"state": state, "key": key, "key_name": "platform"}]
    record = EvidenceRecord(
        id="signature", digest=DIGEST, kind=EvidenceKind.SIGNATURE, origin=Origin.REGISTRY, state=state,
        summary=f"it is {state}", source="attached in the registry", key=key, collected_at=NOW,
        payload={"signatures": signatures, "tried": list(tried), "failures": []},
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def licence_records(
    declared: str = "", *components: dict[str, Any], key: str = KEY, sbom_licence: str | None = None
) -> list[EvidenceRecord]:
    ids = NumberedIds()
    own = Provenance(digest=DIGEST, origin=Origin.IMAGE, how="part of the image", at=NOW)
    facts = image(annotations={"org.opencontainers.image.licenses": declared})
    records = [documents.of_declarations(facts, own, ids)]
    if components or sbom_licence:
        document = msgspec.json.encode(cyclonedx(*components, licence=sbom_licence))
        attested = Provenance(digest=DIGEST, origin=Origin.REGISTRY, how="attested", key=key, at=NOW)
        records += documents.of_sbom(sbom.read(document), attested, ids)
    return records


def test_without_any_evidence_no_gate_passes(signed_policy: Policy) -> None:
    views = evaluate(signed_policy, image(), [], NOW)
    assert [view.value for view in views] == [EvidenceValue.NOT_MEASURED] * 3
    assert all(view.blocks and view.sentence for view in views)
    assert [view.kind for view in views] == ["signature", "vulnerabilities", "licence"]


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize(
    ("state", "key", "value", "told"),
    [
        ("verified", KEY, EvidenceValue.PASS, "key platform"),
        ("verified", OTHER_KEY, EvidenceValue.FAIL, "none of the keys"),
        ("invalid", "", EvidenceValue.FAIL, "invalid"),
        ("present", "", EvidenceValue.NOT_MEASURED, "present, not verified"),
        ("none", "", EvidenceValue.FAIL, "none"),
        ("unchecked", "", EvidenceValue.NOT_MEASURED, "unchecked"),
    ],
    # The keys are made anew in every process: their fingerprints must not be part of a test's name.
    ids=["verified", "verified-by-another-key", "invalid", "present", "none", "unchecked"],
)
def test_the_states_of_a_signature_stay_apart(
    tmp_path: Path, state: str, key: str, value: EvidenceValue, told: str
) -> None:
    gate = policy(tmp_path, SIGNED, keys=[key_pair()])
    view = one(evaluate(gate, image(), [signature_record(state, key)], NOW))
    assert view.value is value and told in view.sentence


def test_a_key_that_was_added_since_has_to_be_tried_first(tmp_path: Path) -> None:
    gate = policy(tmp_path, SIGNED, keys=[key_pair()])
    view = one(evaluate(gate, image(), [signature_record("invalid", tried=(OTHER_KEY,))], NOW))
    assert view.value is EvidenceValue.NOT_MEASURED and "key platform" in view.sentence


def test_a_signature_last_checked_too_long_ago_is_stale(tmp_path: Path) -> None:
    gate = policy(tmp_path, {**SIGNED, "max_age": "7d"}, keys=[key_pair()])
    old = signature_record("verified", KEY, collected_at=NOW - timedelta(days=8))
    view = one(evaluate(gate, image(), [old], NOW))
    assert view.value is EvidenceValue.STALE and "8 days" in view.sentence and "1w" in view.sentence


# ---------------------------------------------------------------- vulnerabilities


def test_the_sentence_tells_counts_limits_and_ages(signed_policy: Policy) -> None:
    report = report_record(finding("CVE-1"), finding("CVE-2"), key=KEY, measured_at=NOW - timedelta(days=3))
    view = evaluate(signed_policy, image(), [report], NOW)[1]
    assert view.value is EvidenceValue.FAIL
    assert view.sentence == "2 critical, 0 allowed, 0 high, 1 allowed; report 3 days old, database age unknown"


@pytest.mark.parametrize(
    ("days", "database", "value"),
    [(3, 1, EvidenceValue.PASS), (7, None, EvidenceValue.PASS), (8, 2, EvidenceValue.STALE)],
)
def test_a_report_passes_until_it_is_too_old(
    signed_policy: Policy, days: int, database: int | None, value: EvidenceValue
) -> None:
    built = NOW - timedelta(days=database) if database is not None else None
    report = report_record(finding(severity="high"), key=KEY, measured_at=NOW - timedelta(days=days), database_at=built)
    view = evaluate(signed_policy, image(), [report], NOW)[1]
    assert view.value is value
    assert ("database age unknown" in view.sentence) is (database is None)


def test_an_old_report_with_too_many_findings_fails_and_is_not_merely_stale(signed_policy: Policy) -> None:
    report = report_record(finding(), key=KEY, measured_at=NOW - timedelta(days=90))
    assert evaluate(signed_policy, image(), [report], NOW)[1].value is EvidenceValue.FAIL


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"measured_at": None}, "age unknown"),
        ({"measured_at": NOW + timedelta(days=1)}, "dated in the future"),
        ({"targets": 0}, "no packages to look at"),
    ],
)
def test_a_report_that_proves_nothing_does_not_pass(signed_policy: Policy, changes: dict[str, Any], told: str) -> None:
    view = evaluate(signed_policy, image(), [report_record(key=KEY, **changes)], NOW)[1]
    assert view.value is EvidenceValue.NOT_MEASURED and told in view.sentence


@pytest.mark.parametrize(
    "unsigned",
    [
        {"origin": Origin.HANDED_IN, "asserted_by": "mira"},
        {"key": ""},
        {"key": "sha256:of a key that policy no longer names"},
    ],
)
def test_a_report_nobody_vouches_for_can_fail_a_gate_and_passes_only_where_policy_says_so(
    tmp_path: Path, unsigned: dict[str, Any]
) -> None:
    def value(gate: dict[str, Any], report: EvidenceRecord) -> EvidenceValue:
        return evaluate(policy(tmp_path, SIGNED, gate, keys=[key_pair()]), image(), [report], NOW)[1].value

    clean, bad = report_record(**unsigned), report_record(finding(), **unsigned)
    assert value(SCAN, clean) is EvidenceValue.NOT_MEASURED
    assert value(SCAN, bad) is EvidenceValue.FAIL
    assert value({**SCAN, "accept_unsigned": True}, clean) is EvidenceValue.PASS
    assert value({**SCAN, "effect": "warn"}, clean) is EvidenceValue.PASS


def test_a_scan_of_the_yard_passes_only_where_policy_takes_scans(tmp_path: Path) -> None:
    scan = report_record(origin=Origin.SCANNED, asserted_by="mira")
    assert one(evaluate(policy(tmp_path, SCAN), image(), [scan], NOW)).value is EvidenceValue.NOT_MEASURED
    taking = policy(tmp_path, {**SCAN, "accept_scans": True})
    assert one(evaluate(taking, image(), [scan], NOW)).value is EvidenceValue.PASS
    handed_in = msgspec.structs.replace(scan, origin=Origin.HANDED_IN)
    assert one(evaluate(taking, image(), [handed_in], NOW)).value is EvidenceValue.NOT_MEASURED


def test_the_newest_report_that_counts_is_judged_and_a_worse_unsigned_one_is_told(signed_policy: Policy) -> None:
    reports = [
        report_record(finding(), id="old", key=KEY, measured_at=NOW - timedelta(days=5)),
        report_record(id="new", key=KEY, measured_at=NOW - timedelta(days=2)),
        report_record(finding(), id="unsigned", measured_at=NOW - timedelta(days=1)),
    ]
    view = evaluate(signed_policy, image(), reports, NOW)[1]
    assert view.value is EvidenceValue.PASS and "newer unsigned report" in view.sentence


def test_waived_findings_do_not_count_and_are_told(signed_policy: Policy) -> None:
    report = report_record(finding("CVE-1"), key=KEY)
    view = evaluate(signed_policy, image(), [report], NOW, {"report": {"critical": 1}})[1]
    assert view.value is EvidenceValue.PASS and "0 critical (1 more waived)" in view.sentence


def test_reports_that_could_not_be_read_say_why(signed_policy: Policy) -> None:
    for state, summary in (("unchecked", "could not check: timed out"), ("invalid", "it is about sha256:cd")):
        record = msgspec.structs.replace(report_record(), state=state, summary=summary, payload={})
        view = evaluate(signed_policy, image(), [record], NOW)[1]
        assert view.value is EvidenceValue.NOT_MEASURED and summary in view.sentence


# ---------------------------------------------------------------- licences


@pytest.mark.parametrize(
    ("gate", "records", "value", "told"),
    [
        (LICENCES, licence_records("Apache-2.0"), EvidenceValue.PASS, "Apache-2.0 allowed"),
        (LICENCES, licence_records("GPL-3.0-only"), EvidenceValue.FAIL, "GPL-3.0-only"),
        (LICENCES, licence_records(""), EvidenceValue.NOT_MEASURED, "no licence is declared"),
        (LICENCES, licence_records("", sbom_licence="LicenseRef-NVIDIA-X"), EvidenceValue.PASS, "NVIDIA-X"),
        (LICENCES, licence_records("", sbom_licence="Apache-2.0", key=""), EvidenceValue.NOT_MEASURED, "unsigned"),
        (LICENCES, licence_records("", component("x", "1", "MIT")), EvidenceValue.NOT_MEASURED, "only of packages"),
        (LICENCES, licence_records("Apache-2.0", component("x", "1", "GPL-3.0-only")), EvidenceValue.PASS, ""),
        (
            {**LICENCES, "packages": True},
            licence_records("Apache-2.0", component("x", "1", "GPL-3.0-only")),
            EvidenceValue.FAIL,
            "GPL-3.0-only",
        ),
        (
            {**LICENCES, "packages": True},
            licence_records("Apache-2.0", component("x", "1", None)),
            EvidenceValue.NOT_MEASURED,
            "1 packages of its SBOM have no licence",
        ),
        ({**LICENCES, "packages": True}, licence_records("Apache-2.0"), EvidenceValue.NOT_MEASURED, "no SBOM"),
        (
            {"kind": "licence", "deny": ["AGPL-*"]},
            licence_records("MIT", component("x", "1", "AGPL-3.0-only")),
            EvidenceValue.FAIL,
            "AGPL",
        ),
        ({"kind": "licence", "deny": ["AGPL-*"]}, licence_records("MIT"), EvidenceValue.NOT_MEASURED, "no SBOM"),
        (
            {"kind": "licence", "deny": ["AGPL-*"]},
            licence_records("MIT", component("x", "1", "MIT")),
            EvidenceValue.PASS,
            "MIT",
        ),
        (
            {**LICENCES, "max_age": "1h"},
            licence_records("", sbom_licence="Apache-2.0"),
            EvidenceValue.STALE,
            "1 day old",
        ),
    ],
)
def test_licences_are_judged_by_the_lists(
    tmp_path: Path, gate: dict[str, Any], records: list[EvidenceRecord], value: EvidenceValue, told: str
) -> None:
    view = evaluate(policy(tmp_path, SIGNED, gate, keys=[key_pair()]), image(), records, NOW)[1]
    assert view.value is value, view.sentence
    assert told in view.sentence


# ---------------------------------------------------------------- where gates apply, and what they are


@pytest.mark.parametrize(
    ("scope", "facts", "judged"),
    [
        ({"registries": ["ngc"]}, {}, True),
        ({"registries": ["nvcr.*"]}, {}, True),
        ({"registries": ["quay"]}, {}, False),
        ({"types": ["embedding"]}, {}, False),
        ({"types": ["embedding"]}, {"type": ""}, True),
        ({"types": ["chat"], "rules": ["vllm"]}, {}, False),
        ({"types": ["chat"], "rules": ["nim*"]}, {}, True),
    ],
)
def test_a_gate_judges_what_it_applies_to_and_is_not_escaped_by_being_unknown(
    scope: dict[str, Any], facts: dict[str, Any], judged: bool
) -> None:
    assert bool(evaluate(policy(None, {**SCAN, "applies": scope}), image(**facts), [], NOW)) is judged


@pytest.mark.parametrize(
    "gate",
    [
        {"kind": "vulnerabilities", "max_crit": 0},
        {"kind": "vulnerabilities", "max_critical": -1},
        {"kind": "vulnerabilities", "max_age": "0s"},
        {"kind": "vulnerabilities", "effect": "ignore"},
        {"kind": "signature"},
        {"kind": "signature", "keys": []},
        {"kind": "licence"},
        {"kind": "licence", "allow": ["MIT"], "applies": {"tags": ["x"]}},
        {"kind": "benchmark"},
        {},
    ],
)
def test_a_gate_that_says_something_else_is_an_error(gate: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicyConfig.model_validate({"gate": [gate]})


def test_the_policys_hash_covers_keys_and_roles_and_not_where_keys_lie(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder, key in (("a", key_pair()), ("b", key_pair()), ("", key_pair("rsa", "other"))):
        (tmp_path / folder / "platform.pub").write_bytes(key.pem)
    config = PolicyConfig.model_validate({"gate": [SIGNED]})
    role = RoleConfig.model_validate({"name": "approver", "users": ["mira"]})
    here, there = load_policy(config, [role], tmp_path / "a"), load_policy(config, [role], tmp_path / "b")
    assert here.hash == there.hash
    assert load_policy(config, [role], tmp_path).hash != here.hash
    assert load_policy(config, [], tmp_path / "a").hash != here.hash
    stricter = PolicyConfig.model_validate({"gate": [SIGNED], "approvals": 2})
    assert load_policy(stricter, [role], tmp_path / "a").hash != here.hash


def test_roles_do_not_nest_and_none_configured_is_told() -> None:
    roles = [RoleConfig.model_validate({"name": "admin", "users": ["mira"]}),
             RoleConfig.model_validate({"name": "approver", "groups": ["ml-approvers"]})]  # fmt: skip
    assert roles_of("mira", [], roles) == (frozenset({"admin"}), False)
    assert roles_of("robin", ["ml-approvers"], roles) == (frozenset({"approver"}), False)
    assert roles_of("Mira", [], roles) == (frozenset(), False)
    assert roles_of("mira", [], []) == (frozenset(), True)


reports = st.builds(
    report_record,
    id=st.sampled_from(["a", "b", "c"]),
    key=st.sampled_from(["", KEY, OTHER_KEY]),
    measured_at=st.one_of(st.none(), st.integers(-40, 3).map(lambda days: NOW + timedelta(days=days))),
    targets=st.integers(0, 2),
)


@given(st.lists(reports, max_size=4), st.integers(0, 3), st.sampled_from([{}, {"accept_unsigned": True}]))
def test_a_vulnerability_gate_never_passes_without_a_fresh_report_that_counts(
    records: list[EvidenceRecord], critical: int, extra: dict[str, Any]
) -> None:
    with_findings = [
        msgspec.structs.replace(each, payload={**each.payload, "counts": {"critical": critical, "high": 0}})
        for each in records
    ]
    gate = policy(None, {**SCAN, **extra})
    view = one(evaluate(gate, image(), with_findings, NOW))
    counting = [
        each
        for each in with_findings
        if extra and each.measured_at and each.payload["targets"]
        and timedelta(0) <= NOW - each.measured_at <= timedelta(days=7)
    ]  # fmt: skip
    if view.value is EvidenceValue.PASS:
        assert counting and critical == 0
    if critical and with_findings:
        assert view.value is EvidenceValue.FAIL
