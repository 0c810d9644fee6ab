"""How much a candidate asks of the one who decides, so that the queue can be ordered. Pure.

A rule of thumb, and shown as such: findings weigh most, then what is not known. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from backend.core.views import EvidenceValue, GateView
from backend.evidence.records import READ, EvidenceKind, EvidenceRecord
from backend.evidence.signatures import SignatureState
from backend.evidence.weights import FIXED

HIGHEST: Final = 100
_A_CRITICAL: Final = 20
_MOST_CRITICAL: Final = 60
_A_HIGH: Final = 2
_MOST_HIGH: Final = 20
_NO_REPORT: Final = 20
_SIGNATURE: Final = {SignatureState.VERIFIED.value: 0, SignatureState.INVALID.value: 25}
_NOT_VERIFIED: Final = 10
_WEIGHTS_NOT_FIXED: Final = 5
_GATE: Final = {EvidenceValue.FAIL: 10, EvidenceValue.NOT_MEASURED: 5, EvidenceValue.STALE: 5}


def risk(
    evidence: Sequence[EvidenceRecord], gates: Iterable[GateView], waived: Mapping[str, Mapping[str, int]]
) -> int:
    """0 (clean, signed, everything measured) to 100.

    Args:
        evidence: in force, findings need not be loaded.
        gates: as they judge it.
        waived: findings that do not count, by the report's identifier, by severity.
    """
    points = sum(_GATE.get(gate.value, 0) for gate in gates)
    points += _signature_points(evidence) + _vulnerability_points(evidence, waived)
    weights = next((each for each in evidence if each.kind is EvidenceKind.WEIGHTS), None)
    if weights is None or weights.state != FIXED:
        points += _WEIGHTS_NOT_FIXED
    return min(points, HIGHEST)


def _signature_points(evidence: Iterable[EvidenceRecord]) -> int:
    for record in evidence:
        if record.kind is EvidenceKind.SIGNATURE:
            return _SIGNATURE.get(record.state, _NOT_VERIFIED)
    return _NOT_VERIFIED


def _vulnerability_points(
    evidence: Iterable[EvidenceRecord], waived: Mapping[str, Mapping[str, int]]
) -> int:
    worst = -1
    for record in evidence:
        if record.kind is not EvidenceKind.VULNERABILITIES or record.state != READ:
            continue
        counts, without = record.payload.get("counts", {}), waived.get(record.id, {})
        critical = counts.get("critical", 0) - without.get("critical", 0)
        high = counts.get("high", 0) - without.get("high", 0)
        worst = max(worst, min(_A_CRITICAL * critical, _MOST_CRITICAL) + min(_A_HIGH * high, _MOST_HIGH))
    return _NO_REPORT if worst < 0 else worst
