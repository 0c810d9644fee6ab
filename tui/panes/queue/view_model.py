"""Candidates as rows: mine first, then risk, then age."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Final

from backend.core.views import CandidateView, DecisionView, EvidenceValue, GateView, ImageState
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, text
from tui.widgets.columns import Column

VALUE_ROLE: Final = {
    EvidenceValue.PASS: "ok",
    EvidenceValue.FAIL: "bad",
    EvidenceValue.NOT_MEASURED: "warn",
    EvidenceValue.STALE: "warn",
}
_VALUE_SHORT: Final = {
    EvidenceValue.PASS: "ok",
    EvidenceValue.FAIL: "FAIL",
    EvidenceValue.NOT_MEASURED: "--",
    EvidenceValue.STALE: "old",
}
_GATE_SHORT: Final = {"vulnerabilities": "CVE", "signature": "sign", "licence": "lic"}
STATE_ROLE: Final = {
    ImageState.CANDIDATE: "info",
    ImageState.APPROVED: "ok",
    ImageState.REJECTED: "bad",
    ImageState.REVOKED: "bad",
    ImageState.EXPIRED: "warn",
}


def to_review(candidate: CandidateView) -> DecisionView | None:
    """The last breaking of the glass that nobody has looked at yet."""
    reviewed = {decision.about for decision in candidate.decisions if decision.verdict == "review"}
    broken = [one for one in candidate.decisions if one.verdict == "break-glass" and one.id not in reviewed]
    return broken[-1] if broken else None


def mine_first(candidates: Iterable[CandidateView]) -> list[CandidateView]:
    """Broken glass that nobody looked at, then what waits for me, by risk, then the oldest; decided ones last."""
    return sorted(
        candidates,
        key=lambda candidate: (
            not candidate.decisions or to_review(candidate) is None,
            candidate.state is not ImageState.CANDIDATE,
            not candidate.waits_for_me,
            -candidate.risk,
            candidate.submitted_at,
            candidate.reference,
        ),
    )


def waiting(candidates: Iterable[CandidateView]) -> list[CandidateView]:
    """The ones that nobody decided on yet."""
    return [candidate for candidate in candidates if candidate.state is ImageState.CANDIDATE]


def mark_cell(candidate: CandidateView) -> Line:
    """`G` where the glass is broken or is still to be reviewed, `!` where a gate fails, `*` where it waits for me."""
    if candidate.break_glass or (candidate.decisions and to_review(candidate) is not None):
        return (Span("G", "alarm"),)
    if candidate.state is not ImageState.CANDIDATE:
        return EMPTY
    if any(gate.effect == "block" and gate.value is EvidenceValue.FAIL for gate in candidate.gates):
        return (Span("!", "bad"),)
    return (Span("*", "mine"),) if candidate.waits_for_me else EMPTY


def name_cell(candidate: CandidateView) -> Line:
    """Name and tag; dimmed where it does not wait for me."""
    title, _, tag = candidate.name.rpartition(":")
    if "@" in title or not title:
        title, tag = candidate.name, ""
    role = "name" if candidate.waits_for_me else "muted"
    short = title.rpartition("/")[2]
    return (*text(short, role), *text(f":{tag}" if tag else "", "accent" if candidate.waits_for_me else "muted"))


def full_name_cell(candidate: CandidateView) -> Line:
    """The whole name: registry, repository and tag."""
    title, colon, tag = candidate.name.rpartition(":")
    head, slash, tail = (title if colon else candidate.name).rpartition("/")
    role = "name" if candidate.waits_for_me else "muted"
    return (
        *text(head + slash, "space" if candidate.waits_for_me else "faint"),
        *text(tail, role),
        *text(f":{tag}" if colon else "", "accent" if candidate.waits_for_me else "muted"),
    )


def gate_summary(gate: GateView) -> Line:
    """A gate in a word or two: `CVE FAIL`, `sign ok`."""
    short = _GATE_SHORT.get(gate.kind, gate.kind[:8])
    role = VALUE_ROLE[gate.value] if gate.effect == "block" or gate.value is EvidenceValue.PASS else "warn"
    return (*text(short + " ", "muted"), Span(_VALUE_SHORT[gate.value], role))


def gates_cell(candidate: CandidateView) -> Line:
    """All gates, each in a word or two."""
    return join(*(gate_summary(gate) for gate in candidate.gates), gap="  ") or text("no gates", "faint")


def approvals_cell(candidate: CandidateView) -> Line:
    """Approvals that count, of those needed; what was decided of the others."""
    if candidate.state is not ImageState.CANDIDATE:
        return text(candidate.state.value, STATE_ROLE[candidate.state])
    role = "warn" if candidate.approvals else "muted"
    return (Span(f"{len(candidate.approvals)}/{candidate.approvals_needed}", role),)


def candidate_columns(
    now: Callable[[], datetime], *, narrow: bool = False, marked: Collection[str] = ()
) -> tuple[Column[CandidateView], ...]:
    """The columns of candidates; `narrow` is for the overview, `marked` are the references that stand out."""

    def first_cell(candidate: CandidateView) -> Line:
        return (Span("■", "warn"),) if candidate.reference in marked else mark_cell(candidate)

    common = [
        Column(key="mark", title="", cell=first_cell, minimum=1, tight=True),
        Column(
            key="name",
            title="IMAGE",
            cell=name_cell if narrow else full_name_cell,
            minimum=18 if narrow else 30,
            keep_end=True,
            maximum=34 if narrow else 64,
            flex=1,
            sort=lambda candidate: candidate.name,
        ),
        Column(
            key="gates",
            title="GATES",
            cell=gates_cell,
            minimum=14 if narrow else 24,
            maximum=34,
            priority=2,
            sort=lambda candidate: sum(gate.value is not EvidenceValue.PASS for gate in candidate.gates),
        ),
        Column(
            key="approvals",
            title="STATE",
            cell=approvals_cell,
            minimum=3 if narrow else 8,
            maximum=9,
            right=narrow,
            sort=lambda candidate: (candidate.state.value, -len(candidate.approvals)),
        ),
    ]
    if not narrow:
        common += [
            Column(
                key="risk",
                title="RISK",
                cell=risk_cell,
                minimum=4,
                right=True,
                priority=3,
                sort=lambda candidate: -candidate.risk,
            ),
            Column(
                key="type",
                title="TYPE",
                cell=lambda candidate: text(candidate.type, "muted"),
                minimum=6,
                maximum=10,
                priority=5,
                shown_from=105,
                sort=lambda candidate: candidate.type,
            ),
            Column(
                key="by",
                title="SUBMITTED BY",
                cell=lambda candidate: text(candidate.submitted_by, "muted"),
                minimum=12,
                maximum=16,
                priority=6,
                shown_from=125,
                sort=lambda candidate: candidate.submitted_by,
            ),
        ]
    common.append(
        Column(
            key="age",
            title="AGE",
            cell=lambda candidate: text(fmt.age(candidate.submitted_at, now()), "muted"),
            minimum=3,
            maximum=4,
            right=True,
            sort=lambda candidate: candidate.submitted_at,
        )
    )
    return tuple(common)


def risk_cell(candidate: CandidateView) -> Line:
    """Risk from 0 to 100."""
    role = "bad" if candidate.risk >= 60 else "warn" if candidate.risk >= 25 else "muted"
    return (Span(str(candidate.risk), role),)


def haystack(candidate: CandidateView) -> str:
    """What a filter looks at."""
    gates = " ".join(f"{gate.kind}:{gate.value.value}" for gate in candidate.gates)
    mine = "mine" if candidate.waits_for_me else ""
    return " ".join(
        (
            candidate.name,
            candidate.reference,
            candidate.state.value,
            candidate.type,
            candidate.framework,
            candidate.submitted_by,
            gates,
            mine,
            *candidate.tags,
        )
    )


def why_and_next(candidate: CandidateView) -> tuple[Line, Line]:
    """What stands in the way of a candidate, and what to do."""
    standing = [gate.sentence for gate in candidate.gates if gate.blocks]
    if candidate.state is not ImageState.CANDIDATE:
        return text(f"{candidate.state.value}"), text("Enter shows who decided, and why")
    if standing:
        return text("; ".join(standing)), text("Enter opens the card; R rejects it, evidence may clear it")
    if candidate.not_me:
        return text(candidate.not_me), text("somebody else decides")
    left = candidate.approvals_needed - len(candidate.approvals)
    missing = "; ".join(candidate.missing) or fmt.count(left, "approval")
    return text(f"all gates pass; {missing} missing"), text("Enter opens the card, A approves")


def tally(candidates: Iterable[CandidateView]) -> Line:
    """How many wait, and how many for me."""
    mine = sum(candidate.waits_for_me for candidate in candidates)
    return (Span(f"{mine} for me", "mine"),) if mine else text("none for me", "faint")
