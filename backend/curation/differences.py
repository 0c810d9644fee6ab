"""What differs: between two sets of evidence on one digest, and between an image and the one approved before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from backend.curation.candidates import Candidate
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.evidence.records import READ, EvidenceKind, EvidenceRecord, Finding, Package, severity_rank
from backend.evidence.store import Reader, StoredEvidence

_MOST_NAMED = 8
_IDENTIFIERS = msgspec.json.Decoder(list[str])


async def between(reader: Reader, shown: str, now: str, candidate: Candidate) -> list[str]:
    """What changed between two evidence hashes of one digest, a line each; never empty when they differ."""
    rows = {
        row["hash"]: row
        for row in await reader.fetch_all(
            "SELECT hash, evidence, waivers FROM evidence_set WHERE digest = ? AND hash IN (?, ?)",
            (candidate.digest, shown, now),
        )
    }
    if shown not in rows or now not in rows:
        return [f"the hash {shown[:80]!r} stands for no evidence that was ever shown on this image"]
    before, after = (_IDENTIFIERS.decode(rows[each]["evidence"]) for each in (shown, now))
    known = await evidence_store.by_ids(reader, {*before, *after})
    lines = _evidence_lines([known[each] for each in before], [known[each] for each in after])
    waived = set(_IDENTIFIERS.decode(rows[now]["waivers"])) - set(_IDENTIFIERS.decode(rows[shown]["waivers"]))
    lines += [f"new waiver of {each.finding} by {each.actor}" for each in candidate.waivers if each.id in waived]
    return lines or ["waivers were granted since"]


def _evidence_lines(before: Sequence[StoredEvidence], after: Sequence[StoredEvidence]) -> list[str]:
    kept = {each.content_hash for each in before} & {each.content_hash for each in after}
    gone = [each for each in before if each.content_hash not in kept]
    new = [each for each in after if each.content_hash not in kept]
    lines = []
    for each in new:
        replaced = next((old for old in gone if _slot(old) == _slot(each)), None)
        if replaced is None:
            lines.append(f"new {each.kind}{_by(each)}: {each.summary}")
        else:
            gone.remove(replaced)
            same = replaced.summary == each.summary
            text = f"{each.summary} (measured anew)" if same else f"{replaced.summary} -> {each.summary}"
            lines.append(f"{each.kind}{_by(each)}: {text}")
    return lines + [f"gone {each.kind}{_by(each)}: {each.summary}" for each in gone]


def _slot(evidence: StoredEvidence) -> tuple[str, str, str]:
    return evidence.kind, evidence.origin, evidence.asserted_by


def _by(evidence: StoredEvidence) -> str:
    return f" handed in by {evidence.asserted_by}" if evidence.asserted_by else ""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An image with its evidence, findings and packages loaded, to be compared."""

    facts: ImageFacts
    evidence: Sequence[EvidenceRecord]


def changes(new: Subject, approved: Subject) -> tuple[str, ...]:
    """What a new image changes against the one that was approved, a line each; what is alike is left out."""
    lines = _fact_lines(new.facts, approved.facts)
    lines += _finding_lines(new.evidence, approved.evidence)
    lines += _package_lines(new.evidence, approved.evidence)
    for kind in (EvidenceKind.SIGNATURE, EvidenceKind.WEIGHTS):
        was, now = (_state(each.evidence, kind) for each in (approved, new))
        if was != now:
            lines.append(f"{kind.value}: {was} -> {now}")
    return tuple(lines)


def _fact_lines(new: ImageFacts, old: ImageFacts) -> list[str]:
    lines = [
        f"{name}: {was or 'not known'} -> {now or 'not known'}"
        for name, was, now in (
            ("kind", old.kind, new.kind),
            ("type", old.type, new.type),
            ("framework", old.framework, new.framework),
        )
        if was != now
    ]
    if new.size is not None and old.size is not None and new.size != old.size:
        percent = f" ({100 * (new.size - old.size) / old.size:+.1f} %)" if old.size else ""
        lines.append(f"size: {_bytes(old.size)} -> {_bytes(new.size)}{percent}")
    return lines


def _finding_lines(new: Sequence[EvidenceRecord], old: Sequence[EvidenceRecord]) -> list[str]:
    now, was = _findings(new), _findings(old)
    if now is None or was is None:
        if now is was:
            return []
        return ["vulnerabilities: " + ("not measured before" if was is None else "measured before, not measured now")]
    added = sorted(now.keys() - was.keys(), key=lambda each: (severity_rank(now[each]), each))
    gone = sorted(was.keys() - now.keys(), key=lambda each: (severity_rank(was[each]), each))
    worse = sorted(each for each in now.keys() & was.keys() if severity_rank(now[each]) < severity_rank(was[each]))
    lines = []
    if added:
        lines.append(f"{len(added)} vulnerabilities added: {_named(added, now)}")
    if gone:
        lines.append(f"{len(gone)} vulnerabilities gone: {_named(gone, was)}")
    if worse:
        lines.append(f"{len(worse)} vulnerabilities rated worse: {_named(worse, now)}")
    return lines


def _findings(evidence: Iterable[EvidenceRecord]) -> dict[str, str] | None:
    """The worst severity of each vulnerability in the newest report; None: there is no report."""
    reports = [each for each in evidence if each.kind is EvidenceKind.VULNERABILITIES and each.state == READ]
    if not reports:
        return None
    newest = max(reports, key=lambda each: each.measured_at.timestamp() if each.measured_at else 0.0)
    worst: dict[str, str] = {}
    for finding in sorted(newest.findings, key=_rank, reverse=True):
        worst[finding.id] = finding.severity
    return worst


def _rank(finding: Finding) -> int:
    return severity_rank(finding.severity)


def _package_lines(new: Sequence[EvidenceRecord], old: Sequence[EvidenceRecord]) -> list[str]:
    lines = []
    now_declared, was_declared = _declared(new), _declared(old)
    if now_declared != was_declared:
        lines.append(f"licence: {was_declared or 'not declared'} -> {now_declared or 'not declared'}")
    now, was = _packages(new), _packages(old)
    if not now or not was:
        return lines
    licences = sorted({each.licence for each in now} - {each.licence for each in was} - {""})
    if licences:
        lines.append(f"packages under new licences: {', '.join(licences[:_MOST_NAMED])}")
    before = {each.name: each.version for each in was}
    after = {each.name: each.version for each in now}
    added, gone = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    changed = [name for name in after.keys() & before.keys() if after[name] != before[name]]
    if added or gone or changed:
        lines.append(f"packages: {len(added)} added, {len(gone)} gone, {len(changed)} of another version")
    return lines


def _declared(evidence: Iterable[EvidenceRecord]) -> str:
    declared = {
        each["expression"]
        for record in evidence
        if record.kind is EvidenceKind.LICENCE
        for each in record.payload.get("declared", ())
    }
    return ", ".join(sorted(declared))


def _packages(evidence: Iterable[EvidenceRecord]) -> tuple[Package, ...]:
    return next((each.packages for each in evidence if each.kind is EvidenceKind.SBOM and each.packages), ())


def _state(evidence: Iterable[EvidenceRecord], kind: EvidenceKind) -> str:
    return next((each.state for each in evidence if each.kind is kind), "not measured")


def _named(identifiers: Sequence[str], severities: Mapping[str, str]) -> str:
    named = ", ".join(f"{each} ({severities[each]})" for each in identifiers[:_MOST_NAMED])
    more = len(identifiers) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit takes every size")
