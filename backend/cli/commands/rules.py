"""`rules`: what to take in, what that would be, and how it is written."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from backend.cli.output import Column, note, parse_time, plain
from backend.cli.session import Session
from backend.config import read_text
from backend.core.errors import UsageError
from backend.core.views import RuleClauseView, RulePreviewView, RuleTextView, RuleView
from backend.library.rule_file import rule_names
from backend.yard import Yard

_ADDED, _REMOVED = "added", "removed"


def add_to(application: typer.Typer) -> None:
    """Add `rules`."""
    rules = typer.Typer(help="Rules: what to take in.", rich_markup_mode=None)
    rules.command("list")(_list)
    rules.command("preview")(_preview)
    rules.command("show")(_show)
    rules.command("set")(_set)
    rules.command("enable")(_enable)
    rules.command("disable")(_disable)
    rules.command("remove")(_remove)
    application.add_typer(rules, name="rules")


_RULES: list[Column[RuleView]] = [
    ("RULE", lambda rule: rule.name),
    ("REGISTRY", lambda rule: rule.registry),
    ("REPOSITORIES", lambda rule: rule.repositories or "all"),
    ("TAGS", lambda rule: rule.tags),
    ("EVERY", lambda rule: rule.every),
    ("ENABLED", lambda rule: rule.enabled),
    ("LAST RUN", lambda rule: rule.last_run_at),
    ("RESULT", lambda rule: rule.last_result),
    ("WRITTEN BY", lambda rule: rule.author),
]


def _list(context: typer.Context) -> None:
    """List the rules and when each last ran."""
    session: Session = context.obj
    rules = session.run(lambda yard: yard.rules.rules())
    session.print.rows(rules, _RULES, empty="no rules; add a [[rule]] to the configuration")


# ---------------------------------------------------------------- preview


class _Tried(NamedTuple):
    """What became of a tag under a rule, and whether a draft changes that."""

    rule: str
    clause: RuleClauseView
    change: str


_TRIED: list[Column[_Tried]] = [
    ("RULE", lambda tried: tried.rule),
    ("REGISTRY", lambda tried: tried.clause.registry),
    ("REPOSITORY", lambda tried: tried.clause.repository),
    ("TAG", lambda tried: tried.clause.tag),
    ("TAKEN", lambda tried: tried.clause.taken),
    ("BY", lambda tried: tried.clause.clause),
]
_CHANGE: Column[_Tried] = ("CHANGE", lambda tried: tried.change)


def _preview(
    context: typer.Context,
    rule: Annotated[str | None, typer.Argument(metavar="[R]")] = None,
    draft: Annotated[
        Path | None,
        typer.Option("--draft", metavar="FILE", help="Rules to try instead: [[rule]] tables, or a configuration."),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As it would have been then.")] = None,
) -> None:
    """Tell what a rule would take in, and what it leaves out by which clause. Writes nothing."""
    session: Session = context.obj
    moment, text = _moment(at), read_text(draft) if draft is not None else None
    previews = session.run(lambda yard: yard.rules.preview(rule, draft=text, at=moment))
    tried = [one for preview in previews for one in _tried(preview)]
    columns = [*_TRIED[: 1 if len(previews) > 1 else 0], *_TRIED[1:], *([_CHANGE] if draft is not None else [])]
    session.print.rows(tried, columns, empty="the rule matches no repository", as_data=_tried_data)
    for preview in previews:
        _tell(preview, named=len(previews) > 1)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError("--at", f"{text!r} is not a time", "write 2026-01-31 or 2026-01-31T14:00:00Z") from error


def _tried(preview: RulePreviewView) -> list[_Tried]:
    changes = {**dict.fromkeys(preview.added, _ADDED), **dict.fromkeys(preview.removed, _REMOVED)}
    tried = [
        _Tried(preview.rule, clause, changes.pop(f"{clause.registry}/{clause.repository}:{clause.tag}", ""))
        for clause in preview.clauses
    ]
    for name, change in changes.items():
        registry, _, rest = name.partition("/")
        repository, _, tag = rest.rpartition(":")
        clause = RuleClauseView(
            registry=registry, repository=repository, tag=tag, taken=False, clause="the draft does not look there"
        )
        tried.append(_Tried(preview.rule, clause, change))
    return tried


def _tried_data(tried: _Tried) -> dict[str, Any]:
    return {"rule": tried.rule, **plain(tried.clause), "change": tried.change}


def _tell(preview: RulePreviewView, *, named: bool) -> None:
    head = f"{preview.rule}: " if named else ""
    tags = [clause for clause in preview.clauses if clause.tag]
    would = "would have been" if preview.at is not None else "would be"
    note(f"{head}{sum(clause.taken for clause in tags)} of {len(tags)} tags {would} taken in")
    if preview.draft:
        note(f"{head}{len(preview.added)} more than the rule in force takes, {len(preview.removed)} fewer")
    for line in preview.notes:
        note(f"{head}{line}")


# ---------------------------------------------------------------- show and write


def _show(context: typer.Context, rule: Annotated[str, typer.Argument(metavar="R")]) -> None:
    """Show a rule as it stands in the configuration file, with its comments."""
    session: Session = context.obj
    told = session.run(lambda yard: yard.rules.text(rule))
    session.print.item(told, told.text)
    if told.writable:
        note(f"{told.path} cannot be written from here: {told.writable}")


def _set(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One [[rule]] table, with its comments.")],
    replaces: Annotated[
        str | None, typer.Option("--replaces", metavar="R", help="The rule whose place it takes, to rename it.")
    ] = None,
) -> None:
    """Write a rule into the configuration file: in place of the one of its name, or a new one."""
    session: Session = context.obj
    text = read_text(file)

    async def prepare(yard: Yard) -> tuple[RuleTextView, str | None]:
        if problem := await yard.rules.check(text):
            raise UsageError(f"rule in {file}", *_parted(problem))
        name = rule_names(text)[0]
        known = {view.name for view in await yard.rules.rules()}
        old = replaces or (name if name in known else None)
        return await yard.rules.text(old or ""), old

    seen, old = session.run(prepare)
    if not session.options.read_only:
        session.confirm(f"write {'rule ' + old if old else 'a new rule'} into {seen.path}?")
    written = session.run(lambda yard: yard.rules.save(text, replaces=old, file_hash=seen.hash))
    session.print.item(written, f"wrote rule {written.name} into {seen.path}")


def _parted(problem: str) -> tuple[str, str]:
    why, _, action = problem.rpartition("; ")
    return why, action


def _enable(context: typer.Context, rule: Annotated[str, typer.Argument(metavar="R")]) -> None:
    """Switch a rule on."""
    _switch(context, rule, enabled=True)


def _disable(context: typer.Context, rule: Annotated[str, typer.Argument(metavar="R")]) -> None:
    """Switch a rule off; what it took in stays."""
    _switch(context, rule, enabled=False)


def _switch(context: typer.Context, rule: str, *, enabled: bool) -> None:
    session: Session = context.obj

    async def switch(yard: Yard) -> RuleView:
        return await yard.rules.switch(rule, enabled, file_hash=(await yard.rules.text(rule)).hash)

    switched = session.run(switch)
    session.print.item(switched, f"rule {rule} is {'on' if switched.enabled else 'off'}")


def _remove(context: typer.Context, rule: Annotated[str, typer.Argument(metavar="R")]) -> None:
    """Take a rule out of the configuration file; what it took in stays in the library."""
    session: Session = context.obj
    seen = session.run(lambda yard: yard.rules.text(rule))
    if not session.options.read_only:
        session.confirm(f"remove rule {rule} from {seen.path}?")
    session.run(lambda yard: yard.rules.remove(rule, file_hash=seen.hash))
    session.print.item({"rule": rule, "path": seen.path}, f"removed rule {rule} from {seen.path}")
