"""What the pages of rules show: columns, sections and lines; plain values."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from backend.core.views import RuleClauseView, RulePreviewView, RuleView, SourceState, SourceView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, text
from tui.widgets.columns import Column

_TAKEN, _LEFT_OUT = "+ ", "- "
#: Lines of a section; the whole list stands on a page of its own.
_MOST_LINES: Final = 300
_TOML_KEY: Final = re.compile(r"(\s*)([A-Za-z0-9_.\-]+|\"[^\"]*\")(\s*=)(.*)")


def rule_columns(now: Callable[[], datetime]) -> tuple[Column[RuleView], ...]:
    """The columns of the list of rules."""
    return (
        Column(key="on", title="", cell=lambda rule: _switch(rule), minimum=3, tight=True),
        Column(
            key="rule", title="RULE", cell=lambda rule: text(rule.name, "name"), minimum=10, maximum=28,
            sort=lambda rule: rule.name,
        ),
        Column(
            key="registry", title="REGISTRY", cell=lambda rule: text(rule.registry), minimum=6, maximum=14, priority=3,
            sort=lambda rule: rule.registry,
        ),
        Column(
            key="takes", title="TAKES", cell=lambda rule: takes_line(rule), minimum=16, maximum=60, flex=2, priority=2,
        ),
        Column(
            key="every", title="EVERY", cell=lambda rule: text(rule.every or "asked", "muted"), minimum=5, priority=4,
        ),
        Column(
            key="ran", title="RAN", cell=lambda rule: _ran(rule, now()), minimum=5, maximum=7, right=True, priority=1,
            sort=lambda rule: rule.last_run_at or datetime.min.replace(tzinfo=now().tzinfo),
        ),
        Column(
            key="result", title="RESULT", cell=lambda rule: _result(rule), minimum=14, maximum=40, flex=1, priority=2,
        ),
        Column(
            key="author", title="WRITTEN BY", cell=lambda rule: text(rule.author, "muted"), minimum=8, maximum=16,
            priority=6, shown_from=110, sort=lambda rule: rule.author,
        ),
    )  # fmt: skip


def takes_line(rule: RuleView) -> Line:
    """What a rule takes, in a line."""
    parts = [text(" ".join(rule.repositories), "name")]
    if rule.exclude_repositories:
        parts.append(text(f"not {' '.join(rule.exclude_repositories)}", "warn"))
    parts.append(text(rule.tags, "accent"))
    if rule.types:
        parts.append(text(" ".join(rule.types)))
    if rule.platforms:
        parts.append(text(" ".join(rule.platforms), "muted"))
    if rule.max_age:
        parts.append(text(f"younger than {rule.max_age}"))
    return join(*parts, gap="  ")


def rule_section(rule: RuleView, sources: Iterable[SourceView], now: datetime) -> Section:
    """A rule as facts, with what its registry last said: what it still lets us pull, or why it does not answer."""
    ran = join(text(fmt.ago(rule.last_run_at, now)), _result(rule), gap="  ")
    rows = [
        ("registry", join(text(rule.registry), _said(rule.registry, sources), gap="  ")),
        ("repositories", text(" ".join(rule.repositories) or "every one", "name")),
        ("not", text(" ".join(rule.exclude_repositories), "warn")),
        ("tags", text(rule.tags or "all", "accent")),
        ("types", text(" ".join(rule.types) or "all")),
        ("platforms", text(" ".join(rule.platforms) or "all")),
        ("age", text(f"at most {rule.max_age}" if rule.max_age else "any")),
        ("every", text(rule.every or "only when asked")),
        ("asks first", text(f"above {rule.max_new} new tags" if rule.max_new is not None else "never")),
        ("last ran", ran if rule.last_run_at is not None else text("never", "warn")),
        ("written by", text(rule.author or "not known: by hand", "" if rule.author else "muted")),
    ]
    return Section(rule.name, facts(rows), note="" if rule.enabled else "switched off", side=True)


def _said(registry: str, sources: Iterable[SourceView]) -> Line:
    for source in sources:
        if source.kind == "registry" and source.name == registry and source.as_of is not None:
            return text(source.detail, "muted" if source.state is SourceState.LIVE else "bad")
    return EMPTY


def preview_sections(preview: RulePreviewView) -> list[Section]:
    """What a rule takes in, what it leaves out by which clause, and what a draft changes."""
    taken = [clause for clause in preview.clauses if clause.taken]
    left = [clause for clause in preview.clauses if not clause.taken]
    sections = []
    if preview.notes:
        sections.append(Section("To know", tuple((Span("! ", "warn"), *text(note)) for note in preview.notes)))
    if preview.draft:
        sections.append(
            _names("Taken in besides what the rule in force takes", preview.added, (Span(_TAKEN, "ok"),), "ok")
        )
        sections.append(_names("No longer taken in; what the library holds stays", preview.removed,
                               (Span(_LEFT_OUT, "bad"),), "bad"))  # fmt: skip
    would = "Would have taken in" if preview.at is not None else "Takes in"
    sections.append(Section(would, _clauses(taken), note=fmt.count(len(taken), "tag")))
    if left:
        why = Counter(_kind(clause) for clause in left)
        lines = [
            join(text(f"{number:>6}", "muted"), text(clause), gap="  ") for clause, number in why.most_common(20)
        ]  # fmt: skip
        sections.append(Section("Left out by", tuple(lines), note=fmt.count(len(left), "tag")))
        sections.append(Section("Left out", _clauses(left)))
    return sections


def text_section(toml: str, title: str = "In the file") -> Section:
    """A rule's own text."""
    return Section(title, tuple(toml_line(line) for line in toml.rstrip("\n").split("\n")))


def difference_section(before: str, after: str) -> Section:
    """What an edit changes in a rule's text."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    shown = tuple(_difference_line(line) for line in lines if not line.startswith("@@"))
    return Section("What changes in the file", shown or (text("nothing", "muted"),))


def _difference_line(line: str) -> Line:
    role = {"+": "ok", "-": "bad"}.get(line[:1], "muted")
    return text(line, role) or EMPTY


def toml_line(line: str) -> Line:
    """A line of TOML with its key apart from its value."""
    stripped = line.lstrip()
    if stripped.startswith("#"):
        return text(line, "faint")
    if stripped.startswith("["):
        return text(line, "strong")
    match = _TOML_KEY.match(line)
    if match is None:
        return text(line)
    indent, key, equals, value = match.groups()
    return (*text(indent + key, "accent"), *text(equals, "faint"), *text(value))


def clause_text(clause: RuleClauseView) -> str:
    """What became of a tag, in a line."""
    return f"{_TAKEN if clause.taken else _LEFT_OUT}{_name(clause)}  {clause.clause}"


def clause_line(line: str) -> Line:
    """Such a line with its mark in colour."""
    return text(line, "ok" if line.startswith(_TAKEN) else "muted")


def tally(preview: RulePreviewView) -> Line:
    """A preview in a few words."""
    number = sum(clause.taken for clause in preview.clauses)
    told = text(f"{number} of {fmt.count(sum(bool(clause.tag) for clause in preview.clauses), 'tag')} taken", "strong")
    if not preview.draft:
        return told
    return join(told, text(f"+{len(preview.added)}", "ok"), text(f"-{len(preview.removed)}", "bad"), gap="  ")


def _clauses(clauses: Sequence[RuleClauseView]) -> tuple[Line, ...]:
    lines = [
        (*text(_name(clause), "name" if clause.taken else ""), Span("  "), *text(clause.clause, "muted"))
        for clause in clauses[:_MOST_LINES]
    ]
    if len(clauses) > _MOST_LINES:
        lines.append(text(f"and {len(clauses) - _MOST_LINES} more; Enter lists all of them", "muted"))
    return tuple(lines) or (text("nothing", "muted"),)


def _kind(clause: RuleClauseView) -> str:
    """The clause, without what differs from image to image."""
    return "max_age: created too long ago" if clause.clause.startswith("max_age") else clause.clause


def _names(title: str, names: Sequence[str], mark: Line, role: str) -> Section:
    lines = [(*mark, *text(name, role)) for name in names[:_MOST_LINES]]
    if len(names) > _MOST_LINES:
        lines.append(text(f"and {len(names) - _MOST_LINES} more", "muted"))
    return Section(title, tuple(lines) or (text("nothing", "muted"),), note=str(len(names)))


def _name(clause: RuleClauseView) -> str:
    return f"{clause.registry}/{clause.repository}{':' if clause.tag else ''}{clause.tag}"


def _switch(rule: RuleView) -> Line:
    return (Span("on ", "ok"),) if rule.enabled else (Span("off", "warn"),)


def _ran(rule: RuleView, now: datetime) -> Line:
    return text(fmt.age(rule.last_run_at, now), "muted") if rule.last_run_at is not None else text("never", "warn")


def _result(rule: RuleView) -> Line:
    if rule.last_result.startswith("partial"):
        return text(rule.last_result, "warn")
    return text(rule.last_result, "bad" if "failed" in rule.last_result or "refused" in rule.last_result else "muted")
