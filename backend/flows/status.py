"""What the title bar tells."""

from __future__ import annotations

from backend.core.views import ImageState, YardStatusView
from backend.curation import curated
from backend.flows.foundation import Foundation
from backend.flows.schedule import LEASE
from backend.library import catalogue
from backend.store.lease import Lease

_WAITING = frozenset({ImageState.CANDIDATE, ImageState.EXPIRED})


class StatusBoard:
    """Keeps what was last found out, so that it can be shown without waiting."""

    def __init__(self, foundation: Foundation, read_only: str) -> None:
        self._foundation = foundation
        self._read_only = read_only
        self._worker = ""
        self._counts = (0, 0, 0)

    def view(self) -> YardStatusView:
        """The title bar as of the last refresh; sources as of now."""
        foundation = self._foundation
        settings = foundation.configuration.settings
        actor = foundation.identity.known
        total, approved, waiting = self._counts
        return YardStatusView(
            name=settings.yard.name,
            context=foundation.cluster.context,
            actor=actor.name if actor is not None else "",
            actor_source=actor.source.value if actor is not None else settings.yard.identity,
            roles=tuple(sorted(role.value for role in actor.roles)) if actor is not None else (),
            unrestricted=actor is not None and actor.unrestricted,
            writes=self._read_only,
            enforcement="not enforced",
            worker=self._worker,
            policy_source=foundation.configuration.policy_source,
            sources=(foundation.cluster.source, *foundation.registries.sources),
            library_total=total,
            library_approved=approved,
            queue_waiting=waiting,
        )

    async def refresh(self) -> None:
        """Count anew, and ask who holds the lease.

        Raises:
            StoreError: the database cannot be read.
        """
        foundation = self._foundation
        if foundation.configuration.settings.yard.identity == "os" and foundation.identity.known is None:
            await foundation.identity.actor()
        states = await curated.states(foundation.database, foundation.policy.hash, foundation.clock.now())
        total, _ = await catalogue.count(foundation.database)
        approved = sum(state is ImageState.APPROVED for state in states.values())
        self._counts = (total, approved, sum(state in _WAITING for state in states.values()))
        self._worker = await Lease(foundation.database, foundation.clock, "").holder(LEASE) or ""
