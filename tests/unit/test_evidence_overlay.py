"""VEX over reports, in memory and in the database; the search for packages; how versions compare."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from hypothesis import example, given
from hypothesis import strategies as st

from backend.core.errors import UsageError
from backend.evidence import store
from backend.evidence.package_versions import compare
from backend.evidence.packages import PackageQuery, find_packages, parse_query
from backend.evidence.purls import covers
from backend.evidence.records import EvidenceKind, EvidenceRecord, Finding, Origin, Package, VexStatement, content_hash
from backend.evidence.vex import excused, overlaid
from backend.store.connection import Database
from tests.fakes.curation import DIGEST, NOW, OTHER_DIGEST, finding, report_record
from tests.fakes.ports import FixedClock

KEY = "sha256:aa"
TORCH = Finding(id="CVE-2", severity="high", package="torch", version="2.7.1", purl="pkg:pypi/torch@2.7.1")


def vex(
    *statements: VexStatement, id: str = "vex", key: str = "", asserted_by: str = "", source: str = "Acme (OpenVEX)"
) -> EvidenceRecord:
    origin = Origin.HANDED_IN if asserted_by else Origin.REGISTRY
    return EvidenceRecord(
        id=id, digest=DIGEST, kind=EvidenceKind.VEX, origin=origin, state="read", summary="x", source=source,
        asserted_by=asserted_by, key=key, collected_at=NOW, statements=statements,
    )  # fmt: skip


def says(status: str, *packages: str, vulnerability: str = "CVE-2026-1234", days: int = 0) -> VexStatement:
    return VexStatement(
        vulnerability=vulnerability, status=status, justification="component_not_present" if "not" in status else "",
        packages=packages, at=NOW + timedelta(days=days),
    )  # fmt: skip


def test_a_finding_stays_and_what_is_said_of_it_stands_beside_it() -> None:
    report, said = overlaid([report_record(finding(), TORCH), vex(says("not_affected"))])
    assert [each.id for each in report.findings] == ["CVE-2026-1234", "CVE-2"]
    assert report.findings[0].vex == "not affected (component not present), by Acme (OpenVEX)"
    assert report.findings[1].vex == "" and said.kind is EvidenceKind.VEX
    assert report.payload["counts"]["critical"] == 1
    # What is laid over a report is no part of what it says.
    assert content_hash(
        msgspec.structs.replace(report, payload=report_record(finding(), TORCH).payload)
    ) == content_hash(report_record(finding(), TORCH))
    assert report.view().findings[0].vex.startswith("not affected")


def test_a_statement_about_a_package_is_about_no_other() -> None:
    about_torch = says("not_affected", "pkg:pypi/torch")
    report, _ = overlaid([report_record(finding(), TORCH), vex(about_torch)])
    assert [each.vex for each in report.findings] == ["", ""]
    by_alias = msgspec.structs.replace(about_torch, vulnerability="GHSA-x", aliases=("CVE-2",))
    report, _ = overlaid([report_record(finding(), TORCH), vex(by_alias)])
    assert report.findings[1].vex


@pytest.mark.parametrize(
    ("records", "trusted", "unsigned", "count"),
    [
        ([vex(says("not_affected"))], {KEY}, False, 0),
        ([vex(says("not_affected"))], set(), True, 1),
        ([vex(says("not_affected"), key=KEY)], {KEY}, False, 1),
        ([vex(says("fixed"), key=KEY)], {KEY}, False, 1),
        ([vex(says("affected"), key=KEY)], {KEY}, False, 0),
        ([vex(says("under_investigation"), key=KEY)], {KEY}, False, 0),
        ([vex(says("not_affected"), key=KEY), vex(says("affected"), id="2", key=KEY)], {KEY}, False, 0),
        ([vex(says("not_affected"), key=KEY), vex(says("affected"), id="2")], {KEY}, False, 1),
        ([vex(says("affected"), says("not_affected", days=1), key=KEY)], {KEY}, False, 1),
        ([vex(says("not_affected"), says("affected", days=1), key=KEY)], {KEY}, False, 0),
    ],
)
def test_policy_says_whose_statements_excuse(
    records: list[EvidenceRecord], trusted: set[str], unsigned: bool, count: int
) -> None:
    report = overlaid([report_record(finding(), TORCH), *records])[0]
    assert excused(report.payload, trusted, unsigned=unsigned).get("critical", 0) == count
    assert excused(report.payload, trusted, {"CVE-2026-1234"}, unsigned=unsigned) == {}


@pytest_asyncio.fixture
async def database(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "yard" / "modelyard.db", clock=clock)
    yield opened
    await opened.close()


async def test_the_database_lays_vex_on_reports_with_and_without_their_findings(database: Database) -> None:
    statement = msgspec.structs.replace(says("not_affected", "pkg:deb/openssl"), aliases=("GHSA-1",), detail="text")
    async with database.transaction() as transaction:
        assert await store.record(transaction, report_record(finding(), TORCH))
        assert await store.record(transaction, vex(statement, key=KEY))
        assert not await store.record(transaction, vex(statement, id="again", key=KEY))
    whole = await store.of_digest(database, DIGEST)
    light = list((await store.summaries_of(database, DIGEST)).values())
    for records in (whole, light, list(store.decode_summaries(store.encode_summaries(light)))):
        report = next(each for each in records if each.kind is EvidenceKind.VULNERABILITIES)
        assert excused(report.payload, {KEY}) == {"critical": 1}
    assert next(each for each in whole if each.kind is EvidenceKind.VEX).statements == (statement,)
    stored = await store.summaries_of(database, DIGEST)
    assert set(stored) == {content_hash(report_record(finding(), TORCH)), content_hash(vex(statement, key=KEY))}


async def test_vex_of_two_authors_stands_beside_each_other_and_an_outage_takes_neither(database: Database) -> None:
    async with database.transaction() as transaction:
        await store.record_collected(
            transaction, DIGEST, [vex(says("fixed"), id="a"), vex(says("affected"), id="b", source="Other (OpenVEX)")]
        )
        away = EvidenceRecord(
            id="c", digest=DIGEST, kind=EvidenceKind.VEX, origin=Origin.REGISTRY, state="unchecked", summary="away",
            source="attached in the registry", collected_at=NOW,
        )  # fmt: skip
        assert not await store.record_collected(transaction, DIGEST, [away])
    assert {each.id for each in await store.of_digest(database, DIGEST)} == {"a", "b"}
    async with database.transaction() as transaction:
        await store.record_collected(transaction, DIGEST, [vex(says("fixed"), id="a2")])
    assert {each.id for each in await store.of_digest(database, DIGEST)} == {"a"}


# ---------------------------------------------------------------- packages


def sbom(digest: str, *packages: Package, id: str) -> EvidenceRecord:
    return EvidenceRecord(
        id=id, digest=digest, kind=EvidenceKind.SBOM, origin=Origin.REGISTRY, state="read", summary="x",
        source="CycloneDX 1.6", collected_at=NOW, packages=packages,
    )  # fmt: skip


def package(name: str, version: str, purl: str = "", origin: str = "") -> Package:
    return Package(name=name, version=version, purl=purl or f"pkg:deb/debian/{name}@{version}", origin=origin)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("openssl", {("openssl", "3.0.13-0ubuntu3.4"), ("libssl3", "3.0.16-1"), ("OpenSSL", "1.1.1w")}),
        ("openssl<3.0.15", {("openssl", "3.0.13-0ubuntu3.4"), ("OpenSSL", "1.1.1w")}),
        ("openssl >= 3.0.16", {("libssl3", "3.0.16-1")}),
        ("libssl*", {("libssl3", "3.0.16-1")}),
        ("huggingface_hub", {("huggingface-hub", "0.33.1")}),
        ("pkg:pypi/torch<2.7.2", {("torch", "2.7.1+cu128")}),
        ("pkg:deb/debian/torch", set()),
        ("torch==2.7.1", {("torch", "2.7.1+cu128")}),
        ("torch!=2.7.1", set()),
        ("unversioned<1", {("unversioned", "")}),
        ("100%", set()),
        ("x_y*", set()),
    ],
)
async def test_images_are_found_by_their_packages(database: Database, query: str, found: set[tuple[str, str]]) -> None:
    packages = (
        package("openssl", "3.0.13-0ubuntu3.4"),
        package("torch", "2.7.1+cu128", "pkg:pypi/torch@2.7.1%2Bcu128"),
        package("huggingface-hub", "0.33.1", "pkg:pypi/huggingface-hub@0.33.1"),
        package("unversioned", "", "pkg:generic/unversioned"),
        package("xzy", "1"),
    )
    async with database.transaction() as transaction:
        await store.record(transaction, sbom(DIGEST, *packages, id="a"))
        other = (package("libssl3", "3.0.16-1", origin="openssl"), package("OpenSSL", "1.1.1w", "pkg:conan/OpenSSL@1"))
        await store.record(transaction, sbom(OTHER_DIGEST, *other, id="b"))
    hits = await find_packages(database, parse_query(query))
    assert {(each.package, each.version) for each in hits} == found


async def test_only_sboms_in_force_are_searched_and_by_an_index(database: Database) -> None:
    async with database.transaction() as transaction:
        await store.record(transaction, sbom(DIGEST, package("openssl", "1"), id="a"))
        await store.record(transaction, sbom(DIGEST, package("openssl", "2"), id="b"))
    assert [each.version for each in await find_packages(database, parse_query("openssl"))] == ["2"]
    plan = await database.fetch_all(
        "EXPLAIN QUERY PLAN SELECT evidence FROM evidence_package WHERE name COLLATE NOCASE IN (?, ?)",
        ("a", "b"),
    )
    assert "evidence_package_by_name" in plan[0]["detail"]


@pytest.mark.parametrize("text", ["", " ", "*", "a b", "openssl<", "<3", "a<1<2", "pkg:oci/x", "pkg:", "x" * 600])
def test_a_query_that_cannot_be_read_says_what_to_write(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_query(text)
    assert "write" in error.value.action


@given(st.text(max_size=60))
@example("pkg:pypi/torch@2.6")
def test_any_text_is_a_query_or_refused(text: str) -> None:
    try:
        query = parse_query(text)
    except UsageError:
        return
    assert isinstance(query, PackageQuery) and query.name


@pytest.mark.parametrize(
    ("ecosystem", "older", "newer"),
    [
        ("deb", "3.0.13-0ubuntu3.4", "3.0.15"),
        ("deb", "1.0~rc1-1", "1.0"),
        ("deb", "9.9", "1:1.0"),
        ("deb", "2.2.2", "2.2.10"),
        ("deb", "1.0a", "1.0+b1"),
        ("deb", "1.0-1", "1.0-1ubuntu1"),
        ("rpm", "1.0~rc1", "1.0"),
        ("rpm", "1.0", "1.0^git1"),
        ("rpm", "1.0^git1", "1.0.1"),
        ("rpm", "1.a", "1.1"),
        ("rpm", "4.18.0-80.el8", "4.18.0-193.el8"),
        ("apk", "3.3.1-r3", "3.3.2"),
        ("apk", "3.3.2-r0", "3.3.2-r1"),
        ("pypi", "2.7.1rc1", "2.7.1"),
        ("pypi", "2.7.1.dev3", "2.7.1a1"),
        ("pypi", "2.7.1", "2.7.1.post1"),
        ("npm", "1.0.0-beta.2", "1.0.0"),
        ("golang", "v1.9.0", "v1.10.0"),
        ("maven", "1.0-SNAPSHOT", "1.0"),
        ("", "1.2", "1.10"),
    ],
)
def test_versions_compare_as_their_ecosystem_does(ecosystem: str, older: str, newer: str) -> None:
    assert compare(older, newer, ecosystem) < 0
    assert compare(older, older, ecosystem) == 0 == compare(newer, newer, ecosystem)
    # An epoch that is not asked for does not count.
    assert compare(newer, older, ecosystem) > 0 or ":" in newer


@pytest.mark.parametrize(
    ("found", "asked", "ecosystem"),
    [("3.0.15-1~deb12u1", "3.0.15", "deb"), ("1:3.0.15-1", "3.0.15", "deb"), ("2.7.1+cu128", "2.7.1", "pypi"),
     ("3.3.2-r5", "3.3.2", "apk"), ("v1.2.0", "1.2", "golang"), ("1.0.Final", "1.0", "maven")],
)  # fmt: skip
def test_what_a_distribution_or_builder_adds_is_left_out_unless_asked_for(
    found: str, asked: str, ecosystem: str
) -> None:
    assert compare(found, asked, ecosystem) == 0


versions = st.text("0123456789.~^+-:abrcdev", max_size=12)


@given(st.sampled_from(["deb", "rpm", "apk", "pypi", "npm", ""]), versions, versions)
def test_any_versions_compare(ecosystem: str, one: str, other: str) -> None:
    assert compare(one, one, ecosystem) == 0
    assert compare(one, other, ecosystem) in {-1, 0, 1}


@pytest.mark.parametrize(
    ("pattern", "purl", "covered"),
    [
        ("pkg:deb/debian/openssl", "pkg:deb/debian/openssl@3.0.13?arch=amd64", True),
        ("pkg:deb/openssl", "pkg:deb/debian/openssl@3.0.13", True),
        ("pkg:deb/ubuntu/openssl", "pkg:deb/debian/openssl@3.0.13", False),
        ("pkg:pypi/torch@2.7.1", "pkg:pypi/torch@2.7.2", False),
        ("pkg:pypi/torch@2.7.1", "pkg:pypi/torch@2.7.1", True),
        ("pkg:rpm/x@1?arch=aarch64", "pkg:rpm/x@1?arch=x86_64", False),
        ("pkg:npm/torch", "pkg:pypi/torch", False),
        ("no purl", "pkg:pypi/torch", False),
        ("pkg:pypi/torch", "", False),
    ],
)
def test_a_package_url_covers_what_it_does_not_leave_open(pattern: str, purl: str, covered: bool) -> None:
    assert covers(pattern, purl) is covered
