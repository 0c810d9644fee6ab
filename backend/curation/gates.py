"""Gates: what policy says of the evidence on an image. Pure; every verdict comes with a sentence that explains it.

What a gate did not see never passes it. Evidence that nobody vouches for (handed in, or attached without a signature of
one of policy's keys) can fail a blocking gate, and passes it only where the gate says `accept_unsigned = true`; a gate
that only warns takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from backend.core.settings import duration_text
from backend.core.views import EvidenceValue, GateView
from backend.curation.config import LicenceGate, SignatureGate, VulnerabilityGate
from backend.curation.policy import Gate, Policy, applies
from backend.evidence.facts import ImageFacts
from backend.evidence.licences import refused_names
from backend.evidence.records import INVALID, READ, UNCHECKED, EvidenceKind, EvidenceRecord, Origin
from backend.evidence.signatures import SignatureState

#: For a report's identifier, how many of its findings are waived now, by severity.
Waived = Mapping[str, Mapping[str, int]]

# A scanner's clock may run ahead of ours by this much; a report from further ahead was dated by somebody.
_CLOCK_TOLERANCE: Final = timedelta(minutes=10)
_MOST_NAMED: Final = 5
_LONGEST_NAME: Final = 120


class _Judgement(NamedTuple):
    value: EvidenceValue
    sentence: str


class _Seen:
    """What all gates look at, sorted out once: thousands of candidates are judged at a time."""

    def __init__(self, policy: Policy, evidence: Sequence[EvidenceRecord], now: datetime, waived: Waived) -> None:
        self.now = now
        self.waived = waived
        self.trusted = policy.fingerprints
        self.signature: EvidenceRecord | None = None
        self.vulnerabilities: list[EvidenceRecord] = []
        self.licences: list[EvidenceRecord] = []
        for record in evidence:
            kind = record.kind
            if kind is EvidenceKind.VULNERABILITIES:
                self.vulnerabilities.append(record)
            elif kind is EvidenceKind.LICENCE:
                self.licences.append(record)
            elif kind is EvidenceKind.SIGNATURE:
                self.signature = record

    def accepted(self, records: Iterable[EvidenceRecord], *, unsigned: bool) -> list[EvidenceRecord]:
        """Those that may pass a gate."""
        return [
            record for record in records
            if unsigned or record.origin is Origin.IMAGE or record.key in self.trusted
        ]  # fmt: skip


def evaluate(
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    now: datetime,
    waived: Waived | None = None,
    environment: str = "",
) -> tuple[GateView, ...]:
    """What each gate that applies to the image says.

    Args:
        policy: with its keys.
        facts: of the image.
        evidence: in force on its digest; findings and packages need not be loaded.
        now: ages count from here.
        waived: findings that do not count, by the report's identifier.
        environment: that it is judged for; empty: for any, so that gates of single environments judge it too.

    Returns:
        one view a gate, in the order of the policy.
    """
    seen = _Seen(policy, evidence, now, waived or {})
    views = []
    for gate in policy.gates:
        config = gate.config
        if config.applies is None or applies(config.applies, facts, environment):
            value, sentence = _judge(gate, seen)
            views.append(GateView(kind=config.kind, effect=config.effect, value=value, sentence=sentence))
    return tuple(views)


def _judge(gate: Gate, seen: _Seen) -> _Judgement:
    if isinstance(gate.config, SignatureGate):
        return _judge_signature(gate.config, gate, seen)
    if isinstance(gate.config, VulnerabilityGate):
        return _judge_vulnerabilities(gate.config, seen)
    return _judge_licence(gate.config, seen)


# ---------------------------------------------------------------- signatures


def _judge_signature(config: SignatureGate, gate: Gate, seen: _Seen) -> _Judgement:
    record, now = seen.signature, seen.now
    if record is None:
        return _Judgement(EvidenceValue.NOT_MEASURED, "signatures have not been looked for yet")
    trusted = gate.key_names
    signers = [each.get("key", "") for each in record.payload.get("signatures", ())]
    name = next((trusted[signer] for signer in signers if signer in trusted), None)
    if name is not None:
        if config.max_age is not None and now - record.collected_at > config.max_age:
            age = _age(now - record.collected_at)
            return _Judgement(
                EvidenceValue.STALE,
                f"signed by key {name}, last checked {age} ago, {duration_text(config.max_age)} allowed",
            )
        return _Judgement(EvidenceValue.PASS, f"signed by key {name}")
    if record.state == SignatureState.UNCHECKED:
        return _Judgement(EvidenceValue.NOT_MEASURED, record.summary)
    if record.state == SignatureState.NONE:
        return _Judgement(EvidenceValue.FAIL, record.summary)
    untried = sorted(name for key, name in trusted.items() if key not in record.payload.get("tried", ()))
    if untried:
        return _Judgement(EvidenceValue.NOT_MEASURED, f"not checked with key {untried[0]} yet: synchronise again")
    if record.state == SignatureState.VERIFIED:
        return _Judgement(EvidenceValue.FAIL, f"{record.summary}: none of the keys that this gate names")
    if record.state == SignatureState.PRESENT:
        return _Judgement(EvidenceValue.NOT_MEASURED, f"present, not verified: {record.summary}")
    return _Judgement(EvidenceValue.FAIL, f"invalid: {record.summary}")


# ---------------------------------------------------------------- vulnerabilities


def _judge_vulnerabilities(config: VulnerabilityGate, seen: _Seen) -> _Judgement:
    waived = seen.waived
    read = _newest_first(seen.vulnerabilities)
    accepted = seen.accepted(read, unsigned=config.effect == "warn" or config.accept_unsigned)
    if accepted:
        report, newer = accepted[0], read[0]
        judged = _judge_report(config, report, seen.now, waived.get(report.id, {}))
        if newer is not report and _exceeds(config, newer, waived.get(newer.id, {})):
            return _Judgement(judged.value, f"{judged.sentence}; a newer unsigned report says {newer.summary}")
        return judged
    for record in read:
        if _exceeds(config, record, waived.get(record.id, {})):
            return _Judgement(EvidenceValue.FAIL, f"{record.summary}, by an unsigned report ({record.source})")
    return _Judgement(EvidenceValue.NOT_MEASURED, _why_not_read(seen.vulnerabilities, "vulnerability report"))


def _judge_report(
    config: VulnerabilityGate, report: EvidenceRecord, now: datetime, waived: Mapping[str, int]
) -> _Judgement:
    database = f"database {_age(now - report.database_at)} old" if report.database_at else "database age unknown"
    measured = report.measured_at
    age = f"report {_age(now - measured)} old" if measured else "report's age unknown"
    counts = ", ".join(_count_texts(config, report, waived)) or report.summary
    sentence = f"{counts}; {age}, {database}"
    if _exceeds(config, report, waived):
        return _Judgement(EvidenceValue.FAIL, sentence)
    if not report.payload.get("targets"):
        return _Judgement(EvidenceValue.NOT_MEASURED, f"the scanner found no packages to look at; {age}")
    if measured is not None and measured - now > _CLOCK_TOLERANCE:
        return _Judgement(EvidenceValue.NOT_MEASURED, f"the report is dated in the future; {counts}")
    if config.max_age is not None:
        if measured is None:
            return _Judgement(EvidenceValue.NOT_MEASURED, f"{sentence}, {duration_text(config.max_age)} allowed")
        if now - measured > config.max_age:
            return _Judgement(EvidenceValue.STALE, f"{sentence}, {duration_text(config.max_age)} allowed")
    return _Judgement(EvidenceValue.PASS, sentence)


def _count_texts(config: VulnerabilityGate, report: EvidenceRecord, waived: Mapping[str, int]) -> list[str]:
    counts = report.payload.get("counts", {})
    texts = []
    for severity, limit in (("critical", config.max_critical), ("high", config.max_high)):
        if limit is None:
            continue
        without = waived.get(severity, 0)
        waiver = f" ({without} more waived)" if without else ""
        texts.append(f"{counts.get(severity, 0) - without} {severity}{waiver}, {limit} allowed")
    return texts


def _exceeds(config: VulnerabilityGate, report: EvidenceRecord, waived: Mapping[str, int]) -> bool:
    counts = report.payload.get("counts", {})
    for severity, limit in (("critical", config.max_critical), ("high", config.max_high)):
        if limit is not None and counts.get(severity, 0) - waived.get(severity, 0) > limit:
            return True
    return False


# ---------------------------------------------------------------- licences


def _judge_licence(config: LicenceGate, seen: _Seen) -> _Judgement:
    records, now = seen.licences, seen.now
    read = _newest_first(records)
    offenders = {name[:_LONGEST_NAME] for record in read for name in _offenders(config, record.payload)}
    if offenders:
        named = ", ".join(sorted(offenders)[:_MOST_NAMED])
        more = f" and {len(offenders) - _MOST_NAMED} more" if len(offenders) > _MOST_NAMED else ""
        return _Judgement(EvidenceValue.FAIL, f"not allowed: {named}{more}")
    accepted = seen.accepted(read, unsigned=config.effect == "warn" or config.accept_unsigned)
    documents = [record for record in accepted if record.origin is not Origin.IMAGE]
    declared = {each["expression"] for record in accepted for each in record.payload.get("declared", ())}
    if config.allow and not declared:
        others = [record for record in records if record not in accepted]
        rest = "its SBOM tells only of packages" if documents else _why_not_read(others, "SBOM")
        return _Judgement(EvidenceValue.NOT_MEASURED, f"no licence is declared for the image; {rest}")
    if config.deny or config.packages:
        missing = _why_packages_unknown(config, records, documents)
        if missing:
            return _Judgement(EvidenceValue.NOT_MEASURED, missing)
    named = f"{', '.join(each[:_LONGEST_NAME] for each in sorted(declared))} allowed" if declared else "nothing denied"
    if documents and config.max_age is not None:
        measured = documents[0].measured_at
        if measured is None:
            return _Judgement(EvidenceValue.NOT_MEASURED, f"{named}; the SBOM's age is unknown")
        if now - measured > config.max_age:
            age = _age(now - measured)
            return _Judgement(EvidenceValue.STALE, f"{named}; SBOM {age} old, {duration_text(config.max_age)} allowed")
    return _Judgement(EvidenceValue.PASS, named)


def _offenders(config: LicenceGate, payload: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for each in payload.get("declared", ()):
        names += refused_names(each["tree"], config.allow, config.deny)
    allow = config.allow if config.packages else ()
    if allow or config.deny:
        for each in payload.get("packages", ()):
            names += refused_names(each["tree"], allow, config.deny)
    return names


def _why_packages_unknown(
    config: LicenceGate, records: Sequence[EvidenceRecord], documents: Sequence[EvidenceRecord]
) -> str:
    if not documents:
        others = [record for record in records if record.origin is not Origin.IMAGE]
        return f"the licences of its packages are not known: {_why_not_read(others, 'SBOM')}"
    payload = documents[0].payload
    if payload.get("left_out"):
        return f"{payload['left_out']} licences of its SBOM were left out"
    if config.packages and config.allow and payload.get("without"):
        return f"{payload['without']} packages of its SBOM have no licence"
    return ""


# ---------------------------------------------------------------- shared


def _newest_first(records: Sequence[EvidenceRecord]) -> list[EvidenceRecord]:
    read = [record for record in records if record.state == READ]
    if len(read) > 1:
        read.sort(key=_measured, reverse=True)
    return read


def _measured(record: EvidenceRecord) -> float:
    return record.measured_at.timestamp() if record.measured_at else 0.0


def _why_not_read(records: Sequence[EvidenceRecord], thing: str) -> str:
    for state in (READ, UNCHECKED, INVALID):
        record = next((each for each in records if each.state == state and each.origin is not Origin.IMAGE), None)
        if record is None:
            continue
        if state == READ:
            return f"the {thing} is unsigned ({record.source}), and this gate takes none unsigned"
        return record.summary if state == UNCHECKED else f"the attested {thing} does not count: {record.summary}"
    return f"no {thing}"


def _age(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0.0)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "less than a minute"
