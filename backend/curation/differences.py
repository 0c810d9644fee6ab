"""What changed between two sets of evidence on one digest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from backend.curation.candidates import Candidate
from backend.evidence import store as evidence_store
from backend.evidence.store import Reader, StoredEvidence

_IDENTIFIERS = msgspec.json.Decoder(list[str])


async def between(reader: Reader, shown: str, now: str, candidate: Candidate) -> list[str]:
    """What changed between two evidence hashes of one digest, a line each; never empty when they differ."""
    rows = {
        row["hash"]: row
        for row in await reader.fetch_all(
            "SELECT hash, evidence, waivers, corrections FROM evidence_set WHERE digest = ? AND hash IN (?, ?)",
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
    said, says = (msgspec.json.decode(rows[each]["corrections"], type=dict[str, str]) for each in (shown, now))
    for name in sorted({*said, *says}):
        if said.get(name) != says.get(name):
            lines.append(
                f"{name} was corrected: {says[name]}" if name in says else f"{name} is as it was derived again"
            )
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
