"""What is approved, asked by the digests that services name and that pods really run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from backend.core.ports import Clock
from backend.core.references import short_digest
from backend.core.views import ImageState
from backend.curation import curated
from backend.curation.policy import Policy
from backend.library.facts import aliases as library_aliases
from backend.serving.board import Approval
from backend.store.connection import Database


class Approvals:
    """A view of the curated library that is brought up to date when the store changed, and asked often."""

    def __init__(self, database: Database, policy: Policy, clock: Clock) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._states: Mapping[str, ImageState] = {}
        self._aliases: Mapping[str, str] = {}

    async def refresh(self) -> bool:
        """Read anew what is approved.

        Returns:
            whether anything is judged differently now.
        """
        states = await curated.states(self._database, self._policy.hash, self._clock.now())
        aliases = await library_aliases(self._database)
        changed = states != self._states or aliases != self._aliases
        self._states, self._aliases = states, aliases
        return changed

    def canonical(self, digest: str) -> str:
        """The digest that the library knows an image by, from that of its platform's manifest or configuration."""
        return self._aliases.get(digest, digest)

    def state(self, digest: str) -> ImageState | None:
        """Where an image stands, by any of its digests; None: it was never submitted."""
        return self._states.get(self.canonical(digest))

    def judge(self, digests: frozenset[str]) -> Approval:
        """Whether all of the digests are approved, and of the first that is not, why."""
        for digest in sorted(digests):
            state = self.state(digest)
            if state is ImageState.APPROVED:
                continue
            if state is None:
                return Approval(False, f"digest {short_digest(digest)} was never submitted for approval")
            said = "is not approved yet" if state is ImageState.CANDIDATE else f"is {state.value}"
            return Approval(False, f"digest {short_digest(digest)} {said}")
        return Approval(True, "")


async def approved_at(database: Database, policy: Policy, at: datetime | None, now: datetime) -> frozenset[str]:
    """The digests that are approved now, or were at an instant."""
    if at is not None:
        return await curated.approved_digests(database, at)
    states = await curated.states(database, policy.hash, now)
    return frozenset(digest for digest, state in states.items() if state is ImageState.APPROVED)
