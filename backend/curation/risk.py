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


def risk(evidence: Sequence[EvidenceRecord], gates: Iterable[GateView], waived: Mapping[str, Mapping[str, int]]) -> int:
    """0 (clean, signed, everything measured) to 100.

    Args:
        evidence: in force, findings need not be loaded.
        gates: as they judge it.
        waived: findings that do not count, by the report's identifier, by severity.
    """
    points = 0
    for gate in gates:
        points += _GATE.get(gate.value, 0)
    signature, weights, worst = _NOT_VERIFIED, _WEIGHTS_NOT_FIXED, -1
    for record in evidence:
        kind = record.kind
        if kind is EvidenceKind.SIGNATURE:
            signature = _SIGNATURE.get(record.state, _NOT_VERIFIED)
        elif kind is EvidenceKind.WEIGHTS and record.state == FIXED:
            weights = 0
        elif kind is EvidenceKind.VULNERABILITIES and record.state == READ:
            worst = max(worst, _report_points(record, waived.get(record.id, {})))
    return min(points + signature + weights + (_NO_REPORT if worst < 0 else worst), HIGHEST)


def _report_points(report: EvidenceRecord, waived: Mapping[str, int]) -> int:
    counts: Mapping[str, int] = report.payload.get("counts", {})
    critical = counts.get("critical", 0) - waived.get("critical", 0)
    high = counts.get("high", 0) - waived.get("high", 0)
    return min(_A_CRITICAL * critical, _MOST_CRITICAL) + min(_A_HIGH * high, _MOST_HIGH)
