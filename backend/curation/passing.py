"""Whether gates let an image through, and until when waivers alone keep them from closing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from backend.core.errors import PolicyError
from backend.core.views import GateView
from backend.curation import gates, waivers
from backend.curation.policy import Policy
from backend.curation.waivers import Waiver
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceRecord


def check_gates(
    what: str,
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    granted: Iterable[Waiver],
    *,
    environment: str = "",
    at: datetime,
) -> Waiver | None:
    """Make sure that no gate stands in the way of an approval.

    Args:
        what: is approved, for the error.
        evidence: in force, with findings.
        granted: all waivers of the image.

    Returns:
        the waiver whose end will close a gate again, the first to do so; None: no gate needs one.

    Raises:
        PolicyError: a gate stands in the way; names each.
    """
    held = waivers.in_force(granted, at)
    blocking = _blocking(policy, facts, evidence, held, environment, at)
    if blocking:
        told = "; ".join(f"{view.kind} ({view.value.value}): {view.sentence}" for view in blocking)
        raise PolicyError(what, told, "mend what the gates name, waive single findings, or reject it")
    return needed_waiver(policy, facts, evidence, held.values(), environment=environment, at=at)


def needed_waiver(
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    granted: Iterable[Waiver],
    *,
    environment: str = "",
    at: datetime,
) -> Waiver | None:
    """Of waivers under which no gate blocks, the first by whose end one does; see `check_gates`."""
    held = waivers.in_force(granted, at)
    for ending in sorted(held.values(), key=lambda each: each.until):
        left = {finding: each for finding, each in held.items() if each.until > ending.until}
        if _blocking(policy, facts, evidence, left, environment, at):
            return ending
    return None


def _blocking(
    policy: Policy,
    facts: ImageFacts,
    evidence: Sequence[EvidenceRecord],
    held: Mapping[str, Waiver],
    environment: str,
    at: datetime,
) -> list[GateView]:
    waived = waivers.waived_counts(evidence, held)
    judged = gates.evaluate(policy, facts, evidence, at, waived, waived_names=held.keys(), environment=environment)
    return [view for view in judged if view.blocks]
