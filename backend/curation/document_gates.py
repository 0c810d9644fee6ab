"""Gates that ask for a document: an SBOM, what fixes the weights, a benchmark's result, a review. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from backend.core.ports import instant
from backend.core.views import EvidenceValue
from backend.curation.gate_config import BenchmarkGate, ReviewGate, SbomGate, WeightsGate
from backend.curation.judging import Judgement, Seen, newest_first, too_old, why_not_read
from backend.curation.people import grouped
from backend.evidence.records import READ, EvidenceKind, EvidenceRecord
from backend.evidence.weights import FIXED

_LONGEST: Final = 120


def judge_document(config: SbomGate | WeightsGate | BenchmarkGate | ReviewGate, seen: Seen) -> Judgement:
    """What such a gate says."""
    if isinstance(config, SbomGate):
        return _judge_sbom(config, seen)
    if isinstance(config, WeightsGate):
        return _judge_weights(config, seen)
    if isinstance(config, BenchmarkGate):
        return _judge_benchmark(config, seen)
    return _judge_review(config, seen)


def _judge_sbom(config: SbomGate, seen: Seen) -> Judgement:
    records = seen.of(EvidenceKind.SBOM)
    accepted = seen.accepted(newest_first(records), unsigned=config.effect == "warn" or config.accept_unsigned)
    if not accepted:
        return Judgement(EvidenceValue.NOT_MEASURED, why_not_read(records, "SBOM"))
    newest = accepted[0]
    packages = newest.payload.get("packages", 0)
    told = f"{packages} packages, by {newest.source[:_LONGEST]}"
    if packages < config.min_packages:
        return Judgement(EvidenceValue.FAIL, f"{told}; {config.min_packages} asked for")
    return too_old(told, newest.measured_at, config.max_age, seen, "SBOM") or Judgement(EvidenceValue.PASS, told)


def _judge_weights(config: WeightsGate, seen: Seen) -> Judgement:
    record = seen.one(EvidenceKind.WEIGHTS)
    if record is None:
        return Judgement(EvidenceValue.NOT_MEASURED, "what fixes the weights has not been looked for yet")
    told = record.summary[: 2 * _LONGEST]
    if record.state != FIXED:
        return Judgement(EvidenceValue.FAIL, f"not fixed: {told}")
    by = str(record.payload.get("fixed_by", ""))
    if config.by and by not in config.by:
        return Judgement(EvidenceValue.FAIL, f"fixed by {by or 'something else'}, {' or '.join(config.by)} asked for")
    told = f"fixed {told}"
    return too_old(told, record.collected_at, config.max_age, seen, "look at them") or Judgement(
        EvidenceValue.PASS, told
    )


def _judge_benchmark(config: BenchmarkGate, seen: Seen) -> Judgement:
    records = newest_first(seen.of(EvidenceKind.BENCHMARK))
    found = _results(config, records)
    if not found:
        on = f" on {' or '.join(config.hardware)}" if config.hardware else ""
        return Judgement(EvidenceValue.NOT_MEASURED, f"no result of {config.metric}{on}")
    accepted = seen.accepted(records, unsigned=config.effect == "warn" or config.accept_unsigned)
    trusted = _results(config, accepted)
    if not trusted:
        result, record = found[0]
        told = f"{_told(config, result)}, unsigned ({record.source[:_LONGEST]})"
        failed = _misses(config, result)
        value = EvidenceValue.FAIL if failed else EvidenceValue.NOT_MEASURED
        return Judgement(value, told if failed else f"{told}, and this gate takes none unsigned")
    result, record = trusted[0]
    told = _told(config, result)
    if _misses(config, result):
        return Judgement(EvidenceValue.FAIL, told)
    measured = _time(result.get("at")) or record.measured_at
    return too_old(told, measured, config.max_age, seen, "result") or Judgement(EvidenceValue.PASS, told)


def _results(
    config: BenchmarkGate, records: Sequence[EvidenceRecord]
) -> list[tuple[Mapping[str, Any], EvidenceRecord]]:
    """The results of the gate's metric on its hardware, the newest first."""
    return [
        (result, record)
        for record in records
        for result in record.payload.get("results", ())
        if result.get("name") == config.metric
        and isinstance(result.get("value"), int | float)
        and (
            not config.hardware
            or any(fnmatchcase(str(result.get("hardware", "")), pattern) for pattern in config.hardware)
        )
    ]


def _misses(config: BenchmarkGate, result: Mapping[str, Any]) -> bool:
    value = float(result["value"])
    # Written so that a value that is no number misses every limit.
    reached = config.min is None or value >= config.min
    within = config.max is None or value <= config.max
    return not (reached and within)


def _told(config: BenchmarkGate, result: Mapping[str, Any]) -> str:
    unit = f" {str(result['unit'])[:20]}" if result.get("unit") else ""
    limits = [f"at least {config.min:g}" if config.min is not None else "",
              f"at most {config.max:g}" if config.max is not None else ""]  # fmt: skip
    asked = " and ".join(each for each in limits if each)
    on = str(result.get("hardware") or "unknown hardware")[:_LONGEST]
    return f"{config.metric} {float(result['value']):g}{unit}, {asked} asked for; on {on}"


def _judge_review(config: ReviewGate, seen: Seen) -> Judgement:
    reviews = [each for each in seen.of(EvidenceKind.REVIEW) if each.state == READ]
    stale = [
        each
        for each in reviews
        if config.max_age is not None and seen.is_older(each.measured_at or each.collected_at, config.max_age)
    ]
    current = [each for each in reviews if each not in stale]
    people = grouped([seen.people.person(each.asserted_by or each.source) for each in current])
    named = ", ".join((current[each[0]].asserted_by or current[each[0]].source)[:_LONGEST] for each in people)
    told = f"reviewed by {named}" if people else "nobody reviewed it"
    if len(people) >= config.people:
        return Judgement(EvidenceValue.PASS, told)
    asked = f"{told}; {config.people} asked for" if people or config.people > 1 else told
    if stale:
        return Judgement(EvidenceValue.STALE, f"{asked}; {len(stale)} reviews are too old")
    return Judgement(EvidenceValue.NOT_MEASURED, asked)


def _time(text: object) -> datetime | None:
    try:
        return instant(text) if isinstance(text, str) else None
    except ValueError:
        return None
