"""A candidate's card: what it is, what changed, gates, who decided, and below that everything in full."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from backend.core.views import (
    CandidateView,
    DecisionView,
    DifferenceView,
    EvidenceValue,
    EvidenceView,
    FindingView,
    GateView,
    ImageState,
)
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, cut, facts, join, pad, text
from tui.panes.queue.dialogs import scope_line
from tui.panes.queue.view_model import STATE_ROLE, VALUE_ROLE

_FINDINGS_SHOWN: Final = 12
_CHANGES_SHOWN: Final = 5
_NAMED: Final = 3
_LINE: Final = 74
_SEVERITIES: Final = {"critical": (0, "alarm"), "high": (1, "bad"), "medium": (2, "warn"), "low": (3, "muted")}
_GATE_MARK: Final = {
    EvidenceValue.PASS: "✓",
    EvidenceValue.FAIL: "✗",
    EvidenceValue.NOT_MEASURED: "?",
    EvidenceValue.STALE: "⌛",
}
_VERDICT_ROLE: Final = {"approve": "ok", "review": "info", "break-glass": "alarm"}


def card_sections(
    candidate: CandidateView, evidence: Sequence[EvidenceView] | None, now: datetime, *, compact: bool = False
) -> list[Section]:
    """The card, in the order in which it is read: what it is and what changed, gates, who decided; then all in full.

    Args:
        evidence: None: not read yet.
        compact: leave out of the first part what takes lines and blocks nothing; it stands further down.
    """
    return [
        what_section(candidate, now),
        changes_section(candidate, compact=compact),
        gates_section(candidate, compact=compact),
        standing_section(candidate, now),
        *evidence_sections(evidence, now),
        *changes_in_full(candidate),
        *waiver_sections(candidate, now),
        *comment_sections(candidate, now),
        decisions_section(candidate, now),
        facts_section(candidate),
    ]


# ------------------------------------------------------------ the first screen


def what_section(candidate: CandidateView, now: datetime) -> Section:
    """What it is, in two lines."""
    algorithm, _, digits = candidate.digest.partition(":")
    kind = join(
        text(candidate.type, "strong"),
        text(candidate.framework),
        text(candidate.kind, "muted"),
        text(fmt.size(candidate.size)),
        text(f"risk {candidate.risk}", "bad" if candidate.risk >= 60 else "warn" if candidate.risk >= 25 else "muted"),
        text(f"by {candidate.submitted_by}, {fmt.ago(candidate.submitted_at, now)}", "muted"),
        gap="  ",
    )
    digest = (Span(f"{algorithm} ", "muted"), *text(digits[:-6], "muted"), *text(digits[-6:], "strong"))
    loud = (text(candidate.break_glass, "alarm"),) if candidate.break_glass else ()
    return Section("Candidate", (*loud, kind, digest), side=True)


def changes_section(candidate: CandidateView, *, compact: bool = False) -> Section:
    """What is different from the last digest that was approved."""
    if not candidate.previous_reference:
        lines: tuple[Line, ...] = (text("No digest of this repository was approved before: all of it is new.", "warn"),)
        return Section("What changed", lines)
    note = f"against {fmt.digest(candidate.previous_reference.partition('@')[2])}, approved before"
    if candidate.differences:
        changed = tuple(_difference_line(one, short=compact) for one in candidate.differences)
    else:
        changed = tuple(_change_line(change) for change in candidate.changes)
    if compact and len(changed) > _CHANGES_SHOWN:
        more = len(changed) - _CHANGES_SHOWN + 1
        changed = (*changed[: _CHANGES_SHOWN - 1], text(f"and {more} more changes, below", "muted"))
    return Section("What changed", changed or (text("nothing that is measured", "ok"),), note=note)


def _difference_line(difference: DifferenceView, *, short: bool) -> Line:
    role = {True: "bad", False: "ok", None: ""}[difference.worse]
    mark = {True: "!", False: "✓", None: "~"}[difference.worse]
    told = difference.text
    names = (*difference.added, *difference.removed)
    if names and not any(name in told for name in names[:_NAMED]):
        named = [f"+{name}" for name in difference.added[:_NAMED]]
        named += [f"-{name}" for name in difference.removed[:_NAMED]]
        more = len(names) - len(named)
        told += ": " + " ".join(named) + (f" and {more} more" if more > 0 else "")
    return ((Span(f"{mark} ", role or "warn")), *text(cut(told, _LINE) if short else told, role))


def _change_line(change: str) -> Line:
    mark = change[:1] if change[:1] in {"+", "-"} else "~"
    # A vulnerability that came is bad news, one that went is good; of anything else the mark alone is known.
    is_finding = "CVE-" in change or "GHSA-" in change
    role = {"+": "bad", "-": "ok"}.get(mark, "") if is_finding else ""
    return (Span(f"{mark} ", role or "warn"), *text(change.lstrip("+- "), role))


def gates_section(candidate: CandidateView, *, compact: bool = False) -> Section:
    """Every gate of the policy with its verdict in a sentence, what blocks first; short: what passes on one line."""
    ordered = sorted(candidate.gates, key=lambda gate: (not gate.blocks, gate.value is EvidenceValue.PASS))
    passing = [gate for gate in ordered if gate.value is EvidenceValue.PASS]
    told = [gate for gate in ordered if not (compact and gate.value is EvidenceValue.PASS)]
    lines = [_gate_line(gate) for gate in told]
    if compact and passing:
        names = ", ".join(gate.kind for gate in passing)
        lines.append((Span("✓ ", "ok"), *text(names, "name"), Span("  pass", "ok")))
    blocking = sum(gate.blocks for gate in candidate.gates)
    note = f"{blocking} of {len(candidate.gates)} block" if blocking else ""
    return Section("Gates", tuple(lines) or (text("the policy has no gates", "warn"),), note=note, side=True)


def _gate_line(gate: GateView) -> Line:
    return (
        Span(f"{_GATE_MARK[gate.value]} ", VALUE_ROLE[gate.value]),
        *pad(text(gate.kind, "name"), 16),
        *text("" if gate.value is EvidenceValue.FAIL else f"{gate.value.value}: ", VALUE_ROLE[gate.value]),
        *text("" if gate.effect == "block" else "(warns only) ", "muted"),
        *text(gate.sentence),
    )


def standing_section(candidate: CandidateView, now: datetime) -> Section:
    """Who decided, what is missing, whether it waits for the one who looks, and what an approval would fix."""
    left = candidate.approvals_needed - len(candidate.approvals)
    missing = "missing: " + "; ".join(candidate.missing) if candidate.missing else f"{left} missing" if left > 0 else ""
    given = ", ".join(
        f"{one.actor}{' (automatic)' if one.automatic else ''} {fmt.ago(one.at, now)}" for one in candidate.approvals
    )
    mine = text("waits for you", "mine") if candidate.waits_for_me else text(candidate.not_me, "warn")
    ends = min((one.expires_at for one in candidate.approvals if one.expires_at is not None), default=None)
    counted = join(
        text(f"{len(candidate.approvals)} of {candidate.approvals_needed}", "strong"),
        text(given and f"by {given}"),
        text(missing, "warn"),
        text(f"until {ends:%Y-%m-%d}" if ends is not None else "", "muted"),
        gap="  ",
    )
    latest = max(candidate.decisions, key=lambda one: one.at, default=None)
    rows = [
        ("state", join(text(candidate.state.value, STATE_ROLE[candidate.state]), mine, gap="  ")),
        ("approvals", counted),
        ("scope", scope_line(candidate.scope)),
        ("last", _last_line(latest, now) if latest is not None else EMPTY),
    ]
    return Section("Decided", facts(rows), side=True)


def _last_line(decision: DecisionView, now: datetime) -> Line:
    return join(
        text(decision.verdict, _VERDICT_ROLE.get(decision.verdict, "bad")),
        text(f"by {decision.actor} {fmt.ago(decision.at, now)}:", "muted"),
        text(cut(decision.reason, _LINE)),
    )


def changed_section(opened: CandidateView, current: CandidateView) -> Section | None:
    """What became different about a candidate since its card was opened; None: nothing that it is decided on."""
    before = {gate.kind: gate for gate in opened.gates}
    is_other = opened.evidence_hash != current.evidence_hash
    lines: list[Line] = []
    for gate in current.gates:
        was = before.pop(gate.kind, None)
        if was is None or was.value is not gate.value or (is_other and _said(was) != _said(gate)):
            told = f"{was.sentence} → " if was is not None else "new gate: "
            lines.append((*text(f"{gate.kind} ", "name"), *text(told, "muted"), *text(gate.sentence, "warn")))
    lines += [text(f"{kind}: no longer asked for", "warn") for kind in before]
    if opened.state is not current.state:
        lines.append(text(f"{opened.state.value} → {current.state.value}", "warn"))
    if not lines and not is_other:
        return None
    return Section(
        "Changed while you looked", tuple(lines) or (text("its evidence; no gate judges otherwise", "warn"),)
    )


def _said(gate: GateView) -> str:
    """What a gate says, without the ages at its end, which change by themselves."""
    return gate.sentence.partition(";")[0]


# ------------------------------------------------------------ in full


def evidence_sections(evidence: Sequence[EvidenceView] | None, now: datetime) -> list[Section]:
    """Each piece of evidence, with its source and age."""
    if evidence is None:
        return [Section("Evidence", (text("reading…", "muted"),))]
    lines: list[Line] = []
    for piece in evidence:
        lines.extend(piece_lines(piece, now))
        lines.extend(finding_lines(piece))
        lines.append(EMPTY)
    told = tuple(lines[:-1]) or (text("none was found", "warn"),)
    return [Section("Evidence", told, note="e lists findings and packages")]


def piece_lines(piece: EvidenceView, now: datetime) -> tuple[Line, Line]:
    """A piece of evidence: what it says, where it comes from and how old it is."""
    asserted = f"asserted by {piece.asserted_by}, unsigned" if piece.asserted_by else ""
    database = f"scanner database {fmt.age(piece.database_at, now)} old" if piece.database_at else ""
    measured = f"measured {fmt.ago(piece.measured_at, now)}" if piece.measured_at else "time of measurement not told"
    return (
        join(text(piece.kind, "strong"), text(piece.state, state_role(piece.state)), text(piece.summary), gap="  "),
        (
            Span("  "),
            *join(
                text(piece.source, "muted"),
                text(measured, "muted"),
                text(database, "muted"),
                text(asserted, "warn"),
                gap="  ",
            ),
        ),
    )


def worst_findings(evidence: Sequence[EvidenceView]) -> list[FindingView]:
    """Every finding, the worst first."""
    found = [finding for piece in evidence for finding in piece.findings]
    return sorted(found, key=lambda finding: (_SEVERITIES.get(finding.severity.lower(), (9, ""))[0], finding.id))


def severity_role(severity: str) -> str:
    """The role that a severity is drawn in."""
    return _SEVERITIES.get(severity.lower(), (9, "muted"))[1]


def finding_lines(piece: EvidenceView) -> list[Line]:
    """Vulnerabilities, the worst first; how many more there are."""
    ordered = worst_findings([piece])
    lines: list[Line] = []
    for finding in ordered[:_FINDINGS_SHOWN]:
        fixed = f"fixed in {finding.fixed}" if finding.fixed else "no fix"
        lines.append(
            (
                Span("  "),
                *pad(text(finding.severity.lower(), severity_role(finding.severity)), 9),
                *pad(text(finding.id, "name"), 17),
                *text(f"{finding.package} {finding.version}  "),
                *text(fixed, "muted"),
                *text(f"  waived: {finding.waived}" if finding.waived else "", "warn"),
                *text(f"  VEX: {finding.vex}" if finding.vex else "", "info"),
            )
        )
    if len(ordered) > _FINDINGS_SHOWN:
        lines.append(text(f"  and {len(ordered) - _FINDINGS_SHOWN} more: e lists them", "muted"))
    return lines


def changes_in_full(candidate: CandidateView) -> list[Section]:
    """Every name that came or went, where there are more than the first screen tells."""
    lines: list[Line] = []
    for one in candidate.differences:
        if not (one.added or one.removed):
            continue
        lines.append(join(text(one.kind, "strong"), text(one.text), gap="  "))
        lines += [text(f"  + {name}", "bad" if one.worse else "") for name in one.added]
        lines += [text(f"  - {name}", "ok" if one.worse is not None else "") for name in one.removed]
    return [Section("Changes in full", tuple(lines))] if lines else []


def waiver_sections(candidate: CandidateView, now: datetime) -> list[Section]:
    """Waivers in force and lapsed: the finding, until when, who answers for it, why, and what is done meanwhile."""
    lines: list[Line] = []
    for waiver in sorted(candidate.waivers, key=lambda each: (each.lapsed, each.until)):
        ends = f"lapsed {waiver.until:%Y-%m-%d}" if waiver.lapsed else f"until {waiver.until:%Y-%m-%d}"
        lines.append(
            join(
                text(waiver.finding, "name"),
                text(ends, "bad" if waiver.lapsed else "warn"),
                text(f"owner {waiver.owner}"),
                text(f"granted by {waiver.actor}, {fmt.ago(waiver.at, now)}", "muted"),
                gap="  ",
            )
        )
        lines.append((Span("  "), *text(waiver.reason)))
        if waiver.control:
            lines.append((Span("  meanwhile ", "muted"), *text(waiver.control)))
    return [Section("Waivers", tuple(lines))] if lines else []


def comment_sections(candidate: CandidateView, now: datetime) -> list[Section]:
    """What people said."""
    lines: list[Line] = []
    for comment in candidate.comments:
        who = join(
            text(comment.actor, "name"),
            text(fmt.ago(comment.at, now), "muted"),
            text(comment.ticket, "accent"),
            gap="  ",
        )
        lines += [who, (Span("  "), *text(comment.text))]
    return [Section("Comments", tuple(lines))] if lines else []


def decisions_section(candidate: CandidateView, now: datetime) -> Section:
    """Who decided what, and why."""
    decisions = sorted(candidate.decisions or candidate.approvals, key=lambda decision: decision.at)
    lines = tuple(line for decision in decisions for line in _decision_lines(decision, candidate, now))
    return Section("Decisions", lines or (text("nobody decided yet", "muted"),))


def _decision_lines(decision: DecisionView, candidate: CandidateView, now: datetime) -> tuple[Line, ...]:
    stale = decision.evidence_hash != candidate.evidence_hash and candidate.state is ImageState.CANDIDATE
    ends = decision.expires_at
    return (
        join(
            text(decision.verdict, _VERDICT_ROLE.get(decision.verdict, "bad")),
            text(f"by {decision.actor}", "name"),
            text("by policy, automatically" if decision.automatic else "", "warn"),
            text(fmt.ago(decision.at, now), "muted"),
            text(f"until {ends:%Y-%m-%d %H:%M}" if ends is not None else "", "muted"),
            text(decision.ticket, "accent"),
            text("on other evidence than this" if stale else "", "warn"),
            gap="  ",
        ),
        (Span("  "), *text(decision.reason)),
        *(((Span("  "), *scope_line(decision.scope)),) if decision.verdict == "approve" else ()),
    )


def facts_section(candidate: CandidateView) -> Section:
    """Names and hashes, in full."""
    rows = [
        ("tags", text(" ".join(candidate.tags), "accent")),
        ("submitted", text(f"by {candidate.submitted_by} at {fmt.moment(candidate.submitted_at)} UTC")),
        ("reference", text(candidate.reference, "muted")),
        ("evidence", text(f"hash {candidate.evidence_hash}", "faint")),
        ("policy", text(f"hash {candidate.policy_hash}", "faint")),
    ]
    return Section("In full", facts(rows))


def state_role(state: str) -> str:
    """The role that a state of a piece of evidence is drawn in."""
    good = {"verified", "scanned", "read", "present", "pass", "fixed"}
    return "ok" if state in good else "bad" if state in {"invalid", "fail"} else "warn"
