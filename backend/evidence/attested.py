"""From signed statements to the evidence that they give."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.ports import IdSource
from backend.evidence import documents, provenance, sbom, vex_documents
from backend.evidence.benchmarks import BENCHMARK_PREDICATE, read_benchmark
from backend.evidence.documents import Provenance
from backend.evidence.envelopes import SignedStatement
from backend.evidence.keyless import KeylessIdentity
from backend.evidence.records import INVALID, READ, EvidenceKind, EvidenceRecord, Origin, apart
from backend.evidence.reports import cyclonedx
from backend.evidence.reports.common import About
from backend.evidence.reports.predicates import PREDICATES
from backend.evidence.reports.reading import read_report

_KINDS: Final = (
    (sbom.CYCLONEDX_PREDICATE, EvidenceKind.SBOM),
    (sbom.SPDX_PREDICATE, EvidenceKind.SBOM),
    (vex_documents.OPENVEX_PREDICATE, EvidenceKind.VEX),
    (provenance.SLSA_PREDICATE, EvidenceKind.PROVENANCE),
    (BENCHMARK_PREDICATE, EvidenceKind.BENCHMARK),
)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What statements are read in.

    Attributes:
        children: digests that count as the image, such as an index's platforms.
        at: now.
    """

    digest: str
    children: frozenset[str]
    ids: IdSource
    at: datetime


def kind_of(predicate_type: str) -> EvidenceKind | None:
    """What a predicate is evidence of; None: of nothing that is read."""
    if predicate_type in PREDICATES:
        return EvidenceKind.VULNERABILITIES
    return next((kind for prefix, kind in _KINDS if predicate_type.startswith(prefix)), None)


def provenance_of(
    statement: SignedStatement, setting: Setting, *, origin: Origin, asserted_by: str = "", embedded: bool = False
) -> Provenance:
    """Where what a statement says comes from.

    Args:
        asserted_by: who handed it in; empty: nobody.
        embedded: it is part of the image, whose digest fixes it.
    """
    signer = statement.signed_by
    if embedded:
        how = "part of the image"
    elif signer is None:
        why = statement.unchecked or statement.refuted
        how = f"attested, signature not verified{f' ({why})' if why else ''}"
    elif isinstance(signer, KeylessIdentity):
        how = f"attested, verified for {signer.name}"
    else:
        how = f"attested, verified by key {signer.name}"
    return Provenance(
        digest=setting.digest,
        origin=origin,
        how=f"{how}, handed in by {asserted_by}" if asserted_by else how,
        key=signer.fingerprint if signer else "",
        asserted_by=asserted_by,
        at=setting.at,
    )


def read_statement(statement: SignedStatement, setting: Setting, given: Provenance) -> list[EvidenceRecord]:
    """The evidence that a statement gives; none where its predicate is of a type that is not read.

    Raises:
        LimitExceededError: its predicate is too large, nested too deeply, or lists too much.
        MalformedDataError: its predicate is not what its type says.
    """
    kind = kind_of(statement.predicate_type)
    if kind is None:
        return []
    image = {setting.digest, *(setting.children if given.origin is Origin.IMAGE else ())}
    if not image & statement.subjects:
        named = ", ".join(sorted(statement.subjects)[:2]) or "no digest"
        summary = f"it is about {named}, not about this image"
        return [given.record(id=setting.ids.new_id(), kind=kind, state=INVALID, summary=summary)]
    about = About(digest=setting.digest, also=setting.children, attested=True, what=f"attested {kind.value}")
    if kind is EvidenceKind.SBOM:
        return _of_sbom(statement, about, given, setting.ids)
    if kind is EvidenceKind.VEX:
        document = vex_documents.read_openvex(statement.predicate, about)
        return [documents.of_vex(document, "OpenVEX", given, setting.ids)]
    if kind is EvidenceKind.BENCHMARK:
        return [documents.of_benchmark(read_benchmark(statement.predicate, about, setting.at), given, setting.ids)]
    if kind is EvidenceKind.PROVENANCE:
        return [_of_provenance(statement, given, setting.ids)]
    report = read_report(statement.predicate, msgspec.structs.replace(about, what="attested vulnerability report"))
    return [documents.of_report(report, given, setting.ids)]


def _of_sbom(statement: SignedStatement, about: About, given: Provenance, ids: IdSource) -> list[EvidenceRecord]:
    records = documents.of_sbom(sbom.read(statement.predicate, "attested SBOM"), given, ids)
    if statement.predicate_type.startswith(sbom.CYCLONEDX_PREDICATE):
        records += of_cyclonedx(statement.predicate, about, given, ids)
    return records


def of_cyclonedx(data: bytes, about: About, given: Provenance, ids: IdSource) -> list[EvidenceRecord]:
    """What a CycloneDX document says besides its components: vulnerabilities, and analyses of them (VEX).

    Raises:
        LimitExceededError, MalformedDataError: as `reports.cyclonedx.read_bom`.
    """
    bom = cyclonedx.read_bom(data, about.what)
    found = []
    if cyclonedx.has_findings(bom):
        found.append(documents.of_report(cyclonedx.of_bom(bom, about), given, ids))
    document = vex_documents.of_bom(bom)
    if document is not None:
        found.append(documents.of_vex(document, "CycloneDX", given, ids))
    return found


def _of_provenance(statement: SignedStatement, given: Provenance, ids: IdSource) -> EvidenceRecord:
    told = provenance.read_provenance(statement.predicate_type, statement.predicate, "attested provenance")
    entry = {**told, "key": given.key, "fixed": given.origin is Origin.IMAGE}
    return given.record(
        id=ids.new_id(),
        kind=EvidenceKind.PROVENANCE,
        state=READ,
        summary=provenance.summary_of(told),
        maker="SLSA provenance",
        payload={"attestations": [entry]},
    )


def newest(records: Sequence[EvidenceRecord]) -> list[EvidenceRecord]:
    """Of many attestations the newest that is vouched for, and the newest that is not, which is shown beside it.

    A daily attestation leaves hundreds behind. VEX of different authors and benchmarks on different hardware stand
    beside each other.
    """
    kept: dict[tuple[object, ...], EvidenceRecord] = {}
    for record in records:
        slot = (record.kind, record.origin, record.vouched, record.state == INVALID, apart(record.kind, record.source))
        known = kept.get(slot)
        if known is None or _time_of(record) > _time_of(known):
            kept[slot] = record
    return list(kept.values())


def _time_of(record: EvidenceRecord) -> float:
    return record.measured_at.timestamp() if record.measured_at else 0.0
