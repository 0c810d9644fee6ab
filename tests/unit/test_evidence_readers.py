"""Readers of Grype, Harbor, SARIF, CycloneDX and in-toto reports, and of benchmarks: true documents and others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import LimitExceededError, MalformedDataError
from backend.evidence.benchmarks import read_benchmark
from backend.evidence.handed_in import read_handed_in
from backend.evidence.provenance import read_provenance, summary_of
from backend.evidence.records import EvidenceKind, EvidenceRecord, content_hash
from backend.evidence.reports.common import About, VulnerabilityReport
from backend.evidence.reports.reading import read_report
from backend.evidence.vex_documents import read_openvex
from tests.fakes.curation import DIGEST, NOW, OTHER_DIGEST, bundle, cyclonedx, envelope, key_pair, spdx, statement
from tests.fakes.ports import NumberedIds
from tests.fakes.reports import (
    OPENSSL,
    benchmark,
    cyclonedx_report,
    cyclonedx_vulnerability,
    grype_match,
    grype_report,
    harbor_answer,
    harbor_vulnerability,
    intoto_vulns,
    openvex,
    openvex_statement,
    sarif,
    slsa_v02,
    slsa_v1,
)
from tests.unit.test_evidence_reports import encoded, mutate

ABOUT = About(digest=DIGEST)
ATTESTED = About(digest=DIGEST, attested=True)


def read(document: Any, about: About = ABOUT) -> VulnerabilityReport:
    return read_report(encoded(document), about)


@pytest.mark.parametrize("older", [False, True])
def test_grype_tells_findings_fixes_and_the_age_of_its_database(older: bool) -> None:
    report = read(grype_report(grype_match(), grype_match("CVE-2", "Negligible"), older=older))
    assert [(each.id, each.severity) for each in report.findings] == [("CVE-2026-1234", "critical"), ("CVE-2", "low")]
    assert report.findings[0].fixed == "3.0.13-0ubuntu3.5" and report.findings[0].purl == OPENSSL
    assert report.scanner == ("Grype 0.79.1" if older else "Grype 0.104.0")
    assert report.database_at == datetime(2026, 11, 18, 6, 26, 54, tzinfo=UTC)
    assert report.fixable["critical"] == 1


def test_grype_with_a_broken_database_reports_nothing() -> None:
    document = grype_report()
    document["descriptor"]["db"]["status"] |= {"valid": False, "error": "checksum mismatch"}
    with pytest.raises(MalformedDataError, match="checksum mismatch"):
        read(document)


def test_grype_of_a_folder_is_about_no_image() -> None:
    document = grype_report()
    document["source"] = {"type": "directory", "target": "/srv/model"}
    with pytest.raises(MalformedDataError, match="names no digest"):
        read(document)


def test_harbor_tells_findings_and_binds_by_what_was_asked_or_by_its_entries() -> None:
    report = read(harbor_answer(harbor_vulnerability()))
    assert (report.program, report.version) == ("Trivy in Harbor", "v0.61.0")
    assert report.counts["critical"] == 1 and report.findings[0].fixed == "3.0.13-0ubuntu3.5"
    assert read(harbor_answer(), ATTESTED).findings == ()
    with pytest.raises(MalformedDataError, match="names no digest"):
        read(harbor_answer(harbor_vulnerability(None)))
    with pytest.raises(MalformedDataError, match="not about"):
        read(harbor_answer(harbor_vulnerability(OTHER_DIGEST)), ATTESTED)


def test_cyclonedx_tells_the_severity_of_the_database_that_it_names() -> None:
    report = read(cyclonedx_report(cyclonedx_vulnerability()))
    (finding,) = report.findings
    assert (finding.severity, finding.package, finding.purl) == ("high", "openssl", OPENSSL)
    assert finding.fixed == "3.0.13-0ubuntu3.5" and report.scanner == "trivy 0.66.0"
    elsewhere = cyclonedx_vulnerability(source={"name": "ghsa"}, affects=[{"ref": f"urn:cdx:x/1#{OPENSSL}"}])
    assert read(cyclonedx_report(elsewhere)).findings[0].severity == "critical"


def test_an_sbom_with_an_empty_list_of_vulnerabilities_is_no_clean_report() -> None:
    with pytest.raises(MalformedDataError, match="does not say that somebody looked"):
        read(cyclonedx_report())


def test_sarif_is_read_as_far_as_it_tells() -> None:
    report = read(sarif())
    told = {each.id: (each.severity, each.package, each.fixed) for each in report.findings}
    assert told == {
        "CVE-2026-1234": ("critical", "openssl", "3.0.13-0ubuntu3.5"),
        "X-1": ("medium", "", ""),
        "X-2": ("high", "", ""),
    }
    assert report.created_at is None


def test_an_in_toto_list_of_vulnerabilities_is_read_at_its_worst_score() -> None:
    report = read(intoto_vulns(), ATTESTED)
    assert {each.id: each.severity for each in report.findings} == {
        "CVE-2026-1234": "critical",
        "CVE-2026-1": "unknown",
    }
    assert report.scanner == "Trivy 0.66.0" and report.database_at == datetime(2026, 11, 18, 6, tzinfo=UTC)
    with pytest.raises(MalformedDataError, match="names no digest"):
        read(intoto_vulns())


def test_a_predicate_may_wrap_a_report_of_another_scanner() -> None:
    wrapped = {"scanner": {"uri": "grype", "result": grype_report(grype_match())}, "metadata": None}
    assert read(wrapped, ATTESTED).scanner == "Grype 0.104.0"


DOCUMENTS: list[Callable[[], dict[str, Any]]] = [
    lambda: grype_report(grype_match()),
    lambda: harbor_answer(harbor_vulnerability()),
    lambda: cyclonedx_report(cyclonedx_vulnerability()),
    sarif,
    intoto_vulns,
]


@pytest.mark.parametrize("build", DOCUMENTS[:4])
def test_a_report_on_another_digest_is_refused(build: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(MalformedDataError, match="not about"):
        read(build(), About(digest=f"sha256:{'ef' * 32}"))


@given(st.data())
@settings(max_examples=150)
def test_a_mutated_report_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(DOCUMENTS))()
    mutate(document, data)
    try:
        report = read(document, ATTESTED)
    except MalformedDataError:
        return
    assert len({each.key for each in report.findings}) == len(report.findings)


@given(st.data())
@settings(max_examples=60)
def test_a_truncated_report_is_refused(data: st.DataObject) -> None:
    whole = encoded(data.draw(st.sampled_from(DOCUMENTS))())
    with pytest.raises(MalformedDataError):
        read_report(whole[: data.draw(st.integers(0, len(whole) - 1))], ATTESTED)


def test_a_document_of_too_many_values_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.evidence.decoding._MOST_VALUES", 1_000)
    with pytest.raises(LimitExceededError, match="values"):
        read_report(b'{"SchemaVersion": [' + b"1," * 1_001 + b"1]}", ABOUT)


# ---------------------------------------------------------------- benchmarks


def test_a_benchmark_tells_each_figure_with_the_hardware() -> None:
    found = read_benchmark(encoded(benchmark()), ABOUT, NOW)
    payload = found.payload()
    assert payload["metrics"]["ttft_p95"] == {
        "name": "ttft_p95", "value": 0.412, "unit": "s", "better": "lower", "hardware": "NVIDIA H100 80GB HBM3",
        "accelerators": 2, "runtime": "vllm 0.10.1", "at": "2026-11-19T10:00:00.000000Z",
    }  # fmt: skip
    assert [each["name"] for each in payload["results"]] == ["ttft_p95", "throughput"]
    assert found.where == "2 x NVIDIA H100 80GB HBM3, vllm 0.10.1"


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware": None},
        {"hardware": {"accelerator": "", "count": 1}},
        {"image": f"x@{OTHER_DIGEST}"},
        {"image": "registry.example/nim/meta/llama:1.8"},
        {"measured_at": "2026-11-19T10:00:00"},
        {"measured_at": (NOW + timedelta(days=1)).isoformat()},
        {"results": []},
        {"results": [{"name": "a", "value": "fast"}]},
        {"results": [{"name": "a", "value": True}]},
        {"results": [{"name": "a", "value": 1}, {"name": "a", "value": 2}]},
        {"results": [{"name": "A B", "value": 1}]},
        {"benchmark": 2},
        {"unknown": 1},
    ],
)
def test_a_benchmark_that_leaves_something_open_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedDataError):
        read_benchmark(encoded(benchmark(**changes)), ABOUT, NOW)


def test_numbers_that_are_none_are_refused() -> None:
    for number in (b"NaN", b"Infinity", b"1e999"):
        with pytest.raises(MalformedDataError):
            read_benchmark(encoded(benchmark()).replace(b"0.412", number), ABOUT, NOW)


@given(st.data())
@settings(max_examples=100)
def test_a_mutated_benchmark_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = benchmark()
    mutate(document, data)
    try:
        found = read_benchmark(encoded(document), ATTESTED, NOW)
    except MalformedDataError:
        return
    assert found.payload()["results"]


# ---------------------------------------------------------------- provenance


@pytest.mark.parametrize(
    ("version", "document", "summary"),
    [
        ("v1", slsa_v1(), "built by https://github.com/example/llama/.github/workflows/release.yml@refs/heads/main,"
                          " from git+https://github.com/example/llama@refs/heads/main"),
        ("v0.2", slsa_v02(), "its builder is not named, from pkg:docker/ubuntu@24.04?platform=linux%2Famd64"),
    ],
)  # fmt: skip
def test_provenance_tells_builder_source_and_time(version: str, document: dict[str, Any], summary: str) -> None:
    told = read_provenance(f"slsa.dev/provenance/{version}", encoded(document), "provenance")
    assert summary_of(told) == summary and told["at"].startswith("2026-11-19T09:00:00")


@given(st.data())
@settings(max_examples=60)
def test_mutated_provenance_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([slsa_v1, slsa_v02]))()
    mutate(document, data)
    try:
        read_provenance("slsa.dev/provenance/v1", encoded(document), "provenance")
    except MalformedDataError:
        return


# ---------------------------------------------------------------- handed in by file


def hand_in(folder: Path, document: Any, **rest: Any) -> list[EvidenceRecord]:
    path = folder / "document.json"
    path.write_bytes(document if isinstance(document, bytes) else encoded(document))
    return read_handed_in(path, digest=DIGEST, by="mira", ids=NumberedIds(), at=NOW, **rest)


def bound_spdx() -> dict[str, Any]:
    document = spdx()
    document["packages"][0]["externalRefs"] = [
        {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
         "referenceLocator": f"pkg:oci/llama@{DIGEST.replace(':', '%3A')}?arch=amd64"}
    ]  # fmt: skip
    return document


@pytest.mark.parametrize(
    ("document", "kinds"),
    [
        (grype_report(grype_match()), {"vulnerabilities"}),
        (harbor_answer(harbor_vulnerability()), {"vulnerabilities"}),
        (sarif(), {"vulnerabilities"}),
        (cyclonedx_report(cyclonedx_vulnerability()), {"sbom", "licence", "vulnerabilities"}),
        (cyclonedx_report(cyclonedx_vulnerability(analysis={"state": "not_affected"})),
         {"sbom", "licence", "vulnerabilities", "vex"}),
        (cyclonedx_report({"id": "CVE-1", "analysis": {"state": "in_triage"}}, components=False), {"vex"}),
        (bound_spdx(), {"sbom", "licence"}),
        (openvex(), {"vex"}),
        (benchmark(), {"benchmark"}),
    ],
)  # fmt: skip
def test_every_document_can_be_handed_in_and_is_asserted(document: Any, kinds: set[str], tmp_path: Path) -> None:
    records = hand_in(tmp_path, document)
    assert {each.kind.value for each in records} == kinds
    for record in records:
        assert record.asserted_by == "mira" and not record.vouched and record.digest == DIGEST
        assert "asserted by mira" in record.source and record.summary
        assert content_hash(record).startswith("sha256:")


@pytest.mark.parametrize("document", [spdx(), cyclonedx(), cyclonedx_report(components=False), {}, {"a": 1}, []])
def test_what_names_no_image_or_says_nothing_is_refused(document: Any, tmp_path: Path) -> None:
    with pytest.raises(MalformedDataError):
        hand_in(tmp_path, document)


@pytest.mark.parametrize("form", ["envelope", "bundle"])
def test_a_signed_attestation_handed_in_is_as_good_as_its_signature(form: str, tmp_path: Path) -> None:
    key = key_pair()
    told = statement(DIGEST, "https://openvex.dev/ns/v0.2.0", openvex())
    document = envelope(told, key) if form == "envelope" else json.loads(bundle(told, key))
    (record,) = hand_in(tmp_path, document, keys=[key.public])
    assert record.kind is EvidenceKind.VEX and record.key == key.public.fingerprint
    assert record.source.endswith("verified by key platform, handed in by mira")
    (unverified,) = hand_in(tmp_path, document, keys=[key_pair("rsa", "other").public])
    assert not unverified.vouched and unverified.asserted_by == "mira"
    other = envelope(statement(OTHER_DIGEST, "https://openvex.dev/ns/v0.2.0", openvex()), key)
    with pytest.raises(MalformedDataError, match="not about"):
        hand_in(tmp_path, other, keys=[key.public])
    unknown = envelope(statement(DIGEST, "https://example.org/x", {}), key)
    with pytest.raises(MalformedDataError, match="which is not read"):
        hand_in(tmp_path, unknown)


# ---------------------------------------------------------------- VEX documents


def test_openvex_is_about_the_digest_or_about_packages_wherever_they_are() -> None:
    named = read_openvex(encoded(openvex(openvex_statement(subcomponents=("pkg:deb/ubuntu/openssl",)))), ABOUT)
    (told,) = named.statements
    assert (told.status, told.packages) == ("not_affected", ("pkg:deb/ubuntu/openssl",))
    assert told.at == datetime(2026, 11, 19, 10, 0, 0, 500000, tzinfo=UTC) and named.author == "Product Security"
    package = read_openvex(encoded(openvex(openvex_statement(product="pkg:pypi/torch@2.7.1"))), ABOUT)
    assert package.statements[0].packages == ("pkg:pypi/torch@2.7.1",)
    hashed = openvex_statement(product="urn:x")
    hashed["products"][0]["hashes"] = {"sha-256": DIGEST[7:]}
    assert read_openvex(encoded(openvex(hashed)), ABOUT).statements[0].packages == ()
    other = openvex_statement(product=f"pkg:oci/llama@{OTHER_DIGEST}")
    with pytest.raises(MalformedDataError, match=f"about {OTHER_DIGEST}"):
        read_openvex(encoded(openvex(other)), ABOUT)
    with pytest.raises(MalformedDataError, match="no product that is known"):
        read_openvex(encoded(openvex(openvex_statement(product="https://example.org/llama"))), ABOUT)
    mixed = read_openvex(encoded(openvex(other, openvex_statement("affected"))), ABOUT)
    assert [each.status for each in mixed.statements] == ["affected"]


def test_a_later_statement_takes_an_earlier_ones_place() -> None:
    early = openvex_statement("under_investigation", timestamp="2026-11-01T00:00:00Z")
    late = openvex_statement("fixed", timestamp="2026-11-02T00:00:00Z")
    for order in ((early, late), (late, early)):
        (told,) = read_openvex(encoded(openvex(*order)), ABOUT).statements
        assert told.status == "fixed"


@pytest.mark.parametrize(
    "document",
    [openvex(openvex_statement("harmless")), {**openvex(), "@context": "https://example.org"}, {"@context": "x"}],
)
def test_what_is_no_openvex_is_refused(document: Any) -> None:
    with pytest.raises(MalformedDataError):
        read_openvex(encoded(document), ABOUT)


@given(st.data())
@settings(max_examples=120)
def test_mutated_openvex_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = openvex(openvex_statement(subcomponents=(OPENSSL,)), openvex_statement("fixed", vulnerability="CVE-2"))
    mutate(document, data)
    try:
        read_openvex(encoded(document), data.draw(st.sampled_from([ABOUT, ATTESTED])))
    except MalformedDataError:
        return
