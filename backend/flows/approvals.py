"""What is approved, asked by the digests that services name and that pods really run."""

from __future__ import annotations

from collections.abc import Mapping

from backend.core.ports import Clock, timestamp
from backend.core.references import short_digest
from backend.core.views import ImageState
from backend.curation import curated, scope
from backend.curation.decisions import Standing
from backend.curation.policy import Policy
from backend.curation.scope import Use
from backend.library.facts import aliases as library_aliases
from backend.serving.board import Approval
from backend.store.connection import Database


class Approvals:
    """A view of the curated library that is brought up to date when the store changed, and asked often."""

    def __init__(self, database: Database, policy: Policy, clock: Clock) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._standings: Mapping[str, Standing] = {}
        self._aliases: Mapping[str, str] = {}
        self._own: frozenset[str] = frozenset()

    async def refresh(self) -> bool:
        """Read anew what is approved.

        Returns:
            whether anything is judged differently now.
        """
        standings = await curated.standings(self._database, self._policy.hash, self._clock.now())
        aliases = await library_aliases(self._database)
        changed = standings != self._standings or aliases != self._aliases
        self._standings, self._aliases, self._own = standings, aliases, frozenset(aliases.values())
        return changed

    def canonical(self, digest: str) -> str:
        """The digest that the library knows an image by, from that of its platform's manifest or configuration."""
        return self._aliases.get(digest, digest)

    def known(self, digest: str) -> str | None:
        """The digest that the library knows an image by, from any of its digests; None: it knows none such."""
        found = self._aliases.get(digest)
        if found is not None:
            return found
        return digest if digest in self._own or digest in self._standings else None

    def state(self, digest: str) -> ImageState | None:
        """Where an image stands, by any of its digests; None: it was never submitted."""
        found = self._standings.get(self.canonical(digest))
        return found.state if found is not None else None

    def use_in(self, context: str, namespace: str, *, weights: str | None = None, runtime: str | None = None) -> Use:
        """A use of an image in a namespace of a cluster, to be judged."""
        environment = self._policy.environment_of(context, namespace) if self._policy.config.environment else None
        return Use(weights=weights, runtime=runtime, environment=environment)

    def decisions(self, digests: frozenset[str], use: Use | None = None) -> tuple[str, ...]:
        """Ids of the decisions by which a use of these digests is approved, or runs by break-glass."""
        found: list[str] = []
        for digest in sorted(digests):
            canonical = self.canonical(digest)
            standing = self._standings.get(canonical)
            if standing is None:
                continue
            within = [each for each in standing.grants if use is None or not scope.beyond(each.scope, use, canonical)]
            held = within[0].approvals if within else (standing.glass,) if standing.glass is not None else ()
            found += [decision.id for decision in held]
        return tuple(dict.fromkeys(found))

    def approved_weights(self, digest: str, use: Use) -> str | None:
        """The weights that the approval of a use names, empty when it names none; None: the use is not approved."""
        canonical = self.canonical(digest)
        standing = self._standings.get(canonical)
        for grant in standing.grants if standing is not None else ():
            if not scope.beyond(grant.scope, use, canonical):
                return grant.scope.weights
        return None

    def judge(self, digests: frozenset[str], use: Use | None = None) -> Approval:
        """Whether all of the digests are approved, and of the first that is not, why.

        Args:
            use: what they are used with and where; None: only whether they are approved for anything.
        """
        notes = []
        for digest in sorted(digests):
            canonical = self.canonical(digest)
            standing = self._standings.get(canonical)
            what = f"digest {short_digest(digest)}"
            if standing is None:
                return Approval(False, f"{what} was never submitted for approval")
            beyond = [scope.beyond(each.scope, use, canonical) for each in standing.grants] if use is not None else []
            if standing.grants and (use is None or not all(beyond)):
                continue
            glass = standing.glass
            if glass is not None and glass.expires_at is not None:
                notes.append(f"{what} runs by break-glass of {glass.actor} until {timestamp(glass.expires_at)[:16]}Z")
                continue
            if standing.grants:
                return Approval(False, f"{what} is approved for something else: {beyond[0]}")
            said = "is not approved yet" if standing.state is ImageState.CANDIDATE else f"is {standing.state.value}"
            return Approval(False, f"{what} {said}")
        return Approval(True, "; ".join(notes))
