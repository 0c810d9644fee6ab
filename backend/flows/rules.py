"""Rules as commands and screen know them: what is in force, what each would take in, and how they are written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from backend.config import parse_model, parse_settings, read_text
from backend.core.canonical import Json
from backend.core.errors import ConfigurationError, NotFoundError, RefusedError, UsageError
from backend.core.events import RulesChanged, Topic
from backend.core.permits import Permit
from backend.core.settings import Settings
from backend.core.views import RulePreviewView, RuleTextView, RuleView
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks
from backend.library import rule_file
from backend.library.config import RuleConfig
from backend.library.preview import HistoryPreview, Preview, RegistryPreview
from backend.library.rules import choosing_hash, rule_hash, rule_view
from backend.library.runs import last_runs
from backend.store.connection import Database
from backend.store.text_file import changed_meanwhile, replace_file, why_unwritable

WRITE: Final = "rules.write"
REMOVE: Final = "rules.remove"
_DRAFT: Final = Path("draft")
_INTERRUPTED: Final = "interrupted"
_Edit: TypeAlias = Callable[[str], str]


class _Draft(Settings):
    """A text that holds rules and nothing else."""

    rule: tuple[RuleConfig, ...] = ()


class _Trial(NamedTuple):
    """A rule to be tried, and the one in force that it would replace."""

    rule: RuleConfig
    instead_of: RuleConfig | None
    is_draft: bool


class RulesFlow:
    """The rules by which images are taken in."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    # ------------------------------------------------------------ looking

    async def rules(self) -> list[RuleView]:
        """The rules in force, when each last ran, and who wrote it where that is known."""
        runs = await last_runs(self._foundation.database)
        views = []
        for rule in self._foundation.rules.rules:
            view = msgspec.structs.replace(rule_view(rule), author=await author_of(self._foundation.database, rule))
            if (last := runs.get(rule.name)) is not None:
                view = msgspec.structs.replace(view, last_run_at=last.at, last_result=last.result)
            views.append(view)
        return views

    async def preview(
        self, rule: str | None = None, *, draft: str | None = None, at: datetime | None = None
    ) -> list[RulePreviewView]:
        """What rules would take in, and what they leave out by which clause. Writes nothing.

        Args:
            rule: only this one; of a draft with one rule, the rule in force that it would replace.
            draft: TOML with `[[rule]]` tables, or a whole configuration that was edited; each rule of it is held
                against the one in force of its name.
            at: as it would have been then, by the history of tags; None: now, by what the registry tells.

        Raises:
            NotFoundError: there is no rule of that name. UsageError: none is configured, or the time is to come.
            ConfigurationError: the draft is not to be used, with its line.
            ModelyardError: a registry tells nothing.
        """
        if at is not None and at > self._foundation.clock.now():
            raise UsageError("rules preview", "that time is still to come", "give a time that is past")
        rooms: dict[str, RegistryPreview] = {}
        views = []
        for trial in self._trials(rule, draft):
            found = await self._look(trial.rule, at, rooms)
            before: frozenset[str] = frozenset()
            if trial.is_draft and trial.instead_of is not None:
                before = (await self._look(trial.instead_of, at, rooms)).taken
            views.append(_preview_view(trial, found, before, at))
        if draft is not None and rule is None:
            views += [await self._dropped(name, at, rooms) for name in self._not_in(draft)]
        return views

    async def text(self, rule: str) -> RuleTextView:
        """A rule as it stands in the file with its comments, or, without a name, one to begin with.

        Raises:
            NotFoundError: the file does not hold it. ConfigurationError: the file cannot be read.
            ConflictError: it is not written as one table in one place.
        """
        path = self._foundation.configuration.path
        data = await asyncio.to_thread(_bytes_of, path)
        text = data.decode()
        registries = [registry.name for registry in self._foundation.configuration.settings.registry]
        if rule:
            told = rule_file.rule_text(text, rule)
        else:
            told = rule_file.template(registries, [known.name for known in self._foundation.rules.rules])
        return RuleTextView(
            rule=rule,
            text=told.replace("\r\n", "\n"),
            path=str(path),
            hash=rule_file.file_hash(data),
            writable=await asyncio.to_thread(why_unwritable, path),
        )

    async def check(self, text: str) -> str:
        """Why a text cannot be a rule, with its line; empty when it can."""
        try:
            self._drafted(text)
        except ConfigurationError as error:
            line = f"line {error.line}: " if error.line is not None else ""
            # A draft has one rule: which of them is meant says nothing.
            return f"{line}{error.why.replace('rule.0.', '')}; {error.action}"
        return ""

    # ------------------------------------------------------------ writing

    async def save(self, text: str, *, replaces: str | None, file_hash: str) -> RuleView:
        """Write a rule into the configuration file, and leave everything else in it as it is.

        Args:
            text: one `[[rule]]` table with its comments.
            replaces: the rule whose place it takes, under the same or another name; None: it is new.
            file_hash: of the file that was seen, as `text` told it.

        Raises:
            ConfigurationError: the text is no rule, or not one that fits the rest of the file.
            ConflictError: the file was changed meanwhile, or cannot be edited by lines. NotFoundError: it no longer
                holds what is to be replaced. RefusedError: read-only, the role is missing, or the file is not ours.
        """
        rule = self._drafted(text)

        def edited(before: str) -> str:
            return rule_file.with_rule(before, text, replaces)

        detail: dict[str, Json] = {
            "rule": rule.name, "replaces": replaces, "rule_hash": rule_hash(rule), "choosing": choosing_hash(rule),
        }  # fmt: skip
        await self._write(WRITE, rule.name, edited, file_hash, detail)
        return next((view for view in await self.rules() if view.name == rule.name), rule_view(rule))

    async def switch(self, rule: str, enabled: bool, *, file_hash: str) -> RuleView:
        """Switch a rule on or off; see `save`."""
        told = await self.text(rule)
        return await self.save(rule_file.switched(told.text, enabled), replaces=rule, file_hash=file_hash)

    async def remove(self, rule: str, *, file_hash: str) -> None:
        """Take a rule out of the configuration file, with its comments; what it took in stays in the library.

        Raises:
            NotFoundError: the file does not hold it. Others: see `save`.
        """
        await self._write(REMOVE, rule, lambda before: rule_file.without_rule(before, rule), file_hash, {"rule": rule})

    # ------------------------------------------------------------ inside

    def _drafted(self, text: str) -> RuleConfig:
        """The one rule of a text.

        Raises:
            ConfigurationError: it is none that can be used here.
        """
        drafted = parse_model(text, _DRAFT, _Draft).rule
        if len(drafted) != 1:
            raise ConfigurationError(
                f"it holds {len(drafted)} [[rule]] tables", "write one, and nothing else", path=_DRAFT
            )
        self._require_registry(drafted[0])
        return drafted[0]

    def _require_registry(self, rule: RuleConfig) -> None:
        known = [registry.name for registry in self._foundation.configuration.settings.registry]
        if rule.registry not in known:
            raise ConfigurationError(
                f"rule {rule.name!r} names registry {rule.registry!r}, which is not configured",
                f"use one of: {', '.join(known) or '(none configured)'}",
                path=_DRAFT,
            )

    def _trials(self, name: str | None, draft: str | None) -> list[_Trial]:
        in_force = {rule.name: rule for rule in self._foundation.rules.rules}
        if draft is None:
            return [_Trial(rule, None, is_draft=False) for rule in chosen_rules(tuple(in_force.values()), name)]
        drafted = self._rules_of(draft)
        for rule in drafted:
            self._require_registry(rule)
        if name is not None and len(drafted) == 1:
            return [_Trial(drafted[0], chosen_rules(tuple(in_force.values()), name)[0], is_draft=True)]
        chosen = drafted if name is None else chosen_rules(drafted, name)
        return [_Trial(rule, in_force.get(rule.name), is_draft=True) for rule in chosen]

    def _rules_of(self, draft: str) -> tuple[RuleConfig, ...]:
        try:
            return parse_model(draft, _DRAFT, _Draft).rule
        except ConfigurationError:
            # A whole configuration has other tables; what is wrong with it is told of as such.
            return parse_settings(draft, _DRAFT).rule

    def _not_in(self, draft: str) -> list[str]:
        """Rules in force that a whole configuration no longer has."""
        try:
            parse_model(draft, _DRAFT, _Draft)
        except ConfigurationError:
            kept = {rule.name for rule in self._rules_of(draft)}
            return [rule.name for rule in self._foundation.rules.rules if rule.name not in kept]
        return []

    async def _dropped(self, name: str, at: datetime | None, rooms: dict[str, RegistryPreview]) -> RulePreviewView:
        rule = next(rule for rule in self._foundation.rules.rules if rule.name == name)
        found = await self._look(rule, at, rooms)
        return RulePreviewView(
            rule=name, at=at, draft=True, clauses=(), removed=tuple(sorted(found.taken)),
            notes=("the draft has no rule of this name",),
        )  # fmt: skip

    async def _look(self, rule: RuleConfig, at: datetime | None, rooms: dict[str, RegistryPreview]) -> Preview:
        foundation = self._foundation
        config = foundation.registries.config(rule.registry)
        if at is not None:
            return await HistoryPreview(foundation.database, at).of(rule, config.name)
        if config.name not in rooms:
            rooms[config.name] = RegistryPreview(
                foundation.registries.client(config.name), foundation.database, config.name,
                clock=foundation.clock, concurrency=config.max_concurrency,
            )  # fmt: skip
        return await rooms[config.name].of(rule)

    async def _write(self, mutation: str, name: str, edit: _Edit, file_hash: str, detail: dict[str, Json]) -> None:
        """Change the file through the gate, and put what it says into force."""
        path = self._foundation.configuration.path
        seen = b""
        after = ""

        async def ours() -> None:
            if why := await asyncio.to_thread(why_unwritable, path):
                raise RefusedError(
                    f"{mutation} of {name}", f"{path}: {why}", "ask whoever keeps the file, or edit a copy of your own"
                )

        async def unchanged() -> None:
            nonlocal seen, after
            seen = await asyncio.to_thread(_bytes_of, path)
            if rule_file.file_hash(seen) != file_hash:
                raise changed_meanwhile(path)
            after = await asyncio.to_thread(_edited, seen.decode(), edit, path)

        async def action(permit: Permit) -> None:
            permit.spend(mutation)
            await asyncio.to_thread(replace_file, path, after.encode(), seen=seen)

        def told(_: None) -> dict[str, Json]:
            return {
                "after": rule_file.file_hash(after.encode()),
                "difference": rule_file.difference(seen.decode(), after),
            }

        asked = {"change": self._foundation.ids.new_id(), "file": str(path), "before": file_hash, **detail}
        await self._foundation.gate.run(
            mutation, f"rule {name}", action, checks=Checks(policy=ours, precondition=unchanged), detail=asked,
            told=told,
        )  # fmt: skip
        await self._foundation.rules.refresh()
        await self._foundation.record.keep()
        self._foundation.hub.publish(Topic.LIBRARY, RulesChanged(key="rules"))


def _edited(before: str, edit: _Edit, path: Path) -> str:
    """The file's text after an edit, read as a whole before anybody gets it."""
    after = edit(before)
    parse_settings(after, path)
    return after


def _bytes_of(path: Path) -> bytes:
    return read_text(path).encode("utf-8")


def _preview_view(trial: _Trial, found: Preview, before: frozenset[str], at: datetime | None) -> RulePreviewView:
    notes = list(found.notes)
    if not trial.rule.enabled:
        notes.insert(0, "it is switched off: it runs only when it is asked for by name")
    if trial.is_draft and trial.instead_of is None:
        notes.insert(0, "it is new: no rule of this name is in force")
    return RulePreviewView(
        rule=trial.rule.name, at=at, draft=trial.is_draft, clauses=found.clauses,
        added=tuple(sorted(found.taken - before)) if trial.is_draft else (),
        removed=tuple(sorted(before - found.taken)), notes=tuple(notes),
    )  # fmt: skip


async def author_of(database: Database, rule: RuleConfig) -> str:
    """Who last wrote what a rule takes in, as the ledger tells; empty: nobody knows, as of a file edited by hand.

    Switching a rule on or off, and its schedule, change no author: that does not say what is taken in.
    """
    rows = await database.fetch_all(
        "SELECT actor, outcome, detail FROM ledger WHERE object = ? AND action = ? ORDER BY seq DESC",
        (f"rule {rule.name}", WRITE),
    )
    wanted, undone = choosing_hash(rule), set()
    author = ""
    for row in rows:
        detail = json.loads(row["detail"])
        # One that was cut off may have been written all the same.
        if row["outcome"] in ("refused", "failed") and _INTERRUPTED not in str(detail.get("error", "")):
            undone.add(detail.get("change"))
        if row["outcome"] != "started" or detail.get("change") in undone:
            continue
        if detail.get("choosing") == wanted:
            author = str(row["actor"])
        elif author:
            break
    return author


def chosen_rules(rules: Sequence[RuleConfig], name: str | None) -> list[RuleConfig]:
    """The rule of a name, or all that are enabled.

    Raises:
        NotFoundError: there is no rule of that name. UsageError: none is configured.
    """
    if name is not None:
        chosen = [rule for rule in rules if rule.name == name]
        if not chosen:
            known = ", ".join(rule.name for rule in rules) or "none is configured"
            raise NotFoundError(f"rule {name}", "it is not configured", f"use one of: {known}")
        return chosen
    enabled = [rule for rule in rules if rule.enabled]
    if rules and not enabled:
        raise UsageError("rules", "every rule is switched off", "switch one on: modelyard rules enable R")
    if not enabled:
        raise UsageError("sync", "no rule is configured", "add a [[registry]] and a [[rule]], see modelyard init")
    return enabled
