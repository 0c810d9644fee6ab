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
from backend.evidence import compliance, documents, sbom, signatures
from backend.evidence.attested import Setting, kind_of, newest, provenance_of, read_statement
from backend.evidence.decoding import REPORT_LIMIT, clean
from backend.evidence.documents import Provenance
from backend.evidence.envelopes import (
    BUNDLE_MEDIA_TYPE,
    DSSE_MEDIA_TYPE,
    ENVELOPE_LIMIT,
    SignedStatement,
    open_bundle,
    open_envelope,
    open_statement,
)
from backend.evidence.facts import ImageFacts
from backend.evidence.keyless import KeylessIdentity
from backend.evidence.keys import PublicKey
from backend.evidence.records import NONE, READ, EvidenceKind, EvidenceRecord, Origin
from backend.evidence.reports.common import About
from backend.evidence.reports.reading import read_report
from backend.evidence.signatures import SIGN_PREDICATE, SignatureOutcome, SignatureState
from backend.evidence.weights import judge_weights
from backend.registry.manifests import Descriptor, Manifest

_MOST_ATTACHED: Final = 64
_PREDICATE_ANNOTATION: Final = "dev.sigstore.bundle.predicateType"
_MOST_PLATFORMS: Final = 4
# BuildKit, "Image attestation storage": which predicate a layer of an attestation manifest holds.
_EMBEDDED_PREDICATE: Final = "in-toto.io/predicate-type"
_ATTESTED: Final = (
    EvidenceKind.VULNERABILITIES,
    EvidenceKind.SBOM,
    EvidenceKind.LICENCE,
    EvidenceKind.PROVENANCE,
    EvidenceKind.VEX,
    EvidenceKind.BENCHMARK,
)
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

    async def scan_report(self, repository: str, digest: str, limit: int) -> bytes | None:
        """What the registry's own scanner found; None: nothing is known of that."""


class _Findings:
    """What one collection has found so far."""

    def __init__(self, keys: Sequence[PublicKey], identities: Sequence[KeylessIdentity]) -> None:
        self.keys = keys
        self.identities = identities
        self.embedded: list[SignedStatement] = []
        self.embedded_failures: list[str] = []
        self.outcomes: list[SignatureOutcome] = []
        self.statements: list[SignedStatement] = []
        self.bare: list[tuple[str, bytes]] = []
        self.scan: bytes | None = None
        self.scan_failure = ""
        self.signature_failures: list[str] = []
        self.attestation_failures: list[str] = []


async def collect(
    source: ArtifactSource,
    facts: ImageFacts,
    manifest: Manifest,
    *,
    keys: Sequence[PublicKey],
    identities: Sequence[KeylessIdentity] = (),
    configurations: Sequence[bytes] = (),
    clock: Clock,
    ids: IdSource,
) -> list[EvidenceRecord]:
    """All evidence on an image that its registry holds, and what the image itself says.

    Args:
        source: the image's registry.
        facts: of the image; its digest is the one that `manifest` was computed to have.
        manifest: of the image or index.
        keys, identities: that policy names, all gates together.
        configurations: configuration blobs of its platforms, as the library keeps them.

    Returns:
        always one record on signatures, declared licences, weights, compliance and the model card, and one at least on
        provenance; those of attestations that are there, and besides one `unchecked` a kind when anything attached
        could not be fetched or read.
    """
    found = _Findings(keys, identities)
    await asyncio.gather(
        _collect_signed(source, facts, found),
        _collect_embedded(source, facts, manifest, found),
        _collect_scan(source, facts, found),
    )
    children = frozenset(child.digest for child in manifest.images)
    at = clock.now()
    own = Provenance(digest=facts.digest, origin=Origin.IMAGE, how="part of the image", at=at)
    attached = Provenance(digest=facts.digest, origin=Origin.REGISTRY, how="attached in the registry", at=at)
    settings = await compliance.read_all(configurations)
    summary, told = compliance.describe(facts, settings)
    records = [
        _signature_record(found, attached, ids),
        documents.of_declarations(facts, own, ids, kit=documents.kit_licences(configurations)),
        judge_weights(facts, id=ids.new_id(), at=at, settings=settings),
        own.record(id=ids.new_id(), kind=EvidenceKind.COMPLIANCE, state=READ, summary=summary, payload=told),
        documents.of_model_card(facts, manifest, own, ids),
    ]
    # Reports reach 64 MiB: reading one would hold up the event loop.
    setting = Setting(digest=facts.digest, children=children, ids=ids, at=at)
    attested = await asyncio.to_thread(_read_attested, found, setting)
    records.extend(newest(attested))
    records.extend(_missing_provenance(records, found, own, attached, ids))
    if found.scan_failure:
        records.extend(documents.unchecked([EvidenceKind.VULNERABILITIES], found.scan_failure, attached, ids))
    if found.attestation_failures:
        records.extend(documents.unchecked(_ATTESTED, found.attestation_failures[0], attached, ids))
    return records


async def _collect_signed(source: ArtifactSource, facts: ImageFacts, found: _Findings) -> None:
    # One after the other: in another order the same signatures would make other evidence.
    await _collect_tagged(source, facts, found)
    await _collect_referrers(source, facts, found)


async def _collect_tagged(source: ArtifactSource, facts: ImageFacts, found: _Findings) -> None:
    base = facts.digest.replace(":", "-", 1)
    for suffix, failures in (("sig", found.signature_failures), ("att", found.attestation_failures)):
        try:
            manifest = await _manifest_of_tag(source, facts.repository, f"{base}.{suffix}")
            if manifest is None:
                continue
            for layer in _bounded(manifest.layers, failures):
                if layer.media_type == signatures.SIMPLE_SIGNING:
                    await _take_simple(source, facts, layer, found)
                elif layer.media_type == DSSE_MEDIA_TYPE:
                    await _take_envelope(source, facts, layer, found)
        except ModelyardError as error:
            failures.append(_reason(error))


async def _manifest_of_tag(source: ArtifactSource, repository: str, tag: str) -> Manifest | None:
    try:
        descriptor = await source.resolve(repository, tag)
    except NotFoundError:
        return None
    return await source.manifest(repository, descriptor.digest)


async def _take_simple(source: ArtifactSource, facts: ImageFacts, layer: Descriptor, found: _Findings) -> None:
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
            found.keys,
            certificate=signatures.CERTIFICATE_ANNOTATION in layer.annotations,
        )
    )


async def _take_envelope(source: ArtifactSource, facts: ImageFacts, layer: Descriptor, found: _Findings) -> None:
    try:
        data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
        found.statements.append(await asyncio.to_thread(open_envelope, data, found.keys, "attestation"))
    except ModelyardError as error:
        found.attestation_failures.append(_reason(error))


async def _collect_scan(source: ArtifactSource, facts: ImageFacts, found: _Findings) -> None:
    try:
        found.scan = await source.scan_report(facts.repository, facts.digest, REPORT_LIMIT)
    except ModelyardError as error:
        found.scan_failure = _reason(error)


async def _collect_embedded(source: ArtifactSource, facts: ImageFacts, manifest: Manifest, found: _Findings) -> None:
    """What BuildKit wrote into the index: provenance and SBOMs, fixed by the image's digest."""
    for child in [each for each in manifest.manifests if each.attests][:_MOST_PLATFORMS]:
        try:
            layers = (await source.manifest(facts.repository, child.digest)).layers
            for layer in layers[:_MOST_PLATFORMS]:
                predicate = layer.annotations.get(_EMBEDDED_PREDICATE, "").removeprefix("https://")
                if kind_of(predicate) in {EvidenceKind.PROVENANCE, EvidenceKind.SBOM}:
                    data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
                    statement = await asyncio.to_thread(open_statement, data, "attestation of BuildKit")
                    found.embedded.append(statement)
        except ModelyardError as error:
            found.embedded_failures.append(_reason(error))


async def _collect_referrers(source: ArtifactSource, facts: ImageFacts, found: _Findings) -> None:
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
                await _take_bundle(source, facts, referrer, found)
            elif kind == signatures.SIMPLE_SIGNING_ARTIFACT:
                for layer in _bounded(await _layers_about(source, facts, referrer, found), found.signature_failures):
                    await _take_simple(source, facts, layer, found)
            elif kind in _BARE_SBOMS:
                for layer in (await source.manifest(facts.repository, referrer.digest)).layers[:1]:
                    data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
                    found.bare.append((kind, data))
        except ModelyardError as error:
            found.attestation_failures.append(_reason(error))
            if kind in {BUNDLE_MEDIA_TYPE, signatures.SIMPLE_SIGNING_ARTIFACT}:
                found.signature_failures.append(_reason(error))


async def _take_bundle(source: ArtifactSource, facts: ImageFacts, referrer: Descriptor, found: _Findings) -> None:
    for layer in (await _layers_about(source, facts, referrer, found))[:1]:
        data = await source.blob(facts.repository, layer.digest, layer.size, ENVELOPE_LIMIT)
        try:
            statement = await asyncio.to_thread(open_bundle, data, found.keys, "signature bundle", found.identities)
        except MalformedDataError as error:
            if referrer.annotations.get(_PREDICATE_ANNOTATION, "").removeprefix("https://") != SIGN_PREDICATE:
                raise
            found.outcomes.append(signatures.broken_bundle(_reason(error)))
            continue
        if statement.predicate_type == SIGN_PREDICATE:
            found.outcomes.append(signatures.judge_statement(statement, facts.digest, found.keys))
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


def _signature_record(found: _Findings, provenance: Provenance, ids: IdSource) -> EvidenceRecord:
    state, summary = signatures.overall(found.outcomes, found.signature_failures)
    verified = next((each for each in found.outcomes if each.state is SignatureState.VERIFIED), None)
    signers: list[PublicKey | KeylessIdentity] = [*found.keys, *found.identities]
    record = provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.SIGNATURE,
        state=state.value,
        summary=summary,
        payload={
            "signatures": [msgspec.to_builtins(outcome) for outcome in found.outcomes],
            "failures": [] if verified else found.signature_failures,
            "tried": sorted(each.fingerprint for each in signers),
        },
    )
    return msgspec.structs.replace(record, key=verified.key if verified else "")


def _read_attested(found: _Findings, setting: Setting) -> list[EvidenceRecord]:
    records: list[EvidenceRecord] = []
    for statement in found.statements:
        given = provenance_of(statement, setting, origin=Origin.REGISTRY)
        try:
            records.extend(read_statement(statement, setting, given))
        except ModelyardError as error:
            found.attestation_failures.append(_reason(error))
    for statement in found.embedded:
        given = provenance_of(statement, setting, origin=Origin.IMAGE, embedded=True)
        try:
            # BuildKit lists nothing where its scanner was not asked for; that says nothing of the image.
            records.extend(record for record in read_statement(statement, setting, given) if _tells(record))
        except ModelyardError as error:
            found.embedded_failures.append(_reason(error))
    if found.scan is not None:
        # It was asked for by digest, so the answer is about it although it does not say so.
        about = About(digest=setting.digest, also=setting.children, attested=True, what="the registry's own scan")
        how = Provenance(digest=setting.digest, origin=Origin.REGISTRY, how="by the registry's scanner", at=setting.at)
        try:
            records.append(documents.of_report(read_report(found.scan, about), how, setting.ids))
        except ModelyardError as error:
            found.scan_failure = _reason(error)
    for kind_name, data in found.bare:
        try:
            how = Provenance(digest=setting.digest, origin=Origin.REGISTRY, how="attached, not signed", at=setting.at)
            records.extend(documents.of_sbom(sbom.read(data, kind_name), how, setting.ids))
        except ModelyardError as error:
            found.attestation_failures.append(_reason(error))
    return records


def _tells(record: EvidenceRecord) -> bool:
    if record.kind is EvidenceKind.SBOM:
        return bool(record.packages)
    return record.kind is not EvidenceKind.LICENCE or record.state == READ


def _missing_provenance(
    records: Sequence[EvidenceRecord], found: _Findings, own: Provenance, attached: Provenance, ids: IdSource
) -> list[EvidenceRecord]:
    kind = EvidenceKind.PROVENANCE
    if found.embedded_failures:
        return documents.unchecked([kind], found.embedded_failures[0], own, ids)
    if any(record.kind is kind for record in records) or found.attestation_failures:
        return []
    return [attached.record(id=ids.new_id(), kind=kind, state=NONE, summary="no provenance is attested")]


def _reason(error: ModelyardError) -> str:
    return clean(f"{error.what}: {error.why}", 300)
