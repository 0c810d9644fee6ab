"""A candidate's card: gates, what changed, evidence, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from backend.core.views import CandidateView, DecisionView, EvidenceValue, EvidenceView, FindingView, ImageState
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, pad, text
from tui.panes.queue.view_model import STATE_ROLE, VALUE_ROLE

_FINDINGS_SHOWN: Final = 12
_SEVERITIES: Final = {"critical": (0, "alarm"), "high": (1, "bad"), "medium": (2, "warn"), "low": (3, "muted")}
_GATE_MARK: Final = {
    EvidenceValue.PASS: "✓",
    EvidenceValue.FAIL: "✗",
    EvidenceValue.NOT_MEASURED: "?",
    EvidenceValue.STALE: "⌛",
}


def card_sections(candidate: CandidateView, evidence: Sequence[EvidenceView] | None, now: datetime) -> list[Section]:
    """The card, in the order in which it is read: what changed, gates, evidence, decisions."""
    return [
        changes_section(candidate),
        gates_section(candidate),
        standing_section(candidate, now),
        *evidence_sections(evidence, now),
        decisions_section(candidate, now),
    ]


def changes_section(candidate: CandidateView) -> Section:
    """What is different from the last digest that was approved."""
    if not candidate.previous_reference:
        lines: tuple[Line, ...] = (text("No digest of this repository was approved before: all of it is new.", "warn"),)
        return Section("What changed", lines)
    before = text(f"against {fmt.digest(candidate.previous_reference.partition('@')[2])}, approved before", "muted")
    changed = tuple(_change_line(change) for change in candidate.changes)
    return Section("What changed", (before, *(changed or (text("nothing that is measured", "ok"),))))


def _change_line(change: str) -> Line:
    mark = change[:1] if change[:1] in {"+", "-"} else "~"
    # A vulnerability that came is bad news, one that went is good; of anything else the mark alone is known.
    is_finding = "CVE-" in change or "GHSA-" in change
    role = {"+": "bad", "-": "ok"}.get(mark, "") if is_finding else ""
    return (Span(f"{mark} ", role or "warn"), *text(change.lstrip("+- "), role))


def standing_section(candidate: CandidateView, now: datetime) -> Section:
    """What it is and how it stands."""
    left = candidate.approvals_needed - len(candidate.approvals)
    mine = text("waits for you", "mine") if candidate.waits_for_me else text(candidate.not_me, "warn")
    rows = [
        ("state", join(text(candidate.state.value, STATE_ROLE[candidate.state]), mine, gap="  ")),
        (
            "approvals",
            join(
                text(f"{len(candidate.approvals)} of {candidate.approvals_needed}"),
                text(f"{left} missing" if left > 0 else "", "muted"),
                gap="  ",
            ),
        ),
        ("submitted", text(f"by {candidate.submitted_by}, {fmt.age(candidate.submitted_at, now)} ago")),
        (
            "kind",
            join(
                text(candidate.type),
                text(candidate.framework, "muted"),
                text(candidate.kind, "muted"),
                text(fmt.size(candidate.size), "muted"),
                gap="  ",
            ),
        ),
        ("tags", text(" ".join(candidate.tags), "accent")),
        ("digest", text(candidate.digest, "muted")),
        ("risk", text(f"{candidate.risk} of 100")),
        ("evidence", text(f"hash {fmt.digest(candidate.evidence_hash, 16)}", "faint")),
        ("policy", text(f"hash {fmt.digest(candidate.policy_hash, 16)}", "faint")),
    ]
    return Section("Candidate", facts(rows), side=True)


def gates_section(candidate: CandidateView) -> Section:
    """Every gate of the policy, with its verdict in a sentence."""
    lines = tuple(
        (
            Span(f"{_GATE_MARK[gate.value]} ", VALUE_ROLE[gate.value]),
            *pad(text(gate.kind, "name"), 17),
            *pad(text(gate.value.value, VALUE_ROLE[gate.value]), 14),
            *text("" if gate.effect == "block" else "(warns only) ", "muted"),
            *text(gate.sentence),
        )
        for gate in candidate.gates
    )
    note = "blocked" if candidate.blocked else ""
    return Section("Gates", lines or (text("the policy has no gates", "warn"),), note=note, side=True)


def evidence_sections(evidence: Sequence[EvidenceView] | None, now: datetime) -> list[Section]:
    """Each piece of evidence, with its source and age."""
    if evidence is None:
        return [Section("Evidence", (text("reading…", "muted"),))]
    lines: list[Line] = []
    for piece in evidence:
        asserted = f"asserted by {piece.asserted_by}, unsigned" if piece.asserted_by else ""
        database = f"scanner database {fmt.age(piece.database_at, now)} old" if piece.database_at else ""
        lines.append(
            join(text(piece.kind, "strong"), text(piece.state, _state_role(piece.state)), text(piece.summary), gap="  ")
        )
        lines.append(
            (
                Span("  "),
                *join(
                    text(piece.source, "muted"),
                    text(
                        f"measured {fmt.age(piece.measured_at, now)} ago"
                        if piece.measured_at
                        else "time of measurement not told",
                        "muted",
                    ),
                    text(database, "muted"),
                    text(asserted, "warn"),
                    gap="  ",
                ),
            )
        )
        lines.extend(finding_lines(piece))
        lines.append(EMPTY)
    return [Section("Evidence", tuple(lines[:-1]) or (text("none was found", "warn"),))]


def worst_findings(evidence: Sequence[EvidenceView]) -> list[FindingView]:
    """Every finding, the worst first."""
    found = [finding for piece in evidence for finding in piece.findings]
    return sorted(found, key=lambda finding: (_SEVERITIES.get(finding.severity.lower(), (9, ""))[0], finding.id))


def finding_lines(piece: EvidenceView) -> list[Line]:
    """Vulnerabilities, the worst first; how many more there are."""
    ordered = worst_findings([piece])
    lines: list[Line] = []
    for finding in ordered[:_FINDINGS_SHOWN]:
        role = _SEVERITIES.get(finding.severity.lower(), (9, "muted"))[1]
        fixed = f"fixed in {finding.fixed}" if finding.fixed else "no fix"
        lines.append(
            (
                Span("  "),
                *pad(text(finding.severity.lower(), role), 9),
                *pad(text(finding.id, "name"), 17),
                *text(f"{finding.package} {finding.version}  "),
                *text(fixed, "muted"),
                *text(f"  waived: {finding.waived}" if finding.waived else "", "warn"),
            )
        )
    if len(ordered) > _FINDINGS_SHOWN:
        lines.append(text(f"  and {len(ordered) - _FINDINGS_SHOWN} more", "muted"))
    return lines


def decisions_section(candidate: CandidateView, now: datetime) -> Section:
    """Who decided what, and why."""
    decisions = sorted(candidate.decisions or candidate.approvals, key=lambda decision: decision.at)
    lines = tuple(line for decision in decisions for line in _decision_lines(decision, candidate, now))
    return Section("Decisions", lines or (text("nobody decided yet", "muted"),))


def _decision_lines(decision: DecisionView, candidate: CandidateView, now: datetime) -> tuple[Line, ...]:
    role = "ok" if decision.verdict == "approve" else "bad"
    stale = decision.evidence_hash != candidate.evidence_hash and candidate.state is ImageState.CANDIDATE
    return (
        join(
            text(decision.verdict, role),
            text(f"by {decision.actor}", "name"),
            text(f"{fmt.age(decision.at, now)} ago", "muted"),
            text(decision.ticket, "accent"),
            text("on other evidence than this" if stale else "", "warn"),
            gap="  ",
        ),
        (Span("  "), *text(decision.reason)),
    )


def _state_role(state: str) -> str:
    good = {"verified", "scanned", "read", "present", "pass"}
    return "ok" if state in good else "bad" if state in {"invalid", "fail"} else "warn"
