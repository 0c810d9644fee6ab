"""Gates: what policy says of the evidence on an image. Pure; every verdict comes with a sentence that explains it.

What a gate did not see never passes it. Evidence that nobody vouches for (handed in, or attached without a signature of
one of policy's keys) can fail a blocking gate, and passes it only where the gate says `accept_unsigned = true`; a gate
that only warns takes it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from backend.core.settings import duration_text
from backend.core.views import EvidenceValue, GateView
from backend.curation.compliance import judge_compliance
from backend.curation.document_gates import judge_document
from backend.curation.gate_config import ComplianceGate, LicenceGate, SignatureGate, VulnerabilityGate
from backend.curation.judging import (
    Judgement,
    Seen,
    Waived,
    newest_first,
    why_not_read,
)
from backend.curation.policy import Gate, Policy, applies
from backend.evidence.facts import ImageFacts
from backend.evidence.keyless import KEYLESS
from backend.evidence.licences import refused_names
from backend.evidence.records import EvidenceKind, EvidenceRecord, Origin
from backend.evidence.signatures import SignatureState
from backend.evidence.vex import excused

_MOST_NAMED: Final = 5
_LONGEST_NAME: Final = 120


class Evaluation(NamedTuple):
    """What gates say of an image, and until when, if nothing but time goes on; None: as long as nothing else does."""

    gates: tuple[GateView, ...]
    until: datetime | None


def assess(
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    now: datetime,
    waived: Waived | None = None,
    *,
    waived_names: Container[str] = (),
    environment: str = "",
) -> Evaluation:
    """What each gate that applies to the image says.

    Args:
        policy: with its keys.
        facts: of the image.
        evidence: in force on its digest; findings and packages need not be loaded.
        now: ages count from here.
        waived: findings that do not count, by the report's identifier.
        waived_names: their identifiers, so that what VEX excuses as well is not taken off twice.
        environment: that it is judged for; empty: for any, so that gates of single environments judge it too.

    Returns:
        one view a gate, in the order of the policy.
    """
    seen = Seen(policy, evidence, now, waived or {}, waived_names)
    views = []
    for gate in policy.gates:
        config = gate.config
        if config.applies is None or applies(config.applies, facts, environment):
            value, sentence = _judge(gate, seen)
            views.append(GateView(kind=config.kind, effect=config.effect, value=value, sentence=sentence))
    return Evaluation(tuple(views), seen.until)


def evaluate(
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    now: datetime,
    waived: Waived | None = None,
    *,
    waived_names: Container[str] = (),
    environment: str = "",
) -> tuple[GateView, ...]:
    """What `assess` tells, without until when."""
    return assess(policy, facts, evidence, now, waived, waived_names=waived_names, environment=environment).gates


def _judge(gate: Gate, seen: Seen) -> Judgement:
    config = gate.config
    if isinstance(config, SignatureGate):
        return _judge_signature(config, gate, seen)
    if isinstance(config, VulnerabilityGate):
        return _judge_vulnerabilities(config, seen)
    if isinstance(config, LicenceGate):
        return _judge_licence(config, seen)
    if isinstance(config, ComplianceGate):
        return judge_compliance(config, seen)
    return judge_document(config, seen)


# ---------------------------------------------------------------- signatures


def _judge_signature(config: SignatureGate, gate: Gate, seen: Seen) -> Judgement:
    record = seen.one(EvidenceKind.SIGNATURE)
    if record is None:
        return Judgement(EvidenceValue.NOT_MEASURED, "signatures have not been looked for yet")
    trusted = gate.key_names
    signers = [each.get("key", "") for each in record.payload.get("signatures", ())]
    by = next((_signer(signer, trusted) for signer in signers if signer in trusted), None)
    if by is not None:
        if config.max_age is not None and seen.is_older(record.collected_at, config.max_age):
            age = seen.age(record.collected_at)
            return Judgement(
                EvidenceValue.STALE,
                f"signed by {by}, last checked {age} ago, {duration_text(config.max_age)} allowed",
            )
        return Judgement(EvidenceValue.PASS, f"signed by {by}")
    if record.state == SignatureState.UNCHECKED:
        return Judgement(EvidenceValue.NOT_MEASURED, record.summary)
    if record.state == SignatureState.NONE:
        return Judgement(EvidenceValue.FAIL, record.summary)
    untried = sorted(_signer(key, trusted) for key in trusted if key not in record.payload.get("tried", ()))
    if untried:
        return Judgement(EvidenceValue.NOT_MEASURED, f"not checked with {untried[0]} yet: synchronise again")
    if record.state == SignatureState.VERIFIED:
        return Judgement(EvidenceValue.FAIL, f"{record.summary}: none of the keys that this gate names")
    if record.state == SignatureState.PRESENT:
        return Judgement(EvidenceValue.NOT_MEASURED, f"present, not verified: {record.summary}")
    return Judgement(EvidenceValue.FAIL, f"invalid: {record.summary}")


def _signer(fingerprint: str, names: Mapping[str, str]) -> str:
    kind = "identity" if fingerprint.startswith(KEYLESS) else "key"
    return f"{kind} {names[fingerprint]}"


# ---------------------------------------------------------------- vulnerabilities


class _Aside(NamedTuple):
    """Findings of a report that do not count, by severity."""

    waived: Mapping[str, int]
    excused: Mapping[str, int]

    def of(self, severity: str) -> int:
        """How many of a severity."""
        return self.waived.get(severity, 0) + self.excused.get(severity, 0)


def _judge_vulnerabilities(config: VulnerabilityGate, seen: Seen) -> Judgement:
    reports = seen.of(EvidenceKind.VULNERABILITIES)
    read = newest_first(reports)
    unsigned = config.effect == "warn" or config.accept_unsigned
    accepted = seen.accepted(read, unsigned=unsigned, scans=config.accept_scans)

    def aside(report: EvidenceRecord) -> _Aside:
        vex = excused(report.payload, seen.trusted, seen.waived_names, unsigned=unsigned)
        return _Aside(seen.waived.get(report.id, {}), vex)

    if accepted:
        report, newer = accepted[0], read[0]
        judged = _judge_report(config, report, seen, aside(report))
        if newer is not report and _exceeds(config, newer, aside(newer)):
            return Judgement(judged.value, f"{judged.sentence}; a newer unsigned report says {newer.summary}")
        return judged
    for record in read:
        if _exceeds(config, record, aside(record)):
            return Judgement(EvidenceValue.FAIL, f"{record.summary}, by an unsigned report ({record.source})")
    return Judgement(EvidenceValue.NOT_MEASURED, why_not_read(reports, "vulnerability report"))


def _judge_report(config: VulnerabilityGate, report: EvidenceRecord, seen: Seen, aside: _Aside) -> Judgement:
    database = f"database {seen.age(report.database_at)} old" if report.database_at else "database age unknown"
    measured = report.measured_at
    age = f"report {seen.age(measured)} old" if measured else "report's age unknown"
    counts = ", ".join(_count_texts(config, report, aside)) or report.summary
    sentence = f"{counts}; {age}, {database}"
    if _exceeds(config, report, aside):
        return Judgement(EvidenceValue.FAIL, sentence)
    if not report.payload.get("targets"):
        return Judgement(EvidenceValue.NOT_MEASURED, f"the scanner found no packages to look at; {age}")
    if measured is not None and seen.is_ahead(measured):
        return Judgement(EvidenceValue.NOT_MEASURED, f"the report is dated in the future; {counts}")
    if config.max_age is not None:
        if measured is None:
            return Judgement(EvidenceValue.NOT_MEASURED, f"{sentence}, {duration_text(config.max_age)} allowed")
        if seen.is_older(measured, config.max_age):
            return Judgement(EvidenceValue.STALE, f"{sentence}, {duration_text(config.max_age)} allowed")
    return Judgement(EvidenceValue.PASS, sentence)


def _count_texts(config: VulnerabilityGate, report: EvidenceRecord, aside: _Aside) -> list[str]:
    counts = report.payload.get("counts", {})
    texts = []
    for severity, limit in (("critical", config.max_critical), ("high", config.max_high)):
        if limit is None:
            continue
        waived, excused_ = aside.waived.get(severity, 0), aside.excused.get(severity, 0)
        more = [f"{waived} more waived" if waived else "", f"{excused_} more excused by VEX" if excused_ else ""]
        told = ", ".join(each for each in more if each)
        without = f" ({told})" if told else ""
        texts.append(f"{counts.get(severity, 0) - waived - excused_} {severity}{without}, {limit} allowed")
    return texts


def _exceeds(config: VulnerabilityGate, report: EvidenceRecord, aside: _Aside) -> bool:
    counts = report.payload.get("counts", {})
    for severity, limit in (("critical", config.max_critical), ("high", config.max_high)):
        if limit is not None and counts.get(severity, 0) - aside.of(severity) > limit:
            return True
    return False


# ---------------------------------------------------------------- licences


def _judge_licence(config: LicenceGate, seen: Seen) -> Judgement:
    records = seen.of(EvidenceKind.LICENCE)
    read = newest_first(records)
    offenders = {name[:_LONGEST_NAME] for record in read for name in _offenders(config, record.payload)}
    if offenders:
        named = ", ".join(sorted(offenders)[:_MOST_NAMED])
        more = f" and {len(offenders) - _MOST_NAMED} more" if len(offenders) > _MOST_NAMED else ""
        return Judgement(EvidenceValue.FAIL, f"not allowed: {named}{more}")
    accepted = seen.accepted(read, unsigned=config.effect == "warn" or config.accept_unsigned)
    documents = [record for record in accepted if record.origin is not Origin.IMAGE]
    declared = {each["expression"] for record in accepted for each in record.payload.get("declared", ())}
    if config.allow and not declared:
        others = [record for record in records if record not in accepted]
        rest = "its SBOM tells only of packages" if documents else why_not_read(others, "SBOM")
        return Judgement(EvidenceValue.NOT_MEASURED, f"no licence is declared for the image; {rest}")
    if config.deny or config.packages:
        missing = _why_packages_unknown(config, records, documents)
        if missing:
            return Judgement(EvidenceValue.NOT_MEASURED, missing)
    named = f"{', '.join(each[:_LONGEST_NAME] for each in sorted(declared))} allowed" if declared else "nothing denied"
    if documents and config.max_age is not None:
        measured = documents[0].measured_at
        if measured is None:
            return Judgement(EvidenceValue.NOT_MEASURED, f"{named}; the SBOM's age is unknown")
        if seen.is_older(measured, config.max_age):
            age = seen.age(measured)
            return Judgement(EvidenceValue.STALE, f"{named}; SBOM {age} old, {duration_text(config.max_age)} allowed")
    return Judgement(EvidenceValue.PASS, named)


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
        return f"the licences of its packages are not known: {why_not_read(others, 'SBOM')}"
    payload = documents[0].payload
    if payload.get("left_out"):
        return f"{payload['left_out']} licences of its SBOM were left out"
    if config.packages and config.allow and payload.get("without"):
        return f"{payload['without']} packages of its SBOM have no licence"
    return ""
