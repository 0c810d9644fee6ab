"""Collects what is attached to an image in its registry: signatures, attestations, SBOMs.

Cosign keeps them under the tags `sha256-<hex>.sig` and `.att`; cosign 3 and others as referrers (OCI distribution-spec
1.1). Whatever could not be fetched or read is told as "could not check", never as absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from backend.core.errors import MalformedDataError, ModelyardError, NotFoundError
from backend.core.ports import Clock, IdSource
from backend.evidence import documents, sbom, signatures, vulnerabilities
from backend.evidence.decoding import clean
from backend.evidence.documents import Provenance
from backend.evidence.envelopes import (
    BUNDLE_MEDIA_TYPE,
    DSSE_MEDIA_TYPE,
    ENVELOPE_LIMIT,
    SignedStatement,
    open_bundle,
    open_envelope,
)
from backend.evidence.facts import ImageFacts
from backend.evidence.keys import PublicKey
from backend.evidence.records import INVALID, EvidenceKind, EvidenceRecord, Origin
from backend.evidence.signatures import SIGN_PREDICATE, SignatureOutcome, SignatureState
from backend.evidence.weights import judge_weights
from backend.registry.manifests import Descriptor, Manifest

_MOST_ATTACHED: Final = 64
_PREDICATE_ANNOTATION: Final = "dev.sigstore.bundle.predicateType"
_ATTESTED: Final = (EvidenceKind.VULNERABILITIES, EvidenceKind.SBOM, EvidenceKind.LICENCE)
# Media types under which ORAS and Trivy attach a bare SBOM; nobody signs those.
_BARE_SBOMS: Final = frozenset({"application/vnd.cyclonedx+json", "application/spdx+json"})


class ArtifactSource(Protocol):
    """What is needed of a registry; the registry room's client has it."""

    async def resolve(self, repository: str, reference: str) -> Descriptor:
        """What a tag or digest names. Raises NotFoundError when it names nothing."""

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """A manifest whose bytes have been checked."""

    async def blob(self, repository: str, digest: str, size: int, limit: int) -> bytes:
        """A blob whose size and bytes have been checked."""

    async def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """What refers to a digest."""


class _Findings:
    """What one collection has found so far."""

    def __init__(self) -> None:
        self.outcomes: list[SignatureOutcome] = []
        self.statements: list[SignedStatement] = []
        self.bare: list[tuple[str, bytes]] = []
        self.signature_failures: list[str] = []
        self.attestation_failures: list[str] = []


async def collect(
    source: ArtifactSource,
    facts: ImageFacts,
    manifest: Manifest,
    *,
    keys: Sequence[PublicKey],
    clock: Clock,
    ids: IdSource,
) -> list[EvidenceRecord]:
    """All evidence on an image that its registry holds, and what the image itself says of licences and weights.

    Args:
        source: the image's registry.
        facts: of the image; its digest is the one that `manifest` was computed to have.
        manifest: of the image or index.
        keys: that policy names, all gates together.

    Returns:
        one record on signatures, always; one on declared licences and one on weights, always; those of attestations
        that are there, and besides one `unchecked` a kind when anything attached could not be fetched or read.
    """
    found = _Findings()
    await _collect_tagged(source, facts, keys, found)
    await _collect_referrers(source, facts, keys, found)
    children = frozenset(child.digest for child in manifest.images)
    at = clock.now()
    own = Provenance(digest=facts.digest, origin=Origin.IMAGE, how="part of the image", at=at)
    attached = Provenance(digest=facts.digest, origin=Origin.REGISTRY, how="attached in the registry", at=at)
    records = [
        _signature_record(found, keys, attached, ids),
        documents.of_declarations(facts, own, ids),
        judge_weights(facts, id=ids.new_id(), at=at),
    ]
    # Reports reach 64 MiB: reading one would hold up the event loop.
    attested = await asyncio.to_thread(_read_attested, found, facts.digest, children, attached, ids)
    records.extend(_newest(attested))
    if found.attestation_failures:
        records.extend(documents.unchecked(_ATTESTED, found.attestation_failures[0], attached, ids))
    return records


async def _collect_tagged(
    source: ArtifactSource, facts: ImageFacts, keys: Sequence[PublicKey], found: _Findings
) -> None:
    base = facts.digest.replace(":", "-", 1)
    for suffix, failures in (("sig", found.signature_failures), ("att", found.attestation_failures)):
        try:
            manifest = await _manifest_of_tag(source, facts.repository, f"{base}.{suffix}")
            if manifest is None:
                continue
            for layer in _bounded(manifest.layers, failures):
                if layer.media_type == signatures.SIMPLE_SIGNING:
                    await _take_simple(source, facts, layer, keys, found)
                elif layer.media_type == DSSE_MEDIA_TYPE:
                    await _take_envelope(source, facts, layer, keys, found)
        except ModelyardError as error:
            failures.append(_reason(error))


async def _manifest_of_tag(source: ArtifactSource, repository: str, tag: str) -> Manifest | None:
    try:
        descriptor = await source.resolve(repository, tag)
    except NotFoundError:
        return None
    return await source.manifest(repository, descriptor.digest)


async def _take_simple(
    source: ArtifactSource, facts: ImageFacts, layer: Descriptor, keys: Sequence[PublicKey], found: _Findings
) -> None:
    try:
        payload = await source.blob(facts.repository, layer.digest, layer.size, signatures.PAYLOAD_LIMIT)
    except ModelyardError as error:
        found.signature_failures.append(_reason(error))
        return
    found.outcomes.append(
        signatures.verify_simple_signing(
            payload,
            layer.annotations.get(signatures.SIGNATURE_ANNOTATION, ""),
            facts.digest,
            keys,
            certificate=signatures.CERTIFICATE_ANNOTATION in layer.annotations,
        )
    )


async def _take_envelope(
    source: ArtifactSource, facts: ImageFacts, layer: Descriptor, keys: Sequence[PublicKey], found: _Findings
) -> None:
    try:
        data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
        found.statements.append(await asyncio.to_thread(open_envelope, data, keys, "attestation"))
    except ModelyardError as error:
        found.attestation_failures.append(_reason(error))


async def _collect_referrers(
    source: ArtifactSource, facts: ImageFacts, keys: Sequence[PublicKey], found: _Findings
) -> None:
    try:
        referrers = await source.referrers(facts.repository, facts.digest)
    except NotFoundError:
        return
    except ModelyardError as error:
        # What cannot be listed may hold a signature or an attestation.
        found.signature_failures.append(_reason(error))
        found.attestation_failures.append(_reason(error))
        return
    for referrer in _bounded(referrers, found.attestation_failures):
        kind = referrer.artifact_type
        try:
            if kind == signatures.NOTATION:
                found.outcomes.append(signatures.notation_outcome())
            elif kind == BUNDLE_MEDIA_TYPE:
                await _take_bundle(source, facts, referrer, keys, found)
            elif kind == signatures.SIMPLE_SIGNING_ARTIFACT:
                for layer in _bounded(await _layers_about(source, facts, referrer, found), found.signature_failures):
                    await _take_simple(source, facts, layer, keys, found)
            elif kind in _BARE_SBOMS:
                for layer in (await source.manifest(facts.repository, referrer.digest)).layers[:1]:
                    data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
                    found.bare.append((kind, data))
        except ModelyardError as error:
            found.attestation_failures.append(_reason(error))
            if kind in {BUNDLE_MEDIA_TYPE, signatures.SIMPLE_SIGNING_ARTIFACT}:
                found.signature_failures.append(_reason(error))


async def _take_bundle(
    source: ArtifactSource, facts: ImageFacts, referrer: Descriptor, keys: Sequence[PublicKey], found: _Findings
) -> None:
    for layer in (await _layers_about(source, facts, referrer, found))[:1]:
        data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
        try:
            statement = await asyncio.to_thread(open_bundle, data, keys, "signature bundle")
        except MalformedDataError as error:
            if referrer.annotations.get(_PREDICATE_ANNOTATION, "").removeprefix("https://") != SIGN_PREDICATE:
                raise
            found.outcomes.append(signatures.broken_bundle(_reason(error)))
            continue
        if statement.predicate_type == SIGN_PREDICATE:
            found.outcomes.append(signatures.judge_statement(statement, facts.digest, keys))
        else:
            found.statements.append(statement)


async def _layers_about(
    source: ArtifactSource, facts: ImageFacts, referrer: Descriptor, found: _Findings
) -> tuple[Descriptor, ...]:
    """The layers of a referrer that really refers to the image; a list of referrers can be a tag that anyone pushes."""
    manifest = await source.manifest(facts.repository, referrer.digest)
    if manifest.subject is None or manifest.subject.digest == facts.digest:
        return manifest.layers
    found.outcomes.append(signatures.broken_bundle(f"it refers to {manifest.subject.digest}, not to this image"))
    return ()


def _bounded(descriptors: Sequence[Descriptor], failures: list[str]) -> Sequence[Descriptor]:
    if len(descriptors) > _MOST_ATTACHED:
        failures.append(f"{len(descriptors)} things are attached, more than the {_MOST_ATTACHED} that are looked at")
    return descriptors[:_MOST_ATTACHED]


def _signature_record(
    found: _Findings, keys: Sequence[PublicKey], provenance: Provenance, ids: IdSource
) -> EvidenceRecord:
    state, summary = signatures.overall(found.outcomes, found.signature_failures)
    verified = next((each for each in found.outcomes if each.state is SignatureState.VERIFIED), None)
    record = provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.SIGNATURE,
        state=state.value,
        summary=summary,
        payload={
            "signatures": [msgspec.to_builtins(outcome) for outcome in found.outcomes],
            "failures": [] if verified else found.signature_failures,
            "tried": sorted(key.fingerprint for key in keys),
        },
    )
    return msgspec.structs.replace(record, key=verified.key if verified else "")


def _read_attested(
    found: _Findings, digest: str, children: frozenset[str], attached: Provenance, ids: IdSource
) -> list[EvidenceRecord]:
    records: list[EvidenceRecord] = []
    for statement in found.statements:
        kind = _kind_of(statement.predicate_type)
        if kind is None:
            continue
        try:
            records.extend(_read_statement(statement, kind, digest, children, attached, ids))
        except ModelyardError as error:
            found.attestation_failures.append(_reason(error))
    for kind_name, data in found.bare:
        try:
            how = Provenance(digest=digest, origin=Origin.REGISTRY, how="attached, not signed", at=attached.at)
            records.extend(documents.of_sbom(sbom.read(data, kind_name), how, ids))
        except ModelyardError as error:
            found.attestation_failures.append(_reason(error))
    return records


def _kind_of(predicate_type: str) -> EvidenceKind | None:
    if predicate_type in vulnerabilities.VULNERABILITY_PREDICATES:
        return EvidenceKind.VULNERABILITIES
    if predicate_type.startswith((sbom.CYCLONEDX_PREDICATE, sbom.SPDX_PREDICATE)):
        return EvidenceKind.SBOM
    return None


def _read_statement(
    statement: SignedStatement,
    kind: EvidenceKind,
    digest: str,
    children: frozenset[str],
    attached: Provenance,
    ids: IdSource,
) -> list[EvidenceRecord]:
    signer = statement.signed_by
    provenance = Provenance(
        digest=digest,
        origin=Origin.REGISTRY,
        how=f"attested, verified by key {signer.name}" if signer else "attested, signature not verified",
        key=signer.fingerprint if signer else "",
        at=attached.at,
    )
    if digest not in statement.subjects:
        about = ", ".join(sorted(statement.subjects)[:2]) or "no digest"
        return [
            provenance.record(
                id=ids.new_id(), kind=kind, state=INVALID, summary=f"it is about {about}, not about this image"
            )
        ]
    if kind is EvidenceKind.SBOM:
        return documents.of_sbom(sbom.read(statement.predicate, "attested SBOM"), provenance, ids)
    report = vulnerabilities.read_report(
        statement.predicate, digest=digest, also=children, attested=True, what="attested vulnerability report"
    )
    return [documents.of_report(report, provenance, ids)]


def _newest(records: Sequence[EvidenceRecord]) -> list[EvidenceRecord]:
    # A daily attestation leaves hundreds behind. What counts is the newest that is vouched for, and the newest that
    # is not, which is shown beside it.
    newest: dict[tuple[EvidenceKind, bool, bool], EvidenceRecord] = {}
    for record in records:
        slot = (record.kind, record.vouched, record.state == INVALID)
        known = newest.get(slot)
        if known is None or _time_of(record) > _time_of(known):
            newest[slot] = record
    return list(newest.values())


def _time_of(record: EvidenceRecord) -> float:
    return record.measured_at.timestamp() if record.measured_at else 0.0


def _reason(error: ModelyardError) -> str:
    return clean(f"{error.what}: {error.why}", 300)
