"""What policy decides by itself, without a person: which images, and why. Pure.

It overrides nobody: an image on which a person decided anything is left to people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backend.core.views import EvidenceValue, GateView
from backend.curation.config import AutomaticConfig
from backend.curation.decisions import Decision, Standing, Verdict
from backend.curation.policy import Policy, applies
from backend.evidence.facts import ImageFacts


class Case(NamedTuple):
    """An image as it was judged.

    Attributes:
        findings: of the report that finds the most of a severity, by severity; without those that are waived.
    """

    facts: ImageFacts
    standing: Standing
    decisions: Sequence[Decision]
    gates: Sequence[GateView]
    findings: Mapping[str, int]
    risk: int


class Act(NamedTuple):
    """A decision that policy makes.

    Attributes:
        stands_for: of an approval, for how many people; None: for all that policy asks for.
    """

    verdict: Verdict
    reason: str
    stands_for: int | None = None


def decide(policy: Policy, case: Case) -> Act | None:
    """What policy decides on an image by itself; None: nothing."""
    if not case.standing.is_open or any(not each.automatic for each in case.decisions):
        return None
    for config in policy.config.automatic:
        if config.applies is not None and not applies(config.applies, case.facts):
            continue
        act = _reject(config, case) if config.decide == "reject" else _approve(config, policy, case)
        if act is not None:
            return act
    return None


def _approve(config: AutomaticConfig, policy: Policy, case: Case) -> Act | None:
    if any(each.automatic for each in case.standing.round):
        return None
    # Without a gate that could have stood in the way nothing was judged.
    if not any(gate.effect == "block" for gate in case.gates):
        return None
    counted = [gate for gate in case.gates if gate.effect == "block" or not config.warnings]
    if any(gate.value is not EvidenceValue.PASS for gate in counted):
        return None
    if config.max_risk is not None and case.risk > config.max_risk:
        return None
    stands_for = config.in_place_of if isinstance(config.in_place_of, int) else None
    told = f"all {len(counted)} gates pass" if len(counted) > 1 else "its gate passes"
    if config.max_risk is not None:
        told += f", risk {case.risk} of {config.max_risk} allowed"
    return Act(Verdict.APPROVE, _reason(config, told), stands_for)


def _reject(config: AutomaticConfig, case: Case) -> Act | None:
    told = []
    for severity, limit in (("critical", config.above_critical), ("high", config.above_high)):
        count = case.findings.get(severity, 0)
        if limit is not None and count > limit:
            told.append(f"{count} {severity} findings, {limit} allowed")
    told += [
        f"{gate.kind}: {gate.sentence}"
        for gate in case.gates
        if gate.kind in config.failing and gate.value is EvidenceValue.FAIL
    ]
    return Act(Verdict.REJECT, _reason(config, "; ".join(told))) if told else None


def _reason(config: AutomaticConfig, told: str) -> str:
    return f"{config.name or 'policy'}: {told}"
