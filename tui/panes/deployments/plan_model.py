"""A plan as sections: what stands in the way, what would change, what it takes and needs, what to know before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.core.diffs import runs
from backend.core.views import CutOffView, DiffLineView, ObjectPlanView, PlanView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, join, pad, text
from tui.panes.deployments.fit_model import fit_section
from tui.panes.queue.view_model import VALUE_ROLE

_ROLES: Final = {"+": "add", "-": "remove"}
_STATES: Final = {
    "ok": ("✓", "ok", "muted"),
    "missing": ("✗", "bad", "bad"),
    "short": ("✗", "bad", "bad"),
    "unknown": ("?", "warn", "muted"),
}
_WORST: Final = ("missing", "short", "unknown", "ok")


def plan_sections(plan: PlanView, *, unfolded: bool = False) -> list[Section]:
    """All there is to tell of a plan.

    Args:
        unfolded: with the lines that do not change.
    """
    sections: list[Section] = []
    if plan.refusals:
        lines = tuple((Span("✗ ", "alarm"), *text(refusal, "bad")) for refusal in plan.refusals)
        sections.append(Section("May not be applied", lines))
    sections.extend(
        Section(_object_title(planned), diff_lines(planned, unfolded=unfolded), note=planned.action)
        for planned in plan.objects
    )
    if plan.fields:
        sections.append(Section("Fields that others manage", tuple(_claims(plan)), note="t chooses which to take"))
    known = [
        *((Span("! ", "warn"), *text(warning, "warn")) for warning in plan.warnings),
        *([(Span("outage     ", "label"), *text(plan.outage))] if plan.outage else []),
        *((Span("not fixed  ", "label"), *text(part, "warn")) for part in plan.not_fixed),
    ]
    if known:
        sections.append(Section("Know before", tuple(known), side=True))
    if plan.fit is not None:
        sections.append(fit_section(plan.fit)._replace(side=True))
    if plan.checks:
        sections.append(Section("What its pods need", tuple(_checks(plan)), side=True))
    if plan.gates or plan.decisions:
        sections.append(Section("Gates", tuple(_gates(plan)), side=True))
    sections.append(Section("The same by kubectl", tuple(text(command, "muted") for command in plan.kubectl)))
    return sections


def diff_lines(planned: ObjectPlanView, *, unfolded: bool = False) -> tuple[Line, ...]:
    """A diff; `+` and `-` stand in the text, so that it is read without colours too."""
    if not planned.diff:
        return (text("nothing changes", "muted"),)
    return folded_lines(planned.diff, unfolded=unfolded)


def folded_lines(lines: tuple[DiffLineView, ...], *, unfolded: bool = False) -> tuple[Line, ...]:
    """The lines of a diff; those that do not change are one where they fold."""
    shown: list[Line] = []
    for run in runs(lines):
        if run.folds and not unfolded:
            shown.append((Span("▸ ", "faint"), *text(f"{len(run.lines)} lines do not change", "faint")))
            continue
        shown += [
            (Span(f"{line.mark} ", _ROLES.get(line.mark, "faint")), *text(line.text, _ROLES.get(line.mark, "muted")))
            for line in run.lines
        ]
    return tuple(shown)


def plan_tally(plan: PlanView) -> Line:
    """How many lines come and go."""
    marks = [line.mark for planned in plan.objects for line in planned.diff]
    if plan.refusals:
        return text("refused", "alarm")
    if not plan.changes:
        return text("nothing would change", "ok")
    return join(
        (Span(f"+{marks.count('+')}", "add"),),
        (Span(f"-{marks.count('-')}", "remove"),),
        text(fmt.count(len(plan.objects), "object"), "muted"),
    )


def plan_verb(plan: PlanView, *, rollback: bool = False) -> str:
    """What applying the plan is, in a word for headings and buttons."""
    if plan.settles:
        return "Undo" if plan.undoes else "Complete"
    if rollback:
        return "Roll back"
    return "Install" if plan.subject == "runtime" else "Apply"


def cut_off_lines(found: tuple[CutOffView, ...], age: Callable[[CutOffView], str]) -> tuple[Line, ...]:
    """Applies that were cut off, a line each."""
    return tuple(
        join(
            (Span("! ", "warn"), *text(f"an apply of {one.namespace}/{one.name} was cut off", "warn")),
            text(f"by {one.actor}, {age(one)}: {one.told}", "muted"),
            (Span("U", "key"), *text(" settles it", "muted")),
            gap="  ",
        )
        for one in found
    )


# ---------------------------------------------------------------- inside


def _claims(plan: PlanView) -> list[Line]:
    return [
        join(
            text("[x]" if claim.taken else "[ ]", "warn" if claim.taken else "muted"),
            text(claim.field, "name"),
            text(f"managed by {claim.manager}", "muted"),
            text("it is taken" if claim.taken else "", "warn"),
        )
        for claim in plan.fields
    ]


def _checks(plan: PlanView) -> list[Line]:
    lines: list[Line] = []
    for check in sorted(plan.checks, key=lambda one: _WORST.index(one.state) if one.state in _WORST else 0):
        mark, role, told = _STATES.get(check.state, _STATES["unknown"])
        lines.append((Span(f"{mark} ", role), *text(check.about, "name"), *text(f"  {check.sentence}", told)))
    return lines


def _gates(plan: PlanView) -> list[Line]:
    lines: list[Line] = [
        (
            *pad(text(gate.kind, "name"), 17),
            *pad(text(gate.value.value, VALUE_ROLE[gate.value]), 14),
            *text(gate.sentence, "muted"),
        )
        for gate in plan.gates
    ]
    if plan.decisions:
        lines.append(text(f"approved by decision {', '.join(each[:12] for each in plan.decisions)}", "muted"))
    return lines or [EMPTY]


def _object_title(planned: ObjectPlanView) -> str:
    where = f"{planned.namespace}/" if planned.namespace else ""
    return f"{planned.kind} {where}{planned.name}"
