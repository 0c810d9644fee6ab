"""What policy says of a candidate, kept so that thousands need not be judged anew each time somebody looks. Pure.

What is kept holds for one policy, one evidence hash and one image as gates see it, from when it was made until time
alone changes a gate's value or the age that its sentence tells.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from backend.core.views import GateView
from backend.curation import gates
from backend.curation.policy import Policy
from backend.curation.risk import risk
from backend.curation.waivers import Waiver
from backend.evidence.facts import ImageFacts
from backend.evidence.records import READ, EvidenceKind, EvidenceRecord
from backend.evidence.weights import FIXED


class Assessment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What policy says of a candidate, and what else the queue shows of its evidence.

    Attributes:
        image: what gates look at of the image itself, `image_key`.
        risk: 0 to 100.
        asserted_by: who handed in evidence that is in force.
        weights: what names them, where they are fixed.
        findings: critical and high ones of the report that finds the most, without those that are waived.
        until: when time alone changes it; None: never.
    """

    image: str
    gates: tuple[GateView, ...]
    risk: int
    asserted_by: tuple[str, ...]
    weights: str
    findings: dict[str, int]
    until: datetime | None

    @property
    def passes(self) -> bool:
        """Whether no gate stands in the way of an approval."""
        return not any(gate.blocks for gate in self.gates)


_DECODER: Final = msgspec.json.Decoder(Assessment)


def encode(assessment: Assessment) -> str:
    """An assessment as it is kept."""
    return msgspec.json.encode(assessment).decode()


def decode(text: str, facts: ImageFacts) -> Assessment | None:
    """What was kept; None when it is unreadable, or was made of the image as it was known otherwise."""
    try:
        found = _DECODER.decode(text)
    except msgspec.DecodeError:
        return None
    return found if found.image == image_key(facts) else None


def image_key(facts: ImageFacts) -> str:
    """What tables of policy look at to see whether they are about an image."""
    return "\n".join((facts.registry, facts.host, facts.type, *facts.rules))


def assess(
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    now: datetime,
    *,
    waived: Mapping[str, Mapping[str, int]],
    waivers: Mapping[str, Waiver],
) -> Assessment:
    """Judge a candidate.

    Args:
        waived: findings that do not count, by the report's identifier, by severity.
        waivers: in force, by finding.
    """
    names: Container[str] = waivers.keys()
    views, until = gates.assess(policy, facts, evidence, now, waived, waived_names=names)
    ends = [each.until for each in waivers.values()] + ([until] if until is not None else [])
    fixed = next((each for each in evidence if each.kind is EvidenceKind.WEIGHTS and each.state == FIXED), None)
    return Assessment(
        image=image_key(facts),
        gates=views,
        risk=risk(evidence, views, waived),
        asserted_by=tuple(each.asserted_by for each in evidence if each.asserted_by),
        weights=str(fixed.payload.get("name", "")) if fixed is not None else "",
        findings={severity: _most(severity, evidence, waived) for severity in ("critical", "high")},
        until=min(ends, default=None),
    )


def _most(severity: str, evidence: Sequence[EvidenceRecord], waived: Mapping[str, Mapping[str, int]]) -> int:
    return max(
        (
            record.payload.get("counts", {}).get(severity, 0) - waived.get(record.id, {}).get(severity, 0)
            for record in evidence
            if record.kind is EvidenceKind.VULNERABILITIES and record.state == READ
        ),
        default=0,
    )
