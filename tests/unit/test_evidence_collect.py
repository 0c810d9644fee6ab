"""Collecting what is attached to an image: found, absent, broken, or out of reach, each told as what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from backend.core.errors import AuthenticationError, LimitExceededError, UnreachableError
from backend.evidence.collect import collect
from backend.evidence.keys import PublicKey
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin, content_hash
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

CYCLONEDX = "https://cyclonedx.org/bom"
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


async def test_other_attestations_are_left_alone() -> None:
    registry, key = Attachments(), key_pair()
    registry.attest(envelope(statement(DIGEST, "https://slsa.dev/provenance/v1", {"buildDefinition": {}}), key))
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
