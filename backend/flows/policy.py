"""Policy as commands and screen know it: what it says of images, and what another one would say."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backend.config import SystemPolicy, read_model
from backend.core.errors import NotFoundError
from backend.core.views import PolicyCheckView
from backend.curation import queue
from backend.curation.policy import Policy, load_policy
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.library.facts import all_facts


class PolicyFlow:
    """What images have to meet."""

    def __init__(self, foundation: Foundation, lookup: Lookup) -> None:
        self._foundation = foundation
        self._lookup = lookup

    async def check(self, reference: str | None = None, against: Path | None = None) -> list[PolicyCheckView]:
        """What policy says of one image, or of all that were submitted.

        Args:
            against: a file with `[policy]` and `[[role]]` to judge by instead.

        Raises:
            ConfigurationError: that file is wrong.
        """
        foundation = self._foundation
        draft = None if against is None else await asyncio.to_thread(_read_policy, against)
        known = await all_facts(foundation.database)
        if reference is not None:
            image = await self._lookup.image(reference)
            known = {image.digest: await self._lookup.facts(reference)}
        now = foundation.clock.now()
        return [
            await queue.check_policy(foundation.database, facts, policy=foundation.policy, against=draft, now=now)
            for facts in sorted(known.values(), key=lambda facts: facts.reference)
        ]


def _read_policy(file: Path) -> Policy:
    if not file.is_file():
        raise NotFoundError(
            f"policy file {file}", "there is no such file", "name a file with [policy] and [[policy.gate]]"
        )
    draft = read_model(file, SystemPolicy)
    return load_policy(draft.policy, draft.role, file.absolute().parent)
