"""Attaches evidence to the demo's images: signatures, vulnerability reports and lists of components.

Two forms, as registries hold them: cosign's older tags (`sha256-<hex>.sig`, `.att`) and referrers (OCI 1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from backend.demo import images_documents as documents
from backend.demo import images_reports as reports
from backend.demo import images_signing as signing
from backend.demo.catalogue_evidence import Evidence, Package
from backend.demo.images_oci import OCI_CONFIG, Descriptor, Json, Repository, digest_of, encode, image_manifest

SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
BUNDLE_CONTENT: Final = "dev.sigstore.bundle.content"
BUNDLE_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
# Stands for a certificate of a public authority that ran out minutes after the signature; the demo has no authority.
_CERTIFICATE: Final = "MIIB"
#: The name under which the signer and the scanner knew the registry; what is served says nothing of it.
HOST: Final = "registry.modelyard.example"


class Signers(NamedTuple):
    """The keys of the demo: its own, one that nobody trusts, and those of a vendor and of the release team."""

    trusted: signing.SigningKey
    foreign: signing.SigningKey
    vendor: signing.RsaKey
    release: signing.EdwardsKey

    def named(self, evidence: Evidence) -> signing.Signer:
        """The key that an image's evidence is signed with, unless it is told otherwise."""
        keys: dict[str, signing.Signer] = {"demo": self.trusted, "vendor": self.vendor, "release": self.release}
        return keys[evidence.key]


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
    key = signers.foreign if forged else signers.named(evidence)
    _attach_vex(subject, evidence, signers, today)
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
    if evidence.signature == "notation":
        _attach_notation(subject)
        return
    key = signers.foreign if evidence.signature == "wrong-key" else signers.named(evidence)
    if evidence.signature == "keyless":
        payload = signing.statement(SIGN_PREDICATE, {}, subject.name, subject.image.digest)
        _attach_bundle(subject, signers.foreign, payload, SIGN_PREDICATE, certificate=_CERTIFICATE)
        return
    digest = digest_of(b"another image") if evidence.signature == "replayed" else subject.image.digest
    if evidence.form == "referrers":
        payload = signing.statement(SIGN_PREDICATE, {}, subject.name, digest)
        _attach_bundle(subject, key, payload, SIGN_PREDICATE)
        return
    payload = signing.simple_signing_payload(subject.name, digest)
    layer = subject.repository.add_blob(payload, signing.SIMPLE_SIGNING)
    annotations = {"dev.cosignproject.cosign/signature": key.sign(payload)}
    _attach_tag(subject, ".sig", [layer.json(annotations=annotations)])


def _attach_notation(subject: Subject) -> None:
    """Store a signature of the Notary Project, whose envelope (JWS) nobody here can check."""
    layer = subject.repository.add_blob(
        encode({"payload": "", "protected": "", "signature": ""}), "application/jose+json"
    )
    thumbprints = {"io.cncf.notary.x509chain.thumbprint#S256": '["00"]'}
    subject.repository.add_referrer(subject.image, signing.NOTATION, [layer.json()], thumbprints)


def _attach_vex(subject: Subject, evidence: Evidence, signers: Signers, today: datetime) -> None:
    if not evidence.excused:
        return
    findings = reports.findings(subject.image.digest, evidence, subject.packages, hostile=False)[: evidence.excused]
    document = documents.openvex(subject.name, subject.image.digest, findings, today - timedelta(hours=1))
    key = signers.foreign if evidence.excused_by == "wrong-key" else signers.named(evidence)
    payload = signing.statement(documents.OPENVEX, document, subject.name, subject.image.digest)
    _attach_bundle(subject, key, payload, documents.OPENVEX)


def _attestations(subject: Subject, evidence: Evidence, today: datetime) -> list[tuple[str, Json]]:
    """Give predicate types with predicates; attaches a bare list of components at once."""
    image, found = subject.image, []
    inside: list[Json] = []
    if evidence.age_days is not None:
        scanned = today - timedelta(days=evidence.age_days, hours=2)
        seen = reports.findings(image.digest, evidence, subject.packages, hostile=subject.hostile)
        if evidence.scanner == "cyclonedx":
            inside = documents.cyclonedx_vulnerabilities(seen)
        elif evidence.scanner == "grype":
            predicate = documents.grype_predicate(subject.name, image.digest, seen, scanned)
            found.append((reports.VULNERABILITIES, predicate))
        else:
            predicate = reports.vulnerability_predicate(subject.name, image.digest, seen, scanned)
            found.append((reports.VULNERABILITIES, predicate))
    if evidence.benchmark is not None:
        measured = today - timedelta(days=1, hours=5)
        results = documents.benchmark(subject.name, image.digest, evidence.benchmark, measured)
        found.append((documents.BENCHMARK, results))
    if evidence.sbom == "none":
        return found
    made = today - timedelta(days=evidence.age_days or 0, hours=3)
    build = reports.cyclonedx if evidence.sbom == "cyclonedx" else reports.spdx
    document = build(subject.name, image.digest, subject.licence, subject.packages, made)
    if inside:
        document["vulnerabilities"] = inside
    if evidence.bare_sbom:
        media_type = "application/vnd.cyclonedx+json" if evidence.sbom == "cyclonedx" else "application/spdx+json"
        layer = subject.repository.add_blob(encode(document), media_type)
        created = {"org.opencontainers.image.created": reports.instant(made)}
        subject.repository.add_referrer(image, media_type, [layer.json()], created)
    else:
        found.append((reports.CYCLONEDX if evidence.sbom == "cyclonedx" else reports.SPDX, document))
    return found


def _attach_bundle(
    subject: Subject, key: signing.Signer, payload: bytes, predicate_type: str, certificate: str = ""
) -> None:
    layer = subject.repository.add_blob(signing.bundle(key, payload, certificate=certificate), signing.BUNDLE)
    annotations = {BUNDLE_CONTENT: "dsse-envelope", BUNDLE_PREDICATE: predicate_type}
    subject.repository.add_referrer(subject.image, signing.BUNDLE, [layer.json()], annotations)


def _attestation_layer(subject: Subject, key: signing.Signer, predicate_type: str, predicate: Json) -> Json:
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
