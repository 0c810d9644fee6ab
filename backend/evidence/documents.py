"""From a report or document to the evidence that it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from backend.core.errors import MalformedDataError
from backend.core.ports import IdSource
from backend.evidence.benchmarks import Benchmark
from backend.evidence.decoding import clean, decode
from backend.evidence.facts import ImageFacts
from backend.evidence.licences import Licence, read_licence
from backend.evidence.records import NONE, READ, EvidenceKind, EvidenceRecord, Origin, Severity
from backend.evidence.reports.common import VulnerabilityReport
from backend.evidence.sbom import Sbom
from backend.evidence.vex_documents import VexDocument
from backend.registry.manifests import Manifest

#: OCI image-spec 1.1, "Annotations": licences under which the image is distributed, as an SPDX expression.
LICENCE_ANNOTATION: Final = "org.opencontainers.image.licenses"
#: OCI image-spec 1.1, "Annotations": where documentation of the image is.
CARD_ANNOTATION: Final = "org.opencontainers.image.documentation"
# CNCF model-spec 1.0 and KitOps 1: layers of documents, the model card among them.
_CARD_LAYERS: Final = ("application/vnd.cncf.model.doc.", "application/vnd.kitops.modelkit.docs.")
_MOST_LICENCES: Final = 300
_KITFILE_LIMIT: Final = 4 * 1024 * 1024


class Provenance:
    """Where a document came from, for the records that are made of it.

    Args:
        digest: of the image.
        origin: how it came in.
        how: the second half of a source, such as `attested, verified by key platform`.
        key: fingerprint of the key that verified it; empty: none.
        asserted_by: who handed it in; empty: nobody.
        at: now.
    """

    def __init__(
        self, *, digest: str, origin: Origin, how: str, at: datetime, key: str = "", asserted_by: str = ""
    ) -> None:
        self.digest = digest
        self.origin = origin
        self.how = how
        self.key = key
        self.asserted_by = asserted_by
        self.at = at

    def record(
        self, *, id: str, kind: EvidenceKind, state: str, summary: str, maker: str = "", **rest: Any
    ) -> EvidenceRecord:
        """A record of this provenance; `maker` is the first half of its source."""
        return EvidenceRecord(
            id=id,
            digest=self.digest,
            kind=kind,
            origin=self.origin,
            state=state,
            summary=summary,
            source=f"{maker}, {self.how}" if maker else self.how,
            asserted_by=self.asserted_by,
            key=self.key,
            collected_at=self.at,
            **rest,
        )


def of_report(report: VulnerabilityReport, provenance: Provenance, ids: IdSource) -> EvidenceRecord:
    """The evidence that a vulnerability report gives."""
    counts = report.counts
    if not report.targets:
        summary = "the scanner found no packages to look at"
    elif not report.findings:
        summary = "no known vulnerabilities"
    else:
        summary = ", ".join(f"{counts[each.value]} {each.value}" for each in Severity if counts[each.value])
    return provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.VULNERABILITIES,
        state=READ,
        summary=summary,
        maker=report.scanner,
        measured_at=report.created_at,
        database_at=report.database_at,
        payload={
            "counts": counts,
            "fixable": report.fixable,
            "targets": report.targets,
            "scanner": {"name": report.program, "version": report.version},
        },
        findings=report.findings,
    )


def of_sbom(sbom: Sbom, provenance: Provenance, ids: IdSource) -> list[EvidenceRecord]:
    """The evidence that an SBOM gives: what the image is made of, and its licences."""
    counts = sbom.licence_counts
    maker = f"{sbom.format} by {sbom.tool}" if sbom.tool else sbom.format
    without = counts.get("", 0)
    contents = provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.SBOM,
        state=READ,
        summary=f"{_counted(len(sbom.packages), 'package')}, {without} without a licence",
        maker=maker,
        measured_at=sbom.created_at,
        payload={"packages": len(sbom.packages), "format": sbom.format, "ecosystems": sbom.ecosystems},
        packages=sbom.packages,
    )
    declared = [licence for licence in map(read_licence, sbom.declared) if licence]
    licences = provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.LICENCE,
        state=READ if declared or sbom.packages else NONE,
        summary=_licence_summary(declared, counts),
        maker=maker,
        measured_at=sbom.created_at,
        payload=_licence_payload(declared, counts),
    )
    return [contents, licences]


def of_vex(document: VexDocument, form: str, provenance: Provenance, ids: IdSource) -> EvidenceRecord:
    """The evidence that a VEX document gives: statements that are laid over reports.

    Args:
        form: its format's name.
    """
    statuses = Counter(each.status for each in document.statements)
    told = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(statuses.items()))
    return provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.VEX,
        state=READ,
        summary=told or "no statements",
        maker=f"{document.author} ({form})" if document.author else form,
        measured_at=document.at,
        payload={"author": document.author, "statuses": dict(sorted(statuses.items()))},
        statements=document.statements,
    )


def of_benchmark(benchmark: Benchmark, provenance: Provenance, ids: IdSource) -> EvidenceRecord:
    """The evidence that a benchmark's results give."""
    first = benchmark.results[0]
    more = f" and {len(benchmark.results) - 1} more" if len(benchmark.results) > 1 else ""
    tool = f"{benchmark.tool.name} {benchmark.tool.version}".strip() if benchmark.tool else "a benchmark"
    return provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.BENCHMARK,
        state=READ,
        summary=clean(f"{first.name} {first.value:g} {first.unit}".rstrip() + f"{more}, on {benchmark.where}", 300),
        maker=clean(f"{tool} on {benchmark.where}", 400),
        measured_at=benchmark.measured_at,
        payload=benchmark.payload(),
    )


def of_model_card(facts: ImageFacts, manifest: Manifest, provenance: Provenance, ids: IdSource) -> EvidenceRecord:
    """Whether a model card comes with the image: a layer of documents, or an annotation that links to one."""
    layer = next((each for each in manifest.layers if each.media_type.startswith(_CARD_LAYERS)), None)
    link = facts.annotations.get(CARD_ANNOTATION) or facts.labels.get(CARD_ANNOTATION) or ""
    if layer is not None:
        found = {"where": f"layer {layer.media_type}", "digest": layer.digest}
        summary = "in a layer of the artifact"
    elif link:
        found = {"where": f"annotation {CARD_ANNOTATION}", "link": clean(link, 500)}
        summary = f"at {clean(link, 200)}, which can be changed"
    else:
        found, summary = {}, "no model card is given"
    return provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.MODEL_CARD,
        state=READ if found else NONE,
        summary=summary,
        payload=found,
    )


class _KitPart(msgspec.Struct, frozen=True):
    license: str | None = None


class _Kitfile(msgspec.Struct, frozen=True):
    """Of the configuration of a KitOps ModelKit: its Kitfile as JSON (Kitfile format 1.0)."""

    package: _KitPart | None = None
    model: _KitPart | None = None


_KITFILE_DECODER: Final = msgspec.json.Decoder(_Kitfile)


def kit_licences(configurations: Iterable[bytes]) -> tuple[str, ...]:
    """The licences that Kitfiles among configuration blobs give for the package and its model."""
    found: list[str] = []
    for data in configurations:
        try:
            kit = decode(data, _KITFILE_DECODER, "Kitfile", _KITFILE_LIMIT)
        except MalformedDataError:
            # The configuration of another kind of image.
            continue
        found += [clean(part.license, 300) for part in (kit.package, kit.model) if part and part.license]
    return tuple(dict.fromkeys(found))


def of_declarations(
    facts: ImageFacts, provenance: Provenance, ids: IdSource, *, kit: Sequence[str] = ()
) -> EvidenceRecord:
    """The licences that the image itself declares: by annotation, label, or a model's configuration.

    Args:
        kit: as `kit_licences` finds them.
    """
    stated = {
        f"annotation {LICENCE_ANNOTATION}": facts.annotations.get(LICENCE_ANNOTATION, ""),
        # BuildKit and buildah write the same key as a label of the configuration.
        f"label {LICENCE_ANNOTATION}": facts.labels.get(LICENCE_ANNOTATION, ""),
        "model configuration": " AND ".join(facts.licences),
        "Kitfile": " AND ".join(kit),
    }
    read = {where: licence for where, text in stated.items() if (licence := read_licence(text))}
    distinct = {licence.expression: licence for licence in read.values()}
    return provenance.record(
        id=ids.new_id(),
        kind=EvidenceKind.LICENCE,
        state=READ if distinct else NONE,
        summary=_licence_summary(list(distinct.values()), {}),
        maker=" and ".join(read),
        payload=_licence_payload(list(distinct.values()), {}),
    )


def unchecked(
    kinds: Iterable[EvidenceKind], reason: str, provenance: Provenance, ids: IdSource
) -> list[EvidenceRecord]:
    """That evidence may be there and could not be fetched or read."""
    return [
        provenance.record(id=ids.new_id(), kind=kind, state="unchecked", summary=f"could not check: {reason}")
        for kind in kinds
    ]


def _licence_payload(declared: Sequence[Licence], counts: Mapping[str, int]) -> dict[str, Any]:
    named = {expression: count for expression, count in counts.items() if expression}
    kept = sorted(named)[:_MOST_LICENCES]
    return {
        "declared": [_licence_entry(licence) for licence in declared],
        "packages": [
            {**_licence_entry(licence), "count": named[expression]}
            for expression in kept
            if (licence := read_licence(expression))
        ],
        "left_out": len(named) - len(kept),
        "without": counts.get("", 0),
    }


def _licence_entry(licence: Licence) -> dict[str, Any]:
    return {"expression": licence.expression, "tree": licence.tree, "recognised": licence.recognised}


def _licence_summary(declared: Sequence[Licence], counts: Mapping[str, int]) -> str:
    parts = [" and ".join(licence.expression for licence in declared) or "no licence is declared"]
    if counts:
        parts.append(f"packages under {_counted(len([name for name in counts if name]), 'licence')}")
    return "; ".join(parts)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
