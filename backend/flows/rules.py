"""Rules as commands and screen know them: what is configured, and what each would take in."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.errors import NotFoundError, UsageError
from backend.core.views import RuleClauseView, RuleView
from backend.flows.foundation import Foundation
from backend.library.config import RuleConfig
from backend.library.listing import preview
from backend.library.rules import rule_view
from backend.library.runs import last_runs


class RulesFlow:
    """The rules by which images are taken in."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    async def rules(self) -> list[RuleView]:
        """The configured rules and when each last ran."""
        runs = await last_runs(self._foundation.database)
        views = []
        for rule in self._foundation.configuration.settings.rule:
            view = rule_view(rule)
            last = runs.get(rule.name)
            views.append(
                view
                if last is None
                else RuleView(
                    name=view.name,
                    registry=view.registry,
                    repositories=view.repositories,
                    tags=view.tags,
                    types=view.types,
                    every=view.every,
                    enabled=view.enabled,
                    last_run_at=last.at,
                    last_result=last.result,
                )
            )
        return views

    async def preview(self, rule: str | None = None) -> list[RuleClauseView]:
        """What rules would take in now, and what they leave out by which clause. Writes nothing."""
        clauses: list[RuleClauseView] = []
        for chosen in chosen_rules(self._foundation.configuration.settings.rule, rule):
            config = self._foundation.registries.config(chosen.registry)
            client = self._foundation.registries.client(chosen.registry)
            clauses += await preview(client, chosen, config.max_concurrency)
        return clauses


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
    if not enabled:
        raise UsageError("sync", "no rule is configured", "add a [[registry]] and a [[rule]], see modelyard init")
    return enabled
