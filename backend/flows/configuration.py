"""The configuration while the program runs: its rules read again when the file changes, and what is in force recorded.

Rules take effect at once. What else the file says (registries, policy, roles) is what the program was started with;
that it changed is told, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from backend.config import Configuration, LoadedConfiguration, parse_settings, read_text
from backend.core.actors import Actor
from backend.core.canonical import hash_of
from backend.core.errors import ConfigurationError, ModelyardError
from backend.core.events import EventHub, RulesChanged, Topic
from backend.core.ports import Clock
from backend.core.views import SourceState, SourceView
from backend.flows.policy_in_force import PolicyInForce
from backend.library.config import RuleConfig
from backend.library.rules import rule_hash
from backend.store import ledger, meta
from backend.store.connection import Database

_LOG = logging.getLogger(__name__)
ACTION: Final = "configuration.load"
_LOOK_EVERY: Final = 2.0


class _Stamp(NamedTuple):
    """What changes when a file does."""

    changed_at: int
    size: int
    number: int


class RulesInForce:
    """The rules of the configuration file as it stands; of one that cannot be used, the last that could."""

    def __init__(self, configuration: LoadedConfiguration, clock: Clock) -> None:
        self._configuration = configuration
        self._clock = clock
        self._stamp: _Stamp | None = None
        self._problem = ""
        self._waiting: tuple[str, ...] = ()
        self._since: datetime | None = None
        self._rules = configuration.settings.rule
        self._looking = asyncio.Lock()

    @property
    def rules(self) -> tuple[RuleConfig, ...]:
        """The rules, in the order of the file."""
        return self._rules

    @property
    def problem(self) -> str:
        """Why the file as it stands is not used, or empty."""
        return self._problem

    def source(self) -> SourceView | None:
        """What the title bar has to tell of the file; None: nothing."""
        if self._problem:
            return SourceView(
                name="config", kind="configuration", state=SourceState.REFUSED, as_of=self._since,
                detail=f"{self._problem}; the rules that were read before stay in force",
            )  # fmt: skip
        if self._waiting:
            tables = ", ".join(f"[{name}]" for name in self._waiting)
            return SourceView(
                name="config", kind="configuration", state=SourceState.LIVE, as_of=self._since,
                detail=f"{tables} changed in the file; start again to use that",
            )  # fmt: skip
        return None

    async def refresh(self) -> bool:
        """Look at the file, and read it if it changed; gives whether there is anything new to tell."""
        # One look at a time: an older text must not come into force after a newer one.
        async with self._looking:
            return await self._refresh()

    async def _refresh(self) -> bool:
        stamp = await asyncio.to_thread(_stamp_of, self._configuration.path)
        if stamp == self._stamp or (stamp is None and not self._configuration.exists):
            return False
        self._stamp = stamp
        before = (self._rules, self._problem, self._waiting)
        try:
            settings = await asyncio.to_thread(_read, self._configuration.path)
            self._take(settings)
            self._problem = ""
        except ConfigurationError as error:
            self._problem = str(error)
            _LOG.warning("the configuration is not used: %s", error)
        told = (self._rules, self._problem, self._waiting)
        if told != before:
            self._since = self._clock.now()
        return told != before

    def _take(self, settings: Configuration) -> None:
        started = self._configuration.settings
        known = {registry.name for registry in started.registry}
        for rule in settings.rule:
            if rule.registry not in known:
                raise ConfigurationError(
                    f"rule {rule.name!r} names registry {rule.registry!r}, which was configured after the start",
                    "start again",
                    path=self._configuration.path,
                )
        overruled = {"policy", "role", "scanner"} if self._configuration.policy_source != "policy: own file" else set()
        self._waiting = tuple(
            name
            for name in Configuration.model_fields
            if name != "rule" and name not in overruled and getattr(settings, name) != getattr(started, name)
        )
        self._rules = settings.rule


class ConfigurationRecord:
    """Keeps in the ledger which configuration was in force: an entry for each change, whoever noticed it first.

    An entry holds hashes alone, by table and by rule. Nothing secret is hashed: the configuration only names secrets.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        configuration: LoadedConfiguration,
        onlooker: Callable[[], Awaitable[tuple[Actor, str]]],
        *,
        policy_hash: str,
        rules: RulesInForce,
    ) -> None:
        """
        Args:
            onlooker: tells who started the program, and why that cannot be told or an empty text.
            policy_hash: of policy and roles as they are applied, the contents of keys included.
        """
        self._database = database
        self._clock = clock
        self._configuration = configuration
        self._onlooker = onlooker
        self._policy_hash = policy_hash
        self._rules = rules
        self._recorded: tuple[RuleConfig, ...] | None = None

    async def keep(self) -> None:
        """Append an entry, if what is in force is not what was last recorded of this file.

        Raises:
            StoreError: of its kind.
        """
        rules = self._rules.rules
        if self._recorded is rules or self._database.read_only:
            return
        facts = await asyncio.to_thread(self._facts, rules)
        name = f"configuration {facts['file']}"
        if await meta.get(self._database, name) != json.dumps(facts, sort_keys=True):
            actor, unknown = await self._onlooker()
            async with self._database.transaction() as transaction:
                row = await transaction.fetch_one("SELECT value FROM meta WHERE name = ?", (name,))
                before = json.loads(row["value"]) if row is not None else None
                if before != facts:
                    detail = {**facts, "changed": _changed(before, facts)}
                    await ledger.append(
                        transaction, at=self._clock.now(), actor=actor, action=ACTION, object=facts["file"],
                        outcome="done", detail={**detail, **({"identity": unknown} if unknown else {})},
                    )  # fmt: skip
                    await meta.put(transaction, name, json.dumps(facts, sort_keys=True))
        self._recorded = rules

    def _facts(self, rules: tuple[RuleConfig, ...]) -> dict[str, Any]:
        settings = self._configuration.settings.model_copy(update={"rule": rules})
        told = settings.model_dump(mode="json")
        tables = {name: hash_of(value) for name, value in told.items()}
        return {
            "file": str(self._configuration.path),
            "policy_source": self._configuration.policy_source,
            "policy": self._policy_hash,
            "hash": hash_of({**tables, "policy in force": self._policy_hash}),
            "tables": tables,
            "rules": {rule.name: rule_hash(rule) for rule in rules},
        }


def _changed(before: dict[str, Any] | None, facts: dict[str, Any]) -> list[str]:
    """The tables, and the rules by name, that are not as they were; none of the first entry."""
    if before is None:
        return []
    tables = [name for name, told in facts["tables"].items() if before["tables"].get(name) != told]
    if before["policy"] != facts["policy"] and "policy" not in tables:
        # A key that policy names holds something else now, or another file has policy.
        tables.append("policy")
    names = sorted({*before["rules"], *facts["rules"]})
    return tables + [f"rule {name}" for name in names if before["rules"].get(name) != facts["rules"].get(name)]


class ConfigurationWatch:
    """Looks every few seconds whether the file changed, and tells of it."""

    def __init__(
        self,
        rules: RulesInForce,
        record: ConfigurationRecord,
        hub: EventHub,
        told: Callable[[], Awaitable[None]],
        *,
        policy: PolicyInForce,
    ) -> None:
        """
        Args:
            told: awaited when there is something new to tell of the file.
        """
        self._rules = rules
        self._record = record
        self._hub = hub
        self._told = told
        self._policy = policy

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                if await self._rules.refresh():
                    self._hub.publish(Topic.LIBRARY, RulesChanged(key="rules"))
                    await self._told()
                if await self._policy.refresh():
                    await self._told()
                await self._record.keep()
            except ModelyardError as error:
                _LOG.warning("watching the configuration: %s", error)
            await asyncio.sleep(_LOOK_EVERY)


def _stamp_of(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> Configuration:
    return parse_settings(read_text(path), path)
