"""Reading vulnerability reports and SBOMs, true ones and others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.errors import LimitExceededError, MalformedDataError, NotFoundError, UsageError
from backend.evidence import sbom
from backend.evidence.decoding import REPORT_LIMIT, decode, moment
from backend.evidence.handed_in import read_handed_in
from backend.evidence.records import Origin
from backend.evidence.reports import reading
from backend.evidence.reports.common import About, VulnerabilityReport
from tests.fakes.curation import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    component,
    cyclonedx,
    spdx,
    trivy_report,
    vulnerability,
    vulnerability_predicate,
)
from tests.fakes.ports import NumberedIds


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


def read_report(data: bytes, *, digest: str, also: Iterable[str] = (), attested: bool = False) -> VulnerabilityReport:
    return reading.read_report(data, About(digest=digest, also=frozenset(also), attested=attested))


# ---------------------------------------------------------------- Trivy


def test_a_trivy_report_gives_its_findings_worst_first() -> None:
    report = read_report(
        encoded(trivy_report(vulnerability("CVE-1", "LOW"), vulnerability("CVE-2"), vulnerability("CVE-3", "HIGH"))),
        digest=DIGEST,
    )
    assert [(each.id, each.severity) for each in report.findings] == [
        ("CVE-2", "critical"),
        ("CVE-3", "high"),
        ("CVE-1", "low"),
    ]
    assert report.counts == {"critical": 1, "high": 1, "medium": 0, "low": 1, "unknown": 0}
    assert report.scanner == "Trivy 0.66.0" and report.targets == 2
    assert report.created_at == datetime(2026, 11, 19, 10, 0, 0, 123456, tzinfo=UTC)
    assert report.database_at is None
    first = report.findings[0]
    assert (first.package, first.version, first.fixed) == ("openssl", "3.0.13-0ubuntu3.4", "3.0.13-0ubuntu3.5")
    assert first.purl.startswith("pkg:deb/ubuntu/openssl@")


def test_null_lists_are_a_scan_without_findings_and_no_results_are_no_scan() -> None:
    assert read_report(encoded(trivy_report()), digest=DIGEST).findings == ()
    nothing = {**trivy_report(), "Results": None}
    assert read_report(encoded(nothing), digest=DIGEST).targets == 0
    secrets = {**trivy_report(), "Results": [{"Target": "app/.env", "Class": "secret", "Secrets": []}]}
    assert read_report(encoded(secrets), digest=DIGEST).targets == 0


def test_the_same_vulnerability_of_the_same_package_counts_once_at_its_worst() -> None:
    report = read_report(
        encoded(
            trivy_report(
                vulnerability("CVE-1", "LOW"), vulnerability("CVE-1", "HIGH"), vulnerability("CVE-1", "LOW", "libssl3")
            )
        ),
        digest=DIGEST,
    )
    assert [(each.package, each.severity) for each in report.findings] == [("openssl", "high"), ("libssl3", "low")]


def test_a_severity_that_is_not_known_is_unknown() -> None:
    report = read_report(
        encoded(trivy_report(vulnerability("CVE-1", "SEVERE"), {"VulnerabilityID": "CVE-2", "PkgName": "x"})),
        digest=DIGEST,
    )
    assert {each.severity for each in report.findings} == {"unknown"}


def test_a_report_binds_to_a_digest_and_never_to_a_tag() -> None:
    with pytest.raises(MalformedDataError, match=f"about {OTHER_DIGEST}, not about {DIGEST}"):
        read_report(encoded(trivy_report(digest=OTHER_DIGEST)), digest=DIGEST)
    by_tag = trivy_report()
    by_tag["Metadata"]["RepoDigests"] = None
    with pytest.raises(MalformedDataError, match="names no digest"):
        read_report(encoded(by_tag), digest=DIGEST)
    platform = read_report(encoded(trivy_report(digest=OTHER_DIGEST)), digest=DIGEST, also=[OTHER_DIGEST])
    assert platform.digest == DIGEST


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        None,
        {"SchemaVersion": 2},
        {"SchemaVersion": "2", "ArtifactName": "x"},
        {**trivy_report(), "SchemaVersion": 1},
        {**trivy_report(), "Results": {}},
        {**trivy_report(), "Results": [{"Vulnerabilities": [{"PkgName": "x"}]}]},
        {"scanner": None},
        {"scanner": {"version": "1"}},
        {"scanner": {"result": {"matches": []}}},
        {"bomFormat": "CycloneDX"},
    ],
)
def test_what_is_no_report_is_never_an_empty_report(document: Any) -> None:
    with pytest.raises(MalformedDataError):
        read_report(encoded(document), digest=DIGEST)


@given(st.data())
def test_a_truncated_report_is_refused(data: st.DataObject) -> None:
    whole = encoded(trivy_report(vulnerability()))
    with pytest.raises(MalformedDataError):
        read_report(whole[: data.draw(st.integers(0, len(whole) - 1))], digest=DIGEST)


@given(st.data())
@settings(max_examples=200)
def test_a_mutated_report_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = trivy_report(vulnerability(), vulnerability("CVE-2", "LOW"))
    mutate(document, data)
    try:
        report = read_report(encoded(document), digest=DIGEST)
    except MalformedDataError:
        return
    assert report.digest == DIGEST
    assert len({each.key for each in report.findings}) == len(report.findings)


def mutate(document: Any, data: st.DataObject) -> None:
    """Replace one value somewhere in the document by another of any type."""
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        node = waiting.pop()
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20),
            st.just([]), st.just({}), st.just([None]), st.just([[]]), st.just({"": None}),
        )
    )  # fmt: skip


def test_hostile_text_is_kept_as_data_and_can_be_stored() -> None:
    hostile = vulnerability()
    hostile["Title"] = "\x1b]52;c;ZXZpbA==\x07[red]x[/red]\u202e" + "y" * 5000
    hostile["PkgName"] = "a\0b"
    finding = read_report(encoded(trivy_report(hostile)), digest=DIGEST).findings[0]
    assert len(finding.title) == 500 and finding.title.startswith("\x1b]52")
    assert "\0" not in finding.package
    lone = encoded(trivy_report(vulnerability())).replace(b"something that", b"\\ud800 that")
    with pytest.raises(MalformedDataError):
        read_report(lone, digest=DIGEST)


def test_depth_and_size_are_bounded() -> None:
    deep = encoded(trivy_report()).replace(b'"Target": "Python"', b'"Target": ' + b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(MalformedDataError):
        read_report(deep, digest=DIGEST)
    with pytest.raises(LimitExceededError, match="more than the"):
        decode(b"[" + b" " * 100 + b"]", msgspec.json.Decoder(list[int]), "list", 50)


# ---------------------------------------------------------------- cosign's vulnerability predicate


def test_a_vulnerability_predicate_is_read_with_either_spelling_of_scanners() -> None:
    predicate = vulnerability_predicate(trivy_report(vulnerability()))
    singular = read_report(encoded(predicate), digest=DIGEST)
    plural = read_report(
        encoded({"scanners": [predicate["scanner"]], "metadata": predicate["metadata"]}), digest=DIGEST
    )
    assert singular.findings == plural.findings and len(singular.findings) == 1
    assert singular.created_at == datetime(2026, 11, 19, 10, 0, 5, tzinfo=UTC)


def test_the_age_of_the_database_is_told_only_where_it_is_written_down() -> None:
    predicate = vulnerability_predicate(trivy_report())
    assert read_report(encoded(predicate), digest=DIGEST).database_at is None
    predicate["scanner"]["db"]["lastUpdate"] = "2026-11-18T06:00:00Z"
    assert read_report(encoded(predicate), digest=DIGEST).database_at == datetime(2026, 11, 18, 6, tzinfo=UTC)


def test_an_attested_report_may_leave_the_digest_out_and_may_not_name_another() -> None:
    unnamed = trivy_report()
    unnamed["Metadata"] = {}
    assert read_report(encoded(vulnerability_predicate(unnamed)), digest=DIGEST, attested=True).findings == ()
    with pytest.raises(MalformedDataError):
        read_report(encoded(vulnerability_predicate(trivy_report(digest=OTHER_DIGEST))), digest=DIGEST, attested=True)


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z", "soon", "9999-12-31T23:59:59-14:00", "0001-01-01"])
def test_times_that_tell_nothing_are_not_told(text: str | None) -> None:
    assert moment(text) is None


# ---------------------------------------------------------------- handed in by file


def test_a_report_handed_in_is_asserted_by_who_did_it(tmp_path: Path) -> None:
    path = tmp_path / "trivy.json"
    path.write_bytes(encoded(trivy_report(vulnerability())))
    (record,) = read_handed_in(path, digest=DIGEST, by="mira", ids=NumberedIds(), at=NOW)
    assert record.asserted_by == "mira" and record.origin is Origin.HANDED_IN and not record.vouched
    assert record.summary == "1 critical" and "asserted by mira" in record.source
    assert record.collected_at == NOW


def test_files_that_cannot_be_reports_are_refused_without_being_read(tmp_path: Path) -> None:
    def hand_in(path: Path) -> None:
        read_handed_in(path, digest=DIGEST, by="mira", ids=NumberedIds(), at=NOW)

    with pytest.raises(NotFoundError):
        hand_in(tmp_path / "missing.json")
    with pytest.raises(UsageError):
        hand_in(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        hand_in(tmp_path / "pipe")
    # A sparse file: the limit is checked before any of it is read.
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(REPORT_LIMIT + 1)
    with pytest.raises(LimitExceededError, match="128 MiB"):
        hand_in(large)


# ---------------------------------------------------------------- SBOMs


def test_cyclonedx_gives_packages_and_the_images_own_licence() -> None:
    read = sbom.read(encoded(cyclonedx()))
    assert read.format == "CycloneDX 1.6" and read.tool == "trivy 0.66.0"
    assert read.declared == ("Apache-2.0",)
    assert [(each.name, each.licence) for each in read.packages] == [("libc6", "LGPL-2.1-only"), ("vllm", "Apache-2.0")]


def test_spdx_gives_packages_and_the_images_own_licence() -> None:
    read = sbom.read(encoded(spdx()))
    assert read.format == "SPDX 2.3" and read.tool == "trivy-0.66.0"
    assert read.declared == ("Apache-2.0",)
    assert [(each.name, each.licence) for each in read.packages] == [("libc6", "LGPL-2.1-only"), ("vllm", "Apache-2.0")]


def test_cyclonedx_names_tools_in_the_older_form_and_nests_components() -> None:
    document = cyclonedx({**component("outer", "1", "MIT"), "components": [component("inner", "2", None)]})
    document["metadata"]["tools"] = [{"vendor": "anchore", "name": "syft", "version": "1.20.0"}]
    read = sbom.read(encoded(document))
    assert read.tool == "syft 1.20.0"
    assert [each.name for each in read.packages] == ["outer", "inner"]
    assert read.packages[1].licence == ""


def test_several_licences_of_a_component_hold_together() -> None:
    several = component("x", "1", None)
    several["licenses"] = [{"license": {"name": "MIT License"}}, {"license": {"id": "BSD-3-Clause"}}]
    assert sbom.read(encoded(cyclonedx(several))).packages[0].licence == "BSD-3-Clause AND MIT"


def test_noassertion_is_no_licence() -> None:
    read = sbom.read(encoded(spdx(("x", "1", "NOASSERTION"), licence="NONE")))
    assert read.packages[0].licence == "" and read.declared == ()


def test_packages_count_once() -> None:
    read = sbom.read(encoded(cyclonedx(component("x", "1", "MIT"), component("x", "1", "MIT"))))
    assert len(read.packages) == 1


def test_null_lists_in_sboms_are_empty() -> None:
    assert sbom.read(encoded({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": None})).packages == ()
    assert sbom.read(encoded({"spdxVersion": "SPDX-2.2", "packages": None, "relationships": None})).packages == ()


@given(st.data())
@settings(max_examples=200)
def test_a_mutated_sbom_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([cyclonedx, spdx]))()
    mutate(document, data)
    try:
        sbom.read(encoded(document))
    except MalformedDataError:
        return


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_sbom(data: bytes) -> None:
    with pytest.raises(MalformedDataError):
        sbom.read(data)
