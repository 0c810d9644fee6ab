"""Evidence by the command line, on a real `docker-registry` that holds signed images: collected, scanned, handed in,
asserted and searched."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.config import load_configuration
from backend.core.errors import InterruptedByUserError
from backend.core.events import ScanProgressed, Topic
from backend.registry.manifests import OCI_INDEX, OCI_MANIFEST, digest_of
from backend.yard import Yard, YardOptions
from tests.fakes.cli import Place
from tests.fakes.cli_world import NIM, TAGS, World, running_world
from tests.fakes.curation import (
    SIGN,
    VULNERABILITIES,
    bundle,
    cyclonedx,
    envelope,
    key_pair,
    simple_payload,
    statement,
    trivy_report,
    vulnerability,
    vulnerability_predicate,
)
from tests.fakes.reports import benchmark, openvex, openvex_statement
from tests.fakes.scanners import fake_trivy

RSA, EDWARDS = key_pair("rsa", "vendor"), key_pair("ed25519", "release")
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
POLICY = """
[policy]
[[policy.gate]]
kind = "signature"
keys = ["vendor.pub", "release.pub"]
[[policy.gate]]
kind = "vulnerabilities"
max_critical = 0
accept_scans = true
[scanner]
timeout = "30s"
[[role]]
name = "approver"
users = ["robin", "mira"]
[[role]]
name = "operator"
users = ["robin"]
[[role]]
name = "curator"
users = ["mira"]
"""


class Pushed:
    """Puts blobs and manifests into the registry as cosign does."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def blob(self, data: bytes, media_type: str, **annotations: str) -> dict[str, Any]:
        digest = digest_of(data)
        place = self._client.post("/blobs/uploads/").headers["location"]
        put = self._client.put(f"{place}&digest={digest}", content=data)
        assert put.status_code == 201, put.text
        return {"mediaType": media_type, "digest": digest, "size": len(data), "annotations": annotations}

    def manifest(self, tag: str, document: Mapping[str, Any], media_type: str = OCI_MANIFEST) -> dict[str, Any]:
        data = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode()
        put = self._client.put(
            f"/manifests/{tag or digest_of(data)}", content=data, headers={"Content-Type": media_type}
        )
        assert put.status_code == 201, put.text
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def image(self, tag: str, layers: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
        config = self.blob(b"{}", "application/vnd.oci.empty.v1+json")
        return self.manifest(tag, {"config": config, "layers": list(layers), **more})


def sign(world: World) -> None:
    """The first image by the vendor's RSA key in cosign's older form, with a report and an SBOM attested; the second by
    the release team's Ed25519 key as a bundle, which this registry, without the referrers API, lists by a tag."""
    with httpx.Client(base_url=f"{world.registry.url}/v2/{NIM}") as client:
        _sign(Pushed(client), world)


def _sign(pushed: Pushed, world: World) -> None:
    first, second = (world.digests[tag] for tag in TAGS)
    payload = simple_payload(first)
    layer = pushed.blob(payload, "application/vnd.dev.cosign.simplesigning.v1+json")
    layer["annotations"] = {"dev.cosignproject.cosign/signature": RSA.sign(payload)}
    pushed.image(f"sha256-{first[7:]}.sig", [layer])
    report = trivy_report(digest=first, created=datetime.now(UTC).isoformat())
    attested = [
        envelope(
            statement(first, VULNERABILITIES, vulnerability_predicate(report, datetime.now(UTC).isoformat())), RSA
        ),
        envelope(statement(first, "https://cyclonedx.org/bom", cyclonedx()), RSA),
    ]
    layers = [pushed.blob(json.dumps(each).encode(), "application/vnd.dsse.envelope.v1+json") for each in attested]
    pushed.image(f"sha256-{first[7:]}.att", layers)
    layer = pushed.blob(bundle(statement(second, SIGN, {}), EDWARDS), BUNDLE)
    subject = {"mediaType": OCI_MANIFEST, "digest": second, "size": 1}
    referrer = pushed.image("", [layer], artifactType=BUNDLE, subject=subject)
    index = {"manifests": [{**referrer, "artifactType": BUNDLE}]}
    pushed.manifest(f"sha256-{second[7:]}", index, OCI_INDEX)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as world:
        sign(world)
        yield world


@pytest.fixture
def place(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    place = world.place(tmp_path, monkeypatch, POLICY)
    for key in (RSA, EDWARDS):
        (place.folder / f"{key.name}.pub").write_bytes(key.pem)
    place.json("sync")
    return place


def evidence(place: Place, reference: str) -> dict[str, dict[str, Any]]:
    """The evidence on an image, the last of each kind."""
    return {each["kind"]: each for each in place.json("evidence", "list", reference)}


def write(place: Place, document: Any) -> Path:
    path = place.folder / "document.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_signatures_of_other_keys_and_attached_reports_are_collected(place: Place, world: World) -> None:
    first, second = (evidence(place, world.reference(tag)) for tag in TAGS)
    assert (first["signature"]["state"], second["signature"]["state"]) == ("verified", "verified")
    assert "key vendor" in first["signature"]["summary"] and "key release" in second["signature"]["summary"]
    assert first["vulnerabilities"]["source"] == "Trivy 0.66.0, attested, verified by key vendor"
    assert first["sbom"]["details"]["packages"] == 2 and "vulnerabilities" not in second
    assert first["compliance"]["details"]["root"] is True and first["provenance"]["state"] == "none"
    hits = place.json("evidence", "search", "vllm < 0.12")
    assert [(hit["reference"], hit["version"]) for hit in hits] == [(world.reference(TAGS[0]), "0.11.0")]
    assert place.json("evidence", "search", "vllm>=0.12") == []
    assert place.run("evidence", "search", "vllm <").code == 2
    gates = {gate["kind"]: gate["value"] for gate in place.json("queue", "show", world.reference(TAGS[0]))["gates"]}
    assert gates == {"signature": "pass", "vulnerabilities": "pass"}


def test_a_scan_is_recorded_told_and_keeps_its_runner_from_approving(
    place: Place, world: World, tmp_path: Path
) -> None:
    reference = world.reference(TAGS[1])
    missing = place.run("evidence", "scan", reference)
    assert missing.code == 5 and "neither trivy nor grype" in missing.error
    report = trivy_report(
        vulnerability("CVE-1", "LOW"), digest=world.digests[TAGS[1]], created=datetime.now(UTC).isoformat()
    )
    fake_trivy(tmp_path, report)
    scanner = next(each for each in place.run("doctor", "-o", "json").data if each["name"].startswith("scanner"))
    assert scanner["state"] == "ok" and "0.66.0" in scanner["detail"] and "old" in scanner["detail"]
    scanned = place.run("evidence", "scan", reference, "-o", "json")
    assert scanned.code == 0 and scanned.data["state"] == "done" and scanned.data["detail"] == "1 low"
    assert "Trivy 0.66.0, database of 2026-11-19 06:27 UTC" in scanned.err
    found = evidence(place, reference)["vulnerabilities"]
    assert found["asserted_by"] == "robin" and found["source"] == "Trivy 0.66.0, run here by robin"
    assert found["database_at"].startswith("2026-11-19T06:27:39")
    shown = place.json("queue", "show", reference)
    assert {gate["kind"]: gate["value"] for gate in shown["gates"]} == {"signature": "pass", "vulnerabilities": "pass"}
    refused = place.run("approve", reference, "--reason", "x", "--evidence", shown["evidence_hash"])
    assert refused.code == 3 and "handed in evidence" in refused.error
    approved = ("approve", reference, "--reason", "x", "--evidence", shown["evidence_hash"], "--context", "mira")
    assert place.run(*approved).code == 0
    assert place.run("evidence", "scan", reference, "--context", "mira").code == 3
    actions = [(entry["action"], entry["outcome"]) for entry in place.json("audit", "list")]
    assert ("evidence.scan", "done") in actions and ("evidence.scan", "refused") in actions


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("sys.stderr.write('FATAL unable to find the image'); sys.exit(1)", "unable to find the image"),
        ("print('{'); sys.exit(0)", "report of Trivy"),
        ("print(json.dumps({'SchemaVersion': 3, 'ArtifactName': 'x'})); sys.exit(0)", "schema version 3"),
    ],
)
def test_a_scan_that_fails_records_nothing(place: Place, world: World, tmp_path: Path, before: str, told: str) -> None:
    fake_trivy(tmp_path, {}, before=before)
    ran = place.run("evidence", "scan", world.reference(TAGS[1]))
    assert ran.code == 1 and told in ran.error
    assert "vulnerabilities" not in evidence(place, world.reference(TAGS[1]))


def test_a_report_on_another_image_is_no_scan_of_this_one(place: Place, world: World, tmp_path: Path) -> None:
    fake_trivy(tmp_path, trivy_report(digest=world.digests[TAGS[0]]))
    ran = place.run("evidence", "scan", world.reference(TAGS[1]))
    assert ran.code == 1 and "not about" in ran.error


def test_documents_of_every_kind_are_handed_in_and_reviews_asserted(place: Place, world: World) -> None:
    reference, digest = world.reference(TAGS[0]), world.digests[TAGS[0]]
    measured = benchmark(image=digest, measured_at=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    product = f"pkg:oci/llama@{digest.replace(':', '%3A')}"
    for document, kind in ((measured, "benchmark"), (openvex(openvex_statement(product=product)), "vex")):
        imported = place.run("evidence", "import", write(place, document), "--image", reference, "--context", "mira")
        assert imported.code == 0 and "asserted by mira" in imported.out, imported.err
        assert evidence(place, reference)[kind]["asserted_by"] == "mira"
    critical = trivy_report(vulnerability(), digest=digest, created=datetime.now(UTC).isoformat())
    assert place.run("evidence", "import", write(place, critical), "--image", reference, "--context", "mira").code == 0
    findings = [each["findings"] for each in place.json("evidence", "list", reference) if each["asserted_by"] == "mira"]
    assert any(finding["vex"].startswith("not affected") for each in findings for finding in each)

    link = "https://example.org/review/7"
    words = ("evidence", "review", reference, "--link", link, "--note", "read the model card", "--context", "mira")
    reviewed = place.run(*words, "-o", "json")
    assert reviewed.data["details"] == {"link": link, "note": "read the model card"}
    assert evidence(place, reference)["review"]["asserted_by"] == "mira"
    assert place.run("evidence", "review", reference, "--note", " ", "--context", "mira").code == 2
    assert (
        place.run("evidence", "review", reference, "--note", "x", "--link", "file:///etc", "--context", "mira").code
        == 2
    )
    assert place.run("evidence", "review", reference, "--note", "x").code == 3, "robin is no curator"
    shown = place.json("queue", "show", reference)
    words = ("approve", reference, "--reason", "x", "--evidence", shown["evidence_hash"], "--context", "mira")
    barred = place.run(*words)
    assert barred.code == 3 and "handed in evidence" in barred.error


def test_a_document_that_says_something_else_is_refused_and_named(place: Place, world: World) -> None:
    reference = world.reference(TAGS[0])
    escape = "\x1b]0;owned\x07\x1b[31m"
    hostile = trivy_report(vulnerability(f"CVE{escape}"), digest=world.digests[TAGS[1]])
    for document in (
        hostile,
        {"SchemaVersion": 9, "ArtifactName": escape},
        base64.b64encode(b"x").decode(),
        {escape: 1},
    ):
        ran = place.run("evidence", "import", write(place, document), "--image", reference, "--context", "mira")
        assert ran.code == 1 and "\x1b" not in ran.err + ran.out, ran.err


async def test_one_image_is_looked_at_again_on_request(place: Place, world: World) -> None:
    reference, digest = world.reference(TAGS[1]), world.digests[TAGS[1]]
    measured = benchmark(image=digest, measured_at="2026-11-01T10:00:00Z")
    told = envelope(statement(digest, "https://modelyard.dev/attestation/benchmark/v1", measured), EDWARDS)
    await asyncio.to_thread(attest, world, digest, told)
    yard = await opened(place)
    try:
        assert await yard.evidence.evaluate() == 0, "nothing is new"
        assert await yard.evidence.evaluate(reference=reference) == 1
        found = {each.kind: each for each in await yard.evidence.of(reference)}
        assert found["benchmark"].source.endswith("verified by key release")
    finally:
        await yard.close()


async def test_a_scan_is_cancelled_from_elsewhere(place: Place, world: World, tmp_path: Path) -> None:
    hang = "import time; sys.stderr.write('downloading\\n'); sys.stderr.flush(); time.sleep(60)"
    await asyncio.to_thread(fake_trivy, tmp_path, {}, before=hang)
    reference = world.reference(TAGS[1])
    yard = await opened(place)
    try:
        events = yard.subscribe(Topic.SCANS)
        scanning = asyncio.create_task(yard.evidence.scan(reference))
        states = []
        async for event in events:
            assert isinstance(event, ScanProgressed) and event.key == reference
            states.append(event.scan.state)
            if len(states) == 1:
                assert yard.evidence.cancel_scan(reference)
            elif event.scan.state == "cancelled":
                break
        with pytest.raises(InterruptedByUserError):
            await scanning
        assert states[0] == "running" and not yard.evidence.cancel_scan(reference)
    finally:
        await yard.close()


def attest(world: World, digest: str, told: Mapping[str, Any]) -> None:
    with httpx.Client(base_url=f"{world.registry.url}/v2/{NIM}") as client:
        pushed = Pushed(client)
        layer = pushed.blob(json.dumps(told).encode(), "application/vnd.dsse.envelope.v1+json")
        pushed.image(f"sha256-{digest[7:]}.att", [layer])


async def opened(place: Place) -> Yard:
    return await Yard.open(await asyncio.to_thread(load_configuration, place.config), YardOptions())
