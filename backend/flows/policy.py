"""Policy as commands and screen know it: what it says of images, what another would say, and what it does itself."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Final

from backend.config import Configuration, SystemPolicy, read_model
from backend.core.errors import NotFoundError
from backend.core.events import LibraryChanged, QueueChanged, Topic
from backend.core.permits import Permit
from backend.core.views import PolicyCheckView
from backend.curation import keeping, queue
from backend.curation.candidates import fetch_queue, read_queue
from backend.curation.policy import Policy, load_policy
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library.facts import all_facts

_TABLES: Final = {"policy", "role"}


class PolicyFlow:
    """What images have to meet."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup

    async def check(self, reference: str | None = None, against: Path | None = None) -> list[PolicyCheckView]:
        """What policy says of one image, or of all.

        Args:
            against: a file with `[policy]` and `[[role]]` to judge by instead, or a whole configuration.

        Raises:
            ConfigurationError: that file is wrong.
        """
        foundation = self._foundation
        draft = None if against is None else await asyncio.to_thread(_read_policy, against)
        if reference is not None:
            named = await self._lookup.facts(reference)
            known = {named.digest: named}
        else:
            found = await all_facts(foundation.database)
            known = dict(sorted(found.items(), key=lambda each: each[1].reference))
        return await queue.check_policy(
            foundation.database, known, policy=foundation.policy, against=draft, now=foundation.clock.now()
        )

    async def keep(self) -> int:
        """Note what ended, judge what changed, and decide what policy decides by itself; the worker's work.

        Returns:
            how many ends were noted and decisions made.

        Raises:
            ReadOnlyError: the yard was opened read-only.
            PolicyError: the files have another policy now than this program; nothing was done.
        """
        await self._foundation.policy_in_force.require("what policy does by itself")

        async def action(permit: Permit) -> int:
            permit.spend("policy.keep")
            return await self._kept()

        return await self._foundation.gate.run("policy.keep", "policy", action, as_worker=True)

    async def _kept(self) -> int:
        foundation = self._foundation
        database, policy, now = foundation.database, foundation.policy, foundation.clock.now()
        done = await keeping.note_ends(database, now)
        changed = False
        wanted = await keeping.to_judge(database, policy, now)
        if wanted:
            rows = await fetch_queue(database)
            facts = await all_facts(database)
            judged = await asyncio.to_thread(
                lambda: keeping.judge(read_queue(rows), wanted, facts, policy=policy, now=now)
            )
            for each in judged:
                if each.act is not None:
                    async with database.transaction() as transaction:
                        done += await keeping.act(transaction, each, policy=policy, ids=foundation.ids, at=now)
            changed = await keeping.keep_judgements(database, judged, policy=policy, now=now)
        if done or changed:
            foundation.hub.publish(Topic.QUEUE, QueueChanged())
            foundation.hub.publish(Topic.LIBRARY, LibraryChanged())
        return done


def _read_policy(file: Path) -> Policy:
    if not file.is_file():
        raise NotFoundError(
            f"policy file {file}", "there is no such file", "name a file with [policy] and [[policy.gate]]"
        )
    draft = read_model(file, Configuration) if _is_whole(file) else read_model(file, SystemPolicy)
    return load_policy(draft.policy, draft.role, file.absolute().parent)


def _is_whole(file: Path) -> bool:
    """Whether the file has other tables of a configuration; what is wrong with it is told by who reads it."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not tables.keys() <= _TABLES and tables.keys() <= Configuration.model_fields.keys()
