"""Findings, packages and pieces of evidence as rows and lines."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from backend.core.text import sanitise
from backend.core.views import EvidenceView, FindingView, PackageView
from tui.document import EMPTY, Line, Section, Span, join, text
from tui.panes.queue.detail_model import piece_lines, severity_role
from tui.widgets.columns import Column

_DETAIL_LIMIT: Final = 600
#: Told by the summary, or listed by themselves.
_LEFT_OUT: Final = frozenset({"targets", "tried"})


def finding_columns() -> tuple[Column[FindingView], ...]:
    """Severity, identifier, package, what mends it, what was said of it."""
    return (
        Column(key="severity", title="SEVERITY", cell=_severity_cell, minimum=8, maximum=9),
        Column(key="id", title="FINDING", cell=lambda one: text(one.id, "name"), minimum=14, maximum=22),
        Column(key="package", title="PACKAGE", cell=_package_cell, minimum=14, maximum=40, flex=1),
        Column(key="fixed", title="FIXED IN", cell=_fixed_cell, minimum=8, maximum=18, priority=2),
        Column(key="marks", title="SAID OF IT", cell=marks_cell, minimum=10, maximum=60, flex=1, priority=2),
        Column(
            key="title",
            title="TITLE",
            cell=lambda one: text(one.title, "muted"),
            minimum=16,
            maximum=80,
            flex=2,
            priority=4,
            shown_from=110,
        ),
    )


def package_columns() -> tuple[Column[PackageView], ...]:
    """Name, version, licence, package URL."""
    return (
        Column(key="name", title="PACKAGE", cell=lambda one: text(one.name, "name"), minimum=18, maximum=44, flex=1),
        Column(key="version", title="VERSION", cell=lambda one: text(one.version), minimum=10, maximum=24),
        Column(
            key="licence",
            title="LICENCE",
            cell=lambda one: text(one.licence) if one.licence else text("not told", "warn"),
            minimum=12,
            maximum=40,
            flex=1,
        ),
        Column(
            key="purl",
            title="PACKAGE URL",
            cell=lambda one: text(one.purl, "muted"),
            minimum=20,
            maximum=80,
            flex=2,
            priority=3,
            shown_from=100,
        ),
    )


def _severity_cell(finding: FindingView) -> Line:
    return text(finding.severity.lower(), severity_role(finding.severity))


def _package_cell(finding: FindingView) -> Line:
    return join(text(finding.package), text(finding.version, "muted"))


def _fixed_cell(finding: FindingView) -> Line:
    return text(finding.fixed, "ok") if finding.fixed else text("no fix", "muted")


def marks_cell(finding: FindingView) -> Line:
    """Whether it was waived, and what a VEX document says; the finding itself stays."""
    return join(
        (Span("WAIVED ", "warn"), *text(finding.waived, "muted")) if finding.waived else EMPTY,
        (Span("VEX ", "info"), *text(finding.vex, "muted")) if finding.vex else EMPTY,
        gap="  ",
    )


def finding_haystack(finding: FindingView) -> str:
    """What a filter looks at."""
    marks = (
        "waived" if finding.waived else "open",
        "vex" if finding.vex else "",
        "fixed" if finding.fixed else "nofix",
    )
    return " ".join(
        (finding.severity, finding.id, finding.package, finding.version, finding.title, finding.vex, *marks)
    )


def package_haystack(package: PackageView) -> str:
    """What a filter looks at."""
    return " ".join((package.name, package.version, package.licence, package.purl))


def finding_text(finding: FindingView, width: int) -> str:
    """A finding in full, a fact a line, lines broken at `width` cells."""
    rows = (
        ("finding", finding.id),
        ("severity", finding.severity),
        ("package", f"{finding.package} {finding.version}"),
        ("fixed in", finding.fixed or "no fix is known"),
        ("waived", finding.waived or "no"),
        ("VEX", finding.vex or "nothing is said"),
        ("title", finding.title),
    )
    indent = " " * 10
    return "\n".join(
        textwrap.fill(f"{name:<10}{sanitise(value)}", max(30, width), subsequent_indent=indent) for name, value in rows
    )


def piece_sections(evidence: Sequence[EvidenceView] | None, now: datetime) -> tuple[Section, ...]:
    """Every piece of evidence: what it says, where it comes from, and what was read out of it."""
    if evidence is None:
        return (Section("", (text("reading…", "muted"),)),)
    if not evidence:
        return (Section("", (text("Nothing was found on it.", "warn"),)),)
    return tuple(
        Section(sanitise(piece.kind, 40), (*piece_lines(piece, now), *detail_lines(piece.details)))
        for piece in evidence
    )


def detail_lines(details: dict[str, Any]) -> list[Line]:
    """What was read out of a piece, a line each: signatures one by one, the rest by name."""
    lines: list[Line] = []
    for name, value in details.items():
        if name in _LEFT_OUT or value in (None, "", [], {}):
            continue
        name = name.replace("_", " ")
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            lines += [(Span(f"  {name} ", "label"), *text(_told(each))) for each in value[:20]]
            if len(value) > 20:
                lines.append(text(f"  and {len(value) - 20} more", "muted"))
        else:
            lines.append((*text(f"  {name} ", "label"), *text(_told(value))))
    return lines


def _told(value: object) -> str:
    if isinstance(value, dict):
        told = "  ".join(
            f"{name.replace('_', ' ')} {_told(each)}" for name, each in value.items() if each not in (None, "", [], {})
        )
    elif isinstance(value, list):
        told = ", ".join(_told(each) for each in value)
    else:
        told = value if isinstance(value, str) else json.dumps(value, default=str)
    return told[:_DETAIL_LIMIT]
