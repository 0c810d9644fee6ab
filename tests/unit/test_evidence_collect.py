"""Collecting what is attached to an image: found, absent, broken, or out of reach, each told as what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from backend.core.errors import AuthenticationError, LimitExceededError, UnreachableError
from backend.evidence.collect import collect
from backend.evidence.keys import PublicKey
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin, content_hash
from backend.registry.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from tests.fakes.curation import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    SIGN,
    VULNERABILITIES,
    Attachments,
    bundle,
    cyclonedx,
    envelope,
    image,
    image_manifest,
    key_pair,
    simple_payload,
    spdx,
    statement,
    trivy_report,
    vulnerability,
    vulnerability_predicate,
)
from tests.fakes.ports import FixedClock, NumberedIds
from tests.fakes.reports import (
    benchmark,
    cyclonedx_report,
    cyclonedx_vulnerability,
    harbor_answer,
    harbor_vulnerability,
    openvex,
    slsa_v02,
    slsa_v1,
)

CYCLONEDX = "https://cyclonedx.org/bom"
CHILD = f"sha256:{'ee' * 32}"
AWAY = UnreachableError("registry ngc", "it did not answer within 30s", "try again")


async def collected(
    registry: Attachments, keys: Sequence[PublicKey] = (), **facts: Any
) -> dict[EvidenceKind, list[EvidenceRecord]]:
    records = await collect(
        registry, image(**facts), image_manifest(), keys=keys, clock=FixedClock(NOW), ids=NumberedIds()
    )
    found: dict[EvidenceKind, list[EvidenceRecord]] = {}
    for record in records:
        assert record.digest == DIGEST and record.collected_at == NOW and record.summary
        found.setdefault(record.kind, []).append(record)
    return found


def signature(found: dict[EvidenceKind, list[EvidenceRecord]]) -> EvidenceRecord:
    (record,) = found[EvidenceKind.SIGNATURE]
    return record


async def test_an_image_with_nothing_attached_has_no_signature_and_no_reports() -> None:
    found = await collected(Attachments(), [key_pair().public])
    assert signature(found).state == "none"
    assert EvidenceKind.VULNERABILITIES not in found and EvidenceKind.SBOM not in found
    assert found[EvidenceKind.LICENCE][0].state == "none"
    assert found[EvidenceKind.WEIGHTS][0].state == "not fixed"


async def test_a_signature_under_the_older_tag_is_verified() -> None:
    registry, key = Attachments(), key_pair()
    registry.sign_simply(simple_payload(), key.sign(simple_payload()))
    record = signature(await collected(registry, [key.public]))
    assert (record.state, record.key) == ("verified", key.public.fingerprint) and record.vouched
    assert record.payload["tried"] == [key.public.fingerprint]


async def test_a_bundle_among_the_referrers_is_verified() -> None:
    registry, key = Attachments(), key_pair("ed25519")
    registry.attach_bundle(bundle(statement(DIGEST, SIGN, {}), key))
    assert signature(await collected(registry, [key.public])).state == "verified"


async def test_notation_is_present_and_not_verified() -> None:
    registry = Attachments()
    registry.attach(artifact_type="application/vnd.cncf.notary.signature", subject=DIGEST)
    record = signature(await collected(registry, [key_pair().public]))
    assert record.state == "present" and "Notation" in record.summary


async def test_a_replayed_signature_is_invalid() -> None:
    registry, key = Attachments(), key_pair()
    registry.sign_simply(simple_payload(OTHER_DIGEST), key.sign(simple_payload(OTHER_DIGEST)))
    assert signature(await collected(registry, [key.public])).state == "invalid"


async def test_a_referrer_that_refers_to_another_image_does_not_count() -> None:
    registry, key = Attachments(), key_pair()
    registry.attach_bundle(bundle(statement(DIGEST, SIGN, {}), key), subject=OTHER_DIGEST)
    record = signature(await collected(registry, [key.public]))
    assert record.state == "invalid" and OTHER_DIGEST in record.summary


async def test_a_broken_signature_bundle_is_invalid_and_a_broken_attestation_could_not_be_checked() -> None:
    registry = Attachments()
    registry.attach_bundle(b"{truncated")
    assert signature(await collected(registry)).state == "invalid"
    registry = Attachments()
    registry.attach_bundle(b"{truncated", predicate=VULNERABILITIES)
    found = await collected(registry)
    assert found[EvidenceKind.VULNERABILITIES][0].state == "unchecked"


@pytest.mark.parametrize("error", [AWAY, AuthenticationError("registry ngc", "401", "log in"),
                                   LimitExceededError("blob", "too large", "check it")])  # fmt: skip
async def test_what_could_not_be_fetched_is_told_and_never_absent(error: Exception) -> None:
    base = f"sha256-{DIGEST[7:]}"
    for place, signed, attested in ((f"{base}.sig", True, False), (f"{base}.att", False, True),
                                    ("referrers", True, True)):  # fmt: skip
        registry = Attachments()
        registry.failing[place] = error  # type: ignore[assignment]
        found = await collected(registry)
        assert (signature(found).state == "unchecked") is signed
        assert (EvidenceKind.VULNERABILITIES in found) is attested
        if attested:
            for kind in (EvidenceKind.VULNERABILITIES, EvidenceKind.SBOM):
                assert found[kind][0].state == "unchecked" and "could not check" in found[kind][0].summary


async def test_a_verified_signature_stands_though_another_place_could_not_be_read() -> None:
    registry, key = Attachments(), key_pair()
    registry.sign_simply(simple_payload(), key.sign(simple_payload()))
    before = signature(await collected(registry, [key.public]))
    registry.failing["referrers"] = AWAY
    record = signature(await collected(registry, [key.public]))
    assert record.state == "verified" and content_hash(record) == content_hash(before)


@pytest.mark.parametrize("form", ["envelope", "bundle"])
async def test_an_attested_report_says_whose_key_verified_it(form: str) -> None:
    registry, key = Attachments(), key_pair()
    told = statement(DIGEST, VULNERABILITIES, vulnerability_predicate(trivy_report(vulnerability())))
    if form == "envelope":
        registry.attest(envelope(told, key))
    else:
        registry.attach_bundle(bundle(told, key), predicate=VULNERABILITIES)
    (record,) = (await collected(registry, [key.public]))[EvidenceKind.VULNERABILITIES]
    assert record.source == "Trivy 0.66.0, attested, verified by key platform"
    assert record.key == key.public.fingerprint and record.payload["counts"]["critical"] == 1
    (unverified,) = (await collected(registry, [key_pair("rsa", "x").public]))[EvidenceKind.VULNERABILITIES]
    assert unverified.source == "Trivy 0.66.0, attested, signature not verified"
    assert not unverified.vouched and not unverified.asserted_by


async def test_an_attestation_about_another_image_is_invalid_and_gives_no_findings() -> None:
    registry, key = Attachments(), key_pair()
    registry.attest(envelope(statement(OTHER_DIGEST, VULNERABILITIES, vulnerability_predicate(trivy_report())), key))
    (record,) = (await collected(registry, [key.public]))[EvidenceKind.VULNERABILITIES]
    assert record.state == "invalid" and OTHER_DIGEST in record.summary


async def test_of_many_reports_the_newest_verified_and_the_newest_unverified_are_kept() -> None:
    registry, ours, theirs = Attachments(), key_pair(), key_pair("rsa", "theirs")
    envelopes = [
        envelope(
            statement(DIGEST, VULNERABILITIES, vulnerability_predicate(trivy_report(), f"2026-11-{day}T10:00:00Z")), key
        )
        for day in (10, 18, 14)
        for key in (ours, theirs)
    ]
    registry.attest(*envelopes)
    reports = (await collected(registry, [ours.public]))[EvidenceKind.VULNERABILITIES]
    assert sorted((each.vouched, each.measured_at.day) for each in reports if each.measured_at) == [
        (False, 18),
        (True, 18),
    ]


@pytest.mark.parametrize("document", [cyclonedx(), spdx()])
async def test_an_attested_sbom_gives_packages_and_licences(document: dict[str, Any]) -> None:
    registry, key = Attachments(), key_pair()
    kind = CYCLONEDX if "bomFormat" in document else "https://spdx.dev/Document/v2.3"
    registry.attest(envelope(statement(DIGEST, kind, document), key))
    found = await collected(registry, [key.public])
    (contents,) = found[EvidenceKind.SBOM]
    assert contents.payload["packages"] == 2 and len(contents.packages) == 2
    (licences,) = [each for each in found[EvidenceKind.LICENCE] if each.origin is Origin.REGISTRY]
    assert [each["expression"] for each in licences.payload["declared"]] == ["Apache-2.0"]
    assert {each["expression"]: each["count"] for each in licences.payload["packages"]} == {
        "Apache-2.0": 1,
        "LGPL-2.1-only": 1,
    }


async def test_a_bare_sbom_is_attached_and_not_signed() -> None:
    registry = Attachments()
    layer = registry.layer(json.dumps(spdx()).encode(), "application/spdx+json")
    registry.attach(layer, artifact_type="application/spdx+json", subject=DIGEST)
    (record,) = (await collected(registry, [key_pair().public]))[EvidenceKind.SBOM]
    assert record.source.endswith("attached, not signed") and not record.vouched


async def test_a_harbors_own_scan_is_taken_and_nobody_vouches_for_it() -> None:
    registry = Attachments()
    registry.scan = json.dumps(harbor_answer(harbor_vulnerability(None))).encode()
    (record,) = (await collected(registry))[EvidenceKind.VULNERABILITIES]
    assert record.source == "Trivy in Harbor v0.61.0, by the registry's scanner" and not record.vouched
    assert record.payload["counts"]["critical"] == 1
    registry.scan = json.dumps(harbor_answer(harbor_vulnerability(OTHER_DIGEST))).encode()
    (record,) = (await collected(registry))[EvidenceKind.VULNERABILITIES]
    assert record.state == "unchecked" and "not about" in record.summary
    registry.failing["scan"] = AWAY
    found = await collected(registry)
    assert found[EvidenceKind.VULNERABILITIES][0].state == "unchecked" and EvidenceKind.SBOM not in found


async def test_attested_vex_benchmarks_and_provenance_say_whose_key_verified_them() -> None:
    registry, key = Attachments(), key_pair()
    for kind, predicate in (
        ("https://openvex.dev/ns/v0.2.0", openvex()),
        ("https://modelyard.dev/attestation/benchmark/v1", benchmark()),
        ("https://slsa.dev/provenance/v1", slsa_v1()),
    ):
        registry.attach_bundle(bundle(statement(DIGEST, kind, predicate), key), predicate=kind)
    found = await collected(registry, [key.public])
    for kind_ in (EvidenceKind.VEX, EvidenceKind.BENCHMARK, EvidenceKind.PROVENANCE):
        (record,) = found[kind_]
        assert record.state == "read" and record.key == key.public.fingerprint, kind_
        assert record.source.endswith("verified by key platform")
    assert found[EvidenceKind.VEX][0].statements[0].status == "not_affected"
    (entry,) = found[EvidenceKind.PROVENANCE][0].payload["attestations"]
    assert entry["fixed"] is False and entry["key"] == key.public.fingerprint


async def test_a_cyclonedx_attestation_gives_findings_and_what_is_said_of_them() -> None:
    registry, key = Attachments(), key_pair()
    entry = cyclonedx_vulnerability(analysis={"state": "not_affected", "justification": "code_not_reachable"})
    registry.attest(envelope(statement(DIGEST, CYCLONEDX, cyclonedx_report(entry)), key))
    found = await collected(registry, [key.public])
    assert found[EvidenceKind.VULNERABILITIES][0].payload["counts"]["high"] == 1
    assert found[EvidenceKind.VEX][0].statements[0].justification == "code_not_reachable"
    assert found[EvidenceKind.SBOM][0].payload["ecosystems"] == {"deb": 1}


@pytest.mark.parametrize("about", [CHILD, OTHER_DIGEST])
async def test_what_buildkit_wrote_into_the_index_is_part_of_the_image(about: str) -> None:
    registry = Attachments()
    layers = [
        registry.layer(statement(about, kind, predicate), "application/vnd.in-toto+json")
        for kind, predicate in (("https://slsa.dev/provenance/v0.2", slsa_v02()), ("https://spdx.dev/Document", spdx()))
    ]
    layers = [
        msgspec.structs.replace(layer, annotations={"in-toto.io/predicate-type": kind})
        for layer, kind in zip(layers, ("https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"), strict=True)
    ]
    registry.attach(*layers, tag="attestation")
    attestation = Descriptor(
        media_type=OCI_MANIFEST, digest=registry.tags["attestation"], size=1,
        annotations={"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": CHILD},
    )  # fmt: skip
    child = Descriptor(media_type=OCI_MANIFEST, digest=CHILD, size=1)
    index = Manifest(raw=b"{}", digest=DIGEST, media_type=OCI_INDEX, manifests=(child, attestation))
    records = await collect(registry, image(), index, keys=(), clock=FixedClock(NOW), ids=NumberedIds())
    provenance = [each for each in records if each.kind is EvidenceKind.PROVENANCE]
    if about == OTHER_DIGEST:
        assert [each.state for each in provenance] == ["invalid"]
        return
    assert [(each.state, each.origin) for each in provenance] == [("read", Origin.IMAGE)]
    assert provenance[0].payload["attestations"][0]["fixed"] is True
    (contents,) = [each for each in records if each.kind is EvidenceKind.SBOM]
    assert contents.origin is Origin.IMAGE and contents.source.endswith("part of the image")


async def test_a_model_card_is_a_layer_or_a_link_or_there_is_none() -> None:
    assert (await collected(Attachments()))[EvidenceKind.MODEL_CARD][0].state == "none"
    link = {"org.opencontainers.image.documentation": "https://example.org/card"}
    (record,) = (await collected(Attachments(), annotations=link))[EvidenceKind.MODEL_CARD]
    assert record.payload["link"] == "https://example.org/card" and record.vouched
    layer = Descriptor(media_type="application/vnd.cncf.model.doc.v1.tar", digest=OTHER_DIGEST, size=9)
    manifest = Manifest(raw=b"{}", digest=DIGEST, media_type=OCI_MANIFEST, layers=(layer,))
    records = await collect(Attachments(), image(), manifest, keys=(), clock=FixedClock(NOW), ids=NumberedIds())
    card = next(each for each in records if each.kind is EvidenceKind.MODEL_CARD)
    assert card.payload["digest"] == OTHER_DIGEST


async def test_what_the_configurations_say_is_evidence_of_the_image() -> None:
    blob = json.dumps({"os": "linux", "architecture": "amd64", "config": {"User": "1000"}, "rootfs": {}}).encode()
    records = await collect(
        Attachments(), image(), image_manifest(), keys=(), configurations=[blob], clock=FixedClock(NOW),
        ids=NumberedIds(),
    )  # fmt: skip
    (record,) = [each for each in records if each.kind is EvidenceKind.COMPLIANCE]
    assert record.vouched and record.payload["users"] == ["1000"]
    assert [each.state for each in records if each.kind is EvidenceKind.PROVENANCE] == ["none"]


@pytest.mark.parametrize(
    ("blob", "declared"),
    [
        (b'{"manifestVersion":"1.0.0","package":{"name":"x","license":"Apache-2.0"},"model":{"license":"MIT"}}',
         ["Apache-2.0 AND MIT"]),
        (b'{"package":{"license":null}}', []),
        (b'{"package":[]}', []),
        (b"{broken", []),
    ],
)  # fmt: skip
async def test_a_kitfile_declares_licences_too(blob: bytes, declared: list[str]) -> None:
    records = await collect(
        Attachments(), image(), image_manifest(), keys=(), configurations=[blob], clock=FixedClock(NOW),
        ids=NumberedIds(),
    )  # fmt: skip
    record = next(each for each in records if each.kind is EvidenceKind.LICENCE)
    assert [each["expression"] for each in record.payload["declared"]] == declared


async def test_other_attestations_are_left_alone() -> None:
    registry, key = Attachments(), key_pair()
    registry.attest(envelope(statement(DIGEST, "https://in-toto.io/attestation/test-result/v0.1", {}), key))
    found = await collected(registry, [key.public])
    assert EvidenceKind.VULNERABILITIES not in found and EvidenceKind.SBOM not in found


async def test_more_than_is_looked_at_is_told() -> None:
    registry, key = Attachments(), key_pair()
    payload = simple_payload()
    signature_text = key_pair("rsa", "theirs").sign(payload)
    annotations = {"dev.cosignproject.cosign__signature": signature_text}
    layer = registry.layer(payload, "application/vnd.dev.cosign.simplesigning.v1+json", **annotations)
    registry.attach(*[layer] * 65, tag=f"sha256-{DIGEST[7:]}.sig")
    record = signature(await collected(registry, [key.public]))
    assert "65 things are attached" in record.summary


@pytest.mark.parametrize(
    ("facts", "expression"),
    [
        ({"annotations": {"org.opencontainers.image.licenses": "MIT OR Apache-2.0"}}, "MIT OR Apache-2.0"),
        ({"labels": {"org.opencontainers.image.licenses": "LicenseRef-NVIDIA-X"}}, "LicenseRef-NVIDIA-X"),
        ({"licences": ("llama3.1", "MIT"), "kind": "modelpack"}, "llama3.1 AND MIT"),
    ],
)
async def test_the_images_own_licence_is_read_wherever_it_is_declared(facts: dict[str, Any], expression: str) -> None:
    (record,) = (await collected(Attachments(), **facts))[EvidenceKind.LICENCE]
    assert [each["expression"] for each in record.payload["declared"]] == [expression]
    assert record.vouched


@pytest.mark.parametrize(
    ("facts", "state", "told"),
    [
        ({"kind": "modelpack"}, "fixed", "ModelPack"),
        ({"kind": "docker-model"}, "fixed", "layers"),
        ({"framework": "nim"}, "not fixed", "run time"),
        ({"framework": "vllm", "type": "generic"}, "not fixed", "chosen at run time"),
        ({"framework": "vllm", "type": "chat"}, "not fixed", "nothing in the image"),
    ],
)
async def test_what_fixes_the_weights_is_told(facts: dict[str, Any], state: str, told: str) -> None:
    (record,) = (await collected(Attachments(), **facts))[EvidenceKind.WEIGHTS]
    assert record.state == state and told in record.summary


async def test_hostile_text_in_what_is_attached_reaches_nothing_but_data() -> None:
    registry = Attachments()
    registry.attest({"payloadType": "\x1b[31m" * 50, "payload": "", "signatures": []})
    (record,) = (await collected(registry))[EvidenceKind.VULNERABILITIES]
    assert record.state == "unchecked" and len(record.summary) < 400
