"""Attaches evidence to the demo's images: signatures, vulnerability reports and lists of components.

Two forms, as registries hold them: cosign's older tags (`sha256-<hex>.sig`, `.att`) and referrers (OCI 1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from backend.demo import images_reports as reports
from backend.demo import images_signing as signing
from backend.demo.catalogue_evidence import Evidence, Package
from backend.demo.images_oci import OCI_CONFIG, Descriptor, Json, Repository, digest_of, encode, image_manifest

SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
BUNDLE_CONTENT: Final = "dev.sigstore.bundle.content"
BUNDLE_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
#: The name under which the signer and the scanner knew the registry; what is served says nothing of it.
HOST: Final = "registry.modelyard.example"


class Signers(NamedTuple):
    """The keys of the demo: its own, and one that nobody trusts."""

    trusted: signing.SigningKey
    foreign: signing.SigningKey


class Subject(NamedTuple):
    """An image that evidence is about.

    Attributes:
        licence: SPDX expression of the image as a whole.
        hostile: give findings titles that try to forge what a terminal shows.
    """

    repository: Repository
    image: Descriptor
    licence: str
    packages: Sequence[Package]
    hostile: bool = False

    @property
    def name(self) -> str:
        return f"{HOST}/{self.repository.name}"


def attach(subject: Subject, evidence: Evidence, signers: Signers, today: datetime) -> None:
    """Store the evidence of one image beside it.

    Args:
        today: midnight, UTC; reports are dated by it.
    """
    _attach_signature(subject, evidence, signers)
    forged = evidence.forged or evidence.signature == "wrong-key"
    key = signers.foreign if forged else signers.trusted
    attestations = _attestations(subject, evidence, today)
    if not attestations:
        return
    if evidence.form == "tags":
        _attach_tag(subject, ".att", [_attestation_layer(subject, key, *each) for each in attestations])
    else:
        for predicate_type, predicate in attestations:
            payload = signing.statement(predicate_type, predicate, subject.name, subject.image.digest)
            _attach_bundle(subject, key, payload, predicate_type)


def _attach_signature(subject: Subject, evidence: Evidence, signers: Signers) -> None:
    if evidence.signature == "none":
        return
    key = signers.foreign if evidence.signature == "wrong-key" else signers.trusted
    digest = digest_of(b"another image") if evidence.signature == "replayed" else subject.image.digest
    if evidence.form == "referrers":
        payload = signing.statement(SIGN_PREDICATE, {}, subject.name, digest)
        _attach_bundle(subject, key, payload, SIGN_PREDICATE)
        return
    payload = signing.simple_signing_payload(subject.name, digest)
    layer = subject.repository.add_blob(payload, signing.SIMPLE_SIGNING)
    annotations = {"dev.cosignproject.cosign/signature": key.sign(payload)}
    _attach_tag(subject, ".sig", [layer.json(annotations=annotations)])


def _attestations(subject: Subject, evidence: Evidence, today: datetime) -> list[tuple[str, Json]]:
    """Give predicate types with predicates; attaches a bare list of components at once."""
    image, found = subject.image, []
    if evidence.age_days is not None:
        scanned = today - timedelta(days=evidence.age_days, hours=2)
        predicate = reports.vulnerability_predicate(
            subject.name, image.digest, evidence, subject.packages, scanned, hostile=subject.hostile
        )
        found.append((reports.VULNERABILITIES, predicate))
    if evidence.sbom == "none":
        return found
    made = today - timedelta(days=evidence.age_days or 0, hours=3)
    build = reports.cyclonedx if evidence.sbom == "cyclonedx" else reports.spdx
    document = build(subject.name, image.digest, subject.licence, subject.packages, made)
    if evidence.bare_sbom:
        media_type = "application/vnd.cyclonedx+json" if evidence.sbom == "cyclonedx" else "application/spdx+json"
        layer = subject.repository.add_blob(encode(document), media_type)
        created = {"org.opencontainers.image.created": reports.instant(made)}
        subject.repository.add_referrer(image, media_type, [layer.json()], created)
    else:
        found.append((reports.CYCLONEDX if evidence.sbom == "cyclonedx" else reports.SPDX, document))
    return found


def _attach_bundle(subject: Subject, key: signing.SigningKey, payload: bytes, predicate_type: str) -> None:
    layer = subject.repository.add_blob(signing.bundle(key, payload), signing.BUNDLE)
    annotations = {BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE: predicate_type}
    subject.repository.add_referrer(subject.image, signing.BUNDLE, [layer.json()], annotations)


def _attestation_layer(subject: Subject, key: signing.SigningKey, predicate_type: str, predicate: Json) -> Json:
    payload = signing.statement(predicate_type, predicate, subject.name, subject.image.digest, version="v0.1")
    layer = subject.repository.add_blob(encode(signing.envelope(key, payload)), signing.DSSE)
    return layer.json(annotations={"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type})


def _attach_tag(subject: Subject, suffix: str, layers: Sequence[Json]) -> None:
    """Store a manifest under cosign's tag of the image, with the empty image configuration that cosign writes."""
    repository = subject.repository
    config = repository.add_blob(
        encode(
            {
                "architecture": "",
                "created": "0001-01-01T00:00:00Z",
                "os": "",
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
                "config": {},
            }
        ),
        OCI_CONFIG,
    )
    tag = subject.image.digest.replace(":", "-") + suffix
    repository.add_manifest(image_manifest(config, layers), tag)
